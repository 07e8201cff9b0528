/* y = f(x W^T + b): the product of every projection and feed-forward layer. Rows are cut into shards; the gradient of
 * W is cut along its own sides, so that no partial sums are needed. bf16 packs the weights, for AMX tiles where the
 * processor has them (a linear layer is a 1x1 convolution of a picture one row high), else into panels, or for oneDNN
 * where the processor does not multiply bf16; f32 packs them into panels where they stay the same and many rows use
 * them, and else reads them as they lie. */
#include <stdlib.h>
#include <string.h>

#include "tensor/linear_gradient.h"
#include "tensor/ops.h"
#include "tensor/panel_product.h"
#include "tensor/span.h"
#include "tensor/tile_convolution.h"

enum { X, WEIGHT, BIAS };

/* f32, from so many rows on: packing then costs less than one product gains by it, also where graphs of many shapes are
 * made in turn. It is a second copy of the weights, nearly twice as large by Strassen: BERT-base holds 0.6 GB more. */
#define PACKED_ROWS 512

typedef enum way { NOT_WANTED, BY_ONEDNN, BY_PANELS, BY_TILES } way;

typedef struct linear_state {
    int64_t rows, inputs, outputs; /* M, I, O */
    activation_function function;
    way forward_way, dx_way, weights_way;
    bool activates_rows; /* after their product, by a kernel: oneDNN's GELU takes as long as a tenth of the product */
    int64_t row_block;   /* oneDNN: rows of x per shard */
    int row_shards;
    product *forward, *forward_tail; /* the last shard may be shorter */
    product *dx, *dx_tail;
    linear_gradient gradient;
    panel_product panels, dx_panels;
    tile_convolution tiles;
    uint64_t packed_bytes; /* 0: read as they lie */
    void *packed;          /* inference: kept */
    uint64_t packed_version;
    uint64_t dx_packed_bytes;
} linear_state;

static void linear_free(void *state) {
    linear_state *s = state;
    product_free(s->forward);
    product_free(s->forward_tail);
    product_free(s->dx);
    product_free(s->dx_tail);
    linear_gradient_free(&s->gradient);
    free(s->packed);
}

/* Shards of about 256 rows, below which products run slower; but two if there is work for two, and at most 16. */
static int product_shards(int64_t rows, int64_t inputs, int64_t outputs) {
    int64_t by_work = rows * inputs * outputs / (1 << 20), by_rows = min_i64(max_i64(rows / 256, 2), rows / 16);
    return (int)max_i64(1, min_i64(min_i64(by_work, by_rows), 16));
}

/* A product for the full block and, when the rows do not divide, one for the last. */
static carina_status create_pair(product **full, product **tail, product_shape shape, int64_t rows, int64_t block,
                                 uint64_t *scratch, carina_error *error) {
    shape.m = min_i64(block, rows);
    TRY(product_create(full, &shape, NULL, error));
    *scratch = (uint64_t)max_i64((int64_t)*scratch, (int64_t)product_scratch_bytes(*full));
    if (rows % block == 0 || rows < block) return CARINA_OK;
    shape.m = rows % block;
    TRY(product_create(tail, &shape, shape.b_packed ? *full : NULL, error));
    *scratch = (uint64_t)max_i64((int64_t)*scratch, (int64_t)product_scratch_bytes(*tail));
    return CARINA_OK;
}

/* ---- preparing ---- */

static void need(uint64_t *bytes, uint64_t wanted) {
    if (*bytes < wanted) *bytes = wanted;
}

/* Rows of k values to rows of n, by oneDNN; how W lies, the caller says. */
static product_shape shape_of(tensor_type type, int64_t n, int64_t k) {
    return (product_shape){.n = n,
                           .k = k,
                           .a_type = type,
                           .b_type = type,
                           .c_type = type,
                           .a_row = k,
                           .a_column = 1,
                           .c_row = n,
                           .b_packed = type != TENSOR_F32};
}

static carina_status prepare_dx(op *o, carina_error *error) {
    linear_state *s = o->state;
    tensor_type type = o->output->type;
    const panel_kernel *kernel = type == TENSOR_BF16 ? panel_kernel_best(type) : NULL;
    s->dx_way = s->forward_way == BY_TILES ? BY_TILES : kernel ? BY_PANELS : BY_ONEDNN;
    if (s->dx_way == BY_TILES) {
        s->dx_packed_bytes = s->packed_bytes;
    } else if (s->dx_way == BY_PANELS) {
        s->dx_panels = panel_product_make(kernel, s->inputs, s->outputs, FUNCTION_NONE);
        s->dx_packed_bytes = panel_product_packed_bytes(&s->dx_panels);
        need(&o->worker_bytes, panel_product_scratch_bytes(&s->dx_panels));
    } else {
        product_shape dx = shape_of(type, s->inputs, s->outputs);
        dx.b_row = s->inputs, dx.b_column = 1;
        TRY(create_pair(&s->dx, &s->dx_tail, dx, s->rows, s->row_block, &o->worker_bytes, error));
        if (dx.b_packed) s->dx_packed_bytes = product_packed_bytes(s->dx);
    }
    need(&o->scratch_bytes, s->dx_packed_bytes);
    return CARINA_OK;
}

static carina_status prepare_weights(op *o, carina_error *error) {
    linear_state *s = o->state;
    tensor_type type = o->output->type;
    s->weights_way = s->forward_way == BY_TILES ? BY_TILES : BY_ONEDNN;
    if (s->weights_way == BY_TILES) {
        linear_gradient_bias_only(&s->gradient, type, s->rows, s->outputs);
        need(&o->scratch_bytes, tile_convolution_sum_bytes(&s->tiles));
        need(&o->worker_bytes, tile_convolution_gradient_worker_bytes(&s->tiles));
    } else {
        TRY(linear_gradient_create(&s->gradient, type, s->rows, s->inputs, s->outputs, true, error));
        need(&o->worker_bytes, linear_gradient_worker_bytes(&s->gradient));
    }
    need(&o->scratch_bytes, linear_gradient_bias_bytes(&s->gradient));
    return CARINA_OK;
}

static way choose_forward(const op *o, const tile_shape *tiles) {
    const linear_state *s = o->state;
    tensor_type type = o->output->type;
    bool simple = s->function == FUNCTION_NONE || s->function == FUNCTION_RELU;
    if (type == TENSOR_BF16 && simple && s->inputs > 1 && tile_convolution_suits(tiles)) return BY_TILES;
    bool packs = type == TENSOR_BF16 || (!o->owner->options.training && s->rows >= PACKED_ROWS);
    return packs && panel_kernel_best(type) ? BY_PANELS : BY_ONEDNN;
}

static carina_status prepare_forward_onednn(op *o, carina_error *error) {
    linear_state *s = o->state;
    tensor_type type = o->output->type;
    s->activates_rows = type == TENSOR_F32 && s->function == FUNCTION_GELU;
    product_shape forward = shape_of(type, s->outputs, s->inputs);
    forward.b_row = 1, forward.b_column = s->inputs;
    forward.has_bias = o->input[BIAS] != NULL;
    forward.function = s->activates_rows ? FUNCTION_NONE : s->function;
    TRY(create_pair(&s->forward, &s->forward_tail, forward, s->rows, s->row_block, &o->worker_bytes, error));
    s->packed_bytes = forward.b_packed ? product_packed_bytes(s->forward) : 0;
    return CARINA_OK;
}

static carina_status prepare_forward(op *o, carina_error *error) {
    linear_state *s = o->state;
    tile_shape shape = {.batch = 1,
                        .height = 1,
                        .width = s->rows,
                        .channels = s->inputs,
                        .output_height = 1,
                        .output_width = s->rows,
                        .outputs = s->outputs,
                        .kernel = 1,
                        .stride = 1};
    s->forward_way = choose_forward(o, &shape);
    if (s->forward_way == BY_ONEDNN) return prepare_forward_onednn(o, error);
    if (s->forward_way == BY_TILES) {
        s->tiles = tile_convolution_make(&shape);
        s->packed_bytes = tile_convolution_packed_bytes(&s->tiles);
    } else {
        const panel_kernel *kernel = panel_kernel_best(o->output->type);
        s->panels = panel_product_make(kernel, s->outputs, s->inputs, s->function);
        panel_product_prefer_strassen(&s->panels);
        s->packed_bytes = panel_product_packed_bytes(&s->panels);
        need(&o->worker_bytes, panel_product_scratch_bytes(&s->panels));
    }
    return CARINA_OK;
}

static carina_status linear_prepare(op *o, carina_error *error) {
    linear_state *s = o->state;
    s->row_shards = product_shards(s->rows, s->inputs, s->outputs);
    s->row_block = (s->rows + s->row_shards - 1) / s->row_shards;
    s->row_shards = (int)((s->rows + s->row_block - 1) / s->row_block);
    TRY(prepare_forward(o, error));
    if (o->owner->options.training) {
        o->scratch_bytes = s->packed_bytes; /* the weights change with every step: packed anew, nothing kept */
    } else if (s->packed_bytes) {
        s->packed = aligned_alloc(64, (s->packed_bytes + 63) / 64 * 64);
        if (!s->packed) return error_memory(error, "packed weights", s->packed_bytes);
    }
    if (o->backward_active && op_wants_gradient(o, X)) TRY(prepare_dx(o, error));
    if (o->backward_active && op_wants_gradient(o, WEIGHT)) TRY(prepare_weights(o, error));
    return CARINA_OK;
}

/* ---- forward ---- */

/* What the product reads: the packed copy of the weights, or the weights as they lie where nothing is packed. */
static const void *weights_of(const op *o) {
    const linear_state *s = o->state;
    if (!s->packed_bytes) return tensor_f32(o->input[WEIGHT]);
    return s->packed ? s->packed : op_scratch(o);
}

static void forward_shard(void *context, int shard, int worker) {
    op *o = context;
    linear_state *s = o->state;
    size_t bytes = type_bytes(o->output->type);
    int64_t begin = shard * s->row_block;
    const product *p = begin + s->row_block > s->rows && s->forward_tail ? s->forward_tail : s->forward;
    void *y = (uint8_t *)tensor_values(o->output) + (size_t)(begin * s->outputs) * bytes;
    product_run(p, (const uint8_t *)tensor_values(o->input[X]) + (size_t)(begin * s->inputs) * bytes, weights_of(o),
                o->input[BIAS] ? tensor_f32(o->input[BIAS]) : NULL, y, op_worker_scratch(o, worker));
    if (s->activates_rows)
        o->owner->kernels->activate(y, y, min_i64(s->row_block, s->rows - begin) * s->outputs, s->function);
}

static void pack(op *o, void *packed) {
    linear_state *s = o->state;
    const float *plain = tensor_f32(o->input[WEIGHT]);
    if (s->forward_way == BY_TILES)
        tile_convolution_pack(&s->tiles, o, plain, packed);
    else if (s->forward_way == BY_PANELS)
        panel_product_pack_parallel(&s->panels, o, plain, 1, s->inputs, packed);
    else
        product_pack(s->forward, plain, packed);
}

static void linear_forward(op *o) {
    linear_state *s = o->state;
    const parameter *p = o->input[WEIGHT]->param;
    if (s->packed_bytes && !s->packed) {
        pack(o, op_scratch(o));
    } else if (s->packed && (!p || s->packed_version != p->version)) {
        pack(o, s->packed);
        s->packed_version = p ? p->version : 0;
    }
    const float *bias = o->input[BIAS] ? tensor_f32(o->input[BIAS]) : NULL;
    if (s->forward_way == BY_TILES) {
        tile_convolution_forward(&s->tiles, o, tensor_values(o->input[X]), weights_of(o), bias, NULL,
                                 s->function == FUNCTION_RELU, tensor_values(o->output));
    } else if (s->forward_way == BY_PANELS) {
        panel_call call = {tensor_values(o->input[X]), weights_of(o), bias, NULL, tensor_values(o->output), s->rows};
        panel_product_run_parallel(&s->panels, o, &call);
    } else {
        op_parallel(o, s->row_shards, forward_shard, o);
    }
}

/* ---- backward ---- */

/* dy becomes dz = dy f'(z), in place. */
static void gate_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    linear_state *s = o->state;
    const kernels *k = o->owner->kernels;
    tensor_type type = o->output->type;
    range r = shard_range(o->output->count, shard_count_for(s->rows, s->outputs), shard);
    float y_buffer[SPAN_VALUES], g_buffer[SPAN_VALUES];
    for (int64_t i = r.begin; i < r.end; i += SPAN_VALUES) {
        int64_t n = min_i64(SPAN_VALUES, r.end - i);
        const float *y = span_read(k, tensor_values(o->output), type, i, n, y_buffer);
        const float *dy = span_read(k, op_output_gradient(o), type, i, n, g_buffer);
        float *dz = span_target(op_output_gradient(o), type, i, g_buffer);
        k->activate_gradient(dz, y, dy, n, s->function);
        span_flush(k, op_output_gradient(o), type, i, n, dz);
    }
}

static void dx_shard(void *context, int shard, int worker) {
    op *o = context;
    linear_state *s = o->state;
    size_t bytes = type_bytes(o->output->type);
    int64_t begin = shard * s->row_block;
    const product *p = begin + s->row_block > s->rows && s->dx_tail ? s->dx_tail : s->dx;
    const void *weights = s->dx_packed_bytes ? op_scratch(o) : tensor_f32(o->input[WEIGHT]);
    product_run(p, (const uint8_t *)op_output_gradient(o) + (size_t)(begin * s->outputs) * bytes, weights, NULL,
                (uint8_t *)op_input_gradient(o, X) + (size_t)(begin * s->inputs) * bytes, op_worker_scratch(o, worker));
}

static void linear_dx(op *o) {
    linear_state *s = o->state;
    const float *plain = tensor_f32(o->input[WEIGHT]);
    if (s->dx_way == BY_TILES) {
        tile_convolution_pack_data(&s->tiles, o, plain, op_scratch(o));
        tile_convolution_data(&s->tiles, o, op_output_gradient(o), op_scratch(o), op_input_gradient(o, X));
    } else if (s->dx_way == BY_PANELS) {
        panel_product_pack_parallel(&s->dx_panels, o, plain, s->inputs, 1, op_scratch(o));
        panel_call call = {op_output_gradient(o), op_scratch(o), NULL, NULL, op_input_gradient(o, X), s->rows};
        panel_product_run_parallel(&s->dx_panels, o, &call);
    } else {
        if (s->dx_packed_bytes) product_pack(s->dx, plain, op_scratch(o));
        op_parallel(o, s->row_shards, dx_shard, o);
    }
}

static void linear_backward(op *o) {
    linear_state *s = o->state;
    if (s->function != FUNCTION_NONE) op_parallel(o, shard_count_for(s->rows, s->outputs), gate_shard, o);
    float *dbias = o->input[BIAS] ? op_parameter_gradient(o, BIAS) : NULL;
    float *dw = op_parameter_gradient(o, WEIGHT);
    if (s->weights_way == BY_TILES)
        tile_convolution_weights(&s->tiles, o, tensor_values(o->input[X]), op_output_gradient(o), NULL, op_scratch(o),
                                 dw);
    else if (s->weights_way == BY_ONEDNN)
        linear_gradient_weights(&s->gradient, o, op_output_gradient(o), tensor_values(o->input[X]), dw);
    if (dbias && s->gradient.bias_shards) linear_gradient_bias(&s->gradient, o, op_output_gradient(o), dbias);
    if (s->dx_way) linear_dx(o);
}

static const op_type linear_type = {"linear", linear_prepare, linear_forward, linear_backward, linear_free};

tensor *op_linear(graph *g, tensor *x, tensor *weight, tensor *bias, activation act) {
    if (!x || !weight) return NULL;
    if (weight->rank != 2 || weight->size[1] != x->size[x->rank - 1] || weight->type != TENSOR_F32 ||
        (bias && (bias->count != weight->size[0] || bias->type != TENSOR_F32)))
        return graph_fail(g, "linear: weight of %lld inputs on a tensor of width %lld",
                          (long long)weight->size[weight->rank - 1], (long long)x->size[x->rank - 1]);
    if (g->options.training && (act == ACTIVATION_GELU || act == ACTIVATION_GELU_TANH))
        return op_activation(g, op_linear(g, x, weight, bias, ACTIVATION_NONE), act); /* its gradient needs z */
    int64_t size[TENSOR_MAX_RANK];
    memcpy(size, x->size, sizeof size);
    size[x->rank - 1] = weight->size[0];
    op *o =
        graph_record(g, &linear_type, 3, (tensor *[]){x, weight, bias}, x->type, x->rank, size, sizeof(linear_state));
    if (!o) return NULL;
    linear_state *s = o->state;
    s->inputs = weight->size[1];
    s->outputs = weight->size[0];
    s->rows = x->count / s->inputs;
    s->function = (activation_function)act;
    o->backward_reads = (weight->needs_gradient ? READS_INPUT(X) : 0) | (act != ACTIVATION_NONE ? READS_OUTPUT : 0);
    return o->output;
}
