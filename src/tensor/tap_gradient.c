/* dW of a convolution with a stride, tap by tap; see tap_gradient.h. */
#include "tensor/tap_gradient.h"

#include <string.h>

#define LEAST_CHANNELS 32  /* of either side: narrower panels are mostly padding */
#define SHARDS         16  /* taps x groups, at least */
#define BLOCK_PIXELS   256 /* of dy per outer product: as deep as its panels are */

bool tap_gradient_suits(const convolution_geometry *s) {
    return s->type == TENSOR_F32 && s->stride > 1 && s->kernel_height * s->kernel_width > 1 &&
           s->channels >= LEAST_CHANNELS && s->outputs >= LEAST_CHANNELS;
}

static int64_t all_rows(const tap_gradient *g) { return g->shape.batch * g->shape.output_height; }

tap_gradient tap_gradient_make(const convolution_geometry *shape) {
    tap_gradient g = {
        .shape = *shape, .kernel = outer_kernel_best(), .taps = (int)(shape->kernel_height * shape->kernel_width)};
    g.groups = (int)min_i64(all_rows(&g), (SHARDS + g.taps - 1) / g.taps);
    g.block_rows = max_i64(1, BLOCK_PIXELS / shape->output_width);
    return g;
}

/* Per worker: the pixels of a block that one tap looks at [block, C], and the outer product's panels. */
static uint64_t pixel_bytes(const tap_gradient *g) {
    uint64_t values = (uint64_t)(g->block_rows * g->shape.output_width * g->shape.channels);
    return (values * sizeof(float) + 63) / 64 * 64;
}
uint64_t tap_gradient_worker_bytes(const tap_gradient *g) { return pixel_bytes(g) + outer_product_scratch_bytes(); }

static int64_t tap_values(const tap_gradient *g) { return g->shape.outputs * g->shape.channels; }
uint64_t tap_gradient_shared_bytes(const tap_gradient *g) {
    return (uint64_t)(g->groups + 1) * (uint64_t)(g->taps * tap_values(g)) * sizeof(float);
}

typedef struct tap_call {
    const tap_gradient *g;
    op *o;
    const float *x, *dy;
    float *sums, *total; /* [groups][taps][O][C], [O][C][taps] */
} tap_call;

/* What a tap sees of x for one row of y, [W', C]: zeros where it looks at padding. */
static void gather_row(const tap_call *call, int64_t row, int64_t tap, float *pixels) {
    const convolution_geometry *s = &call->g->shape;
    int64_t picture = row / s->output_height, channels = s->channels;
    int64_t y = row % s->output_height * s->stride + tap / s->kernel_width - s->padding;
    for (int64_t j = 0; j < s->output_width; j++) {
        int64_t at = j * s->stride + tap % s->kernel_width - s->padding;
        if (y >= 0 && y < s->height && at >= 0 && at < s->width)
            memcpy(pixels + j * channels, call->x + ((picture * s->height + y) * s->width + at) * channels,
                   (size_t)channels * sizeof *pixels);
        else
            memset(pixels + j * channels, 0, (size_t)channels * sizeof *pixels);
    }
}

static void tap_shard(void *context, int shard, int worker) {
    const tap_call *call = context;
    const tap_gradient *g = call->g;
    const convolution_geometry *s = &g->shape;
    uint8_t *scratch = op_worker_scratch(call->o, worker);
    float *pixels = (void *)scratch, *sum = call->sums + shard * tap_values(g);
    int64_t tap = shard % g->taps;
    memset(sum, 0, (size_t)tap_values(g) * sizeof *sum);
    range r = shard_range(all_rows(g), g->groups, shard / g->taps);
    for (int64_t row = r.begin, rows; row < r.end; row += rows) {
        rows = min_i64(g->block_rows, r.end - row);
        for (int64_t i = 0; i < rows; i++) gather_row(call, row + i, tap, pixels + i * s->output_width * s->channels);
        outer_product p = {.kernel = g->kernel,
                           .a = call->dy + row * s->output_width * s->outputs,
                           .b = pixels,
                           .a_step = s->outputs,
                           .b_step = s->channels,
                           .count = rows * s->output_width,
                           .m = s->outputs,
                           .n = s->channels,
                           .sum = sum,
                           .sum_step = s->channels};
        outer_product_add(&p, scratch + pixel_bytes(g));
    }
}

#define TOTAL_SHARDS 16
/* Groups in their order, and taps last: as the weights lie. */
static void total_shard(void *context, int shard, int worker) {
    (void)worker;
    const tap_call *call = context;
    const tap_gradient *g = call->g;
    range r = shard_range(tap_values(g), TOTAL_SHARDS, shard);
    for (int64_t i = r.begin; i < r.end; i++)
        for (int t = 0; t < g->taps; t++) {
            float sum = 0;
            for (int group = 0; group < g->groups; group++)
                sum += call->sums[(group * g->taps + t) * tap_values(g) + i];
            call->total[i * g->taps + t] = sum;
        }
}

float *tap_gradient_run(const tap_gradient *g, op *o, const float *x, const float *dy) {
    float *sums = op_scratch(o);
    tap_call call = {g, o, x, dy, sums, sums + g->groups * g->taps * tap_values(g)};
    op_parallel(o, g->taps * g->groups, tap_shard, &call);
    op_parallel(o, TOTAL_SHARDS, total_shard, &call);
    return call.total;
}
