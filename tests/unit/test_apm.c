/* The APM against PyTorch: outputs, losses and gradients of four tiny configurations (tests/data/apm/README.md), and
 * the same numbers for 1 and 2 threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/safetensors.h"
#include "model/apm.h"

typedef struct fixture {
    const char *folder;
    apm_config config;
    bool auxiliary;
} fixture;

static const fixture fixtures[] = {
    {"frozen_resnet50",
     {.backbone = {.depth = 50, .width = 1.0 / 32, .norm = RESNET_FROZEN},
      .model_width = 16,
      .heads = 4,
      .encoder_layers = 2,
      .decoder_layers = 2,
      .ffn_width = 24,
      .region_count = 36,
      .feature_size = 16,
      .feature_heads = 2,
      .label_count = 14,
      .image_height = 64,
      .image_width = 64},
     false},
    {"batch_resnet34",
     {.backbone = {.depth = 34, .width = 1.0 / 32, .norm = RESNET_BATCH},
      .model_width = 16,
      .heads = 4,
      .encoder_layers = 1,
      .decoder_layers = 2,
      .ffn_width = 20,
      .region_count = 11,
      .feature_size = 16,
      .feature_heads = 2,
      .label_count = 14,
      .image_height = 64,
      .image_width = 64},
     true},
    {"group_resnet18",
     {.backbone = {.depth = 18, .width = 3.0 / 64, .norm = RESNET_GROUP},
      .model_width = 16,
      .heads = 2,
      .encoder_layers = 2,
      .decoder_layers = 1,
      .ffn_width = 24,
      .region_count = 5,
      .feature_size = 8,
      .feature_heads = 2,
      .label_count = 14,
      .image_height = 40,
      .image_width = 72},
     false},
    {"fine_box_queries",
     {.backbone = {.depth = 18, .width = 1.0 / 32, .norm = RESNET_BATCH, .fine = true},
      .model_width = 16,
      .heads = 4,
      .encoder_layers = 1,
      .decoder_layers = 3,
      .ffn_width = 20,
      .region_count = 7,
      .feature_size = 8,
      .feature_heads = 2,
      .label_count = 14,
      .image_height = 64,
      .image_width = 64,
      .box_queries = true,
      .box_mean = true},
     true},
};

static tensor_file open_file(const fixture *f, const char *name) {
    char path[512];
    carina_error error;
    tensor_file file;
    snprintf(path, sizeof path, TEST_DATA "/apm/%s/%s.safetensors", f->folder, name);
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

static void load_weights(const fixture *f, apm *model) {
    tensor_file file = open_file(f, "weights");
    for (int i = 0; i < model->parameters->count; i++) {
        parameter *p = model->parameters->items[i];
        char name[256];
        uint64_t count;
        snprintf(name, sizeof name, "vis_model.%s", p->name);
        float *values = values_of(&file, name, &count);
        assert_int_equal(count, p->count);
        memcpy(p->value, values, count * sizeof *values);
        free(values);
    }
    assert_int_equal(file.count, model->parameters->count);
    tensor_file_free(&file);
    parameters_changed(model->parameters);
}

typedef struct run {
    apm *model;
    graph *g;
    apm_outputs outputs;
    tensor *films, *boxes, *present, *labels, *cotangent, *total;
} run;

static void fill(tensor *t, const tensor_file *file, const char *name) {
    uint64_t count;
    float *values = values_of(file, name, &count);
    assert_int_equal(count, tensor_count(t));
    memcpy(tensor_data(t), values, count * sizeof *values);
    free(values);
}

static run start(const fixture *f, bool training, thread_pool *pool, tensor_type type) {
    run r = {0};
    carina_error error = {0};
    graph_options options = {.pool = pool, .training = training, .type = type};
    const apm_config *c = &f->config;
    if (apm_create(&r.model, c, 1, &error) != CARINA_OK) fail_msg("%s", error.message);
    load_weights(f, r.model);
    if (training) assert_int_equal(parameters_allocate_gradients(r.model->parameters, &error), CARINA_OK);
    assert_int_equal(graph_create(&r.g, &options, &error), CARINA_OK);
    r.films = graph_input(r.g, "films", 4, (int64_t[]){2, c->image_height, c->image_width, 1});
    r.outputs = apm_record(r.g, r.model, r.films);
    if (training) {
        r.boxes = graph_input(r.g, "boxes", 3, (int64_t[]){2, c->region_count, 4});
        r.present = graph_input(r.g, "present", 2, (int64_t[]){2, c->region_count});
        r.labels = graph_input(r.g, "labels", 2, (int64_t[]){2, 14});
        r.cotangent = graph_input(r.g, "cotangent", 3, (int64_t[]){2, c->region_count, c->feature_size});
        apm_targets targets = {r.boxes, r.present, r.labels};
        apm_loss_options loss = {.box = {5, 2}, .label_weight = 2, .auxiliary = f->auxiliary};
        tensor *terms[2] = {apm_record_loss(r.g, &r.outputs, &targets, &loss).total,
                            op_dot(r.g, r.outputs.region_features, r.cotangent)};
        r.total = op_sum_scalars(r.g, 2, terms, (float[]){1, 1});
        graph_loss(r.g, r.total);
    }
    tensor *all[] = {r.outputs.boxes, r.outputs.region_features, r.outputs.image_logits, r.outputs.cls,
                     r.outputs.patch_features};
    for (int i = 0; i < 5; i++) graph_output(r.g, all[i]);
    if (graph_plan(r.g, &error) != CARINA_OK) fail_msg("%s: %s", f->folder, error.message);
    tensor_file input = open_file(f, "input"), target = open_file(f, "targets");
    fill(r.films, &input, "image");
    if (training) {
        fill(r.boxes, &target, "boxes");
        fill(r.present, &target, "present");
        fill(r.labels, &target, "labels");
        fill(r.cotangent, &target, "region_cotangent");
    }
    tensor_file_free(&input);
    tensor_file_free(&target);
    graph_forward(r.g);
    return r;
}

static void finish(run *r) {
    graph_free(r->g);
    apm_free(r->model);
}

/* Largest difference relative to the reference's largest magnitude (at least `floor`). */
static double difference(const float *ours, const float *reference, uint64_t count, uint64_t stride, double floor) {
    double scale = floor, worst = 0;
    for (uint64_t i = 0; i < count; i++) {
        scale = fmax(scale, fabs((double)reference[i]));
        worst = fmax(worst, fabs((double)ours[i * stride] - (double)reference[i]));
        if (!isfinite(ours[i * stride])) return INFINITY;
    }
    return worst / scale;
}

static void compare(const fixture *f, const tensor_file *expected, const char *name, const float *ours,
                    uint64_t ours_count, double tolerance) {
    uint64_t count;
    float *reference = values_of(expected, name, &count);
    assert_int_equal(count, ours_count);
    double d = difference(ours, reference, count, 1, 1e-12);
    if (!(d <= tolerance)) fail_msg("%s: %s differs by %.3g of its scale", f->folder, name, d);
    free(reference);
}

static void compare_outputs(const fixture *f, const run *r, const char *prefix, double tolerance) {
    tensor_file expected = open_file(f, "expected");
    const struct {
        const char *name;
        tensor *t;
    } all[] = {{"patch_features", r->outputs.patch_features},
               {"cls", r->outputs.cls},
               {"image_logits", r->outputs.image_logits},
               {"boxes", r->outputs.boxes},
               {"region_features", r->outputs.region_features}};
    for (int i = 0; i < 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", prefix, all[i].name);
        compare(f, &expected, name, tensor_data(all[i].t), (uint64_t)tensor_count(all[i].t), tolerance);
    }
    tensor_file_free(&expected);
}

static void outputs_match_pytorch(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++) {
        run r = start(&fixtures[i], false, NULL, TENSOR_F32);
        compare_outputs(&fixtures[i], &r, "", 1e-4);
        finish(&r);
    }
}

static void gradients_match_pytorch(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++) {
        const fixture *f = &fixtures[i];
        run r = start(f, true, NULL, TENSOR_F32);
        if (f->config.backbone.norm == RESNET_BATCH) compare_outputs(f, &r, "train.", 1e-4);
        tensor_file expected = open_file(f, "expected"), gradients = open_file(f, "gradients");
        compare(f, &expected, "loss.total", tensor_data(r.total), 1, 1e-4);
        graph_backward(r.g);
        double floor = 0;
        for (uint64_t j = 0; j < gradients.count; j++) {
            uint64_t count;
            float *reference = values_of(&gradients, gradients.tensors[j].name, &count);
            for (uint64_t k = 0; k < count; k++) floor = fmax(floor, 1e-4 * fabs((double)reference[k]));
            free(reference);
        }
        uint64_t compared = 0;
        for (int j = 0; j < r.model->parameters->count; j++) {
            const parameter *p = r.model->parameters->items[j];
            char name[256];
            snprintf(name, sizeof name, "vis_model.%s", p->name);
            if (!p->trainable) {
                assert_null(tensor_file_find(&gradients, name));
                continue;
            }
            uint64_t count;
            float *reference = values_of(&gradients, name, &count);
            double d = difference(p->gradient, reference, count, p->count > 128 ? 7 : 1, floor);
            if (!(d <= 1e-3)) fail_msg("%s: gradient of %s differs by %.3g of its scale", f->folder, p->name, d);
            compared++;
            free(reference);
        }
        assert_int_equal(compared, gradients.count);
        tensor_file_free(&expected);
        tensor_file_free(&gradients);
        finish(&r);
    }
}

static void running_statistics_match_pytorch(void **state) {
    (void)state;
    const fixture *f = &fixtures[1];
    run r = start(f, true, NULL, TENSOR_F32);
    tensor_file expected = open_file(f, "expected");
    int compared = 0;
    for (int j = 0; j < r.model->parameters->count; j++) {
        const parameter *p = r.model->parameters->items[j];
        char name[256];
        snprintf(name, sizeof name, "statistics.vis_model.%s", p->name);
        if (!tensor_file_find(&expected, name)) snprintf(name, sizeof name, "statistics.%s", p->name);
        if (p->kind != PARAMETER_BUFFER || !tensor_file_find(&expected, name)) continue;
        compare(f, &expected, name, p->value, (uint64_t)p->count, 1e-4);
        compared++;
    }
    assert_true(compared > 0);
    tensor_file_free(&expected);
    finish(&r);
}

static void threads_do_not_change_the_model(void **state) {
    (void)state;
    thread_pool *pool;
    assert_int_equal(thread_pool_create(&pool, 2, NULL), CARINA_OK);
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++)
        for (int type = TENSOR_F32; type <= TENSOR_BF16; type++) {
            run one = start(&fixtures[i], true, NULL, (tensor_type)type),
                two = start(&fixtures[i], true, pool, (tensor_type)type);
            graph_backward(one.g);
            graph_backward(two.g);
            assert_memory_equal(tensor_data(one.total), tensor_data(two.total), sizeof(float));
            for (int j = 0; j < one.model->parameters->count; j++) {
                const parameter *p = one.model->parameters->items[j], *q = two.model->parameters->items[j];
                if (p->gradient) assert_memory_equal(p->gradient, q->gradient, (size_t)p->count * sizeof(float));
            }
            finish(&one);
            finish(&two);
        }
    thread_pool_free(pool);
}

static void bf16_stays_near_f32(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++) {
        run r = start(&fixtures[i], false, NULL, TENSOR_BF16);
        compare_outputs(&fixtures[i], &r, "", 0.25); /* 8 bits a number through dozens of narrow, random layers */
        finish(&r);
    }
}

/* Also where nothing else looks at the boxes of the layer before the last; with one layer there is nothing to mean. */
static void boxes_are_the_mean_of_the_last_two_layers(void **state) {
    (void)state;
    for (int layers = 1; layers <= 3; layers++) {
        apm_config config = fixtures[1].config;
        config.decoder_layers = layers;
        config.box_mean = true;
        apm *model;
        graph *g;
        random_state random = random_seed(2);
        assert_int_equal(apm_create(&model, &config, 1, NULL), CARINA_OK);
        assert_int_equal(graph_create(&g, &(graph_options){0}, NULL), CARINA_OK);
        tensor *films = graph_input(g, "films", 4, (int64_t[]){1, config.image_height, config.image_width, 1});
        apm_outputs outputs = apm_record(g, model, films);
        tensor *last = outputs.layer_boxes[layers - 1], *before = layers > 1 ? outputs.layer_boxes[layers - 2] : last;
        graph_output(g, outputs.boxes);
        graph_output(g, last);
        graph_output(g, before);
        assert_int_equal(graph_plan(g, NULL), CARINA_OK);
        for (int64_t i = 0; i < tensor_count(films); i++) tensor_data(films)[i] = (float)random_uniform(&random);
        graph_forward(g);
        for (int64_t i = 0; i < tensor_count(last); i++) {
            float mean = (tensor_data(last)[i] + tensor_data(before)[i]) / 2;
            assert_true(fabsf(tensor_data(outputs.boxes)[i] - mean) < 1e-6f);
        }
        graph_free(g);
        apm_free(model);
    }
}

static void bad_configurations_are_named(void **state) {
    (void)state;
    carina_error error;
    apm *model;
    apm_config c = fixtures[0].config;
    c.model_width = 18;
    assert_int_equal(apm_create(&model, &c, 1, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "model_width"));
    c = fixtures[0].config;
    c.backbone.depth = 20;
    assert_int_equal(apm_create(&model, &c, 1, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "resnet20"));
    assert_null(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_match_pytorch),
        cmocka_unit_test(gradients_match_pytorch),
        cmocka_unit_test(running_statistics_match_pytorch),
        cmocka_unit_test(threads_do_not_change_the_model),
        cmocka_unit_test(bf16_stays_near_f32),
        cmocka_unit_test(boxes_are_the_mean_of_the_last_two_layers),
        cmocka_unit_test(bad_configurations_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
