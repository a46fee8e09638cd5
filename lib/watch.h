/* Derivatives while NaN and infinities are looked for. */
#ifndef TAPE__WATCH_H
#define TAPE__WATCH_H

#include "forward.h"
#include "sweep.h"
#include "trace.h"

typedef bool tape__visit(tape__sweep *s, uint32_t slot, tape__node *y);

/* visit(), and a look at the adjoints that it added to. */
bool tape__watched_visit(tape__sweep *s, uint32_t slot, tape__visit *visit);

/* tape__record_tangents(), and a look at them. */
bool tape__watched_tangents(tape__record *r);

#endif
