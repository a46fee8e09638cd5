/* How the three sums of a convolution are cut into blocks for the matrix kernels. Knows sizes and workspace; the files
   conv_*.c each run one kind of cut. */
#ifndef TAPE__CONV_PLAN_H
#define TAPE__CONV_PLAN_H

#include "kernels/any/conv_patch.h"

/* K_MOST, K_ROUND and the shards decide bits, so they are the same for every processor; the others are free. */
enum {
    TAPE__CONV_K_MOST = TAPE__PATCH_MOST,
    TAPE__CONV_K_ROUND = 8,
    TAPE__CONV_COLUMN_BYTES = 1024,     /* of a row of windows that are multiplied at once */
    TAPE__CONV_TASKS = 16,              /* wanted where a convolution is spread over threads */
    TAPE__CONV_PARALLEL_WORK = 1000000, /* multiplications from which threads pay */
    TAPE__CONV_SHARDS = 8,              /* of the images where weights alone make too few tasks */
    TAPE__CONV_ALIGN = 64
};

/*
 * One product: `m` channels of a group's result, at the positions of a lattice, each a sum over `k` rows of windows.
 * For the forward sum there is one; for the input's cotangent one for each residue of a position modulo the stride.
 */
typedef struct tape__conv_plan {
    const tape__gemm_type *type;
    const tape__conv *conv;
    tape__lattice lattice;
    tape__lattice_cut cut;
    tape__window_place place;
    int64_t item, m, k, k_block, width;
    int64_t images, sets;                                        /* of a block, and how many such sets */
    int64_t weight_channel;                                      /* elements between the weights of source channels */
    int64_t weight_row;                                          /* and between those of result channels */
    int64_t tap_at[TAPE__CONV_AXES], tap_apart[TAPE__CONV_AXES]; /* the kernel's position of tap 0, and to the next */
    int64_t residue[TAPE__CONV_AXES], out_step[TAPE__CONV_AXES], out_size[TAPE__CONV_AXES];
    int64_t unit;   /* the lanes of a vector where windows are multiplied where they lie; 1: packed */
    bool scattered; /* the result's columns are not contiguous, or of several images */
    int64_t tasks;
    int64_t weight_bytes, bias_bytes, step_bytes; /* workspace: shared, */
    int64_t strip_bytes, pack_bytes, tile_bytes;  /* and of each task */
} tape__conv_plan;

tape__conv_plan tape__conv_new_plan(const tape__gemm_kernels *kernels, const tape__conv *conv);
void tape__conv_forward_lattice(tape__lattice *lattice, const tape__conv *conv);
/* Multiplications, or a large number. */
int64_t tape__conv_work(const tape__conv_plan *plan);
/* Equal blocks of at most TAPE__CONV_K_MOST. */
int64_t tape__conv_k_block(int64_t k);

/* Bytes of workspace that tape__conv_sum_run() wants. */
size_t tape__conv_sum_bytes(const tape__conv_plan *plan);
/* The plan's product for all images and groups: `image` is the lattice's source, `w` and `bias` all weights and
   biases, `out` all results. */
void tape__conv_sum_run(const tape__conv_plan *plan, const char *image, const char *w, const char *bias, char *out,
                        char *workspace, const struct tape__parallel *parallel);
/* `n` rows of `columns` elements: of `bias`, an element a row, or of zeros. */
void tape__conv_fill(int64_t item, int64_t n, const char *bias, char *c, int64_t c_row, int64_t columns);

/* The input's cotangent, from y's and w, tap by tap; and whether that takes fewer multiplications than windows on y's
   cotangent, which see zeros around it: where they do, most positions of a small image. Both the choice and the order
   of additions are by shape alone. */
bool tape__conv_spreads(const tape__conv *conv);
size_t tape__conv_spread_bytes(const tape__gemm_kernels *kernels, const tape__conv *conv, bool threads);
void tape__conv_spread_run(const tape__gemm_kernels *kernels, const tape__conv *conv, const char *g, const char *w,
                           const char *bias, char *out, char *workspace, const struct tape__parallel *parallel);

/* The weight's cotangent, from x and y's. */
size_t tape__conv_weight_bytes(const tape__gemm_kernels *kernels, const tape__conv *conv, bool threads);
void tape__conv_weight_run(const tape__gemm_kernels *kernels, const tape__conv *conv, const char *x, const char *g,
                           char *out, char *workspace, const struct tape__parallel *parallel);

#endif
