/* dW of a convolution over few channels by im2col and products; see patch_gradient.h. */
#include "tensor/patch_gradient.h"

#include <string.h>

#define CHUNK_PIXELS 4096 /* patches of a chunk stay in the L2 cache */
#define MAX_SHARDS   8

bool patch_gradient_suits(int64_t channels, int64_t outputs) { return channels <= 4 && outputs >= 8; }

static int64_t all_rows(const patch_gradient *g) { return g->shape.batch * g->shape.output_height; }

static carina_status create_product(product **out, const patch_gradient *g, int64_t rows, carina_error *error) {
    const convolution_geometry *s = &g->shape;
    product_shape p = {.m = s->outputs,
                       .n = g->patch,
                       .k = rows * s->output_width,
                       .a_type = s->type,
                       .b_type = s->type,
                       .c_type = TENSOR_F32,
                       .a_row = 1,
                       .a_column = s->outputs,
                       .b_row = g->patch,
                       .b_column = 1,
                       .c_row = g->patch,
                       .add = true};
    return product_create(out, &p, NULL, error);
}

carina_status patch_gradient_create(patch_gradient *out, const convolution_geometry *shape, carina_error *error) {
    *out = (patch_gradient){.shape = *shape, .patch = shape->channels * shape->kernel_height * shape->kernel_width};
    int64_t rows = all_rows(out);
    out->shards = (int)min_i64(rows, MAX_SHARDS);
    out->chunk_rows = max_i64(1, min_i64(CHUNK_PIXELS / shape->output_width, rows / out->shards));
    TRY(create_product(&out->full, out, out->chunk_rows, error));
    /* Shards have rows / shards rows or one more, so their last chunks have one of two lengths. */
    out->tail_rows = rows / out->shards % out->chunk_rows;
    out->last_rows = (rows / out->shards + 1) % out->chunk_rows;
    if (out->tail_rows) TRY(create_product(&out->tail, out, out->tail_rows, error));
    if (out->last_rows && rows % out->shards) TRY(create_product(&out->last, out, out->last_rows, error));
    return CARINA_OK;
}

void patch_gradient_free(patch_gradient *g) {
    product_free(g->full);
    product_free(g->tail);
    product_free(g->last);
}

static uint64_t patches_bytes(const patch_gradient *g) {
    return ((uint64_t)(g->chunk_rows * g->shape.output_width * g->patch) * type_bytes(g->shape.type) + 63) / 64 * 64;
}

uint64_t patch_gradient_worker_bytes(const patch_gradient *g) {
    uint64_t most = product_scratch_bytes(g->full);
    if (g->tail && product_scratch_bytes(g->tail) > most) most = product_scratch_bytes(g->tail);
    if (g->last && product_scratch_bytes(g->last) > most) most = product_scratch_bytes(g->last);
    return patches_bytes(g) + most;
}

uint64_t patch_gradient_shared_bytes(const patch_gradient *g) {
    return (uint64_t)g->shards * (uint64_t)(g->shape.outputs * g->patch) * sizeof(float);
}

/* One row of a patch, for every pixel of one output row: values (c, i, j) for j = 0 .. kw - 1 and all c. */
static void write_patch_row(const patch_gradient *g, const uint8_t *x_row, int64_t i, uint8_t *patches) {
    const convolution_geometry *s = &g->shape;
    size_t bytes = type_bytes(s->type);
    for (int64_t column = 0; column < s->output_width; column++) {
        int64_t first = column * s->stride - s->padding;
        for (int64_t c = 0; c < s->channels; c++) {
            uint8_t *out = patches + (size_t)(column * g->patch + (c * s->kernel_height + i) * s->kernel_width) * bytes;
            bool inside = x_row && first >= 0 && first + s->kernel_width <= s->width;
            if (inside && s->channels == 1) {
                memcpy(out, x_row + (size_t)first * bytes, (size_t)s->kernel_width * bytes);
                continue;
            }
            for (int64_t j = 0; j < s->kernel_width; j++) {
                int64_t at = first + j;
                if (x_row && at >= 0 && at < s->width)
                    memcpy(out + (size_t)j * bytes, x_row + (size_t)(at * s->channels + c) * bytes, bytes);
                else
                    memset(out + (size_t)j * bytes, 0, bytes);
            }
        }
    }
}

static void write_patches(const patch_gradient *g, const uint8_t *x, int64_t first, int64_t rows, uint8_t *patches) {
    const convolution_geometry *s = &g->shape;
    size_t bytes = type_bytes(s->type);
    for (int64_t row = first; row < first + rows; row++) {
        int64_t picture = row / s->output_height, top = row % s->output_height * s->stride - s->padding;
        uint8_t *out = patches + (size_t)((row - first) * s->output_width * g->patch) * bytes;
        for (int64_t i = 0; i < s->kernel_height; i++) {
            int64_t y = top + i;
            bool inside = y >= 0 && y < s->height;
            const uint8_t *x_row =
                inside ? x + (size_t)((picture * s->height + y) * s->width * s->channels) * bytes : NULL;
            write_patch_row(g, x_row, i, out);
        }
    }
}

typedef struct patch_call {
    const patch_gradient *g;
    op *o;
    const uint8_t *x, *dy;
} patch_call;

static const product *product_for(const patch_gradient *g, int64_t rows) {
    return rows == g->chunk_rows ? g->full : rows == g->tail_rows ? g->tail : g->last;
}

static void rows_shard(void *context, int shard, int worker) {
    const patch_call *call = context;
    const patch_gradient *g = call->g;
    uint8_t *patches = op_worker_scratch(call->o, worker);
    int64_t values = g->shape.outputs * g->patch;
    float *sum = (float *)op_scratch(call->o) + shard * values;
    memset(sum, 0, (size_t)values * sizeof *sum);
    range r = shard_range(all_rows(g), g->shards, shard);
    for (int64_t row = r.begin; row < r.end; row += g->chunk_rows) {
        int64_t rows = min_i64(g->chunk_rows, r.end - row);
        write_patches(g, call->x, row, rows, patches);
        size_t skip = (size_t)(row * g->shape.output_width * g->shape.outputs) * type_bytes(g->shape.type);
        product_run(product_for(g, rows), call->dy + skip, patches, NULL, sum, patches + patches_bytes(g));
    }
}

float *patch_gradient_run(const patch_gradient *g, op *o, const void *x, const void *dy) {
    patch_call call = {g, o, x, dy};
    op_parallel(o, g->shards, rows_shard, &call);
    float *sum = op_scratch(o);
    int64_t values = g->shape.outputs * g->patch;
    for (int i = 1; i < g->shards; i++) o->owner->kernels->add_into(sum, sum + i * values, values);
    return sum;
}
