/* The text encoder against PyTorch (tests/data/bert, made by tools/make_bert_fixture.py): outputs, gradients, bf16, any
 * number of threads; batches of sentences; and what is said of directories that do not fit. */
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

#include "base/file.h"
#include "fixture.h"
#include "format/safetensors.h"
#include "model/bert_file.h"
#include "model/text_encoder.h"

#define FOLDER TEST_DATA "/bert"

static tensor_file expected_file(void) { return fixture_open(FOLDER "/expected.safetensors"); }

static bert *load(void) {
    bert *m;
    carina_error error;
    if (bert_load(&m, FOLDER, &error) != CARINA_OK) fail_msg("%s", error.message);
    return m;
}

typedef struct run {
    bert *model;
    graph *g;
    tensor *ids, *mask, *hidden, *total;
    bert_outputs outputs;
} run;

static tensor *product(run *r, const tensor_file *file, const char *name, tensor *x) {
    char key[64];
    int64_t count = tensor_count(x);
    snprintf(key, sizeof key, "cotangent.%s", name);
    float *values = fixture_values(file, key, count);
    tensor *flat = op_reshape(r->g, x, 1, &count), *sum = op_dot(r->g, flat, graph_constant(r->g, 1, &count, values));
    free(values);
    return sum;
}

static run start(const tensor_file *file, bool training, thread_pool *pool, tensor_type type) {
    run r = {.model = load()};
    carina_error error = {0};
    r.model->config.dropout = 0;
    graph_options options = {.pool = pool, .training = training, .type = type};
    const named_tensor *ids = tensor_file_find(file, "ids");
    int64_t size[2] = {(int64_t)ids->shape[0], (int64_t)ids->shape[1]};
    if (training) assert_int_equal(parameters_allocate_gradients(r.model->parameters, NULL), CARINA_OK);
    assert_int_equal(graph_create(&r.g, &options, NULL), CARINA_OK);
    r.ids = graph_input(r.g, "ids", 2, size);
    r.mask = graph_input(r.g, "mask", 2, size);
    r.outputs = bert_record(r.g, r.model, r.ids, r.mask);
    r.hidden = op_cast(r.g, r.outputs.hidden, TENSOR_F32);
    graph_output(r.g, r.hidden);
    graph_output(r.g, r.outputs.pooled);
    graph_output(r.g, r.outputs.projected);
    if (training) {
        tensor *terms[3] = {product(&r, file, "hidden", r.hidden), product(&r, file, "pooled", r.outputs.pooled),
                            product(&r, file, "projected", r.outputs.projected)};
        r.total = op_sum_scalars(r.g, 3, terms, (float[]){1, 1, 1});
        graph_loss(r.g, r.total);
    }
    if (graph_plan(r.g, &error) != CARINA_OK) fail_msg("%s", error.message);
    fixture_fill(file, "ids", r.ids);
    fixture_fill(file, "mask", r.mask);
    graph_forward(r.g);
    if (training) graph_backward(r.g);
    return r;
}

static void finish(run *r) {
    graph_free(r->g);
    bert_free(r->model);
}

static void compare_output(const tensor_file *file, const char *name, tensor *t, double tolerance) {
    fixture_check(file, name, tensor_data(t), tensor_count(t), 0, tolerance);
}

static void outputs_match_pytorch(void **state) {
    (void)state;
    tensor_file file = expected_file();
    for (int type = 0; type < 2; type++) {
        run r = start(&file, false, NULL, type ? TENSOR_BF16 : TENSOR_F32);
        double tolerance = type ? 3e-2 : 1e-5;
        compare_output(&file, "hidden", r.hidden, tolerance);
        compare_output(&file, "pooled", r.outputs.pooled, tolerance);
        compare_output(&file, "projected", r.outputs.projected, tolerance);
        finish(&r);
    }
    tensor_file_free(&file);
}

static void gradients_match_pytorch(void **state) {
    (void)state;
    tensor_file file = expected_file();
    run r = start(&file, true, NULL, TENSOR_F32);
    compare_output(&file, "hidden", r.hidden, 1e-5);
    compare_output(&file, "total", r.total, 1e-4);
    double largest = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < r.model->parameters->count; i++) {
            const parameter *p = r.model->parameters->items[i];
            char name[128];
            snprintf(name, sizeof name, "gradient.%s", p->name);
            float *wanted = fixture_values(&file, name, p->count);
            double scale = fixture_scale(wanted, p->count);
            largest = fmax(largest, scale);
            /* a key's bias moves all scores of a query alike: its gradient is zero by theory, what is left is the
             * rounding of sums as large as the largest */
            double least = strstr(p->name, "key.bias") ? 1e-2 : 1e-3;
            if (pass) fixture_compare(p->name, p->gradient, wanted, p->count, fmax(scale, least * largest), 1e-4);
            free(wanted);
        }
    finish(&r);
    tensor_file_free(&file);
}

static void threads_do_not_change_results(void **state) {
    (void)state;
    tensor_file file = expected_file();
    thread_pool *pool;
    assert_int_equal(thread_pool_create(&pool, 2, NULL), CARINA_OK);
    run one = start(&file, true, NULL, TENSOR_F32), two = start(&file, true, pool, TENSOR_F32);
    assert_memory_equal(tensor_data(one.hidden), tensor_data(two.hidden), (size_t)tensor_count(one.hidden) * 4);
    for (int i = 0; i < one.model->parameters->count; i++) {
        const parameter *p = one.model->parameters->items[i], *q = two.model->parameters->items[i];
        if (memcmp(p->gradient, q->gradient, (size_t)p->count * 4) != 0) fail_msg("gradients of %s differ", p->name);
    }
    finish(&one);
    finish(&two);
    thread_pool_free(pool);
    tensor_file_free(&file);
}

static void only_the_projector_learns_when_frozen(void **state) {
    (void)state;
    bert *m = load();
    bert_freeze_encoder(m);
    int trainable = 0;
    for (int i = 0; i < m->parameters->count; i++) {
        const parameter *p = m->parameters->items[i];
        trainable += p->trainable;
        if (p->trainable) assert_non_null(strstr(p->name, "project_head"));
    }
    assert_int_equal(trainable, 4);
    bert_free(m);
}

/* ---- sentences ---- */

static const char *const sentences[] = {
    "The left lower LUNG zone is healthy.",
    "right lung",
    "Café shows opacity [MASK]",
    "",
    "a b x y a b x y a b x y a b x y a b x y a b x y a b x y", /* longer than the model has positions */
    "lung , lung , lung , lung , lung , lung , lung , lung .", /* another length class */
    "\xff\xfe right\x01 lung",
};
enum { SENTENCES = sizeof sentences / sizeof *sentences };

static void sentences_give_the_same_vectors_in_any_batch(void **state) {
    (void)state;
    tensor_file file = expected_file();
    text_span spans[SENTENCES];
    for (int i = 0; i < SENTENCES; i++) spans[i] = (text_span){sentences[i], strlen(sentences[i])};
    float first[SENTENCES][32], pooled[SENTENCES][32], projected[SENTENCES][16];
    float *wanted = fixture_values(&file, "pooled", 96), *wanted_projected = fixture_values(&file, "projected", 48);
    for (int batch = 0; batch < 4; batch++) {
        text_encoder e;
        carina_error error;
        uint64_t cut;
        text_encoder_options options = {.batch = batch};
        if (text_encoder_load(&e, FOLDER, &options, &error) != CARINA_OK) fail_msg("%s", error.message);
        for (int again = 0; again < 2; again++)
            assert_int_equal(text_encoder_encode(&e, spans, SENTENCES, pooled[0], projected[0], &cut, NULL, &error),
                             CARINA_OK);
        assert_int_equal(cut, 1);
        fixture_compare("pooled", pooled[0], wanted, 96, fixture_scale(wanted, 96), 1e-5);
        fixture_compare("projected", projected[0], wanted_projected, 48, fixture_scale(wanted_projected, 48), 1e-5);
        if (batch == 0) memcpy(first, pooled, sizeof first);
        fixture_compare("pooled", pooled[0], first[0], SENTENCES * 32, 1, 1e-5);
        fixture_compare("malformed", pooled[6], pooled[1], 32, 1, 1e-5);
        assert_int_equal(text_encoder_encode(&e, spans, 0, NULL, NULL, NULL, NULL, &error), CARINA_OK);
        text_encoder_free(&e);
    }
    free(wanted);
    free(wanted_projected);
    tensor_file_free(&file);
}

/* ---- directories ---- */

/* The fixture's configuration with one key's value replaced. */
static void overflowing_weights_are_an_error(void **state) {
    (void)state;
    text_encoder e;
    carina_error error;
    float pooled[32];
    const text_encoder_options options = {0};
    const text_span span = {sentences[0], strlen(sentences[0])};
    if (text_encoder_load(&e, FOLDER, &options, &error) != CARINA_OK) fail_msg("%s", error.message);
    parameter *weight = parameters_find(e.model->parameters, "encoder.layer.0.attention.self.query.weight");
    assert_non_null(weight);
    for (int64_t i = 0; i < weight->count; i++) weight->value[i] = 3e38f;
    assert_int_equal(text_encoder_encode(&e, &span, 1, pooled, NULL, NULL, NULL, &error), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "sentence 1 is not finite"));
    text_encoder_free(&e);
}

static void parse_changed(bert_config *out, const char *key, const char *value, carina_status wanted,
                          const char *message) {
    char changed[2048], quoted[64];
    uint8_t *data;
    uint64_t size;
    assert_int_equal(file_read(FOLDER "/config.json", 1 << 20, &data, &size, NULL), CARINA_OK);
    const char *text = (const char *)data;
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *at = strstr(text, quoted);
    assert_non_null(at);
    at += strlen(quoted);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, value, at + strcspn(at, ",\n"));
    carina_error error = {0};
    carina_status status = bert_config_parse(out, "config.json", changed, strlen(changed), &error);
    if (status != wanted || (message && !strstr(error.message, message)))
        fail_msg("%s = %s: status %d, \"%s\"", key, value, (int)status, error.message);
    free(data);
}

static void configurations_that_make_no_model_are_named(void **state) {
    (void)state;
    bert_config c;
    parse_changed(&c, "model_type", "\"roberta\"", CARINA_ERROR_UNSUPPORTED, "roberta");
    parse_changed(&c, "position_embedding_type", "\"relative_key\"", CARINA_ERROR_UNSUPPORTED, "relative_key");
    parse_changed(&c, "hidden_act", "\"swish\"", CARINA_ERROR_UNSUPPORTED, "swish");
    parse_changed(&c, "num_attention_heads", "5", CARINA_ERROR_ARGUMENT, "not divisible");
    parse_changed(&c, "num_hidden_layers", "1000000", CARINA_ERROR_ARGUMENT, "num_hidden_layers");
    parse_changed(&c, "hidden_size", "-1", CARINA_ERROR_FORMAT, "hidden_size");
    parse_changed(&c, "vocab_size", "\"many\"", CARINA_ERROR_FORMAT, "vocab_size");
    parse_changed(&c, "layer_norm_eps", "-3", CARINA_ERROR_FORMAT, "layer_norm_eps");
    parse_changed(&c, "hidden_act", "\"gelu_new\"", CARINA_OK, NULL);
    assert_int_equal(c.function, ACTIVATION_GELU_TANH);
    assert_true(c.epsilon == 1e-12f);
}

static void does_not_fit(const tensor_file *weights, const char *key, const char *value, const char *message) {
    bert_config c;
    bert *m;
    carina_error error = {0};
    parse_changed(&c, key, value, CARINA_OK, NULL);
    assert_int_equal(bert_from_tensors(&m, &c, weights, "w", &error), CARINA_ERROR_MISMATCH);
    if (!strstr(error.message, message)) fail_msg("%s = %s: \"%s\"", key, value, error.message);
    assert_null(m);
}

static void weights_that_do_not_fit_are_named(void **state) {
    (void)state;
    tensor_file w;
    assert_int_equal(safetensors_read(&w, FOLDER "/model.safetensors", NULL), CARINA_OK);
    does_not_fit(&w, "vocab_size", "171",
                 "word_embeddings.weight is bf16 [170,32], the configuration wants float [171,32]");
    does_not_fit(&w, "vocab_size", "1000000", "word_embeddings.weight");
    does_not_fit(&w, "num_hidden_layers", "3", "no tensor encoder.layer.2.");
    does_not_fit(&w, "num_hidden_layers", "1", "bert.encoder.layer.1.");
    does_not_fit(&w, "intermediate_size", "64", "intermediate.dense.weight");
    does_not_fit(&w, "max_position_embeddings", "512", "position_embeddings");
    bert_config c;
    bert *m;
    carina_error error = {0};
    parse_changed(&c, "vocab_size", "170", CARINA_OK, NULL);
    static const struct {
        const char *name, *changed, *message; /* NULL: loads all the same */
    } renamed[] = {
        {"bert.embeddings.LayerNorm.weight", "embeddings.LayerNorm.gamma", NULL},
        {"bert.encoder.layer.1.output.LayerNorm.bias", "model.encoder.layer.1.output.LayerNorm.beta", NULL},
        {"project_head.proj.0.bias", "model.text_model.project_head.proj.0.bias", NULL},
        {"bert.encoder.layer.1.output.dense.bias", "bert.encoder.layer.1.output.dense.skew", "dense.skew is not of"},
        {"bert.encoder.layer.1.output.dense.bias", "cls.predictions.bias",
         "no tensor encoder.layer.1.output.dense.bias"},
        {"bert.encoder.layer.1.output.dense.bias", "embeddings.LayerNorm.bias", "are both"},
        {"project_head.proj.2.weight", "pooler.dense.weight", "no tensor project_head.proj.2.weight"},
    };
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++) {
        named_tensor *t = (named_tensor *)(uintptr_t)tensor_file_find(&w, renamed[i].name);
        assert_non_null(t);
        char *kept = t->name, changed[128];
        snprintf(changed, sizeof changed, "%s", renamed[i].changed);
        t->name = changed;
        carina_status status = bert_from_tensors(&m, &c, &w, "w", &error);
        t->name = kept;
        if ((status == CARINA_OK) != !renamed[i].message ||
            (renamed[i].message && !strstr(error.message, renamed[i].message)))
            fail_msg("%s: \"%s\"", renamed[i].changed, error.message);
        bert_free(m);
    }
    tensor_file_free(&w);
}

#define DIRECTORY "bert_forms" /* in this run's own folder, as other names without a path */

static void copy(const char *name) {
    char from[512], to[512];
    uint8_t *data;
    uint64_t size;
    snprintf(from, sizeof from, FOLDER "/%s", name);
    snprintf(to, sizeof to, DIRECTORY "/%s", name);
    assert_int_equal(file_read(from, 1 << 20, &data, &size, NULL), CARINA_OK);
    assert_int_equal(file_write(to, data, size, NULL), CARINA_OK);
    free(data);
}

static void directory_is_refused(const char *message) {
    bert *m;
    carina_error error = {0};
    assert_int_not_equal(bert_load(&m, DIRECTORY, &error), CARINA_OK);
    assert_null(m);
    if (!strstr(error.message, message)) fail_msg("\"%s\" in \"%s\"", message, error.message);
}

/* All parameters of `wanted`, or all but its projector. */
static void directory_is(const bert *wanted, bool projector) {
    bert *m;
    carina_error error = {0};
    if (bert_load(&m, DIRECTORY, &error) != CARINA_OK) fail_msg("%s", error.message);
    assert_int_equal(m->config.feature_size, projector ? 16 : 0);
    assert_int_equal(m->parameters->count, wanted->parameters->count - (projector ? 0 : 4));
    for (int i = 0; i < m->parameters->count; i++) {
        const parameter *p = m->parameters->items[i], *other = parameters_find(wanted->parameters, p->name);
        assert_memory_equal(p->value, other->value, (size_t)p->count * sizeof(float));
    }
    bert_free(m);
}

/* The first `count` tensors in one file, the others in another, with an index. */
static void write_shards(uint64_t count) {
    tensor_file w;
    assert_int_equal(safetensors_read(&w, FOLDER "/model.safetensors", NULL), CARINA_OK);
    assert_int_equal(safetensors_write(DIRECTORY "/a.safetensors", w.tensors, count, NULL, 0, NULL), CARINA_OK);
    assert_int_equal(safetensors_write(DIRECTORY "/b.safetensors", w.tensors + count, w.count - count, NULL, 0, NULL),
                     CARINA_OK);
    FILE *index = fopen(DIRECTORY "/model.safetensors.index.json", "w");
    for (uint64_t i = 0; i < w.count; i++)
        fprintf(index, "%s\"%s\": \"%c.safetensors\"", i ? ", " : "{\"weight_map\": {", w.tensors[i].name,
                i < count ? 'a' : 'b');
    fputs("}}", index);
    fclose(index);
    tensor_file_free(&w);
}

static void directories_of_every_form(void **state) {
    (void)state;
    static const char *const left[] = {"config.json", "model.safetensors.index.json", "pytorch_model.bin", "model.pth"};
    bert *wanted = load();
    assert_int_equal(file_make_folders(DIRECTORY, NULL), CARINA_OK);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        char path[512];
        snprintf(path, sizeof path, DIRECTORY "/%s", left[i]);
        remove(path);
    }
    directory_is_refused("config.json");
    copy("config.json");
    directory_is_refused("no weights: model.safetensors, pytorch_model.bin or .pth");
    copy("pytorch_model.bin"); /* published: no projector, older names, heads that are passed over */
    directory_is(wanted, false);
    assert_int_equal(rename(DIRECTORY "/pytorch_model.bin", DIRECTORY "/model.pth"), 0);
    directory_is(wanted, false);
    write_shards(9);
    directory_is(wanted, true);
    assert_int_equal(remove(DIRECTORY "/b.safetensors"), 0);
    directory_is_refused("b.safetensors");
    bert_free(wanted);
}

static void copy_vocabulary(const char *path) {
    uint8_t *words;
    uint64_t size;
    assert_int_equal(file_read(FOLDER "/vocab.txt", 1 << 20, &words, &size, NULL), CARINA_OK);
    assert_int_equal(file_write(path, words, size, NULL), CARINA_OK);
    free(words);
}

/* vocab.txt has 166 tokens; up to 127 rows more fill a table up, more than that are words that are missing. */
static void a_vocabulary_cut_short_is_refused(void **state) {
    (void)state;
    const char *folder = "bert_long";
    for (int spare = 127; spare <= 128; spare++) {
        bert_config c = bert_config_base();
        c.vocabulary = 166 + spare, c.width = 8, c.heads = 2, c.layers = 1, c.ffn_width = 8, c.positions = 16;
        c.projector_width = c.feature_size = 0;
        bert *m;
        carina_error error = {0};
        assert_int_equal(bert_create(&m, &c, 1, NULL), CARINA_OK);
        if (bert_save(m, folder, &error) != CARINA_OK) fail_msg("%s", error.message);
        bert_free(m);
        copy_vocabulary("bert_long/vocab.txt");
        text_encoder e;
        text_encoder_options options = {0};
        carina_status status = text_encoder_load(&e, folder, &options, &error);
        assert_int_equal(status, spare == 127 ? CARINA_OK : CARINA_ERROR_MISMATCH);
        if (status == CARINA_OK)
            text_encoder_free(&e);
        else
            assert_non_null(strstr(error.message, "has 166 tokens, the weights have rows for 294; it is cut short"));
    }
}

static void a_vocabulary_larger_than_the_table_is_refused(void **state) {
    (void)state;
    bert_config c = bert_config_base();
    c.vocabulary = 100, c.width = 8, c.heads = 2, c.layers = 1, c.ffn_width = 8, c.positions = 16;
    c.projector_width = c.feature_size = 0;
    bert *m;
    assert_int_equal(bert_create(&m, &c, 1, NULL), CARINA_OK);
    const char *folder = "bert_saved";
    carina_error error = {0};
    if (bert_save(m, folder, &error) != CARINA_OK) fail_msg("%s", error.message);
    bert *again;
    if (bert_load(&again, folder, &error) != CARINA_OK) fail_msg("%s", error.message);
    assert_int_equal(again->config.feature_size, 0);
    assert_memory_equal(again->words->value, m->words->value, (size_t)m->words->count * sizeof(float));
    copy_vocabulary("bert_saved/vocab.txt");
    text_encoder e;
    text_encoder_options options = {0};
    assert_int_equal(text_encoder_load(&e, folder, &options, &error), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "vocab.txt has 166 tokens, the weights have rows for 100"));
    /* a projector from elsewhere must have this width */
    assert_int_equal(bert_load_projector(&again, FOLDER "/model.safetensors", &error), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "project_head.proj.0.weight"));
    bert_free(again);
    bert_free(m);
    m = load();
    assert_int_equal(bert_load_projector(&m, FOLDER "/model.safetensors", &error), CARINA_OK);
    assert_int_equal(m->config.projector_width, 40);
    bert_free(m);
    assert_int_not_equal(bert_load(&m, "no_such_folder", &error), CARINA_OK);
    assert_non_null(strstr(error.message, "config.json"));
}

/* The same tests may run elsewhere at the same time, with other kernels. */
static char own_folder[] = TEST_TMP "/bert-XXXXXX";

static int enter_folder(void **state) {
    (void)state;
    return mkdtemp(own_folder) ? chdir(own_folder) : -1;
}
static int remove_folder(void **state) {
    char command[sizeof own_folder + 20];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", own_folder);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_match_pytorch),
        cmocka_unit_test(gradients_match_pytorch),
        cmocka_unit_test(threads_do_not_change_results),
        cmocka_unit_test(only_the_projector_learns_when_frozen),
        cmocka_unit_test(sentences_give_the_same_vectors_in_any_batch),
        cmocka_unit_test(overflowing_weights_are_an_error),
        cmocka_unit_test(configurations_that_make_no_model_are_named),
        cmocka_unit_test(weights_that_do_not_fit_are_named),
        cmocka_unit_test(directories_of_every_form),
        cmocka_unit_test(a_vocabulary_larger_than_the_table_is_refused),
        cmocka_unit_test(a_vocabulary_cut_short_is_refused),
    };
    return cmocka_run_group_tests(tests, enter_folder, remove_folder);
}
