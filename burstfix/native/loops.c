/* Inner loops for x86 processors, compiled once for AVX2 and once for AVX-512. Python calls them through ctypes.
 *
 * Pictures are height x width x channels, in float32 or bfloat16. Channels are multiples of 16. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A convolution; see conv.inc. */
struct conv {
    const void *in;       /* height x width x c_in */
    const float *weights; /* transformed; see `transformed` in conv.py */
    const float *bias;    /* c_out */
    const void *add;      /* height x width x c_out, added before the activation; NULL = nothing */
    void *out;            /* height x width x c_out */
    int height, width, c_in, c_out;
    int in_bf16, add_bf16, out_bf16; /* 1 = bfloat16, 0 = float32 */
    float slope;                     /* of the leaky ReLU below zero; 1 = no activation */
};

/* Kernels of kpn; see kernels.inc. A quad is 2x2 packed pixels, numbered 0 to 3 (`sub`). */
struct filter {
    const void *const *features;  /* of each frame: rows x columns x channels */
    const float *const *samples;  /* of each frame: its four planes with a border, even and odd columns apart */
    const float *weights;         /* outputs x channels: logits of all taps, then the signed part of all taps */
    const float *bias;            /* outputs */
    const int32_t *offsets;       /* taps x 4 planes x 4 sub: position of a tap's sample in `samples` */
    const int32_t *parity_taps;   /* taps of each parity */
    const int32_t *color_sources; /* for 12 colours: plane, first parity, second parity */
    float *mosaic;                /* 4 x 2 rows x 2 columns */
    float *color;                 /* 12 x 2 rows x 2 columns; NULL = not wanted */
    float *frames_used;           /* rows x columns */
    int frames, rows, columns, channels;
    int outputs; /* a multiple of 8 */
    int taps, parities, is_signed, features_bf16;
    int row_step; /* floats in `samples` from one row of quads to the next */
    float logit_limit;
};

#define MAX_TAPS 128
#define MAX_PLANES 4

/* Block matching; see matching.inc. */
struct match {
    const float *reference; /* continued by 2 * cell pixels on each side */
    const float *frame;     /* continued by 2 * cell + 2 * radius pixels on each side */
    const int64_t *offsets; /* candidates x 2 x cells */
    float *costs;           /* candidates x (2 * radius + 1)^2 x cells */
    int height, width;      /* without the continuation */
    int grid_rows, grid_columns, cell, candidates, radius;
    float delta;
};

/* The choice between candidates; see `choose` in matching.inc. */
struct choice {
    const int64_t *offsets; /* candidates x 2 x cells */
    const float *costs;     /* candidates x cells */
    const float *guess;     /* 2 x cells */
    float *chosen;          /* 2 x (rows + 2) x (columns + 2), relative to the guess; the result replaces it */
    int grid_rows, grid_columns, candidates, rounds;
    float weight, limit;
};

/* Averaging of windows of 16x16 pixels; see spectra.inc. Matrices are 16 x 16. */
struct spectra {
    const float *frame;    /* planes x rows x columns */
    const float *variance; /* planes x windows: noise variance of a frame */
    const float *dct, *dct_transposed, *pool, *pool_transposed;
    float *spectrum;                  /* planes x rows x columns, of the reference */
    float *difference;                /* planes x rows x columns; at the end, the merged windows */
    float *weights, *squared_weights; /* rows x columns */
    float *shares, *squared_shares;   /* windows */
    int planes, rows, columns, content;
    float tolerance, strength, shrinkage;
};

/* Squares of a frame, put side by side; see gather.inc. */
struct gather {
    const float *source;     /* planes x height x width, continued by reflection */
    const int64_t *offsets;  /* 2 x grid rows x grid columns */
    const float *substitute; /* like `out`: replaces pixels outside the source; NULL = nothing does */
    float *out;              /* planes x (grid rows * side) x (grid columns * side) */
    int planes, height, width, grid_rows, grid_columns;
    int side, step; /* of the squares, and from one square to the next */
    int origin_row, origin_column;
};

static int panel_width(int channels, int lanes)
{
    for (int vectors = 3; vectors > 1; vectors--)
        if (channels % (vectors * lanes) == 0)
            return vectors * lanes;
    return lanes;
}

/* Return the number of tiles to process at once, a multiple of 24. With 48 or 96 channels, the inputs of their
 * products take about 330 kB. */
static int tiles_at_once(int c_in)
{
    return c_in <= 48 ? 48 : 24;
}

#include "gather.inc"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define ROWS1 12
#define ROWS2 6
#define ROWS3 4
#define LANES 8
#define NAME(x) x##_avx2
#include "vectors.inc"
#include "conv.inc"
#include "kernels.inc"
#include "matching.inc"
#include "spectra.inc"
#undef LANES
#undef NAME
#undef vec
#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
#endif
#undef ROWS1
#undef ROWS2
#undef ROWS3
#define ROWS1 24
#define ROWS2 12
#define ROWS3 8
#define LANES 16
#define NAME(x) x##_avx512
#include "vectors.inc"
#include "conv.inc"
#include "kernels.inc"
#include "matching.inc"
#include "spectra.inc"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* Return the number of floats in a vector of the best version for this processor, at most `limit`; 0 = none. */
int burstfix_lanes(int limit)
{
    if (limit >= 16 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return 16;
    if (limit >= 8 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return 8;
    return 0;
}

/* Return the number of channels that are computed together; see `transformed` in conv.py. */
int burstfix_panel(int channels, int lanes)
{
    return panel_width(channels, lanes);
}

/* Compute tiles first to last - 1, numbered row by row. Return 0, or 1 if memory runs out. */
int burstfix_conv(const struct conv *c, int first, int last, int lanes)
{
    size_t floats = (size_t)36 * tiles_at_once(c->c_in) * (c->c_in + panel_width(c->c_out, lanes));
    float *work = NULL;
    if (posix_memalign((void **)&work, 64, floats * sizeof(float)))
        return 1;
    if (lanes == 16)
        conv_avx512(c, first, last, work);
    else
        conv_avx2(c, first, last, work);
    free(work);
    return 0;
}

/* Compute rows first to last - 1 of quads. Return 0, or 1 if memory runs out. */
int burstfix_filter(const struct filter *f, int first, int last, int lanes)
{
    size_t floats = (size_t)3 * lanes * (f->channels + f->outputs + 84);
    float *work = NULL;
    if (posix_memalign((void **)&work, 64, floats * sizeof(float)))
        return 1;
    if (lanes == 16)
        filter_avx512(f, first, last, work);
    else
        filter_avx2(f, first, last, work);
    free(work);
    return 0;
}

/* Compute the costs of cells first to last - 1. Return 0. */
int burstfix_match(const struct match *m, int first, int last, int lanes)
{
    if (lanes == 16)
        match_avx512(m, first, last);
    else
        match_avx2(m, first, last);
    return 0;
}

/* Choose a candidate for each cell. Return 0, or 1 if memory runs out. */
int burstfix_choose(const struct choice *c, int lanes)
{
    size_t plane = (size_t)(c->grid_rows + 2) * (c->grid_columns + 2);
    float *work = malloc((2 * plane + 4 * (size_t)c->grid_columns) * sizeof(float));
    if (!work)
        return 1;
    if (lanes == 16)
        choose_avx512(c, c->chosen, work, work + 2 * plane);
    else
        choose_avx2(c, c->chosen, work, work + 2 * plane);
    free(work);
    return 0;
}

/* Process windows first to last - 1: step 0 transforms the reference, 1 adds a frame, 2 finishes. Return 0. */
int burstfix_spectra(const struct spectra *s, int step, int first, int last, int lanes)
{
    if (lanes == 16)
        spectra_avx512(s, step, first, last);
    else
        spectra_avx2(s, step, first, last);
    return 0;
}

/* Gather the squares of rows first to last - 1 of the grid. Return 0. */
int burstfix_gather(const struct gather *g, int first, int last)
{
    gather(g, first, last);
    return 0;
}
