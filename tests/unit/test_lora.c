/* LoRA adapters against PyTorch (tests/data/lora, made by tools/make_lora_fixture.py): attached with gradients, merged,
 * and by session beside rows of another adapter or of none, whose bits do not change; packed weights; and adapters that
 * are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format/json.h"
#include "gemma3_fixture.h"
#include "model/gemma3_random.h"
#include "model/gemma3_session.h"
#include "model/lora_file.h"

static carina_error error;
#include "assert_ok.h"

#define TOKENS 19
#define WORDS  61

static const char *const names[] = {"plain", "patterns"};

static lora *load(const char *name) {
    lora *l;
    char folder[400];
    const gemma3_config config = tied_config();
    snprintf(folder, sizeof folder, "%s/lora/%s", TEST_DATA, name);
    assert_ok(lora_load(&l, folder, &config, &error));
    return l;
}

static tensor_file expected(void) {
    char path[400];
    snprintf(path, sizeof path, "%s/lora/expected.safetensors", TEST_DATA);
    return fixture_open(path);
}

static const char *named(const char *name, const char *what) {
    static char text[160];
    snprintf(text, sizeof text, "%s.%s", name, what);
    return text;
}

/* ---- whole sequences ---- */

typedef struct run {
    graph *g;
    tensor *ids, *logits;
} run;

static run record(const gemma3 *m, const tensor_file *file, const char *cotangent) {
    run r = {0};
    int64_t size[2] = {1, TOKENS}, count = TOKENS * WORDS;
    const graph_options options = {.training = cotangent != NULL, .type = TENSOR_F32};
    assert_ok(graph_create(&r.g, &options, &error));
    r.ids = graph_input(r.g, "ids", 2, size);
    r.logits = gemma3_record_logits(r.g, m, gemma3_record_body(r.g, m, r.ids, NULL, NULL));
    graph_output(r.g, r.logits);
    if (cotangent) {
        float *values = fixture_values(file, cotangent, count);
        graph_loss(r.g, op_dot(r.g, op_reshape(r.g, r.logits, 1, &count), graph_constant(r.g, 1, &count, values)));
        free(values);
    }
    assert_ok(graph_plan(r.g, &error));
    fixture_fill(file, "ids", r.ids);
    graph_forward(r.g);
    if (cotangent) graph_backward(r.g);
    return r;
}

static void check_gradients(const lora *l, const tensor_file *file, const char *name) {
    int checked = 0;
    for (int i = 0; i < l->parameters->count; i++) {
        const parameter *p = l->parameters->items[i];
        char key[160];
        snprintf(key, sizeof key, "%s.gradient.%s", name, p->name);
        if (!tensor_file_find(file, key)) continue;
        fixture_check(file, key, p->gradient, p->count, 1e-2, 1e-4);
        checked++;
    }
    assert_true(checked >= 14);
}

/* Only the adapter learns: the model's own weights get no gradient, and no memory for one. */
static void attached_with_gradients(void **state) {
    (void)state;
    tensor_file file = expected();
    for (int i = 0; i < 2; i++) {
        gemma3 *m = gemma3_fixture_load(&gemma3_fixtures[0]);
        lora *l = load(names[i]);
        for (int k = 0; k < m->parameters->count; k++) m->parameters->items[k]->trainable = false;
        assert_ok(parameters_allocate_gradients(m->parameters, &error));
        assert_ok(parameters_allocate_gradients(l->parameters, &error));
        assert_ok(lora_attach(m, l, &error));
        char cotangent[40];
        snprintf(cotangent, sizeof cotangent, "%s.cotangent", names[i]);
        run r = record(m, &file, cotangent);
        fixture_check(&file, named(names[i], "logits"), tensor_data(r.logits), TOKENS * WORDS, 0, 1e-5);
        check_gradients(l, &file, names[i]);
        assert_null(m->parameters->items[0]->gradient);
        graph_free(r.g);
        lora_detach(m);
        r = record(m, &file, NULL);
        float *with = fixture_values(&file, named(names[i], "logits"), TOKENS * WORDS);
        assert_true(fabsf(with[TOKENS * WORDS - 1] - tensor_data(r.logits)[TOKENS * WORDS - 1]) > 1e-3f);
        free(with);
        graph_free(r.g);
        lora_free(l);
        gemma3_free(m);
    }
    tensor_file_free(&file);
}

static void merged(void **state) {
    (void)state;
    thread_pool *pool;
    assert_ok(thread_pool_create(&pool, 3, &error));
    tensor_file file = expected();
    for (int i = 0; i < 2; i++) {
        gemma3 *m = gemma3_fixture_load(&gemma3_fixtures[0]);
        lora *l = load(names[i]);
        assert_ok(lora_merge(m, l, pool, &error));
        run r = record(m, &file, NULL);
        fixture_check(&file, named(names[i], "logits"), tensor_data(r.logits), TOKENS * WORDS, 0, 1e-5);
        graph_free(r.g);
        lora_free(l);
        gemma3_free(m);
    }
    tensor_file_free(&file);
    thread_pool_free(pool);
}

/* ---- by session ---- */

#define SESSIONS 3

/* Three texts in one step: by the first adapter, by none, by the second. */
static void rows_have_their_own(void **state) {
    (void)state;
    tensor_file file = expected();
    float *ids = fixture_values(&file, "ids", TOKENS);
    gemma3 *m = gemma3_fixture_load(&gemma3_fixtures[0]);
    lora *l[2] = {load("plain"), load("patterns")};
    run bare = record(m, &file, NULL);
    for (int type = 0; type < 2; type++) {
        gemma3_runner *runner;
        gemma3_session *s[SESSIONS];
        gemma3_row rows[SESSIONS * TOKENS];
        const float *logits;
        double tolerance = type ? 8e-2 : 1e-5;
        const gemma3_runner_options options = {.type = type ? TENSOR_BF16 : TENSOR_F32, .chunk = 64, .tokens = 32};
        assert_ok(gemma3_runner_create(&runner, m, &options, &error));
        for (int i = 0; i < SESSIONS; i++) {
            assert_ok(gemma3_session_create(&s[i], &m->config, TENSOR_F32, 32, 32, &error));
            assert_ok(gemma3_session_adapt(s[i], i == 0 ? l[0] : i == 2 ? l[1] : NULL, &error));
            for (int k = 0; k < TOKENS; k++) rows[i * TOKENS + k] = (gemma3_row){s[i], (int64_t)ids[k], NULL, true, 0};
        }
        assert_ok(gemma3_runner_step(runner, rows, SESSIONS * TOKENS, &logits, &error));
        fixture_check(&file, "plain.logits", logits, TOKENS * WORDS, 0, tolerance);
        fixture_compare("no adapter", logits + TOKENS * WORDS, tensor_data(bare.logits), TOKENS * WORDS, 3, tolerance);
        fixture_check(&file, "patterns.logits", logits + 2 * TOKENS * WORDS, TOKENS * WORDS, 0, tolerance);
        for (int i = 0; i < SESSIONS; i++) gemma3_session_free(s[i]);
        gemma3_runner_free(runner);
    }
    graph_free(bare.g);
    for (int i = 0; i < 2; i++) lora_free(l[i]);
    gemma3_free(m);
    free(ids);
    tensor_file_free(&file);
}

static gemma3_config packed_config(void) {
    gemma3_config c = tied_config();
    c.width = 64;
    c.ffn_width = 96;
    c.head_width = 16;
    c.layers = 2;
    c.global_every = 2;
    return c;
}

static lora *random_adapter(const gemma3_config *c, uint64_t seed, double size) {
    lora *l;
    lora_shape shapes[GEMMA3_MAX_SLOTS] = {{0}};
    random_state random = random_seed(seed);
    for (int i = 1; i <= 7 * c->layers; i++) shapes[i] = (lora_shape){4 + i % 3, 0.5f};
    assert_ok(lora_create_empty(&l, c, shapes, &error));
    for (int i = 0; i < l->parameters->count; i++) parameter_fill_normal(l->parameters->items[i], &random, size);
    lora_changed(l);
    return l;
}

/* Logits of the last of eight tokens of each session that has an adapter of `with`, in one step; -1: no session. */
static void last_logits(float *out, const gemma3 *m, lora *const *adapters, const int *with, int count,
                        thread_pool *pool) {
    gemma3_runner *runner;
    gemma3_session *s[SESSIONS];
    gemma3_row rows[SESSIONS * 8];
    const float *logits;
    const gemma3_runner_options options = {.pool = pool, .type = TENSOR_F32, .chunk = 32, .tokens = 16};
    assert_ok(gemma3_runner_create(&runner, m, &options, &error));
    for (int i = 0; i < count; i++) {
        assert_ok(gemma3_session_create(&s[i], &m->config, TENSOR_F32, 16, 16, &error));
        assert_ok(gemma3_session_adapt(s[i], adapters[with[i]], &error));
        for (int k = 0; k < 8; k++) rows[8 * i + k] = (gemma3_row){s[i], (k * 17 + 3) % WORDS, NULL, k == 7, 0};
    }
    assert_ok(gemma3_runner_step(runner, rows, 8 * count, &logits, &error));
    memcpy(out, logits, (size_t)(count * WORDS) * sizeof *out);
    for (int i = 0; i < count; i++) gemma3_session_free(s[i]);
    gemma3_runner_free(runner);
}

/* In packed weights a row's logits are the same bits alone and beside rows of other adapters, for any number of
 * threads; without an adapter the same as in a step that knows of none. */
static void packed_rows_keep_their_bits(void **state) {
    (void)state;
    thread_pool *pool;
    assert_ok(thread_pool_create(&pool, 3, &error));
    const gemma3_config c = packed_config();
    for (int kind = 0; kind < QUANTIZED_KINDS; kind++) {
        gemma3 *m;
        assert_ok(gemma3_create_random(&m, &c, (quantized_kind)kind, 5, &error));
        lora *adapters[3] = {random_adapter(&c, 1, 0.3), NULL, random_adapter(&c, 2, 0.3)};
        float together[3 * WORDS], alone[WORDS], kept[WORDS];
        last_logits(together, m, adapters, (const int[]){0, 1, 2}, 3, pool);
        for (int i = 0; i < 3; i++) {
            last_logits(alone, m, adapters, &i, 1, NULL);
            assert_memory_equal(alone, together + i * WORDS, sizeof alone);
            if (i) assert_true(memcmp(alone, kept, sizeof kept) != 0);
            memcpy(kept, alone, sizeof kept);
        }
        lora_free(adapters[0]);
        lora_free(adapters[2]);
        gemma3_free(m);
    }
    thread_pool_free(pool);
}

/* Merged into packed weights is what stands beside them, up to packing once more. */
static void packed_and_merged(void **state) {
    (void)state;
    const gemma3_config c = packed_config();
    gemma3 *m;
    lora *l = random_adapter(&c, 1, 0.3);
    float beside[WORDS], into[WORDS], without[WORDS];
    double error_squares = 0, change_squares = 0;
    assert_ok(gemma3_create_random(&m, &c, QUANTIZED_Q8, 5, &error));
    last_logits(beside, m, (lora *const[]){l, NULL}, (const int[]){0}, 1, NULL);
    last_logits(without, m, (lora *const[]){l, NULL}, (const int[]){1}, 1, NULL);
    assert_ok(lora_merge(m, l, NULL, &error));
    last_logits(into, m, (lora *const[]){l, NULL}, (const int[]){1}, 1, NULL);
    for (int i = 0; i < WORDS; i++) {
        error_squares += pow((double)into[i] - (double)beside[i], 2);
        change_squares += pow((double)without[i] - (double)beside[i], 2);
    }
    if (!(sqrt(error_squares / change_squares) < 0.05))
        fail_msg("%g of the change", sqrt(error_squares / change_squares));
    lora_free(l);
    gemma3_free(m);
}

static void another_model(void **state) {
    (void)state;
    gemma3 *m;
    gemma3_session *s;
    const gemma3_config c = packed_config();
    lora *l = load("plain");
    assert_ok(gemma3_create_random(&m, &c, QUANTIZED_Q8, 5, &error));
    assert_ok(gemma3_session_create(&s, &c, TENSOR_F32, 16, 16, &error));
    assert_int_equal(gemma3_session_adapt(s, l, &error), CARINA_ERROR_MISMATCH);
    assert_int_equal(lora_merge(m, l, NULL, &error), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "for a model of 5 layers of 24, this one has 2 of 64"));
    gemma3_session_free(s);
    gemma3_free(m);
    lora_free(l);
}

/* ---- what is refused ---- */

#define PLAIN(more) "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 6" more "}"
#define LISTED      ", \"target_modules\": [\"q_proj\", \"k_proj\", \"v_proj\", \"o_proj\"]"

static carina_status take(const char *config, const tensor_file *weights) {
    json_document *d;
    lora *l = NULL;
    const gemma3_config c = tied_config();
    assert_ok(json_parse(&d, "adapter_config.json", config, strlen(config), NULL, &error));
    carina_status status = lora_from_parts(&l, &c, d, weights, "weights", &error);
    assert_true((status == CARINA_OK) == (l != NULL));
    lora_free(l);
    json_free(d);
    return status;
}

static void descriptions(void **state) {
    (void)state;
    char path[400];
    snprintf(path, sizeof path, "%s/lora/plain/adapter_model.safetensors", TEST_DATA);
    tensor_file weights = fixture_open(path);
    assert_ok(take(PLAIN(LISTED), &weights));
    assert_ok(take(PLAIN(", \"target_modules\": \".*self_attn.*_proj\", \"modules_to_save\": []"), &weights));
    assert_ok(
        take(PLAIN(", \"target_modules\": [\"self_attn.q_proj\", \"k_proj\", \"v_proj\", \"o_proj\"]"), &weights));
    assert_ok(take(PLAIN(LISTED ", \"rank_pattern\": {\"^model\\\\.layers\\\\.0\\\\.mlp\\\\.up_proj\": 7}"), &weights));
    static const struct {
        const char *config, *message;
    } cases[] = {
        {"[]", "an object is wanted"},
        {"{\"peft_type\": \"LOHA\"}", "peft_type: \"LOHA\", known here is LORA"},
        {PLAIN(", \"use_dora\": true" LISTED), "use_dora: DoRA: not supported here"},
        {PLAIN(", \"bias\": \"all\"" LISTED), "bias: \"all\": only none"},
        {PLAIN(", \"modules_to_save\": [\"lm_head\"]" LISTED), "modules_to_save: layers saved whole"},
        {PLAIN(", \"fan_in_fan_out\": true" LISTED), "fan_in_fan_out: transposed weights"},
        {PLAIN(", \"init_lora_weights\": \"pissa_niter_4\"" LISTED), "init_lora_weights: \"pissa_niter_4\" belongs to"},
        {PLAIN(""), "target_modules"},
        {PLAIN(", \"target_modules\": [3]"), "target_modules: modules' names are wanted"},
        {PLAIN(", \"target_modules\": \"all-linear\""), "names model.layers.0.mlp.gate_proj, but there are no tensors"},
        {PLAIN(", \"target_modules\": [\"q_proj\"]"), "target_modules does not name its module"},
        {PLAIN(LISTED ", \"rank_pattern\": {\"q_.*\": 4}"), "rank_pattern: \"q_.*\" is an expression"},
        {PLAIN(LISTED ", \"rank_pattern\": {\"q_proj\": 5}"), "is f32 [4,24], the model wants float [5,24]"},
        {PLAIN(LISTED ", \"rank_pattern\": [4]"), "rank_pattern: an object is expected"},
        {PLAIN(LISTED ", \"alpha_pattern\": \"q_proj\""), "alpha_pattern: an object is expected"},
        {PLAIN(LISTED ", \"rank_pattern\": {\"q_proj\": 0.5}"), "rank_pattern: 0.5 is no rank"},
        {"{\"peft_type\": \"LORA\", \"r\": 4000, \"lora_alpha\": 6" LISTED "}", "r: "},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 1e30" LISTED "}", "lora_alpha: 1e+30 is no factor"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(take(cases[i].config, &weights) != CARINA_OK);
        if (!strstr(error.message, cases[i].message)) fail_msg("case %zu: %s", i, error.message);
    }
    tensor_file_free(&weights);
}

/* One tensor of the plain adapter under another name, or with another value. */
static void tensors(void **state) {
    (void)state;
    char path[400];
    snprintf(path, sizeof path, "%s/lora/plain/adapter_model.safetensors", TEST_DATA);
    tensor_file weights = fixture_open(path);
    static const char *const cases[][2] = {
        {"base_model.model.model.embed_tokens.lora_embedding_A", "an adapter of embeddings"},
        {"base_model.model.model.embed_tokens.lora_A.weight", "an adapter of embeddings"},
        {"base_model.model.lm_head.lora_A.weight", "an adapter of the output head"},
        {"base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "DoRA"},
        {"base_model.model.lm_head.weight", "neither lora_A.weight nor lora_B.weight"},
        {"model.layers.0.self_attn.q_proj.lora_A.weight", "neither lora_A.weight nor lora_B.weight"},
        {"base_model.model.model.layers.5.self_attn.q_proj.lora_A.weight", "the model (5 layers) has no such matrix"},
        {"base_model.model.model.language_model.layers.1.self_attn.q_proj.lora_A.weight", "are of the same matrix"},
        {"base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", "target_modules does not name its module"},
        {"base_model.model.model.vision_tower.x.q_proj.lora_A.weight", "has no lora_A beside it"},
    };
    named_tensor *first = NULL;
    for (uint64_t i = 0; i < weights.count; i++)
        if (strstr(weights.tensors[i].name, "layers.0.self_attn.q_proj.lora_A")) first = &weights.tensors[i];
    char *name = first->name;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char other[120];
        snprintf(other, sizeof other, "%s", cases[i][0]);
        first->name = other;
        assert_true(take(PLAIN(LISTED), &weights) != CARINA_OK);
        if (!strstr(error.message, cases[i][1])) fail_msg("case %zu: %s", i, error.message);
        assert_int_equal(strncmp(error.message, "weights: ", 9), 0);
    }
    first->name = name;
    float values[4 * 24] = {[7] = NAN};
    const void *data = first->data;
    first->data = values;
    assert_int_equal(take(PLAIN(LISTED), &weights), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "q_proj.lora_A.weight"));
    first->data = data;
    uint64_t count = weights.count;
    weights.count = 0;
    assert_int_equal(take(PLAIN(", \"target_modules\": \".*\""), &weights), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "holds no adapter"));
    weights.count = count;
    tensor_file_free(&weights);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attached_with_gradients),
        cmocka_unit_test(merged),
        cmocka_unit_test(rows_have_their_own),
        cmocka_unit_test(packed_rows_keep_their_bits),
        cmocka_unit_test(packed_and_merged),
        cmocka_unit_test(another_model),
        cmocka_unit_test(descriptions),
        cmocka_unit_test(tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
