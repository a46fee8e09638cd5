/* Windows on images as the columns of a matrix product: where they lie and how they are packed. Knows geometry and
   copies; what is multiplied with them is the driver's business. */
#ifndef TAPE__CONV_PATCH_H
#define TAPE__CONV_PATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/any/conv_driver.h"

enum { TAPE__PATCH_MOST = 256 /* columns, and rows (channels by taps), of a patch */ };

/*
 * A lattice of windows: position q sees the source at q step + first + t tap_step on each axis, for the taps
 * 0 <= t < taps. Sources are `channels` planes of `size`, `image` elements apart from image to image.
 */
typedef struct tape__lattice {
    int64_t grid[TAPE__CONV_AXES], step[TAPE__CONV_AXES];
    int64_t taps[TAPE__CONV_AXES], first[TAPE__CONV_AXES], tap_step[TAPE__CONV_AXES];
    int64_t size[TAPE__CONV_AXES];
    int64_t channels, image;
    int64_t item; /* bytes of an element */
    bool inside;  /* no window leaves the source */
} tape__lattice;

/* Positions [from, from + count) on each axis, whole rows or part of one, of one plane, in `images` images. */
typedef struct tape__window_block {
    int64_t from[TAPE__CONV_AXES], count[TAPE__CONV_AXES];
    int64_t images;
} tape__window_block;

/* Element (row, column) of the matrix of windows is base[row_at[row] + column_at[column]]. */
typedef struct tape__patch {
    const char *base;
    int64_t rows, columns;
    int64_t row_at[TAPE__PATCH_MOST], column_at[TAPE__PATCH_MOST];
} tape__patch;

/* Fills in `inside`. */
void tape__lattice_finish(tape__lattice *lattice);

/* How the grid is cut: blocks of at most `most` positions. */
typedef struct tape__lattice_cut {
    int64_t rows, columns; /* of a block */
    int64_t per_row, per_plane, blocks;
} tape__lattice_cut;
tape__lattice_cut tape__lattice_cut_by(const tape__lattice *lattice, int64_t most);
tape__window_block tape__lattice_block(const tape__lattice *lattice, const tape__lattice_cut *cut, int64_t block);

/* Bytes of memory that tape__patch_make() wants for blocks of at most so many images, rows and columns. */
size_t tape__patch_bytes(const tape__lattice *lattice, const tape__lattice_cut *cut, int64_t images, int64_t rows);

/* Rows first_row, ... (channel by channel, in each the taps) of the matrix of a block's windows. `source` is channel 0
   of the block's first image. */
void tape__patch_make(tape__patch *patch, const tape__lattice *lattice, const tape__window_block *block,
                      const char *source, int64_t first_row, int64_t rows, char *buffer);

/* out[row][i] = element (row, column + i) for `width` columns, and out[column][i] = element (row + i, column). */
void tape__patch_pack(const tape__patch *patch, int64_t item, int64_t column, int64_t width, char *out);
void tape__patch_pack_turned(const tape__patch *patch, int64_t item, int64_t row, int64_t width, char *out);

#endif
