/* Winograd F(2x2, 3x3); see winograd.h.
 *
 * Y = A^T [ (G g G^T) . (B^T d B) ] A per tile, with d the 4x4 pixels that a 2x2 tile of outputs looks at. The
 * elementwise product, summed over channels, is for each of the 16 positions one matrix product over all tiles:
 * M_k [T, O] = V_k [T, C] U_k [C, O]. */
#include "tensor/winograd.h"

#include <stdlib.h>
#include <string.h>

#define POSITIONS 16

struct winograd {
    int64_t batch, height, width, channels, outputs;
    int64_t tile_rows, tile_columns; /* of one picture */
    int64_t block, block_count;      /* tiles per block; blocks over all pictures */
    bool relu;
    product *full, *tail;
    uint64_t packed_bytes; /* of one position's U */
    uint8_t *packed;       /* [16] */
    float *transformed;    /* [O, C]: one position's U before packing */
};

bool winograd_suits(int64_t height, int64_t width, int64_t channels, int64_t outputs) {
    return channels >= 48 && outputs >= 48 && height * width >= 256;
}

static int64_t tile_count(const winograd *w) { return w->batch * w->tile_rows * w->tile_columns; }

static carina_status create_products(winograd *w, carina_error *error) {
    product_shape shape = {.m = w->block,
                           .n = w->outputs,
                           .k = w->channels,
                           .a_row = w->channels,
                           .a_column = 1,
                           .b_row = 1,
                           .b_column = w->channels,
                           .c_row = w->outputs,
                           .b_packed = true};
    TRY(product_create(&w->full, &shape, NULL, error));
    w->packed_bytes = (product_packed_bytes(w->full) + 63) / 64 * 64;
    if (tile_count(w) % w->block == 0) return CARINA_OK;
    shape.m = tile_count(w) % w->block;
    return product_create(&w->tail, &shape, w->full, error);
}

carina_status winograd_create(winograd **out, int64_t batch, int64_t height, int64_t width, int64_t channels,
                              int64_t outputs, bool relu, carina_error *error) {
    winograd *w = calloc(1, sizeof *w);
    *out = w;
    if (!w) return error_memory(error, "winograd", sizeof *w);
    *w = (winograd){.batch = batch,
                    .height = height,
                    .width = width,
                    .channels = channels,
                    .outputs = outputs,
                    .tile_rows = (height + 1) / 2,
                    .tile_columns = (width + 1) / 2,
                    .relu = relu};
    /* a block's V and M should stay in the L2 cache, but its products must not be too flat */
    w->block = min_i64(channels <= 64 ? 192 : 128, tile_count(w));
    w->block_count = (tile_count(w) + w->block - 1) / w->block;
    carina_status status = create_products(w, error);
    if (status == CARINA_OK) {
        w->packed = aligned_alloc(64, POSITIONS * w->packed_bytes);
        w->transformed = malloc((size_t)(outputs * channels) * sizeof *w->transformed);
        if (!w->packed || !w->transformed) status = error_memory(error, "packed weights", POSITIONS * w->packed_bytes);
    }
    if (status != CARINA_OK) {
        winograd_free(w);
        *out = NULL;
    }
    return status;
}

void winograd_free(winograd *w) {
    if (!w) return;
    product_free(w->full);
    product_free(w->tail);
    free(w->packed);
    free(w->transformed);
    free(w);
}

/* Per worker: V [16][T][C], M [16][T][O], one span of zeros, oneDNN's scratch. */
static uint64_t v_bytes(const winograd *w) { return (uint64_t)(POSITIONS * w->block * w->channels) * sizeof(float); }
static uint64_t m_bytes(const winograd *w) { return (uint64_t)(POSITIONS * w->block * w->outputs) * sizeof(float); }
static uint64_t zero_bytes(const winograd *w) { return ((uint64_t)w->channels * sizeof(float) + 63) / 64 * 64; }

uint64_t winograd_worker_bytes(const winograd *w) {
    uint64_t full = product_scratch_bytes(w->full), tail = w->tail ? product_scratch_bytes(w->tail) : 0;
    return v_bytes(w) + m_bytes(w) + zero_bytes(w) + (full > tail ? full : tail);
}

/* Position (i, j) of G g G^T for every kernel g: the outer product of G's rows i and j, summed against g. */
static void transform_kernels(const float *plain, float *out, int64_t pairs, int position) {
    static const float rows[4][3] = {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}};
    float factor[9];
    for (int a = 0; a < 9; a++) factor[a] = rows[position / 4][a / 3] * rows[position % 4][a % 3];
    for (int64_t i = 0; i < pairs; i++) {
        const float *g = plain + 9 * i;
        float sum = 0;
        for (int a = 0; a < 9; a++) sum += factor[a] * g[a];
        out[i] = sum;
    }
}

void winograd_pack(winograd *w, const float *plain) {
    for (int k = 0; k < POSITIONS; k++) { /* one position at a time: no sixteen copies of the weights in memory */
        transform_kernels(plain, w->transformed, w->outputs * w->channels, k);
        product_pack(w->full, w->transformed, w->packed + (uint64_t)k * w->packed_bytes);
    }
}

typedef struct winograd_call {
    const winograd *w;
    op *o;
    const float *x, *bias, *residual;
    float *y;
} winograd_call;

typedef struct tile_place {
    int64_t picture, row, column; /* of the tile's first output pixel */
} tile_place;

static tile_place place_of(const winograd *w, int64_t tile) {
    int64_t per_picture = w->tile_rows * w->tile_columns, in_picture = tile % per_picture;
    return (tile_place){tile / per_picture, in_picture / w->tile_columns * 2, in_picture % w->tile_columns * 2};
}

static void transform_inputs(const winograd_call *call, int64_t first, int64_t count, float *v, const float *zeros) {
    const winograd *w = call->w;
    for (int64_t t = 0; t < count; t++) {
        tile_place p = place_of(w, first + t);
        const float *pixels[POSITIONS];
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) {
                int64_t y = p.row - 1 + i, x = p.column - 1 + j;
                bool inside = y >= 0 && y < w->height && x >= 0 && x < w->width;
                pixels[4 * i + j] =
                    inside ? call->x + ((p.picture * w->height + y) * w->width + x) * w->channels : zeros;
            }
        call->o->owner->kernels->winograd_input(v + t * w->channels, w->block * w->channels, pixels, w->channels);
    }
}

static void transform_outputs(const winograd_call *call, int64_t first, int64_t count, const float *m) {
    const winograd *w = call->w;
    for (int64_t t = 0; t < count; t++) {
        tile_place p = place_of(w, first + t);
        float *targets[4];
        const float *residuals[4] = {NULL, NULL, NULL, NULL};
        for (int i = 0; i < 4; i++) {
            int64_t y = p.row + i / 2, x = p.column + i % 2;
            bool inside = y < w->height && x < w->width;
            int64_t offset = ((p.picture * w->height + y) * w->width + x) * w->outputs;
            targets[i] = inside ? call->y + offset : NULL;
            if (inside && call->residual) residuals[i] = call->residual + offset;
        }
        call->o->owner->kernels->winograd_output(targets, m + t * w->outputs, w->block * w->outputs, call->bias,
                                                 residuals, w->relu, w->outputs);
    }
}

static void block_shard(void *context, int shard, int worker) {
    const winograd_call *call = context;
    const winograd *w = call->w;
    uint8_t *scratch = op_worker_scratch(call->o, worker);
    float *v = (float *)(void *)scratch, *m = (float *)(void *)(scratch + v_bytes(w));
    float *zeros = (float *)(void *)(scratch + v_bytes(w) + m_bytes(w));
    void *product_scratch = scratch + v_bytes(w) + m_bytes(w) + zero_bytes(w);
    memset(zeros, 0, (size_t)w->channels * sizeof *zeros);
    int64_t first = shard * w->block, count = min_i64(w->block, tile_count(w) - first);
    const product *p = count < w->block ? w->tail : w->full;
    transform_inputs(call, first, count, v, zeros);
    for (int k = 0; k < POSITIONS; k++)
        product_run(p, v + k * w->block * w->channels, w->packed + (uint64_t)k * w->packed_bytes, NULL,
                    m + k * w->block * w->outputs, product_scratch);
    transform_outputs(call, first, count, m);
}

void winograd_run(const winograd *w, op *o, const float *x, const float *bias, const float *residual, float *y) {
    winograd_call call = {w, o, x, bias, residual, y};
    op_parallel(o, (int)w->block_count, block_shard, &call);
}
