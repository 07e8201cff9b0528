/* `carina tensor apm` and `carina tensor gradients`: the raw network on raw numbers, for holding Carina against another
 * implementation. No film, no preprocessing, no region names. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/command.h"
#include "cli/output.h"
#include "format/json_writer.h"
#include "format/npy.h"
#include "format/safetensors.h"
#include "format/tensor_read.h"
#include "model/apm_infer.h"
#include "model/model_file.h"

typedef struct tensor_options {
    const char *weights, *input, *targets, *out;
    int64_t threads, heads, feature_heads;
    int dtype, norm;
    double label_weight, l1_weight, giou_weight;
    bool auxiliary, json;
} tensor_options;

static const tensor_options defaults = {
    .heads = 4, .feature_heads = 2, .label_weight = 2, .l1_weight = 5, .giou_weight = 2};

#define COMMON_OPTIONS                                                                                                 \
    {"weights",                                                                                                        \
     'w',                                                                                                              \
     OPTION_FILE,                                                                                                      \
     "FILE",                                                                                                           \
     "weights by AnatomiX's names: .safetensors or .pth (required)",                                                   \
     offsetof(tensor_options, weights),                                                                                \
     0,                                                                                                                \
     0},                                                                                                               \
        {"input", 'i', OPTION_FILE, "X.npy", "films [B,1,H,W] f32 (required)", offsetof(tensor_options, input), 0, 0}, \
        {"out",                                                                                                        \
         'o',                                                                                                          \
         OPTION_FOLDER,                                                                                                \
         "DIR",                                                                                                        \
         "folder for the results, made when missing (required)",                                                       \
         offsetof(tensor_options, out),                                                                                \
         0,                                                                                                            \
         0},                                                                                                           \
        {"dtype", 0, OPTION_CHOICE, "f32|bf16", "type of activations", offsetof(tensor_options, dtype), 0, 0},         \
        {"heads", 0, OPTION_INTEGER, "N", "heads of the transformer (default 4)", offsetof(tensor_options, heads),     \
         1,       64},                                                                                                 \
        {"feature-heads",                                                                                              \
         0,                                                                                                            \
         OPTION_INTEGER,                                                                                               \
         "N",                                                                                                          \
         "heads of the feature extraction module (default 2)",                                                         \
         offsetof(tensor_options, feature_heads),                                                                      \
         1,                                                                                                            \
         64},                                                                                                          \
        {"norm",                                                                                                       \
         0,                                                                                                            \
         OPTION_CHOICE,                                                                                                \
         "frozen|batch",                                                                                               \
         "what running statistics in the weights mean",                                                                \
         offsetof(tensor_options, norm),                                                                               \
         0,                                                                                                            \
         0},                                                                                                           \
        OPTION_THREADS(tensor_options, threads)

static const option apm_options[] = {COMMON_OPTIONS, {0}};

static const option gradient_options[] = {
    COMMON_OPTIONS,
    {"json", 0, OPTION_FLAG, NULL, "print the loss as JSON", offsetof(tensor_options, json), 0, 0},
    {"targets", 0, OPTION_FILE, "FILE", "boxes, present, labels [, region_cotangent] as safetensors (required)",
     offsetof(tensor_options, targets), 0, 0},
    {"l1-weight", 0, OPTION_NUMBER, "W", "of |b - t| in the box loss (default 5)", offsetof(tensor_options, l1_weight),
     0, 1000},
    {"giou-weight", 0, OPTION_NUMBER, "W", "of 1 - GIoU in the box loss (default 2)",
     offsetof(tensor_options, giou_weight), 0, 1000},
    {"label-weight", 0, OPTION_NUMBER, "W", "of the image labels' cross-entropy (default 2)",
     offsetof(tensor_options, label_weight), 0, 1000},
    {"auxiliary", 0, OPTION_FLAG, NULL, "box loss on every decoder layer", offsetof(tensor_options, auxiliary), 0, 0},
    {0},
};

/* Everything of one run. */
typedef struct tensor_run {
    tensor_file weights, input, targets;
    apm *model;
    thread_pool *pool;
    graph *g;
    apm_outputs outputs;
    tensor *films, *boxes, *present, *labels, *cotangent, *loss;
} tensor_run;

static void run_free(tensor_run *r) {
    graph_free(r->g);
    apm_free(r->model);
    thread_pool_free(r->pool);
    tensor_file_free(&r->weights);
    tensor_file_free(&r->input);
    tensor_file_free(&r->targets);
}

static carina_status open_input(tensor_run *r, const tensor_options *o, carina_error *error) {
    TRY(tensor_read(&r->input, o->input, error));
    const named_tensor *x = r->input.count ? &r->input.tensors[0] : NULL;
    if (!x || x->rank != 4 || x->shape[1] != 1 || x->shape[0] < 1 || x->shape[0] > 1024 ||
        !tensor_dtype_is_float(x->dtype)) {
        char shape[96] = "nothing";
        if (x) tensor_shape_text(shape, sizeof shape, x->shape, x->rank);
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: %s is no float tensor [B,1,H,W]", o->input, shape);
    }
    for (int axis = 2; axis < 4; axis++)
        if (x->shape[axis] < 32 || x->shape[axis] > 4096)
            return error_set(error, CARINA_ERROR_LIMIT, "%s: a side of %llu pixels; 32 to 4096 are read", o->input,
                             (unsigned long long)x->shape[axis]);
    if (named_tensor_check_finite(x, error) != CARINA_OK) return error_prefix(error, "%s", o->input);
    return CARINA_OK;
}

static carina_status build_model(tensor_run *r, const tensor_options *o, carina_error *error) {
    const named_tensor *x = &r->input.tensors[0];
    apm_infer_options infer = {.heads = (int)o->heads,
                               .feature_heads = (int)o->feature_heads,
                               .norm = o->norm ? RESNET_BATCH : RESNET_FROZEN,
                               .image_height = (int)x->shape[2],
                               .image_width = (int)x->shape[3]};
    apm_config config;
    TRY(tensor_read(&r->weights, o->weights, error));
    const char *format = tensor_file_metadata(&r->weights, "format");
    if (model_file_is_format(format))
        fprintf(
            stderr,
            "carina: %s: warning: a model file; here the network is made of its weights and of the options, %d heads "
            "and %d of the feature extraction, not of what it says of itself (carina model info)\n",
            o->weights, infer.heads, infer.feature_heads);
    TRY(apm_infer_config(&config, &r->weights, o->weights, &infer, error));
    TRY(apm_create_empty(&r->model, &config, error));
    TRY(model_file_copy_weights(r->model, &r->weights, o->weights, error));
    return thread_pool_create(&r->pool, (int)o->threads, error);
}

static tensor *input_for(tensor_run *r, const char *name, int rank, const int64_t *size) {
    return graph_input(r->g, name, rank, size);
}

static void record_loss(tensor_run *r, const tensor_options *o, int64_t batch) {
    const apm_config *c = &r->model->config;
    r->boxes = input_for(r, "boxes", 3, (int64_t[]){batch, c->region_count, 4});
    r->present = input_for(r, "present", 2, (int64_t[]){batch, c->region_count});
    r->labels = input_for(r, "labels", 2, (int64_t[]){batch, c->label_count});
    apm_targets targets = {r->boxes, r->present, r->labels};
    apm_loss_options loss = {.box = {(float)o->l1_weight, (float)o->giou_weight},
                             .label_weight = (float)o->label_weight,
                             .auxiliary = o->auxiliary};
    r->loss = apm_record_loss(r->g, &r->outputs, &targets, &loss).total;
    if (tensor_file_find(&r->targets, "region_cotangent")) {
        r->cotangent = input_for(r, "region_cotangent", 3, (int64_t[]){batch, c->region_count, c->feature_size});
        tensor *terms[2] = {r->loss, op_dot(r->g, r->outputs.region_features, r->cotangent)};
        r->loss = op_sum_scalars(r->g, 2, terms, (float[]){1, 1});
    }
    graph_loss(r->g, r->loss);
}

static carina_status record(tensor_run *r, const tensor_options *o, bool training, carina_error *error) {
    const apm_config *c = &r->model->config;
    graph_options options = {.pool = r->pool, .training = training, .type = o->dtype ? TENSOR_BF16 : TENSOR_F32};
    int64_t batch = (int64_t)r->input.tensors[0].shape[0];
    if (training) TRY(parameters_allocate_gradients(r->model->parameters, error));
    TRY(graph_create(&r->g, &options, error));
    r->films = input_for(r, "films", 4, (int64_t[]){batch, c->image_height, c->image_width, 1});
    r->outputs = apm_record(r->g, r->model, r->films);
    tensor *kept[] = {r->outputs.boxes, r->outputs.region_features, r->outputs.image_logits, r->outputs.cls,
                      r->outputs.patch_features};
    for (size_t i = 0; !training && i < sizeof kept / sizeof *kept; i++) graph_output(r->g, kept[i]);
    if (training) record_loss(r, o, batch);
    return graph_plan(r->g, error);
}

static carina_status fill(tensor *t, const named_tensor *from, const char *path, carina_error *error) {
    carina_status status = named_tensor_to_f32(from, tensor_data(t), (uint64_t)tensor_count(t), error);
    return status == CARINA_OK ? CARINA_OK : error_prefix(error, "%s", path);
}

static carina_status fill_target(tensor_run *r, tensor *t, const char *name, const char *path, carina_error *error) {
    const named_tensor *from = tensor_file_find(&r->targets, name);
    if (!from) return error_set(error, CARINA_ERROR_MISMATCH, "%s: no tensor %s", path, name);
    return fill(t, from, path, error);
}

static const char *const output_names[] = {"boxes.npy", "region_features.npy", "image_logits.npy", "cls.npy",
                                           "patch_features.npy"};
#define OUTPUT_COUNT ((int)(sizeof output_names / sizeof *output_names))

/* A folder that is still to be made has nothing that could be written over. */
static carina_status check_outputs(const tensor_options *o, bool training, carina_error *error) {
    const output_reading reading = {.paths = (const char *const[]){o->weights, o->input, o->targets}, .path_count = 3};
    TRY(file_check_folder(o->out, error));
    if (!file_exists(o->out)) return CARINA_OK;
    for (int i = 0; i < (training ? 1 : OUTPUT_COUNT); i++) {
        char *path = path_join(o->out, training ? "gradients.safetensors" : output_names[i]);
        if (!path) return error_memory(error, o->out, 256);
        const output_file file = {.option = "--out", .path = path, .kind = training ? OUTPUT_TENSORS : OUTPUT_ARRAY};
        carina_status status = output_check(&file, 1, &reading, error);
        free(path);
        TRY(status);
    }
    return CARINA_OK;
}

static carina_status write_output(const tensor_options *o, const char *name, tensor *t, carina_error *error) {
    uint64_t shape[TENSOR_MAX_RANK];
    for (int i = 0; i < tensor_rank(t); i++) shape[i] = (uint64_t)tensor_size(t, i);
    char *path = path_join(o->out, name);
    if (!path) return error_memory(error, name, 256);
    carina_status status = npy_write(path, DTYPE_F32, shape, tensor_rank(t), tensor_data(t), error);
    free(path);
    return status;
}

static carina_status write_gradients(const tensor_options *o, const parameters *set, carina_error *error) {
    named_tensor *tensors = calloc((size_t)set->count + 1, sizeof *tensors);
    char *path = path_join(o->out, "gradients.safetensors");
    uint64_t count = 0;
    if (!tensors || !path) {
        free(tensors);
        free(path);
        return error_memory(error, "gradients", 256);
    }
    carina_status status = CARINA_OK;
    for (int i = 0; i < set->count && status == CARINA_OK; i++) {
        const parameter *p = set->items[i];
        if (!p->gradient) continue;
        named_tensor *t = &tensors[count];
        if (asprintf(&t->name, "vis_model.%s", p->name) < 0) {
            t->name = NULL;
            status = error_memory(error, p->name, 256);
            break;
        }
        t->dtype = DTYPE_F32;
        t->rank = p->rank;
        for (int axis = 0; axis < p->rank; axis++) t->shape[axis] = (uint64_t)p->size[axis];
        t->data = p->gradient;
        t->byte_count = (uint64_t)p->count * sizeof(float);
        count++;
    }
    if (status == CARINA_OK) status = safetensors_write(path, tensors, count, NULL, 0, error);
    for (uint64_t i = 0; i < count; i++) free(tensors[i].name);
    free(tensors);
    free(path);
    return status;
}

static carina_status compute(tensor_run *r, const tensor_options *o, bool training, carina_error *error) {
    TRY(check_outputs(o, training, error));
    TRY(open_input(r, o, error));
    TRY(build_model(r, o, error));
    if (training) TRY(safetensors_read(&r->targets, o->targets, error));
    TRY(record(r, o, training, error));
    TRY(fill(r->films, &r->input.tensors[0], o->input, error));
    if (training) {
        TRY(fill_target(r, r->boxes, "boxes", o->targets, error));
        TRY(fill_target(r, r->present, "present", o->targets, error));
        TRY(fill_target(r, r->labels, "labels", o->targets, error));
        if (r->cotangent) TRY(fill_target(r, r->cotangent, "region_cotangent", o->targets, error));
    }
    graph_forward(r->g);
    TRY(file_make_folders(o->out, error));
    if (training) {
        graph_backward(r->g);
        return write_gradients(o, r->model->parameters, error);
    }
    tensor *const written[OUTPUT_COUNT] = {r->outputs.boxes, r->outputs.region_features, r->outputs.image_logits,
                                           r->outputs.cls, r->outputs.patch_features};
    for (int i = 0; i < OUTPUT_COUNT; i++) TRY(write_output(o, output_names[i], written[i], error));
    return CARINA_OK;
}

static void print_loss(double loss, bool json) {
    if (!json) {
        printf("loss %.6f\n", loss);
        return;
    }
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_number(&w, "loss", loss);
    json_end(&w);
}

static int run(const tensor_options *o, bool training) {
    if (!o->weights || !o->input || !o->out) return command_usage("tensor: --weights, --input and --out are required");
    if (training && !o->targets) return command_usage("tensor gradients: --targets is required");
    tensor_run r = {0};
    carina_error error = {0};
    carina_status status = compute(&r, o, training, &error);
    if (status == CARINA_OK && training) print_loss((double)*tensor_data(r.loss), o->json);
    run_free(&r);
    return status == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

static int run_apm(const void *values, int count, char *const *arguments) {
    (void)count;
    (void)arguments;
    return run(values, false);
}

static int run_gradients(const void *values, int count, char *const *arguments) {
    (void)count;
    (void)arguments;
    return run(values, true);
}

const command command_tensor_apm = {
    .name = "tensor apm",
    .summary = "run the APM's network on raw numbers",
    .arguments = "",
    .description =
        "Reads weights and films, runs the Anatomy Perception Module, and writes boxes.npy [B,N,4]\n"
        "(cx, cy, w, h in 0..1), region_features.npy [B,N,R], image_logits.npy [B,14], cls.npy [B,D] and\n"
        "patch_features.npy [B,P,D]. The network's shape follows from the weights' names and shapes.\n",
    .examples = "carina tensor apm --weights anatomix.pth --input x.npy --out out\n",
    .options = apm_options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 0,
    .most = 0,
    .run = run_apm,
};

const command command_tensor_gradients = {
    .name = "tensor gradients",
    .summary = "one loss of the APM and its gradient by every parameter",
    .arguments = "",
    .description =
        "Computes the box and image-label losses for given targets (boxes [B,N,4], present [B,N], labels\n"
        "[B,14], and optionally region_cotangent [B,N,R], whose product with the region features is\n"
        "added) and writes every trained parameter's gradient to gradients.safetensors.\n",
    .examples = "carina tensor gradients --weights w.safetensors --input x.npy --targets t.safetensors --out out\n",
    .options = gradient_options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 0,
    .most = 0,
    .run = run_gradients,
};
