/* Tensors that hold given values behind strides that are not row-major. */
#ifndef TAPE_TESTS_VIEWS_H
#define TAPE_TESTS_VIEWS_H

#include "tape/tape.h"

enum view { VIEW_TRANSPOSED, VIEW_STEPPED, VIEW_REVERSED, VIEW_INNER, VIEW_EXPANDED, VIEWS };

const char *view_name(int view);

/* The shape that is stored so that the view has `shape`. */
tape_shape view_storage(int view, tape_shape shape);

/* What to store so that the view holds `values`, which VIEW_EXPANDED makes repeat along the first axis. The caller
 * frees it. */
double *view_store(int view, tape_shape shape, double *values);

/* The view of what is stored in `base`. */
tape_tensor view_apply(int view, tape_shape shape, tape_tensor base);

/* All of it: a view with the values, of a leaf without gradient which the caller frees. */
tape_tensor view_of(int view, tape_dtype dtype, tape_shape shape, double *values, tape_tensor *leaf);

#endif
