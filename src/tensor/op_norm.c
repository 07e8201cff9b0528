/* Batch norm (Ioffe and Szegedy 2015) and group norm (Wu and He 2018) over channels-last pictures, each with the tail
 * residual + ReLU. Both are y = a[c] x + b[c] with a and b from moments, of the batch per channel or of one picture
 * per group of channels; the code that differs is how moments become a and b. */
#include <math.h>
#include <string.h>

#include "tensor/graph_internal.h"
#include "tensor/ops.h"

enum { X, WEIGHT, BIAS, RESIDUAL };

#define TILE_VALUES 512 /* few channels make calls too short to be worth them: several pixels share one */

typedef struct norm_state {
    int64_t pictures, pixels, channels; /* B, H W, C */
    int groups;                         /* 0: batch norm */
    bool relu;
    float epsilon, momentum;
    norm_parameters running; /* batch norm only */
    int shards;              /* of pixels, never across pictures for group norm */
    int64_t tile;            /* pixels per kernel call: coefficients and sums are repeated so often */
} norm_state;

/* Shards run over pixels; each belongs to one picture when moments are per picture. */
static int shards_per_set(const norm_state *s) {
    int64_t pixels = s->groups ? s->pixels : s->pictures * s->pixels;
    return shard_count_for(pixels, s->channels);
}
static int64_t set_count(const norm_state *s) { return s->groups ? s->pictures : 1; }

static range shard_pixels(const norm_state *s, int shard) {
    int64_t per_set = s->groups ? s->pixels : s->pictures * s->pixels;
    range r = shard_range(per_set, s->shards, shard % s->shards);
    int64_t first = shard / s->shards * per_set;
    return (range){first + r.begin, first + r.end};
}

/* saved[0]: mean and 1/deviation as [set][2][C]. Scratch: per shard two sums [2][C] as double, then three vectors of
 * coefficients per set, each repeated for a tile of pixels: [set][3][tile][C]. */
static double *partial_sums(const op *o, int shard) {
    return (double *)op_scratch(o) + 2 * (int64_t)shard * ((const norm_state *)o->state)->channels;
}
static float *coefficients(const op *o, int64_t set) {
    const norm_state *s = o->state;
    return (float *)(void *)partial_sums(o, s->shards * (int)set_count(s)) + 3 * set * s->tile * s->channels;
}
/* coefficients[k][pixel of the tile][c] = value for every pixel of the tile */
static void repeat_in_tile(const norm_state *s, float *vector) {
    for (int64_t i = s->channels; i < s->tile * s->channels; i++) vector[i] = vector[i - s->channels];
}
static float *moments(const op *o, int64_t set) {
    return (float *)o->saved[0].data + 2 * set * ((const norm_state *)o->state)->channels;
}

static carina_status norm_prepare(op *o, carina_error *error) {
    (void)error;
    norm_state *s = o->state;
    s->shards = shards_per_set(s);
    uint64_t channels = (uint64_t)s->channels, sets = (uint64_t)set_count(s);
    op_save(o, 0, 2 * sets * channels * sizeof(float));
    s->tile = max_i64(1, TILE_VALUES / s->channels);
    uint64_t tile = (uint64_t)s->tile * channels;
    o->scratch_bytes = sets * (uint64_t)s->shards * 2 * channels * sizeof(double) + sets * 3 * tile * sizeof(float);
    o->worker_bytes = 2 * tile * sizeof(float); /* two sums */
    if (o->backward_active && s->relu) o->backward_reads |= READS_OUTPUT;
    return CARINA_OK;
}

/* The address of value i. */
static void *value_at(const void *values, tensor_type type, int64_t i) {
    return (uint8_t *)(uintptr_t)values + (size_t)i * type_bytes(type);
}

#define FLUSH_TILES 64 /* f32 sums this long lose nothing that matters; then they go to double */

/* Adds the tile's sums [2][tile][C] to the totals [2][C] and zeroes them. */
static void flush(const norm_state *s, double *total, float *sums) {
    int64_t tile = s->tile * s->channels;
    for (int part = 0; part < 2; part++)
        for (int64_t i = 0; i < tile; i += s->channels)
            for (int64_t c = 0; c < s->channels; c++)
                total[part * s->channels + c] += (double)sums[part * tile + i + c];
    memset(sums, 0, 2 * (size_t)tile * sizeof *sums);
}

static void moments_shard(void *context, int shard, int worker) {
    op *o = context;
    norm_state *s = o->state;
    const kernels *k = o->owner->kernels;
    int64_t tile = s->tile * s->channels;
    float *sums = op_worker_scratch(o, worker);
    double *total = partial_sums(o, shard);
    memset(total, 0, 2 * (size_t)s->channels * sizeof *total);
    memset(sums, 0, 2 * (size_t)tile * sizeof *sums);
    range r = shard_pixels(s, shard);
    int calls = 0;
    for (int64_t p = r.begin; p < r.end; p += s->tile) {
        int64_t n = min_i64(s->tile, r.end - p) * s->channels;
        const void *x = value_at(tensor_values(o->input[X]), o->input[X]->type, p * s->channels);
        if (o->input[X]->type == TENSOR_BF16)
            k->accumulate_moments_bf16(sums, sums + tile, x, n);
        else
            k->accumulate_moments(sums, sums + tile, x, n);
        if (++calls % FLUSH_TILES == 0) flush(s, total, sums);
    }
    flush(s, total, sums);
}

/* Sums of the shards of one set, in order, into the first shard's place. */
static double *reduce_set(op *o, int64_t set) {
    norm_state *s = o->state;
    double *total = partial_sums(o, (int)set * s->shards);
    for (int i = 1; i < s->shards; i++) {
        const double *part = partial_sums(o, (int)set * s->shards + i);
        for (int64_t c = 0; c < 2 * s->channels; c++) total[c] += part[c];
    }
    return total;
}

static void update_running(const norm_state *s, int64_t c, double mean, double variance, double n) {
    double unbiased = n > 1 ? variance * n / (n - 1) : variance, keep = 1.0 - (double)s->momentum;
    float *running_mean = s->running.running_mean->value, *running_var = s->running.running_var->value;
    running_mean[c] = (float)(keep * (double)running_mean[c] + (double)s->momentum * mean);
    running_var[c] = (float)(keep * (double)running_var[c] + (double)s->momentum * unbiased);
}

static void batch_moments(op *o) {
    norm_state *s = o->state;
    const double *total = reduce_set(o, 0);
    double n = (double)(s->pictures * s->pixels);
    float *mean = moments(o, 0), *rstd = mean + s->channels;
    for (int64_t c = 0; c < s->channels; c++) {
        double m = total[c] / n, variance = total[s->channels + c] / n - m * m;
        if (variance < 0) variance = 0;
        mean[c] = (float)m;
        rstd[c] = (float)(1.0 / sqrt(variance + (double)s->epsilon));
        update_running(s, c, m, variance, n);
    }
}

static void group_moments(op *o, int64_t set) {
    norm_state *s = o->state;
    const double *total = reduce_set(o, set);
    int64_t width = s->channels / s->groups;
    double n = (double)(s->pixels * width);
    float *mean = moments(o, set), *rstd = mean + s->channels;
    for (int64_t first = 0; first < s->channels; first += width) {
        double sum = 0, squares = 0;
        for (int64_t c = first; c < first + width; c++) {
            sum += total[c];
            squares += total[s->channels + c];
        }
        double m = sum / n, variance = squares / n - m * m;
        if (variance < 0) variance = 0;
        for (int64_t c = first; c < first + width; c++) {
            mean[c] = (float)m;
            rstd[c] = (float)(1.0 / sqrt(variance + (double)s->epsilon));
        }
    }
}

static void affine_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    norm_state *s = o->state;
    const kernels *k = o->owner->kernels;
    int64_t tile = s->tile * s->channels;
    const float *a = coefficients(o, shard / s->shards), *b = a + tile;
    const tensor *x = o->input[X], *residual = o->input[RESIDUAL];
    range r = shard_pixels(s, shard);
    for (int64_t p = r.begin; p < r.end; p += s->tile) {
        int64_t offset = p * s->channels, n = min_i64(s->tile, r.end - p) * s->channels;
        const void *in = value_at(tensor_values(x), x->type, offset);
        const void *add = residual ? value_at(tensor_values(residual), x->type, offset) : NULL;
        void *y = value_at(tensor_values(o->output), x->type, offset);
        if (x->type == TENSOR_BF16)
            k->affine_bf16(y, in, a, b, add, s->relu, n);
        else
            k->affine(y, in, a, b, add, s->relu, n);
    }
}

static void norm_forward(op *o) {
    norm_state *s = o->state;
    int shards = s->shards * (int)set_count(s);
    op_parallel(o, shards, moments_shard, o);
    if (s->groups)
        for (int64_t set = 0; set < s->pictures; set++) group_moments(o, set);
    else
        batch_moments(o);
    const float *weight = tensor_f32(o->input[WEIGHT]), *bias = tensor_f32(o->input[BIAS]);
    for (int64_t set = 0; set < set_count(s); set++) {
        const float *mean = moments(o, set), *rstd = mean + s->channels;
        float *a = coefficients(o, set), *b = a + s->tile * s->channels;
        for (int64_t c = 0; c < s->channels; c++) {
            a[c] = weight[c] * rstd[c];
            b[c] = bias[c] - mean[c] * a[c];
        }
        repeat_in_tile(s, a);
        repeat_in_tile(s, b);
    }
    op_parallel(o, shards, affine_shard, o);
}

/* g = dy where y > 0, in place; copied to the residual's gradient; sums of g xhat and g. The tile's coefficients hold
 * mean and 1/deviation here. */
static void gradient_sums_shard(void *context, int shard, int worker) {
    op *o = context;
    norm_state *s = o->state;
    const kernels *k = o->owner->kernels;
    const tensor *x = o->input[X];
    tensor_type type = x->type;
    int64_t tile = s->tile * s->channels;
    const float *mean = coefficients(o, shard / s->shards), *rstd = mean + tile;
    float *sums = op_worker_scratch(o, worker);
    double *total = partial_sums(o, shard);
    memset(total, 0, 2 * (size_t)s->channels * sizeof *total);
    memset(sums, 0, 2 * (size_t)tile * sizeof *sums);
    void *residual = o->input[RESIDUAL] ? op_input_gradient(o, RESIDUAL) : NULL;
    uint8_t *dy = op_output_gradient(o);
    size_t bytes = type_bytes(type);
    range r = shard_pixels(s, shard);
    int calls = 0;
    for (int64_t p = r.begin; p < r.end; p += s->tile) {
        int64_t offset = p * s->channels, n = min_i64(s->tile, r.end - p) * s->channels;
        void *g = dy + (size_t)offset * bytes;
        if (s->relu) {
            const void *y = (const uint8_t *)tensor_values(o->output) + (size_t)offset * bytes;
            if (type == TENSOR_F32)
                k->relu_gate(g, y, n);
            else
                k->relu_gate_bf16(g, y, n);
        }
        if (residual) memcpy((uint8_t *)residual + (size_t)offset * bytes, g, (size_t)n * bytes);
        const void *in = value_at(tensor_values(x), type, offset);
        if (type == TENSOR_BF16)
            k->accumulate_norm_gradient_bf16(sums, sums + tile, g, in, mean, rstd, n);
        else
            k->accumulate_norm_gradient(sums, sums + tile, g, in, mean, rstd, n);
        if (++calls % FLUSH_TILES == 0) flush(s, total, sums);
    }
    flush(s, total, sums);
}

/* dx = a g + b x + d per channel, from the sums of g xhat and g over what shares moments. */
static void gradient_coefficients(op *o, int64_t set, const double *sum_gx, const double *sum_g) {
    norm_state *s = o->state;
    const float *weight = tensor_f32(o->input[WEIGHT]), *mean = moments(o, set), *rstd = mean + s->channels;
    float *a = coefficients(o, set), *b = a + s->tile * s->channels, *d = b + s->tile * s->channels;
    int64_t width = s->groups ? s->channels / s->groups : 1;
    double n = (double)(s->groups ? s->pixels * width : s->pictures * s->pixels);
    for (int64_t first = 0; first < s->channels; first += width) {
        double m_gx = 0, m_g = 0;
        for (int64_t c = first; c < first + width; c++) {
            m_gx += (double)weight[c] * sum_gx[c] / n;
            m_g += (double)weight[c] * sum_g[c] / n;
        }
        for (int64_t c = first; c < first + width; c++) {
            double r = (double)rstd[c], m = (double)mean[c];
            a[c] = (float)((double)weight[c] * r);
            b[c] = (float)(-r * r * m_gx);
            d[c] = (float)(r * r * m * m_gx - r * m_g);
        }
    }
    repeat_in_tile(s, a);
    repeat_in_tile(s, b);
    repeat_in_tile(s, d);
}

static void gradient_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    norm_state *s = o->state;
    const kernels *k = o->owner->kernels;
    const tensor *x = o->input[X];
    tensor_type type = x->type;
    int64_t tile = s->tile * s->channels;
    const float *a = coefficients(o, shard / s->shards), *b = a + tile, *d = b + tile;
    range r = shard_pixels(s, shard);
    for (int64_t p = r.begin; p < r.end; p += s->tile) {
        int64_t offset = p * s->channels, n = min_i64(s->tile, r.end - p) * s->channels;
        const void *g = value_at(op_output_gradient(o), type, offset);
        const void *in = value_at(tensor_values(x), type, offset);
        void *dx = value_at(op_input_gradient(o, X), type, offset);
        if (type == TENSOR_BF16)
            k->norm_gradient_bf16(dx, g, in, a, b, d, n);
        else
            k->norm_gradient(dx, g, in, a, b, d, n);
    }
}

/* Mean and 1/deviation of every set into the tiles' coefficients, for gradient_sums_shard. */
static void repeat_moments(op *o) {
    norm_state *s = o->state;
    for (int64_t set = 0; set < set_count(s); set++)
        for (int part = 0; part < 2; part++) {
            float *vector = coefficients(o, set) + part * s->tile * s->channels;
            memcpy(vector, moments(o, set) + part * s->channels, (size_t)s->channels * sizeof *vector);
            repeat_in_tile(s, vector);
        }
}

static void norm_backward(op *o) {
    norm_state *s = o->state;
    int shards = s->shards * (int)set_count(s);
    repeat_moments(o);
    op_parallel(o, shards, gradient_sums_shard, o);
    float *dweight = op_parameter_gradient(o, WEIGHT), *dbias = op_parameter_gradient(o, BIAS);
    for (int64_t set = 0; set < set_count(s); set++) {
        const double *sum_gx = reduce_set(o, set), *sum_g = sum_gx + s->channels;
        for (int64_t c = 0; c < s->channels; c++) {
            if (dweight) dweight[c] += (float)sum_gx[c];
            if (dbias) dbias[c] += (float)sum_g[c];
        }
        gradient_coefficients(o, set, sum_gx, sum_g);
    }
    if (op_input_gradient(o, X)) op_parallel(o, shards, gradient_shard, o);
}

static const op_type batch_norm_type = {"batch norm", norm_prepare, norm_forward, norm_backward, NULL};
static const op_type group_norm_type = {"group norm", norm_prepare, norm_forward, norm_backward, NULL};

static tensor *record_norm(graph *g, const op_type *type, tensor *x, tensor *weight, tensor *bias, tensor *residual,
                           norm_state state) {
    if (!x || !weight || !bias) return NULL;
    if (x->rank != 4 || weight->count != x->size[3] || bias->count != x->size[3] ||
        (residual && (residual->count != x->count || residual->type != x->type)))
        return graph_fail(g, "%s: shapes do not fit a picture of %lld channels", type->name,
                          (long long)x->size[x->rank - 1]);
    op *o = graph_record(g, type, 4, (tensor *[]){x, weight, bias, residual}, x->type, 4, x->size, sizeof(norm_state));
    if (!o) return NULL;
    state.pictures = x->size[0];
    state.pixels = x->size[1] * x->size[2];
    state.channels = x->size[3];
    *(norm_state *)o->state = state;
    o->backward_reads = READS_INPUT(X);
    return o->output;
}

tensor *op_batch_norm(graph *g, tensor *x, const norm_parameters *norm, tensor *residual, bool relu, float momentum) {
    return record_norm(g, &batch_norm_type, x, graph_parameter(g, norm->weight), graph_parameter(g, norm->bias),
                       residual,
                       (norm_state){.relu = relu, .epsilon = norm->epsilon, .momentum = momentum, .running = *norm});
}

tensor *op_group_norm(graph *g, tensor *x, parameter *weight, parameter *bias, int groups, float epsilon,
                      tensor *residual, bool relu) {
    if (!x) return NULL;
    if (groups < 1 || x->size[x->rank - 1] % groups)
        return graph_fail(g, "group norm: %d groups do not divide %lld channels", groups,
                          (long long)x->size[x->rank - 1]);
    return record_norm(g, &group_norm_type, x, graph_parameter(g, weight), graph_parameter(g, bias), residual,
                       (norm_state){.relu = relu, .epsilon = epsilon, .groups = groups});
}
