/* The wrapper round oneDNN's C interface (operation descriptors, gone in v3): see dnnl.h. Only this file includes it.
 */
#include "tensor/dnnl.h"

#include <dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"

/* oneDNN's OpenMP runtime; declared here because clang ships no omp.h for it. */
extern void omp_set_num_threads(int count);
extern int omp_get_max_threads(void);

#define MAX_ARGUMENTS 8

/* The processor seen as an engine: one for the process, made at first use and never changed afterwards. */
static dnnl_engine_t engine;
static dnnl_stream_t stream;
static pthread_once_t engine_once = PTHREAD_ONCE_INIT;

static void make_engine(void) {
    static const dnnl_cpu_isa_t caps[CPU_LEVEL_COUNT] = {dnnl_cpu_isa_sse41, dnnl_cpu_isa_avx2,
                                                         dnnl_cpu_isa_avx512_core_bf16, dnnl_cpu_isa_all};
    dnnl_set_max_cpu_isa(
        caps[cpu_level_effective()]); /* refused when someone used oneDNN before us: their choice holds */
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) engine = NULL;
    if (engine && dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success) stream = NULL;
}

/* Every call into oneDNN happens between these two: it must neither plan for nor start OpenMP threads, and the
 * application's own setting must not change. */
static int enter_single_thread(void) {
    pthread_once(&engine_once, make_engine);
    int before = omp_get_max_threads();
    if (before != 1) omp_set_num_threads(1);
    return before;
}
static void leave_single_thread(int before) {
    if (before != 1) omp_set_num_threads(before);
}

static const char *status_text(dnnl_status_t status) {
    switch (status) {
        case dnnl_success: return "success";
        case dnnl_out_of_memory: return "out of memory";
        case dnnl_invalid_arguments: return "invalid arguments";
        case dnnl_unimplemented: return "unimplemented";
        default: return "runtime error";
    }
}

static carina_status dnnl_error(carina_error *error, dnnl_status_t status, const char *what) {
    return error_set(error, status == dnnl_out_of_memory ? CARINA_ERROR_MEMORY : CARINA_ERROR_UNSUPPORTED,
                     "oneDNN %s: %s", what, status_text(status));
}

static dnnl_data_type_t data_type(tensor_type type) { return type == TENSOR_BF16 ? dnnl_bf16 : dnnl_f32; }

/* What products and convolutions share: a primitive, its memory descriptors, and the reorders of its weights. */
typedef struct primitive {
    dnnl_primitive_t handle;
    dnnl_memory_desc_t source, weights, target, bias, scratch;
    dnnl_memory_desc_t plain_weights; /* f32, as the model stores them */
    dnnl_primitive_t pack, unpack;
    bool weights_are_plain;
} primitive;

struct product {
    primitive base;
    bool has_bias;
    bool is_sgemm; /* plain f32 operands: oneDNN's BLAS-like call is far faster on strided ones than its matmul */
    product_shape shape;
};
struct convolution {
    primitive base;
    convolution_direction direction;
    bool has_bias, has_residual;
    char implementation[64];
};

static uint64_t descriptor_bytes(const dnnl_memory_desc_t *d) { return dnnl_memory_desc_get_size(d); }

static void execute(dnnl_primitive_t handle, int count, const int *names, const dnnl_memory_desc_t *const *descriptors,
                    void *const *data) {
    dnnl_exec_arg_t arguments[MAX_ARGUMENTS];
    int before = enter_single_thread();
    int used = 0;
    for (int i = 0; i < count; i++) {
        if (descriptors[i]->ndims == 0) continue; /* an absent bias or an empty scratchpad */
        dnnl_memory_t memory = NULL;
        dnnl_memory_create(&memory, descriptors[i], engine, data[i]);
        arguments[used++] = (dnnl_exec_arg_t){names[i], memory};
    }
    dnnl_primitive_execute(handle, stream, used, arguments);
    dnnl_stream_wait(stream);
    for (int i = 0; i < used; i++) dnnl_memory_destroy(arguments[i].memory);
    leave_single_thread(before);
}

static dnnl_status_t make_reorder(dnnl_primitive_t *out, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to) {
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(&descriptor, from, engine, to, engine, NULL);
    if (status != dnnl_success) return status;
    status = dnnl_primitive_create(out, descriptor);
    dnnl_primitive_desc_destroy(descriptor);
    return status;
}

static void run_reorder(dnnl_primitive_t reorder, const dnnl_memory_desc_t *from, const void *source,
                        const dnnl_memory_desc_t *to, void *target) {
    execute(reorder, 2, (int[]){DNNL_ARG_FROM, DNNL_ARG_TO}, (const dnnl_memory_desc_t *[]){from, to},
            (void *[]){(void *)(uintptr_t)source, target});
}

static void primitive_free(primitive *p) {
    if (p->handle) dnnl_primitive_destroy(p->handle);
    if (p->pack) dnnl_primitive_destroy(p->pack);
    if (p->unpack) dnnl_primitive_destroy(p->unpack);
}

/* Takes what the descriptor decided: layouts, scratch size; creates the primitive; frees the descriptor. */
static dnnl_status_t finish(primitive *p, dnnl_primitive_desc_t descriptor, dnnl_query_t source, dnnl_query_t weights,
                            dnnl_query_t target) {
    p->source = *dnnl_primitive_desc_query_md(descriptor, source, 0);
    p->weights = *dnnl_primitive_desc_query_md(descriptor, weights, 0);
    p->target = *dnnl_primitive_desc_query_md(descriptor, target, 0);
    p->scratch = *dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0);
    dnnl_status_t status = dnnl_primitive_create(&p->handle, descriptor);
    dnnl_primitive_desc_destroy(descriptor);
    return status;
}

static dnnl_alg_kind_t eltwise_of(activation_function f) {
    switch (f) {
        case FUNCTION_RELU: return dnnl_eltwise_relu;
        case FUNCTION_GELU: return dnnl_eltwise_gelu_erf;
        case FUNCTION_GELU_TANH: return dnnl_eltwise_gelu_tanh;
        case FUNCTION_SIGMOID: return dnnl_eltwise_logistic;
        case FUNCTION_NONE: break;
    }
    return dnnl_alg_kind_undef;
}

static dnnl_status_t make_attributes(dnnl_primitive_attr_t *out, activation_function f, bool add) {
    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (status != dnnl_success) return status;
    dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    dnnl_post_ops_t operations;
    dnnl_post_ops_create(&operations);
    if (add) dnnl_post_ops_append_sum(operations, 1.0f);
    if (f != FUNCTION_NONE) dnnl_post_ops_append_eltwise(operations, 1.0f, eltwise_of(f), 0.0f, 0.0f);
    status = dnnl_primitive_attr_set_post_ops(*out, operations);
    dnnl_post_ops_destroy(operations);
    return status;
}

/* ---- products ---- */

static dnnl_status_t product_build(product *p, const product_shape *s, const product *like) {
    dnnl_memory_desc_t a, b, c;
    dnnl_memory_desc_init_by_strides(&a, 2, (dnnl_dims_t){s->m, s->k}, data_type(s->a_type),
                                     (dnnl_dims_t){s->a_row, s->a_column});
    dnnl_memory_desc_init_by_strides(&p->base.plain_weights, 2, (dnnl_dims_t){s->k, s->n}, dnnl_f32,
                                     (dnnl_dims_t){s->b_row, s->b_column});
    dnnl_memory_desc_init_by_strides(&c, 2, (dnnl_dims_t){s->m, s->n}, data_type(s->c_type),
                                     (dnnl_dims_t){s->c_row, 1});
    if (like)
        b = like->base.weights;
    else if (s->b_packed)
        dnnl_memory_desc_init_by_tag(&b, 2, (dnnl_dims_t){s->k, s->n}, data_type(s->b_type), dnnl_format_tag_any);
    else
        dnnl_memory_desc_init_by_strides(&b, 2, (dnnl_dims_t){s->k, s->n}, data_type(s->b_type),
                                         (dnnl_dims_t){s->b_row, s->b_column});
    if (s->has_bias) dnnl_memory_desc_init_by_tag(&p->base.bias, 2, (dnnl_dims_t){1, s->n}, dnnl_f32, dnnl_ab);
    dnnl_matmul_desc_t operation;
    dnnl_status_t status = dnnl_matmul_desc_init(&operation, &a, &b, s->has_bias ? &p->base.bias : NULL, &c);
    if (status != dnnl_success) return status;
    dnnl_primitive_attr_t attributes;
    status = make_attributes(&attributes, s->function, s->add);
    if (status != dnnl_success) return status;
    dnnl_primitive_desc_t descriptor = NULL;
    status = dnnl_primitive_desc_create(&descriptor, &operation, attributes, engine, NULL);
    dnnl_primitive_attr_destroy(attributes);
    if (status != dnnl_success) return status;
    status = finish(&p->base, descriptor, dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md);
    if (status == dnnl_success && s->b_packed)
        status = make_reorder(&p->base.pack, &p->base.plain_weights, &p->base.weights);
    return status;
}

carina_status product_create(product **out, const product_shape *shape, const product *like, carina_error *error) {
    *out = calloc(1, sizeof **out);
    if (!*out) return error_memory(error, "product", sizeof **out);
    (*out)->has_bias = shape->has_bias;
    (*out)->shape = *shape;
    (*out)->is_sgemm = shape->a_type == TENSOR_F32 && shape->b_type == TENSOR_F32 && shape->c_type == TENSOR_F32 &&
                       !shape->b_packed && !shape->has_bias && shape->function == FUNCTION_NONE;
    if ((*out)->is_sgemm) return CARINA_OK;
    int before = enter_single_thread();
    dnnl_status_t status = stream ? product_build(*out, shape, like) : dnnl_runtime_error;
    leave_single_thread(before);
    if (status == dnnl_success) return CARINA_OK;
    product_free(*out);
    *out = NULL;
    return dnnl_error(error, status, "product");
}

void product_free(product *p) {
    if (!p) return;
    primitive_free(&p->base);
    free(p);
}

uint64_t product_scratch_bytes(const product *p) { return p->is_sgemm ? 0 : descriptor_bytes(&p->base.scratch); }
uint64_t product_packed_bytes(const product *p) { return descriptor_bytes(&p->base.weights); }

void product_pack(const product *p, const float *b_plain, void *packed) {
    run_reorder(p->base.pack, &p->base.plain_weights, b_plain, &p->base.weights, packed);
}

static void run_sgemm(const product_shape *s, const float *a, const float *b, float *c) {
    bool a_transposed = s->a_column != 1, b_transposed = s->b_column != 1;
    int before = enter_single_thread();
    dnnl_sgemm(a_transposed ? 'T' : 'N', b_transposed ? 'T' : 'N', s->m, s->n, s->k, 1.0f, a,
               a_transposed ? s->a_column : s->a_row, b, b_transposed ? s->b_column : s->b_row, s->add ? 1.0f : 0.0f, c,
               s->c_row);
    leave_single_thread(before);
}

void product_run(const product *p, const void *a, const void *b, const float *bias, void *c, void *scratch) {
    if (p->is_sgemm) {
        run_sgemm(&p->shape, a, b, c);
        return;
    }
    execute(p->base.handle, 5,
            (int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD},
            (const dnnl_memory_desc_t *[]){&p->base.source, &p->base.weights, &p->base.bias, &p->base.target,
                                           &p->base.scratch},
            (void *[]){(void *)(uintptr_t)a, (void *)(uintptr_t)b, (void *)(uintptr_t)bias, c, scratch});
}

/* ---- convolutions ---- */

typedef struct convolution_descriptors {
    dnnl_memory_desc_t x, w, y;
    dnnl_dims_t strides, pad_before, pad_after;
} convolution_descriptors;

static void describe(convolution_descriptors *d, const convolution_shape *s, const convolution *like) {
    dnnl_data_type_t type = data_type(s->type);
    dnnl_memory_desc_init_by_tag(&d->x, 4, (dnnl_dims_t){s->batch, s->input_channels, s->input_height, s->input_width},
                                 type, dnnl_nhwc);
    dnnl_memory_desc_init_by_tag(
        &d->y, 4, (dnnl_dims_t){s->batch, s->output_channels, s->output_height, s->output_width}, type, dnnl_nhwc);
    dnnl_memory_desc_init_by_tag(
        &d->w, 4, (dnnl_dims_t){s->output_channels, s->input_channels, s->kernel_height, s->kernel_width},
        s->direction == CONVOLUTION_BACKWARD_WEIGHTS ? dnnl_f32 : type, dnnl_format_tag_any);
    if (like) d->w = like->base.weights;
    memcpy(d->strides, (dnnl_dims_t){s->stride, s->stride}, sizeof d->strides);
    memcpy(d->pad_before, (dnnl_dims_t){s->pad_top, s->pad_left}, sizeof d->pad_before);
    memcpy(d->pad_after, (dnnl_dims_t){s->pad_bottom, s->pad_right}, sizeof d->pad_after);
}

static dnnl_status_t forward_descriptor(dnnl_primitive_desc_t *out, convolution *c, const convolution_shape *s,
                                        const convolution_descriptors *d, const dnnl_memory_desc_t *weights) {
    dnnl_convolution_desc_t operation;
    bool bias = s->has_bias && s->direction == CONVOLUTION_FORWARD;
    dnnl_status_t status =
        dnnl_convolution_forward_desc_init(&operation, dnnl_forward_training, dnnl_convolution_direct, &d->x, weights,
                                           bias ? &c->base.bias : NULL, &d->y, d->strides, d->pad_before, d->pad_after);
    if (status != dnnl_success) return status;
    dnnl_primitive_attr_t attributes;
    bool forward = s->direction == CONVOLUTION_FORWARD;
    status =
        make_attributes(&attributes, forward && s->relu ? FUNCTION_RELU : FUNCTION_NONE, forward && s->has_residual);
    if (status != dnnl_success) return status;
    status = dnnl_primitive_desc_create(out, &operation, attributes, engine, NULL);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

static dnnl_status_t backward_descriptor(dnnl_primitive_desc_t *out, convolution *c, const convolution_shape *s,
                                         const convolution_descriptors *d) {
    /* oneDNN wants the forward primitive as a hint; any weights type that goes with x serves. */
    dnnl_memory_desc_t hint_weights;
    dnnl_memory_desc_init_by_tag(&hint_weights, 4, d->w.dims, data_type(s->type), dnnl_format_tag_any);
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t status = forward_descriptor(&hint, c, s, d, &hint_weights);
    if (status != dnnl_success) return status;
    dnnl_convolution_desc_t operation;
    if (s->direction == CONVOLUTION_BACKWARD_DATA)
        status = dnnl_convolution_backward_data_desc_init(&operation, dnnl_convolution_direct, &d->x, &d->w, &d->y,
                                                          d->strides, d->pad_before, d->pad_after);
    else
        status = dnnl_convolution_backward_weights_desc_init(&operation, dnnl_convolution_direct, &d->x, &d->w,
                                                             s->has_bias ? &c->base.bias : NULL, &d->y, d->strides,
                                                             d->pad_before, d->pad_after);
    dnnl_primitive_attr_t attributes = NULL;
    if (status == dnnl_success) status = make_attributes(&attributes, FUNCTION_NONE, false);
    if (status == dnnl_success) status = dnnl_primitive_desc_create(out, &operation, attributes, engine, hint);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    dnnl_primitive_desc_destroy(hint);
    return status;
}

static dnnl_status_t convolution_build(convolution *c, const convolution_shape *s, const convolution *like) {
    convolution_descriptors d;
    describe(&d, s, like);
    if (s->has_bias)
        dnnl_memory_desc_init_by_tag(&c->base.bias, 1, (dnnl_dims_t){s->output_channels}, dnnl_f32, dnnl_a);
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_status_t status = s->direction == CONVOLUTION_FORWARD ? forward_descriptor(&descriptor, c, s, &d, &d.w)
                                                               : backward_descriptor(&descriptor, c, s, &d);
    if (status != dnnl_success) return status;
    const char *name = "";
    dnnl_primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, &name);
    snprintf(c->implementation, sizeof c->implementation, "%s", name);
    static const dnnl_query_t queries[3][3] = {
        {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md},
        {dnnl_query_diff_src_md, dnnl_query_weights_md, dnnl_query_diff_dst_md},
        {dnnl_query_src_md, dnnl_query_diff_weights_md, dnnl_query_diff_dst_md},
    };
    const dnnl_query_t *query = queries[s->direction];
    status = finish(&c->base, descriptor, query[0], query[1], query[2]);
    dnnl_memory_desc_init_by_tag(&c->base.plain_weights, 4, d.w.dims, dnnl_f32, dnnl_oihw);
    if (status == dnnl_success && s->direction != CONVOLUTION_BACKWARD_WEIGHTS)
        status = make_reorder(&c->base.pack, &c->base.plain_weights, &c->base.weights);
    if (status == dnnl_success && s->direction == CONVOLUTION_BACKWARD_WEIGHTS)
        status = make_reorder(&c->base.unpack, &c->base.weights, &c->base.plain_weights);
    return status;
}

carina_status convolution_create(convolution **out, const convolution_shape *shape, const convolution *like,
                                 carina_error *error) {
    *out = calloc(1, sizeof **out);
    if (!*out) return error_memory(error, "convolution", sizeof **out);
    (*out)->direction = shape->direction;
    (*out)->has_bias = shape->has_bias;
    (*out)->has_residual = shape->has_residual;
    int before = enter_single_thread();
    dnnl_status_t status = stream ? convolution_build(*out, shape, like) : dnnl_runtime_error;
    leave_single_thread(before);
    if (status == dnnl_success) return CARINA_OK;
    convolution_free(*out);
    *out = NULL;
    return dnnl_error(error, status, "convolution");
}

void convolution_free(convolution *c) {
    if (!c) return;
    primitive_free(&c->base);
    free(c);
}

uint64_t convolution_scratch_bytes(const convolution *c) { return descriptor_bytes(&c->base.scratch); }
uint64_t convolution_packed_bytes(const convolution *c) { return descriptor_bytes(&c->base.weights); }
const char *convolution_implementation(const convolution *c) { return c->implementation; }

void convolution_pack(const convolution *c, const float *plain, void *packed) {
    run_reorder(c->base.pack, &c->base.plain_weights, plain, &c->base.weights, packed);
}

void convolution_unpack(const convolution *c, const void *packed, float *plain) {
    run_reorder(c->base.unpack, &c->base.weights, packed, &c->base.plain_weights, plain);
}

void convolution_run(const convolution *c, void *x, void *w, float *bias, const void *residual, void *y,
                     void *scratch) {
    static const int names[3][4] = {
        {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS},
        {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, DNNL_ARG_BIAS},
        {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_BIAS},
    };
    const int *name = names[c->direction];
    /* Added where the sum already lies: oneDNN's way of adding another tensor is slower, and wrong in its SSE4.1
     * kernels. */
    if (c->has_residual && residual != y) memcpy(y, residual, descriptor_bytes(&c->base.target));
    execute(c->base.handle, 5, (int[]){name[0], name[1], name[2], name[3], DNNL_ARG_SCRATCHPAD},
            (const dnnl_memory_desc_t *[]){&c->base.source, &c->base.weights, &c->base.target, &c->base.bias,
                                           &c->base.scratch},
            (void *[]){x, w, y, bias, scratch});
}

void dnnl_version_text(char out[32]) {
    const dnnl_version_t *v = dnnl_version();
    snprintf(out, 32, "%d.%d.%d", v->major, v->minor, v->patch);
}
