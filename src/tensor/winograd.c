/* Winograd F(m x m, 3 x 3); see winograd.h.
 *
 * Y = A^T [ (G g G^T) . (B^T d B) ] A per tile, with d the pixels that a tile of m x m outputs looks at. The
 * elementwise product, summed over channels, is for each position of d one matrix product over all tiles:
 * M_k [T, O] = V_k [T, C] U_k [C, O]. */
#include "tensor/winograd.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/outer_product.h"
#include "tensor/panel_product.h"
#include "tensor/winograd_transform.h"

struct winograd {
    const winograd_transform *transform;
    int64_t tile, side, positions; /* m, m + 2, its square */
    int64_t batch, height, width, channels, outputs;
    int64_t tile_rows, tile_columns; /* of one picture */
    int64_t block, block_count;      /* tiles per block; blocks over all pictures */
    int groups;                      /* partial sums of the gradient by the kernels */
    bool is_gradient, relu;
    panel_product product;
    const outer_kernel *outer;
    uint64_t packed_bytes; /* of one position's U; they lie one after another */
};

bool winograd_suits(int64_t height, int64_t width, int64_t channels, int64_t outputs) {
    return channels >= 48 && outputs >= 48 && height * width >= 256;
}

/* Tiles of 4 x 4 halve the work again. Their kernels are 4 times as large as plain ones, those of 2 x 2 only 16/9
 * times: where they are kept, the larger layers' would be a good part of the whole model's memory; where they are made
 * anew at every step, the largest layers' would cost more than they save.
 */
static int64_t tile_size(const winograd_shape *s) {
    int64_t large_tiles = s->batch * ((s->height + 3) / 4) * ((s->width + 3) / 4);
    return s->channels * s->outputs < (s->is_kept ? 320 * 320 : 512 * 512) && large_tiles >= 64 ? 4 : 2;
}

/* A block's V should be about as large as the second-level cache, but from 256 channels on kernels are so many that few
 * tiles would not pay for reading them; gradients by the kernels want many, to add up. */
static int64_t block_tiles(const winograd_shape *s) {
    if (s->channels <= 64) return 192;
    return s->is_kept && s->channels <= 128 ? 64 : 128;
}

static int64_t tile_count(const winograd *w) { return w->batch * w->tile_rows * w->tile_columns; }

carina_status winograd_create(winograd **out, const winograd_shape *s, carina_error *error) {
    winograd *w = calloc(1, sizeof *w);
    *out = w;
    if (!w) return error_memory(error, "winograd", sizeof *w);
    int64_t m = tile_size(s);
    const winograd_transform *transform = winograd_transform_best((int)m);
    *w = (winograd){.batch = s->batch,
                    .height = s->height,
                    .width = s->width,
                    .channels = s->channels,
                    .outputs = s->outputs,
                    .transform = transform,
                    .tile = m,
                    .side = m + 2,
                    .positions = (m + 2) * (m + 2),
                    .tile_rows = (s->height + m - 1) / m,
                    .tile_columns = (s->width + m - 1) / m,
                    .is_gradient = s->is_gradient,
                    .relu = s->relu};
    w->block = min_i64(block_tiles(s), tile_count(w));
    w->block_count = (tile_count(w) + w->block - 1) / w->block;
    w->outer = outer_kernel_best();
    bool small = w->positions * s->channels * s->outputs <= 1 << 20;
    w->groups = (int)min_i64(w->block_count, small ? 8 : 2);
    w->product = panel_product_make(panel_kernel_best(TENSOR_F32), w->outputs, w->channels, FUNCTION_NONE);
    w->packed_bytes = panel_product_packed_bytes(&w->product);
    return CARINA_OK;
}

void winograd_free(winograd *w) { free(w); }

uint64_t winograd_packed_bytes(const winograd *w) { return (uint64_t)w->positions * w->packed_bytes; }

/* Per worker: V [positions][T][C], M [positions][T][O], one span of zeros, the product's scratch. */
static uint64_t v_bytes(const winograd *w) { return (uint64_t)(w->positions * w->block * w->channels) * sizeof(float); }
static uint64_t m_bytes(const winograd *w) { return (uint64_t)(w->positions * w->block * w->outputs) * sizeof(float); }
static uint64_t zero_bytes(const winograd *w) { return ((uint64_t)w->channels * sizeof(float) + 63) / 64 * 64; }

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint64_t kernel_bytes(const winograd *w) { return (uint64_t)(w->outputs * w->channels) * sizeof(float); }

/* Forward, where M is no larger than V it is written over it, position by position, so that caches hold one of them: a
 * row of M never lies beyond the row of V that it is made from. */
static bool replaces_v(const winograd *w) { return w->outputs <= w->channels; }
static uint64_t run_bytes(const winograd *w) { return replaces_v(w) ? v_bytes(w) : v_bytes(w) + m_bytes(w); }

uint64_t winograd_worker_bytes(const winograd *w) {
    uint64_t rows = panel_product_scratch_bytes(&w->product);
    return larger(run_bytes(w) + zero_bytes(w) + rows, kernel_bytes(w));
}

/* ---- kernels ---- */

typedef struct pack_call {
    const winograd *w;
    op *o;
    const float *plain;
    uint8_t *packed;
} pack_call;

/* One position of G g G^T for every kernel g: the outer product of G's rows i and j, summed against g. */
static void pack_position(void *context, int position, int worker) {
    const pack_call *call = context;
    const winograd *w = call->w;
    float factor[9], *out = op_worker_scratch(call->o, worker);
    const float(*G)[3] = w->transform->kernel;
    int64_t row = position / w->side, column = position % w->side;
    for (int a = 0; a < 9; a++) factor[w->is_gradient ? 8 - a : a] = G[row][a / 3] * G[column][a % 3];
    for (int64_t i = 0; i < w->outputs * w->channels; i++) {
        const float *g = call->plain + 9 * i;
        out[i] = ((factor[0] * g[0] + factor[1] * g[1]) + (factor[2] * g[2] + factor[3] * g[3])) +
                 ((factor[4] * g[4] + factor[5] * g[5]) + (factor[6] * g[6] + factor[7] * g[7])) + factor[8] * g[8];
    }
    panel_product_pack(&w->product, out, w->is_gradient ? w->outputs : 1, w->is_gradient ? 1 : w->channels,
                       call->packed + (uint64_t)position * w->packed_bytes);
}

void winograd_pack(const winograd *w, op *o, const float *plain, void *packed) {
    pack_call call = {w, o, plain, packed};
    op_parallel(o, (int)w->positions, pack_position, &call);
}

/* ---- pictures ---- */

typedef struct winograd_call {
    const winograd *w;
    op *o;
    const float *x, *bias, *residual;
    const uint8_t *packed;
    float *y;
    const float *dy, *scale; /* the gradient by the kernels */
    float *sums, *dw;
} winograd_call;

typedef struct tile_place {
    int64_t picture, row, column; /* of the tile's first output pixel */
} tile_place;

static tile_place place_of(const winograd *w, int64_t tile) {
    int64_t per_picture = w->tile_rows * w->tile_columns, in_picture = tile % per_picture;
    return (tile_place){tile / per_picture, in_picture / w->tile_columns * w->tile,
                        in_picture % w->tile_columns * w->tile};
}

static void transform_inputs(const winograd_call *call, int64_t first, int64_t count, float *v, const float *zeros) {
    const winograd *w = call->w;
    for (int64_t t = 0; t < count; t++) {
        tile_place p = place_of(w, first + t);
        const float *pixels[WINOGRAD_MAX_POSITIONS];
        for (int64_t i = 0; i < w->side; i++)
            for (int64_t j = 0; j < w->side; j++) {
                int64_t y = p.row - 1 + i, x = p.column - 1 + j;
                bool inside = y >= 0 && y < w->height && x >= 0 && x < w->width;
                pixels[w->side * i + j] =
                    inside ? call->x + ((p.picture * w->height + y) * w->width + x) * w->channels : zeros;
            }
        w->transform->input(v + t * w->channels, w->block * w->channels, pixels, w->channels);
    }
}

static void transform_outputs(const winograd_call *call, int64_t first, int64_t count, const float *m) {
    const winograd *w = call->w;
    for (int64_t t = 0; t < count; t++) {
        tile_place p = place_of(w, first + t);
        float *targets[WINOGRAD_MAX_TILE * WINOGRAD_MAX_TILE];
        const float *residuals[WINOGRAD_MAX_TILE * WINOGRAD_MAX_TILE] = {NULL};
        for (int64_t i = 0; i < w->tile * w->tile; i++) {
            int64_t y = p.row + i / w->tile, x = p.column + i % w->tile;
            bool inside = y < w->height && x < w->width;
            int64_t offset = ((p.picture * w->height + y) * w->width + x) * w->outputs;
            targets[i] = inside ? call->y + offset : NULL;
            if (inside && call->residual) residuals[i] = call->residual + offset;
        }
        w->transform->output(targets, m + t * w->outputs, w->block * w->outputs, call->bias, residuals, w->relu,
                             w->outputs);
    }
}

static void block_shard(void *context, int shard, int worker) {
    const winograd_call *call = context;
    const winograd *w = call->w;
    uint8_t *scratch = op_worker_scratch(call->o, worker);
    float *v = (float *)(void *)scratch, *m = replaces_v(w) ? v : (float *)(void *)(scratch + v_bytes(w));
    float *zeros = (float *)(void *)(scratch + run_bytes(w));
    void *product_scratch = scratch + run_bytes(w) + zero_bytes(w);
    memset(zeros, 0, (size_t)w->channels * sizeof *zeros);
    int64_t first = shard * w->block, count = min_i64(w->block, tile_count(w) - first);
    transform_inputs(call, first, count, v, zeros);
    for (int64_t k = 0; k < w->positions; k++) {
        panel_call position = {.x = v + k * w->block * w->channels,
                               .packed = call->packed + (uint64_t)k * w->packed_bytes,
                               .y = m + k * w->block * w->outputs,
                               .rows = count};
        panel_product_run(&w->product, &position, product_scratch);
    }
    transform_outputs(call, first, count, m);
}

void winograd_run(const winograd *w, op *o, const float *x, const void *packed, const float *bias,
                  const float *residual, float *y) {
    winograd_call call = {.w = w, .o = o, .x = x, .bias = bias, .residual = residual, .packed = packed, .y = y};
    op_parallel(o, (int)w->block_count, block_shard, &call);
}

/* ---- the gradient by the kernels ---- */

static int64_t sum_values(const winograd *w) { return w->positions * w->outputs * w->channels; }
uint64_t winograd_sum_bytes(const winograd *w) { return (uint64_t)w->groups * (uint64_t)sum_values(w) * sizeof(float); }
static uint64_t gradient_zero_bytes(const winograd *w) {
    return ((uint64_t)max_i64(w->channels, w->outputs) * sizeof(float) + 63) / 64 * 64;
}
uint64_t winograd_gradient_worker_bytes(const winograd *w) {
    return v_bytes(w) + m_bytes(w) + gradient_zero_bytes(w) + outer_product_scratch_bytes();
}

/* A dY A^T of every tile; pixels past the picture's edge are zeros. */
static void spread_gradients(const winograd_call *call, int64_t first, int64_t count, float *m, const float *zeros) {
    const winograd *w = call->w;
    for (int64_t t = 0; t < count; t++) {
        tile_place p = place_of(w, first + t);
        const float *pixels[WINOGRAD_MAX_TILE * WINOGRAD_MAX_TILE];
        for (int64_t i = 0; i < w->tile * w->tile; i++) {
            int64_t y = p.row + i / w->tile, x = p.column + i % w->tile;
            bool inside = y < w->height && x < w->width;
            pixels[i] = inside ? call->dy + ((p.picture * w->height + y) * w->width + x) * w->outputs : zeros;
        }
        w->transform->spread(m + t * w->outputs, w->block * w->outputs, pixels, w->outputs);
    }
}

static void gradient_shard(void *context, int group, int worker) {
    const winograd_call *call = context;
    const winograd *w = call->w;
    uint8_t *scratch = op_worker_scratch(call->o, worker);
    float *v = (float *)(void *)scratch, *m = (float *)(void *)(scratch + v_bytes(w));
    float *zeros = (float *)(void *)(scratch + v_bytes(w) + m_bytes(w));
    memset(zeros, 0, gradient_zero_bytes(w));
    float *sums = call->sums + group * sum_values(w);
    memset(sums, 0, (size_t)sum_values(w) * sizeof *sums);
    range mine = shard_range(w->block_count, w->groups, group);
    for (int64_t block = mine.begin; block < mine.end; block++) {
        int64_t first = block * w->block, count = min_i64(w->block, tile_count(w) - first);
        transform_inputs(call, first, count, v, zeros);
        spread_gradients(call, first, count, m, zeros);
        for (int64_t k = 0; k < w->positions; k++) {
            outer_product p = {.kernel = w->outer,
                               .a = m + k * w->block * w->outputs,
                               .b = v + k * w->block * w->channels,
                               .a_step = w->outputs,
                               .b_step = w->channels,
                               .count = count,
                               .m = w->outputs,
                               .n = w->channels,
                               .sum = sums + k * w->outputs * w->channels,
                               .sum_step = w->channels};
            outer_product_add(&p, scratch + v_bytes(w) + m_bytes(w) + gradient_zero_bytes(w));
        }
    }
}

#define ADD_CHANNELS 16
/* One output's kernels: G^T dU G, the groups' sums in order. */
static void add_kernels(void *context, int output, int worker) {
    (void)worker;
    const winograd_call *call = context;
    const winograd *w = call->w;
    const float(*G)[3] = w->transform->kernel;
    float scale = call->scale ? call->scale[output] : 1.0f;
    for (int64_t first = 0; first < w->channels; first += ADD_CHANNELS) {
        int64_t count = min_i64(ADD_CHANNELS, w->channels - first);
        float u[WINOGRAD_MAX_POSITIONS][ADD_CHANNELS] = {{0}};
        float half[3][WINOGRAD_MAX_SIDE][ADD_CHANNELS] = {{{0}}};
        for (int64_t k = 0; k < w->positions; k++)
            for (int g = 0; g < w->groups; g++) {
                const float *sum = call->sums + g * sum_values(w) + (k * w->outputs + output) * w->channels + first;
                for (int64_t c = 0; c < count; c++) u[k][c] += sum[c];
            }
        for (int a = 0; a < 3; a++)
            for (int64_t j = 0; j < w->side; j++)
                for (int64_t i = 0; i < w->side; i++)
                    for (int c = 0; c < ADD_CHANNELS; c++) half[a][j][c] += G[i][a] * u[w->side * i + j][c];
        float *dw = call->dw + (output * w->channels + first) * 9;
        for (int a = 0; a < 9; a++)
            for (int64_t c = 0; c < count; c++) {
                float total = 0;
                for (int64_t j = 0; j < w->side; j++) total += half[a / 3][j][c] * G[j][a % 3];
                dw[9 * c + a] += scale * total;
            }
    }
}

void winograd_weights(const winograd *w, op *o, const float *x, const float *dy, const float *scale, float *sums,
                      float *dw) {
    winograd_call call = {.w = w, .o = o, .x = x, .dy = dy, .scale = scale, .sums = sums, .dw = dw};
    op_parallel(o, w->groups, gradient_shard, &call);
    op_parallel(o, (int)w->outputs, add_kernels, &call);
}
