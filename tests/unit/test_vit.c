/* The vision transformer against PyTorch (tests/data/vit, made by tools/torch_vit.py): Hugging Face's files, outputs
 * and gradients, the same numbers for 1 and 2 threads; files that do not fit; the APM with this encoder. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "atlas/atlas_file.h"
#include "base/file.h"
#include "format/config.h"
#include "format/safetensors.h"
#include "model/apm_schema.h"
#include "model/model_file.h"
#include "model/vit_file.h"

#define FOLDER TEST_DATA "/vit"
#define PREFIX "encoder."

static const vit_config shape = {.patch = 16, .width = 24, .heads = 2, .layers = 2, .ffn_width = 40, .registers = 3};

static tensor_file open_file(const char *path) {
    carina_error error;
    tensor_file file;
    if (safetensors_read(&file, path, &error) != CARINA_OK) fail_msg("%s", error.message);
    return file;
}

static float *values_of(const tensor_file *file, const char *name, uint64_t *count) {
    const named_tensor *t = tensor_file_find(file, name);
    if (!t) fail_msg("fixture lacks %s", name);
    *count = named_tensor_elements(t);
    float *values = malloc(*count * sizeof *values);
    assert_int_equal(named_tensor_to_f32(t, values, *count, NULL), CARINA_OK);
    return values;
}

static void fill(tensor *t, const tensor_file *file, const char *name) {
    uint64_t count;
    float *values = values_of(file, name, &count);
    assert_int_equal(count, tensor_count(t));
    memcpy(tensor_data(t), values, count * sizeof *values);
    free(values);
}

/* Our values, every `stride`-th, against the reference's: largest difference by the reference's largest magnitude. */
static void compare(const tensor_file *expected, const char *name, const float *ours, int64_t stride, double floor,
                    double tolerance) {
    uint64_t count;
    double scale = floor, worst = 0;
    float *reference = values_of(expected, name, &count);
    for (uint64_t i = 0; i < count; i++) {
        float value = ours[(int64_t)i * stride];
        scale = fmax(scale, fabs((double)reference[i]));
        worst = isfinite(value) ? fmax(worst, fabs((double)value - (double)reference[i])) : INFINITY;
    }
    free(reference);
    if (!(worst <= tolerance * scale)) fail_msg("%s differs by %.3g of its scale", name, worst / scale);
}

/* ---- the encoder alone ---- */

typedef struct encoder {
    parameters *set;
    vit net;
} encoder;

static encoder make_encoder(const vit_config *config) {
    encoder e;
    carina_error error;
    random_state random = random_seed(1);
    assert_int_equal(parameters_create(&e.set, &error), CARINA_OK);
    model_builder b = {.set = e.set, .random = &random};
    if (vit_create(&e.net, &b, PREFIX, config, &error) != CARINA_OK) fail_msg("%s", error.message);
    return e;
}

typedef struct run {
    encoder e;
    graph *g;
    tensor *film, *features, *cotangent, *total;
} run;

static run start(thread_pool *pool, tensor_type type) {
    run r = {.e = make_encoder(&shape)};
    carina_error error;
    graph_options options = {.pool = pool, .training = true, .type = type};
    if (vit_file_load(&r.e.net, FOLDER, &error) != CARINA_OK) fail_msg("%s", error.message);
    assert_int_equal(parameters_allocate_gradients(r.e.set, &error), CARINA_OK);
    assert_int_equal(graph_create(&r.g, &options, &error), CARINA_OK);
    tensor_file input = open_file(FOLDER "/input.safetensors"), expected = open_file(FOLDER "/expected.safetensors");
    const uint64_t *size = tensor_file_find(&input, "film")->shape;
    int64_t rows = (int64_t)size[2], columns = (int64_t)size[3];
    r.film = graph_input(r.g, "film", 4, (int64_t[]){2, rows, columns, 1});
    graph_require_gradient(r.g, r.film);
    r.features = op_cast(r.g, vit_record(r.g, &r.e.net, op_cast(r.g, r.film, type)), TENSOR_F32);
    r.cotangent = graph_input(r.g, "cotangent", 4, (int64_t[]){2, rows / 16, columns / 16, shape.width});
    r.total = op_dot(r.g, r.features, r.cotangent);
    graph_output(r.g, r.features);
    graph_loss(r.g, r.total);
    if (graph_plan(r.g, &error) != CARINA_OK) fail_msg("%s", error.message);
    fill(r.film, &input, "film");
    fill(r.cotangent, &expected, "cotangent");
    graph_forward(r.g);
    tensor_file_free(&input);
    tensor_file_free(&expected);
    return r;
}

static void finish(run *r) {
    graph_free(r->g);
    parameters_free(r->e.set);
}

static void outputs_and_gradients_match_pytorch(void **state) {
    (void)state;
    run r = start(NULL, TENSOR_F32);
    tensor_file expected = open_file(FOLDER "/expected.safetensors");
    assert_int_equal(tensor_size(r.features, 3), shape.width);
    compare(&expected, "features", tensor_data(r.features), 1, 0, 1e-4);
    compare(&expected, "total", tensor_data(r.total), 1, 0, 1e-4);
    graph_backward(r.g);
    compare(&expected, "film", tensor_gradient(r.film), 1, 0, 1e-3);
    uint64_t compared = 4; /* features, cotangent, total, film */
    for (int i = 0; i < r.e.set->count; i++, compared++) {
        const parameter *p = r.e.set->items[i];
        char name[160];
        snprintf(name, sizeof name, "gradient.%s", p->name + strlen(PREFIX));
        compare(&expected, name, p->gradient, p->count > 1024 ? 7 : 1, 0, 1e-3);
    }
    assert_int_equal(compared, expected.count);
    tensor_file_free(&expected);
    finish(&r);
}

static void threads_do_not_change_the_encoder(void **state) {
    (void)state;
    thread_pool *pool;
    assert_int_equal(thread_pool_create(&pool, 2, NULL), CARINA_OK);
    for (int type = TENSOR_F32; type <= TENSOR_BF16; type++) {
        run one = start(NULL, (tensor_type)type), two = start(pool, (tensor_type)type);
        graph_backward(one.g);
        graph_backward(two.g);
        assert_memory_equal(tensor_data(one.features), tensor_data(two.features),
                            (size_t)tensor_count(one.features) * sizeof(float));
        for (int i = 0; i < one.e.set->count; i++)
            assert_memory_equal(one.e.set->items[i]->gradient, two.e.set->items[i]->gradient,
                                (size_t)one.e.set->items[i]->count * sizeof(float));
        finish(&one);
        finish(&two);
    }
    thread_pool_free(pool);
}

static void bf16_stays_near_f32(void **state) {
    (void)state;
    run r = start(NULL, TENSOR_BF16);
    tensor_file expected = open_file(FOLDER "/expected.safetensors");
    compare(&expected, "features", tensor_data(r.features), 1, 0, 0.05);
    graph_backward(r.g);
    uint64_t count;
    for (int i = 0; i < r.e.set->count; i++) { /* the direction of every gradient */
        const parameter *p = r.e.set->items[i];
        char name[160];
        double product = 0, ours = 0, theirs = 0;
        snprintf(name, sizeof name, "gradient.%s", p->name + strlen(PREFIX));
        float *reference = values_of(&expected, name, &count);
        for (uint64_t j = 0; j < count; j++) {
            double a = (double)reference[j], b = (double)p->gradient[p->count > 1024 ? 7 * j : j];
            product += a * b, theirs += a * a, ours += b * b;
        }
        free(reference);
        if (!(product > 0.99 * sqrt(ours * theirs)))
            fail_msg("%s turned away: %.4f", name, product / sqrt(ours * theirs));
    }
    tensor_file_free(&expected);
    finish(&r);
}

/* Also where all of them look alike: by what they attend to. */
static void patches_know_their_place(void **state) {
    (void)state;
    run r = start(NULL, TENSOR_F32);
    for (int64_t i = 0; i < tensor_count(r.film); i++) tensor_data(r.film)[i] = 0.5f;
    graph_forward(r.g);
    const float *first = tensor_data(r.features), *second = first + shape.width;
    double difference = 0;
    for (int i = 0; i < shape.width; i++) difference = fmax(difference, fabs((double)first[i] - (double)second[i]));
    assert_true(difference > 1e-3);
    finish(&r);
}

static void random_weights_begin_as_the_reference(void **state) {
    (void)state;
    vit_config c = shape;
    c.width = 96, c.heads = 4;
    encoder e = make_encoder(&c);
    assert_null(parameters_find(e.set, PREFIX "layer.0.attention.k_proj.bias"));
    const parameter *scale = parameters_find(e.set, PREFIX "layer.1.layer_scale2.lambda1"),
                    *query = parameters_find(e.set, PREFIX "layer.0.attention.q_proj.weight"),
                    *kernel = parameters_find(e.set, PREFIX "embeddings.patch_embeddings.weight"),
                    *bias = parameters_find(e.set, PREFIX "layer.0.mlp.up_proj.bias");
    assert_true(scale->value[0] == 1.0f && bias->value[0] == 0.0f && !e.net.cls_token->decay);
    double squares = 0;
    for (int64_t i = 0; i < query->count; i++) squares += (double)query->value[i] * (double)query->value[i];
    assert_true(fabs(sqrt(squares / (double)query->count) - 0.02) < 0.001);
    squares = 0; /* 0.02 sqrt(1 / 0.229^2 + 1 / 0.224^2 + 1 / 0.225^2) */
    for (int64_t i = 0; i < kernel->count; i++) squares += (double)kernel->value[i] * (double)kernel->value[i];
    assert_true(fabs(sqrt(squares / (double)kernel->count) - 0.1533) < 0.003);
    parameters_free(e.set);
}

/* ---- files that do not fit ---- */

static const char *temporary(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/vit_%d", TEST_TMP, (int)getpid());
    assert_int_equal(file_make_folders(path, NULL), CARINA_OK);
    snprintf(path + strlen(path), 128, "/%s", name);
    return path;
}

static void expect_refusal(const vit_config *config, const char *path, carina_status wanted, const char *text) {
    encoder e = make_encoder(config);
    carina_error error = {0};
    float before = e.net.layers[0].query.weight->value[0], kernel = e.net.patch_weight->value[0];
    carina_status status = vit_file_load(&e.net, path, &error);
    if (status != wanted || !strstr(error.message, text))
        fail_msg("status %d \"%s\", wanted \"%s\"", status, error.message, text);
    assert_true(e.net.layers[0].query.weight->value[0] == before && e.net.patch_weight->value[0] == kernel);
    parameters_free(e.set);
}

/* The fixture's weights with one tensor renamed, or of another shape. */
static void expect_refusal_of(const char *name, const char *new_name, bool flat, carina_status wanted,
                              const char *text) {
    tensor_file file = open_file(FOLDER "/model.safetensors");
    named_tensor *t = (named_tensor *)(uintptr_t)tensor_file_find(&file, name), kept = *t;
    const char *path = temporary("weights.safetensors");
    t->name = (char *)(uintptr_t)new_name;
    if (flat) t->rank = 1, t->shape[0] = named_tensor_elements(&kept);
    assert_int_equal(safetensors_write(path, file.tensors, file.count, NULL, 0, NULL), CARINA_OK);
    *t = kept;
    tensor_file_free(&file);
    expect_refusal(&shape, path, wanted, text);
    unlink(path);
}

static void files_that_do_not_fit_are_named(void **state) {
    (void)state;
    const char *query = "layer.1.attention.q_proj.weight", *mask = "embeddings.mask_token";
    expect_refusal_of(query, "rope_embeddings.periods", false, CARINA_ERROR_MISMATCH,
                      "no tensor layer.1.attention.q_proj.weight");
    expect_refusal_of(query, query, true, CARINA_ERROR_MISMATCH,
                      "tensor layer.1.attention.q_proj.weight is bf16 [576], the encoder wants float [24,24]");
    expect_refusal_of(mask, "layer.0.attention.k_proj.bias", true, CARINA_ERROR_MISMATCH, "k_proj.bias is none of");
    expect_refusal_of(mask, "layer.2.norm1.bias", true, CARINA_ERROR_MISMATCH, "of 2 layers with 3 registers");
    expect_refusal_of(mask, "layer.0.mlp.gate_proj.weight", true, CARINA_ERROR_UNSUPPORTED, "gated");
    expect_refusal_of(mask, "model.norm.bias", true, CARINA_ERROR_MISMATCH, "more than one tensor norm.bias");

    vit_config c = shape;
    c.heads = 3;
    expect_refusal(&c, FOLDER, CARINA_ERROR_MISMATCH, "num_attention_heads: 2, model.vit_heads is 3");
    c = shape, c.layers = 1;
    expect_refusal(&c, FOLDER "/model.safetensors", CARINA_ERROR_MISMATCH,
                   "num_hidden_layers: 2, model.vit_layers is 1");
    expect_refusal(&shape, TEST_DATA, CARINA_ERROR_IO, "model.safetensors");
    const char *path = temporary("config.json");
    const char gated[] = "{\"model_type\": \"dinov3_vit\", \"use_gated_mlp\": true}",
               other[] = "{\"model_type\": \"dinov2\"}";
    assert_int_equal(file_write(path, gated, sizeof gated - 1, NULL), CARINA_OK);
    char folder[512];
    snprintf(folder, sizeof folder, "%.*s", (int)(path_name(path) - path), path);
    expect_refusal(&shape, folder, CARINA_ERROR_UNSUPPORTED, "use_gated_mlp: true: gated");
    assert_int_equal(file_write(path, other, sizeof other - 1, NULL), CARINA_OK);
    expect_refusal(&shape, folder, CARINA_ERROR_UNSUPPORTED, "model_type: \"dinov2\"");
    unlink(path);
    rmdir(folder);
}

/* ---- the APM ---- */

static apm_config apm_shape(void) {
    apm_config c = apm_config_published();
    c.encoder = APM_VIT;
    c.vit = shape;
    c.backbone = (resnet_config){0}; /* not built */
    c.model_width = 32, c.ffn_width = 40, c.encoder_layers = c.decoder_layers = 1;
    c.image_height = c.image_width = 64;
    c.region_count = 36, c.dropout = 0;
    return c;
}

static void the_apm_takes_it_as_encoder(void **state) {
    (void)state;
    carina_error error;
    apm *model;
    graph *g;
    apm_config c = apm_shape();
    if (apm_create(&model, &c, 3, &error) != CARINA_OK) fail_msg("%s", error.message);
    const parameter *kernel = parameters_find(model->parameters, "backbone.0.body.embeddings.patch_embeddings.weight");
    assert_non_null(kernel);
    assert_int_equal(kernel->group, 1);
    assert_int_equal(model->projection_weight->size[1], 24);
    assert_int_equal(vit_file_load(&model->transformer, FOLDER, &error), CARINA_OK);
    assert_int_equal(parameters_allocate_gradients(model->parameters, &error), CARINA_OK);
    assert_int_equal(graph_create(&g, &(graph_options){.training = true}, &error), CARINA_OK);
    tensor *films = graph_input(g, "films", 4, (int64_t[]){2, 64, 64, 1});
    apm_outputs out = apm_record(g, model, films);
    assert_int_equal(tensor_size(out.patch_features, 1), 16);
    graph_output(g, out.region_features);
    int64_t count = tensor_count(out.region_features);
    float *targets = calloc((size_t)count, sizeof *targets);
    graph_loss(g, op_binary_cross_entropy(g, out.region_features, graph_constant(g, 1, &count, targets)));
    free(targets);
    assert_int_equal(graph_plan(g, &error), CARINA_OK);
    random_state random = random_seed(2);
    for (int64_t i = 0; i < tensor_count(films); i++) tensor_data(films)[i] = (float)random_uniform(&random);
    graph_forward(g);
    graph_backward(g);
    double sum = 0;
    for (int64_t i = 0; i < kernel->count; i++) sum += fabs((double)kernel->gradient[i]);
    assert_true(sum > 0 && isfinite(sum));
    graph_free(g);
    apm_free(model);
}

static void model_files_keep_it(void **state) {
    (void)state;
    carina_error error;
    apm *model;
    apm_config c = apm_shape();
    model_file loaded;
    const char *path = temporary("model.safetensors");
    assert_int_equal(apm_create(&model, &c, 3, &error), CARINA_OK);
    assert_int_equal(model_file_save(path, model, NULL, atlas_builtin("anatomix36"), MODEL_FILE_F32, NULL, 0, &error),
                     CARINA_OK);
    if (model_file_load(&loaded, path, &error) != CARINA_OK) fail_msg("%s", error.message);
    assert_int_equal(loaded.model->config.encoder, APM_VIT);
    assert_int_equal(loaded.model->config.vit.registers, 3);
    assert_memory_equal(loaded.model->transformer.layers[1].up.weight->value,
                        model->transformer.layers[1].up.weight->value, 24 * 40 * sizeof(float));
    model_file_free(&loaded);
    apm_free(model);
    unlink(path);
}

/* A model file from before there was a choice. */
static void older_models_have_a_resnet(void **state) {
    (void)state;
    const char text[] = "{resnet_depth: 18, resnet_width: 0.25, resnet_norm: group, model_width: 64}";
    apm_config c;
    const config_part part = {"", &apm_schema, &c};
    assert_int_equal(config_load_text(&part, 1, "model", text, sizeof text - 1, NULL, 0, NULL), CARINA_OK);
    assert_int_equal(c.encoder, APM_RESNET);
    assert_int_equal(c.backbone.depth, 18);
}

static void bad_configurations_are_named(void **state) {
    (void)state;
    carina_error error;
    apm *model;
    apm_config c = apm_shape();
    c.vit.heads = 4;
    assert_int_equal(apm_create(&model, &c, 1, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "vit_width: 24 is not divisible by 4 x vit_heads (4)"));
    c = apm_shape(), c.vit.layers = VIT_MAX_LAYERS + 1;
    assert_int_equal(apm_create(&model, &c, 1, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "vit_layers: 49"));
    c = apm_shape(), c.image_width = 72;
    assert_int_equal(apm_create(&model, &c, 1, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "vit_patch: 72 x 64 pixels"));
    assert_null(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_and_gradients_match_pytorch),
        cmocka_unit_test(threads_do_not_change_the_encoder),
        cmocka_unit_test(bf16_stays_near_f32),
        cmocka_unit_test(patches_know_their_place),
        cmocka_unit_test(random_weights_begin_as_the_reference),
        cmocka_unit_test(files_that_do_not_fit_are_named),
        cmocka_unit_test(the_apm_takes_it_as_encoder),
        cmocka_unit_test(model_files_keep_it),
        cmocka_unit_test(older_models_have_a_resnet),
        cmocka_unit_test(bad_configurations_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
