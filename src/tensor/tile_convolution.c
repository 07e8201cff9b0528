/* Convolutions on AMX tiles; see tile_convolution.h. */
#include "tensor/tile_convolution.h"

#include <string.h>

#define STRIP_BYTES    (384 << 10) /* a strip, its weights and its output share a core's second-level cache */
#define GRADIENT_BYTES (768 << 10)
#define DIRECT_ROWS    512

static int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

bool tile_convolution_suits(const tile_shape *s) {
    if (!tiles_available() || s->outputs % TILE_BLOCK) return false;
    if (s->channels == 1)
        return s->kernel <= TILE_MAX_TAPS && s->output_width >= TILE_BLOCK && s->padding == s->kernel / 2;
    if (s->channels % TILE_BLOCK) return false;
    if (s->kernel == 1) return s->stride == 1 && s->padding == 0 && s->batch * s->height * s->width >= TILE_BLOCK;
    if (s->kernel != 3 || s->padding != 1) return false;
    return s->stride == 1 || (s->stride == 2 && s->height % 2 == 0 && s->width % 2 == 0);
}

/* ---- layout ---- */

static tile_weights weights_of(const tile_shape *s, bool transposed) {
    int64_t area = s->kernel * s->kernel;
    tile_weights w = {
        .inputs = s->channels, .input_step = area, .outputs = s->outputs, .output_step = s->channels * area};
    if (transposed)
        w = (tile_weights){
            .inputs = s->outputs, .input_step = s->channels * area, .outputs = s->channels, .output_step = area};
    return w;
}

static void plan_forward(tile_convolution *c) {
    const tile_shape *s = &c->shape;
    tile_pass *f = &c->forward;
    f->weights = weights_of(s, false);
    if (c->stem) { /* each kernel row a tap; its columns are the inputs */
        f->weights.taps = (int)s->kernel;
        f->weights.inputs = s->kernel;
        f->weights.input_step = 1;
        for (int64_t y = 0; y < s->kernel; y++) {
            f->weights.tap[y] = y * s->kernel;
            f->tap[y] = y * c->pitch;
        }
        return;
    }
    f->weights.taps = (int)(s->kernel * s->kernel);
    for (int64_t y = 0; y < s->kernel; y++)
        for (int64_t x = 0; x < s->kernel; x++) {
            int64_t t = y * s->kernel + x, plane = y % s->stride * s->stride + x % s->stride;
            f->weights.tap[t] = t;
            f->tap[t] = (plane * c->plane_pixels + y / s->stride * c->pitch + x / s->stride) * s->channels;
        }
}

/* dx at row s i + phase: the taps y with s i + phase + pad = s (i + d) + y, at row i + d of dy, d >= 0 after the strip
 * has been given (k - 1) / s border rows in front when s = 1. */
static void plan_data(tile_convolution *c) {
    const tile_shape *s = &c->shape;
    if (c->stem) return;
    int64_t packed = 0;
    for (int64_t row = 0; row < s->stride; row++)
        for (int64_t column = 0; column < s->stride; column++) {
            tile_pass *p = &c->data[c->data_passes++];
            p->weights = weights_of(s, true);
            p->row_phase = row, p->column_phase = column, p->packed = packed;
            int64_t front = s->stride == 1 ? s->padding : 0;
            for (int64_t y = 0; y < s->kernel; y++)
                for (int64_t x = 0; x < s->kernel; x++) {
                    int64_t up = row + s->padding - y, left = column + s->padding - x;
                    if (up % s->stride || left % s->stride) continue;
                    int64_t down = up / s->stride + front, right = left / s->stride + front;
                    p->tap[p->weights.taps] = (down * c->pitch + right) * s->outputs;
                    p->weights.tap[p->weights.taps++] = y * s->kernel + x;
                }
            packed += (int64_t)(tile_weights_bytes(&p->weights) / sizeof(uint16_t));
        }
}

/* Strips short enough for the cache; groups and ranges enough for many cores, as long as partial sums stay small. */
static void plan_gradient(tile_convolution *c) {
    const tile_shape *s = &c->shape;
    int64_t area = s->kernel * s->kernel, rows = s->output_height * (c->direct ? s->output_width * s->batch : 1);
    int64_t pitch = c->direct ? 1 : c->pitch, planes = c->direct ? 1 : c->planes;
    int64_t sum_bytes = area * s->channels * s->outputs * 4;
    c->gradient.by_output = c->direct && s->outputs < s->channels;
    int64_t across = c->gradient.by_output ? s->outputs : s->channels; /* the transposed side */
    int64_t ranges = max_i64(1, min_i64(min_i64(sum_bytes >> 20, 8), across / TILE_BLOCK));
    int64_t per_row = pitch * 2 * (planes * across / ranges + s->outputs + s->channels - across);
    int64_t strip = max_i64(c->direct ? 128 : 1, min_i64(GRADIENT_BYTES / per_row, rows));
    if (c->direct) strip = round_up(strip, TILE_BLOCK);
    int64_t strips = (rows + strip - 1) / strip * (c->direct ? 1 : s->batch);
    c->gradient.strip_rows = strip;
    c->gradient.ranges = (int)ranges;
    c->gradient.groups = (int)max_i64(1, min_i64(strips, 8 / ranges));
    c->gradient.plane_pixels = c->direct ? strip : (strip + c->halo) * pitch;
    c->gradient.pixels = round_up(strip * pitch, TILE_BLOCK);
    /* Shifted reads pass the end; rows a power of two apart would share cache sets. */
    int64_t shift = c->direct ? 0 : (planes - 1) * c->gradient.plane_pixels + c->halo * (pitch + 1);
    c->gradient.xt_step = round_up(shift + c->gradient.pixels, 64) + TILE_BLOCK;
}

tile_convolution tile_convolution_make(const tile_shape *shape) {
    tile_convolution c = {.shape = *shape};
    const tile_shape *s = &c.shape;
    c.direct = s->kernel == 1;
    c.stem = s->channels == 1 && !c.direct;
    c.halo = (s->kernel - 1) / s->stride;
    c.planes = s->stride * s->stride;
    if (c.stem) {
        c.pitch = round_up((s->output_width - 1) * s->stride + TILE_BLOCK, TILE_BLOCK);
        c.strip_rows = max_i64(1, min_i64(s->output_height, 32));
    } else if (!c.direct) {
        c.pitch = s->output_width + c.halo;
        int64_t row_bytes = c.pitch * max_i64(c.planes * s->channels, s->outputs) * 2;
        int64_t fits = max_i64(1, min_i64(STRIP_BYTES / row_bytes - c.halo, s->output_height));
        int64_t strips = (s->output_height + fits - 1) / fits;
        c.strip_rows = (s->output_height + strips - 1) / strips;
        c.plane_pixels = (c.strip_rows + c.halo) * c.pitch;
    }
    plan_forward(&c);
    plan_data(&c);
    plan_gradient(&c);
    return c;
}

uint64_t tile_convolution_packed_bytes(const tile_convolution *c) {
    uint64_t forward = tile_weights_bytes(&c->forward.weights), data = 0;
    for (int i = 0; i < c->data_passes; i++) data += tile_weights_bytes(&c->data[i].weights);
    return forward > data ? forward : data;
}

/* A strip with room for a block read beyond its end, then where its pixels go. */
static int64_t strip_values(const tile_convolution *c) {
    const tile_shape *s = &c->shape;
    if (c->stem) return round_up(((c->strip_rows - 1) * s->stride + s->kernel) * c->pitch, TILE_BLOCK);
    int64_t x = (c->planes * c->plane_pixels + 2 * TILE_BLOCK) * s->channels;
    int64_t dy = ((c->strip_rows + 2) * c->pitch + 2 * TILE_BLOCK) * s->outputs;
    return max_i64(x, dy);
}
static int64_t place_count(const tile_convolution *c) { return round_up(c->strip_rows * c->pitch, TILE_BLOCK); }

uint64_t tile_convolution_worker_bytes(const tile_convolution *c) {
    if (c->direct) return 0;
    return (uint64_t)strip_values(c) * sizeof(uint16_t) + (uint64_t)place_count(c) * sizeof(int32_t);
}

/* ---- packing ---- */

typedef struct pack_call {
    const tile_pass *passes;
    int64_t first[5]; /* block numbers where the passes begin */
    int pass_count;
    const float *plain;
    uint16_t *packed;
} pack_call;

static void pack_block(void *context, int block, int worker) {
    (void)worker;
    const pack_call *call = context;
    int pass = 0;
    while (block >= call->first[pass + 1]) pass++;
    const tile_pass *p = &call->passes[pass];
    tile_weights_pack(&p->weights, call->packed + p->packed, call->plain, block - call->first[pass]);
}

static void pack_passes(const tile_pass *passes, int count, const op *o, const float *plain, uint16_t *packed) {
    pack_call call = {.passes = passes, .pass_count = count, .plain = plain, .packed = packed};
    for (int i = 0; i < count; i++) call.first[i + 1] = call.first[i] + tile_weights_blocks(&passes[i].weights);
    op_parallel(o, (int)call.first[count], pack_block, &call);
}

void tile_convolution_pack(const tile_convolution *c, op *o, const float *plain, uint16_t *packed) {
    pack_passes(&c->forward, 1, o, plain, packed);
}
void tile_convolution_pack_data(const tile_convolution *c, op *o, const float *plain, uint16_t *packed) {
    pack_passes(c->data, c->data_passes, o, plain, packed);
}

/* ---- strips ---- */

typedef struct picture {
    const uint16_t *values; /* [height, width], pixels `step` values apart, of which `channels` are wanted */
    int64_t height, width, channels, step;
} picture;

/* One row of `pitch` pixels: pixel j is the picture's pixel first + j stride, zero outside. row may be outside too. */
static void copy_row(uint16_t *out, const picture *from, int64_t row, int64_t first, int64_t stride, int64_t pitch) {
    size_t pixel = (size_t)from->channels * sizeof *out;
    int64_t begin = first < 0 ? (-first + stride - 1) / stride : 0;
    int64_t end = min_i64((from->width - first + stride - 1) / stride, pitch);
    if (row < 0 || row >= from->height || begin >= end) {
        memset(out, 0, (size_t)pitch * pixel);
        return;
    }
    const uint16_t *x = from->values + (row * from->width + first) * from->step;
    memset(out, 0, (size_t)begin * pixel);
    if (stride == 1 && from->step == from->channels)
        memcpy(out + begin * from->channels, x + begin * from->step, (size_t)(end - begin) * pixel);
    else
        for (int64_t j = begin; j < end; j++) memcpy(out + j * from->channels, x + j * stride * from->step, pixel);
    memset(out + end * from->channels, 0, (size_t)(pitch - end) * pixel);
}

/* The planes that output rows [row, row + rows) look at, for stride `stride` and padding `pad`. */
static void copy_planes(const tile_convolution *c, uint16_t *strip, int64_t plane_pixels, const picture *from,
                        int64_t row, int64_t rows, int64_t stride, int64_t pad) {
    for (int64_t v = 0; v < stride; v++)
        for (int64_t h = 0; h < stride; h++) {
            uint16_t *plane = strip + (v * stride + h) * plane_pixels * from->channels;
            for (int64_t i = 0; i < rows + c->halo; i++)
                copy_row(plane + i * c->pitch * from->channels, from, (row + i) * stride + v - pad, h - pad, stride,
                         c->pitch);
        }
}

static range strip_rows(const tile_convolution *c, int64_t rows_per_strip, int64_t strip, int64_t *sample) {
    int64_t per_picture = (c->shape.output_height + rows_per_strip - 1) / rows_per_strip;
    *sample = strip / per_picture;
    int64_t begin = strip % per_picture * rows_per_strip;
    return (range){begin, min_i64(begin + rows_per_strip, c->shape.output_height)};
}
static int64_t strip_count(const tile_convolution *c, int64_t rows_per_strip) {
    return c->shape.batch * ((c->shape.output_height + rows_per_strip - 1) / rows_per_strip);
}

/* ---- forward and data ---- */

typedef struct run_call {
    const tile_convolution *c;
    const op *o;
    const tile_pass *passes;
    int pass_count;
    bool data; /* from dy to dx */
    const uint16_t *from, *packed, *residual;
    const float *bias;
    bool relu;
    uint16_t *to;
} run_call;

static tile_product product_of(const run_call *call, const tile_pass *pass) {
    tile_product p = {.taps = pass->weights.taps,
                      .inputs = pass->weights.inputs,
                      .outputs = pass->weights.outputs,
                      .packed = call->packed + pass->packed,
                      .bias = call->bias,
                      .relu = call->relu};
    memcpy(p.tap, pass->tap, sizeof p.tap);
    return p;
}

static int direct_shards(const tile_convolution *c) {
    const tile_shape *s = &c->shape;
    int64_t rows = s->batch * s->height * s->width;
    int64_t fit = max_i64(64, min_i64(GRADIENT_BYTES / ((s->channels + s->outputs) * 2), DIRECT_ROWS));
    return (int)max_i64(1, rows / fit);
}

static void direct_shard(void *context, int shard, int worker) {
    (void)worker;
    const run_call *call = context;
    const tile_shape *s = &call->c->shape;
    range r = shard_range(s->batch * s->height * s->width, direct_shards(call->c), shard);
    tile_product p = product_of(call, call->passes);
    p.a = call->from + r.begin * p.inputs;
    p.a_step = p.inputs;
    p.rows = r.end - r.begin;
    p.residual = call->residual ? call->residual + r.begin * p.outputs : NULL;
    p.y = call->to + r.begin * p.outputs;
    tile_product_run(&p);
}

/* Where pixel (i, j) of a strip beginning at output row `row` belongs: forward at (row + i, j) of y; data at the pass's
 * phase of the s x s pixels there of x. */
static void fill_places(const run_call *call, const tile_pass *pass, range rows, int32_t *place) {
    const tile_convolution *c = call->c;
    int64_t step = call->data ? c->shape.stride : 1, width = call->data ? c->shape.width : c->shape.output_width;
    for (int64_t p = 0, count = place_count(c); p < count; p++) {
        int64_t i = p / c->pitch, j = p % c->pitch;
        bool inside = rows.begin + i < rows.end && j < c->shape.output_width;
        place[p] = inside
                       ? (int32_t)(((rows.begin + i) * step + pass->row_phase) * width + j * step + pass->column_phase)
                       : -1;
    }
}

static void strip_shard(void *context, int shard, int worker) {
    const run_call *call = context;
    const tile_convolution *c = call->c;
    const tile_shape *s = &c->shape;
    uint16_t *strip = op_worker_scratch(call->o, worker);
    int32_t *place = (int32_t *)(void *)(strip + strip_values(c));
    int64_t sample;
    range rows = strip_rows(c, c->strip_rows, shard, &sample);
    int64_t x_pixels = s->height * s->width, y_pixels = s->output_height * s->output_width;
    if (call->data) {
        picture dy = {call->from + sample * y_pixels * s->outputs, s->output_height, s->output_width, s->outputs,
                      s->outputs};
        copy_planes(c, strip, 0, &dy, rows.begin, rows.end - rows.begin, 1, s->stride == 1 ? s->padding : 0);
    } else {
        picture x = {call->from + sample * x_pixels * s->channels, s->height, s->width, s->channels, s->channels};
        copy_planes(c, strip, c->plane_pixels, &x, rows.begin, rows.end - rows.begin, s->stride, s->padding);
    }
    for (int i = 0; i < call->pass_count; i++) {
        tile_product p = product_of(call, &call->passes[i]);
        fill_places(call, &call->passes[i], rows, place);
        p.a = strip;
        p.a_step = p.inputs;
        p.rows = (rows.end - rows.begin) * c->pitch;
        p.place = place;
        p.y = call->to + sample * (call->data ? x_pixels : y_pixels) * p.outputs;
        p.residual = call->residual ? call->residual + sample * y_pixels * p.outputs : NULL;
        tile_product_run(&p);
    }
}

/* A stem's rows one by one: pixel x of output row y begins at input column x stride, kernel rows are `pitch` apart. */
static void stem_shard(void *context, int shard, int worker) {
    const run_call *call = context;
    const tile_convolution *c = call->c;
    const tile_shape *s = &c->shape;
    uint16_t *strip = op_worker_scratch(call->o, worker);
    int64_t sample;
    range rows = strip_rows(c, c->strip_rows, shard, &sample);
    picture x = {call->from + sample * s->height * s->width, s->height, s->width, 1, 1};
    int64_t first = rows.begin * s->stride - s->padding, count = (rows.end - rows.begin - 1) * s->stride + s->kernel;
    for (int64_t i = 0; i < count; i++) copy_row(strip + i * c->pitch, &x, first + i, -s->padding, 1, c->pitch);
    for (int64_t row = rows.begin; row < rows.end; row++) {
        tile_product p = product_of(call, call->passes);
        int64_t at = (sample * s->output_height + row) * s->output_width * s->outputs;
        p.a = strip + (row - rows.begin) * s->stride * c->pitch;
        p.a_step = s->stride;
        p.rows = s->output_width;
        p.residual = call->residual ? call->residual + at : NULL;
        p.y = call->to + at;
        tile_product_run(&p);
    }
}

static void run(const run_call *call) {
    const tile_convolution *c = call->c;
    if (c->direct)
        op_parallel(call->o, direct_shards(c), direct_shard, (void *)(uintptr_t)call);
    else
        op_parallel(call->o, (int)strip_count(c, c->strip_rows), c->stem ? stem_shard : strip_shard,
                    (void *)(uintptr_t)call);
}

void tile_convolution_forward(const tile_convolution *c, op *o, const uint16_t *x, const uint16_t *packed,
                              const float *bias, const uint16_t *residual, bool relu, uint16_t *y) {
    run_call call = {.c = c,
                     .o = o,
                     .passes = &c->forward,
                     .pass_count = 1,
                     .from = x,
                     .packed = packed,
                     .residual = residual,
                     .bias = bias,
                     .relu = relu,
                     .to = y};
    run(&call);
}

bool tile_convolution_has_data(const tile_convolution *c) { return c->data_passes > 0; }

void tile_convolution_data(const tile_convolution *c, op *o, const uint16_t *dy, const uint16_t *packed, uint16_t *dx) {
    run_call call = {.c = c,
                     .o = o,
                     .passes = c->data,
                     .pass_count = c->data_passes,
                     .data = true,
                     .from = dy,
                     .packed = packed,
                     .to = dx};
    run(&call);
}

/* ---- gradient by the weights ---- */

/* Of the transposed side, one range; of the other, everything. */
static int64_t range_channels(const tile_convolution *c) {
    int64_t across = c->gradient.by_output ? c->shape.outputs : c->shape.channels;
    return (across / TILE_BLOCK + c->gradient.ranges - 1) / c->gradient.ranges * TILE_BLOCK;
}
static int64_t sum_values(const tile_convolution *c) {
    return c->shape.kernel * c->shape.kernel * c->shape.channels * c->shape.outputs;
}

/* Per worker: the transposed side; the paired side; strips of both to transpose and pair from. */
typedef struct gradient_memory {
    uint16_t *transposed, *pairs, *across_strip, *along_strip;
    int64_t values;
} gradient_memory;

static gradient_memory gradient_layout(const tile_convolution *c, uint16_t *base) {
    gradient_memory m = {0};
    int64_t wide = range_channels(c), along = c->gradient.by_output ? c->shape.channels : c->shape.outputs;
    int64_t strip_pixels = round_up((c->direct ? 1 : c->planes) * c->gradient.plane_pixels, TILE_BLOCK);
    int64_t sizes[4] = {wide * c->gradient.xt_step, along * c->gradient.pixels, wide * strip_pixels,
                        along * c->gradient.pixels};
    uint16_t **parts[4] = {&m.transposed, &m.pairs, &m.across_strip, &m.along_strip};
    for (int i = 0; i < 4; i++) {
        if (base) *parts[i] = base + m.values;
        m.values += round_up(sizes[i], TILE_BLOCK);
    }
    return m;
}

uint64_t tile_convolution_gradient_worker_bytes(const tile_convolution *c) {
    return c->stem ? 0 : (uint64_t)gradient_layout(c, NULL).values * sizeof(uint16_t);
}
uint64_t tile_convolution_sum_bytes(const tile_convolution *c) {
    return c->stem ? 0 : (uint64_t)c->gradient.groups * (uint64_t)sum_values(c) * sizeof(float);
}

typedef struct gradient_call {
    const tile_convolution *c;
    const op *o;
    const uint16_t *x, *dy;
    const float *scale;
    float *sums, *dw;
} gradient_call;

/* `count` pixels of a 1x1 convolution's side, as they are or, when the strip is to be longer, followed by zeros. */
static const uint16_t *direct_side(uint16_t *strip, const uint16_t *from, int64_t step, int64_t channels, int64_t count,
                                   int64_t pixels, int64_t *strip_step) {
    *strip_step = step;
    if (count == pixels) return from;
    for (int64_t p = 0; p < count; p++) memcpy(strip + p * channels, from + p * step, (size_t)channels * sizeof *strip);
    memset(strip + count * channels, 0, (size_t)((pixels - count) * channels) * sizeof *strip);
    *strip_step = channels;
    return strip;
}

static void direct_strip(const gradient_call *call, const gradient_memory *m, int64_t strip, int64_t begin,
                         int64_t wide) {
    const tile_convolution *c = call->c;
    const tile_shape *s = &c->shape;
    int64_t rows = s->batch * s->height * s->width, pixels = c->gradient.pixels, step;
    int64_t first = strip * c->gradient.strip_rows, count = min_i64(c->gradient.strip_rows, rows - first);
    bool by_output = c->gradient.by_output;
    const uint16_t *across = by_output ? call->dy : call->x, *along = by_output ? call->x : call->dy;
    int64_t across_step = by_output ? s->outputs : s->channels, along_step = by_output ? s->channels : s->outputs;
    const uint16_t *side =
        direct_side(m->across_strip, across + first * across_step + begin, across_step, wide, count, pixels, &step);
    tile_transpose(m->transposed, c->gradient.xt_step, side, step, pixels, wide);
    side = direct_side(m->along_strip, along + first * along_step, along_step, along_step, count, pixels, &step);
    tile_pair(m->pairs, side, step, pixels, along_step);
}

static void picture_strip(const gradient_call *call, const gradient_memory *m, int64_t strip, int64_t begin,
                          int64_t wide) {
    const tile_convolution *c = call->c;
    const tile_shape *s = &c->shape;
    int64_t sample, planes = c->planes * c->gradient.plane_pixels;
    range rows = strip_rows(c, c->gradient.strip_rows, strip, &sample);
    picture x = {call->x + sample * s->height * s->width * s->channels + begin, s->height, s->width, wide, s->channels};
    /* Always a whole strip's rows, so that no memory is left from before: those beyond meet zeros of dy. */
    copy_planes(c, m->across_strip, c->gradient.plane_pixels, &x, rows.begin, c->gradient.strip_rows, s->stride,
                s->padding);
    int64_t rounded = round_up(planes, TILE_BLOCK);
    memset(m->across_strip + planes * wide, 0, (size_t)((rounded - planes) * wide) * sizeof(uint16_t));
    tile_transpose(m->transposed, c->gradient.xt_step, m->across_strip, wide, rounded, wide);
    for (int64_t i = 0; i < wide; i++)
        memset(m->transposed + i * c->gradient.xt_step + rounded, 0,
               (size_t)(c->gradient.xt_step - rounded) * sizeof(uint16_t));

    picture dy = {call->dy + sample * s->output_height * s->output_width * s->outputs, rows.end, s->output_width,
                  s->outputs, s->outputs};
    for (int64_t i = 0; i < c->gradient.strip_rows; i++) /* the picture ends with the strip: zeros behind */
        copy_row(m->along_strip + i * c->pitch * s->outputs, &dy, rows.begin + i, 0, 1, c->pitch);
    int64_t filled = c->gradient.strip_rows * c->pitch;
    memset(m->along_strip + filled * s->outputs, 0,
           (size_t)((c->gradient.pixels - filled) * s->outputs) * sizeof(uint16_t));
    tile_pair(m->pairs, m->along_strip, s->outputs, c->gradient.pixels, s->outputs);
}

static void gradient_shard(void *context, int shard, int worker) {
    const gradient_call *call = context;
    const tile_convolution *c = call->c;
    const tile_shape *s = &c->shape;
    int group = shard / c->gradient.ranges, part = shard % c->gradient.ranges;
    int64_t across = c->gradient.by_output ? s->outputs : s->channels;
    int64_t along = c->gradient.by_output ? s->channels : s->outputs;
    range blocks = shard_range(across / TILE_BLOCK, c->gradient.ranges, part);
    int64_t begin = blocks.begin * TILE_BLOCK, wide = (blocks.end - blocks.begin) * TILE_BLOCK;
    int64_t rows = s->batch * s->height * s->width;
    int64_t strips = c->direct ? (rows + c->gradient.strip_rows - 1) / c->gradient.strip_rows
                               : strip_count(c, c->gradient.strip_rows);
    range mine = shard_range(strips, c->gradient.groups, group);
    gradient_memory m = gradient_layout(c, op_worker_scratch(call->o, worker));
    tile_gradient g = {.xt = m.transposed,
                       .xt_step = c->gradient.xt_step,
                       .taps = (int)(s->kernel * s->kernel),
                       .pairs = m.pairs,
                       .pixels = c->gradient.pixels,
                       .channels = wide,
                       .outputs = along,
                       .sum = call->sums + group * sum_values(c) + begin * along,
                       .tap_step = across * along};
    for (int t = 0; t < g.taps; t++) {
        int64_t y = t / s->kernel, x = t % s->kernel, plane = y % s->stride * s->stride + x % s->stride;
        if (!c->direct) g.shift[t] = plane * c->gradient.plane_pixels + y / s->stride * c->pitch + x / s->stride;
        memset(g.sum + t * g.tap_step, 0, (size_t)(wide * along) * sizeof *g.sum);
    }
    for (int64_t strip = mine.begin; strip < mine.end; strip++) {
        if (c->direct)
            direct_strip(call, &m, strip, begin, wide);
        else
            picture_strip(call, &m, strip, begin, wide);
        tile_gradient_run(&g);
    }
}

#define ADD_CHANNELS 16

/* dw of 32 outputs from the groups' sums, in order: some channels at a time, turned round in a buffer. */
static void add_shard(void *context, int block, int worker) {
    (void)worker;
    const gradient_call *call = context;
    const tile_convolution *c = call->c;
    const kernels *k = call->o->owner->kernels;
    int64_t channels = c->shape.channels, outputs = c->shape.outputs, taps = c->shape.kernel * c->shape.kernel;
    int64_t first = (int64_t)block * TILE_BLOCK, group_step = sum_values(c);
    float turned[TILE_BLOCK][ADD_CHANNELS * TILE_MAX_TAPS], row[TILE_BLOCK];
    for (int64_t begin = 0; begin < channels; begin += ADD_CHANNELS) {
        for (int64_t i = 0; i < ADD_CHANNELS * taps; i++) {
            int64_t channel = begin + i / taps, tap = i % taps;
            if (c->gradient.by_output) {
                for (int64_t o = 0; o < TILE_BLOCK; o++) turned[o][i] = call->sums[(first + o) * channels + channel];
                for (int g = 1; g < c->gradient.groups; g++)
                    for (int64_t o = 0; o < TILE_BLOCK; o++)
                        turned[o][i] += call->sums[g * group_step + (first + o) * channels + channel];
                continue;
            }
            const float *sum = call->sums + (tap * channels + channel) * outputs + first;
            memcpy(row, sum, sizeof row);
            for (int g = 1; g < c->gradient.groups; g++) k->add_into(row, sum + g * group_step, TILE_BLOCK);
            for (int64_t o = 0; o < TILE_BLOCK; o++) turned[o][i] = row[o];
        }
        for (int64_t o = 0; o < TILE_BLOCK; o++) {
            if (call->scale) k->scale(turned[o], turned[o], call->scale[first + o], ADD_CHANNELS * taps);
            k->add_into(call->dw + ((first + o) * channels + begin) * taps, turned[o], ADD_CHANNELS * taps);
        }
    }
}

void tile_convolution_weights(const tile_convolution *c, op *o, const uint16_t *x, const uint16_t *dy,
                              const float *scale, float *sums, float *dw) {
    gradient_call call = {c, o, x, dy, scale, sums, dw};
    op_parallel(o, c->gradient.groups * c->gradient.ranges, gradient_shard, &call);
    op_parallel(o, (int)(c->shape.outputs / TILE_BLOCK), add_shard, &call);
}
