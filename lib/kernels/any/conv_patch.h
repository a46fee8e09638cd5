/* Windows on images as the columns of a matrix product: where they lie and how they are packed. Knows geometry and
   copies; what is multiplied with them is the driver's business. */
#ifndef TAPE__CONV_PATCH_H
#define TAPE__CONV_PATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/any/conv_driver.h"
#include "kernels/any/whole.h"

enum { TAPE__PATCH_MOST = 256 /* positions, and rows (channels by taps), of a block's matrix */ };

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

/* Fills in `inside`. */
void tape__lattice_finish(tape__lattice *lattice);

/* How the grid is cut: blocks of at most `most` positions, a multiple of `unit`, parts of a row multiples of it. */
typedef struct tape__lattice_cut {
    int64_t rows, columns; /* of a block */
    int64_t per_row, per_plane, blocks;
} tape__lattice_cut;
tape__lattice_cut tape__lattice_cut_by(const tape__lattice *lattice, int64_t most, int64_t unit);
tape__window_block tape__lattice_block(const tape__lattice *lattice, const tape__lattice_cut *cut, int64_t block);

/*
 * Where the elements of a block's windows are: in the source itself, in a strip, which is a copy of what the block sees
 * with zeros around, or, where a strip would be too large, in a matrix of them all. The same for every block, so that
 * the way from row to row is. Distances are in elements.
 */
typedef struct tape__window_place {
    enum { TAPE__IN_SOURCE, TAPE__IN_STRIP, TAPE__IN_MATRIX } kind;
    int64_t stride[TAPE__CONV_AXES]; /* from coordinate to coordinate */
    int64_t phases, phase;           /* a strip's rows: columns by their residue modulo `phases`, each so far apart */
    int64_t channel, image;
    int64_t position[TAPE__CONV_AXES]; /* from position to position */
    int64_t origin;                    /* of a strip's first window, where taps go backwards */
    int64_t bytes;                     /* of memory for a copy */
} tape__window_place;

/* For blocks of `cut`, of so many images, and so many rows of the matrix of windows at a time, channel by channel and
   in each the taps. With `vector`, positions of a row follow each other, and so many elements from any of them on may
   be read. */
tape__window_place tape__window_place_of(const tape__lattice *lattice, const tape__lattice_cut *cut, int64_t images,
                                         int64_t rows, int64_t vector);

/* From each row of the matrix to the next, in bytes, for all channels. */
void tape__window_steps(const tape__window_place *place, const tape__lattice *lattice, int64_t *steps);

/* Where row `first` at the block's first position is, after so many rows have been copied if need be. `source` is
   channel 0 of the block's first image. */
const char *tape__window_make(const tape__window_place *place, const tape__lattice *lattice,
                              const tape__window_block *block, const char *source, int64_t first, int64_t rows,
                              char *buffer);

/* From the block's first position to each of its positions, in elements; their number. */
int64_t tape__window_columns(const tape__window_place *place, const tape__window_block *block, int64_t *at);

/* out[row][i] = the element at x + at[i], x going on by `steps`. */
void tape__window_pack(const char *x, const int64_t *steps, int64_t rows, const int64_t *at, int64_t width,
                       int64_t item, char *out);

static inline int64_t tape__volume(const int64_t *size)
{
    return size[0] * size[1] * size[2];
}

#endif
