/* The code outside the library that called into it. Knows the machine's stack and the dynamic linker, no tape. */
#ifndef TAPE__CALLER_H
#define TAPE__CALLER_H

#include "base.h"

/* The return address in the innermost function that is not the library's; NULL where that cannot be found out. `entry`
 * is the return address of a public function on the way there, if the caller knows one, else NULL. */
const void *tape__caller(const void *entry);

/* Whether a return address lies in the library. */
bool tape__is_ours(const void *address);

/* "function+0x1f", or "program+0x11e6" where the function has no name for the dynamic linker, or "". */
void tape__caller_text(const void *address, char *buffer, size_t size);

#endif
