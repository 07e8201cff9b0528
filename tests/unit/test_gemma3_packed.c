/* Gemma 3 with packed weights: loaded from a folder and from GGUF, held against the same model in f32; sessions that do
 * not notice who else is in the batch; files that do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/half.h"
#include "fixture.h"
#include "model/gemma3_gguf.h"
#include "model/gemma3_packed.h"
#include "model/gemma3_random.h"
#include "model/gemma3_session.h"
#include "model/lora_file.h"

static carina_error error;
#include "assert_ok.h"

#define TOKENS 9

static gemma3_config small_config(void) {
    gemma3_config c = gemma3_config_4b();
    c.vocabulary = 70;
    c.width = 256;
    c.layers = 2;
    c.heads = 4;
    c.key_heads = 2;
    c.head_width = 64;
    c.ffn_width = 512;
    c.window = 4;
    c.global_every = 2;
    c.query_scalar = 64;
    return c;
}
#define SMALL_JSON                                                                                          \
    "{\"model_type\": \"gemma3_text\", \"vocab_size\": 70, \"hidden_size\": 256, \"num_hidden_layers\": 2," \
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 64, \"intermediate_size\": 512," \
    "\"sliding_window\": 4, \"sliding_window_pattern\": 2, \"query_pre_attn_scalar\": 64,"                  \
    "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8}}"

static char folder[300];

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/packed-XXXXXX", TEST_TMP);
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

static const char *path_of(const char *name) {
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Weights that attend and choose, not those of a model that begins. */
static gemma3 *make_model(void) {
    gemma3 *m;
    const gemma3_config c = small_config();
    assert_ok(gemma3_create(&m, &c, 7, &error));
    random_state random = random_seed(9);
    for (int i = 0; i < m->parameters->count; i++) {
        parameter *p = m->parameters->items[i];
        double deviation = p->rank == 2 ? 1.2 / sqrt((double)p->size[1]) : 0.3;
        for (int64_t k = 0; k < p->count; k++)
            p->value[k] = bf16_to_f32(bf16_from_f32((float)(deviation * random_normal(&random))));
    }
    parameters_changed(m->parameters);
    return m;
}

static int64_t token(int64_t i) { return i * 37 % 70; }

/* Logits of TOKENS tokens in one step. */
static float *logits_of(const gemma3 *m, thread_pool *pool) {
    gemma3_runner *runner;
    gemma3_session *session;
    gemma3_row rows[TOKENS];
    const float *logits;
    const gemma3_runner_options options = {.pool = pool, .type = TENSOR_F32, .chunk = 16, .tokens = 32};
    assert_ok(gemma3_runner_create(&runner, m, &options, &error));
    assert_ok(gemma3_session_create(&session, &m->config, TENSOR_F32, 32, 16, &error));
    for (int i = 0; i < TOKENS; i++) rows[i] = (gemma3_row){session, token(i), NULL, true, 0};
    assert_ok(gemma3_runner_step(runner, rows, TOKENS, &logits, &error));
    float *copy = malloc(TOKENS * 70 * sizeof *copy);
    memcpy(copy, logits, TOKENS * 70 * sizeof *copy);
    gemma3_session_free(session);
    gemma3_runner_free(runner);
    return copy;
}

/* Root of the mean squared difference beside the logits' own. */
static double distance(const float *a, const float *b) {
    double difference = 0, size = 0;
    for (int i = 0; i < TOKENS * 70; i++) {
        difference += pow((double)a[i] - (double)b[i], 2);
        size += pow((double)b[i], 2);
    }
    return sqrt(difference / size);
}

static void write_folder(const gemma3 *m) {
    named_tensor tensors[64];
    for (int i = 0; i < m->parameters->count; i++) {
        const parameter *p = m->parameters->items[i];
        tensors[i] = (named_tensor){.name = p->name, .dtype = DTYPE_F32, .rank = p->rank, .data = p->value};
        for (int axis = 0; axis < p->rank; axis++) tensors[i].shape[axis] = (uint64_t)p->size[axis];
        tensors[i].byte_count = (uint64_t)p->count * sizeof(float);
    }
    assert_ok(
        safetensors_write(path_of("model.safetensors"), tensors, (uint64_t)m->parameters->count, NULL, 0, &error));
    assert_ok(file_write(path_of("config.json"), SMALL_JSON, strlen(SMALL_JSON), &error));
}

static void folders_are_packed(void **state) {
    (void)state;
    static const double bounds[] = {
        [QUANTIZED_Q8] = 0.02, [QUANTIZED_Q4] = 0.3, [QUANTIZED_Q4M] = 0.3, [QUANTIZED_BF16] = 0.006};
    thread_pool *pool;
    assert_ok(thread_pool_create(&pool, 3, &error));
    gemma3 *model = make_model();
    write_folder(model);
    float *wanted = logits_of(model, NULL);
    for (int kind = 0; kind < QUANTIZED_KINDS; kind++) {
        gemma3 *packed;
        const gemma3_pack_options options = {.kind = (quantized_kind)kind, .pool = pool};
        assert_ok(gemma3_load_packed(&packed, folder, &options, &error));
        float *logits = logits_of(packed, NULL), *again = logits_of(packed, pool);
        if (!(distance(logits, wanted) < bounds[kind]))
            fail_msg("%s: distance %g", quantized_kind_name((quantized_kind)kind), distance(logits, wanted));
        assert_memory_equal(logits, again, TOKENS * 70 * sizeof *logits);
        free(logits);
        free(again);
        gemma3_free(packed);
    }
    free(wanted);
    gemma3_free(model);
    thread_pool_free(pool);
}

/* An adapter on two matrices, written as PEFT does and given. */
static lora *write_adapter(const gemma3_config *config) {
    lora *l;
    lora_shape shapes[GEMMA3_MAX_SLOTS] = {[1] = {4, 0.5f}, [13] = {4, 0.5f}};
    random_state random = random_seed(3);
    char names[4][120];
    named_tensor tensors[4];
    static const char text[] = "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 2, \"target_modules\": \".*\"}";
    assert_ok(lora_create_empty(&l, config, shapes, &error));
    assert_int_equal(l->parameters->count, 4);
    for (int i = 0; i < 4; i++) {
        parameter *p = l->parameters->items[i];
        parameter_fill_normal(p, &random, 0.2);
        snprintf(names[i], sizeof names[i], "base_model.model.%s", p->name);
        tensors[i] = (named_tensor){.name = names[i],
                                    .dtype = DTYPE_F32,
                                    .rank = 2,
                                    .shape = {(uint64_t)p->size[0], (uint64_t)p->size[1]},
                                    .data = p->value,
                                    .byte_count = (uint64_t)p->count * sizeof(float)};
    }
    lora_changed(l);
    assert_ok(file_make_folders(path_of("adapter"), &error));
    assert_ok(file_write(path_of("adapter/adapter_config.json"), text, sizeof text - 1, &error));
    assert_ok(safetensors_write(path_of("adapter/adapter_model.safetensors"), tensors, 4, NULL, 0, &error));
    return l;
}

/* Merged while a folder is packed: what the merged model in f32 gives, up to bf16. */
static void adapters_are_merged(void **state) {
    (void)state;
    gemma3 *model = make_model(), *packed;
    char adapter[400];
    write_folder(model);
    float *before = logits_of(model, NULL);
    lora *l = write_adapter(&model->config);
    assert_ok(lora_merge(model, l, NULL, &error));
    snprintf(adapter, sizeof adapter, "%s", path_of("adapter"));
    const gemma3_pack_options options = {.kind = QUANTIZED_BF16, .adapter = adapter};
    assert_ok(gemma3_load_packed(&packed, folder, &options, &error));
    float *wanted = logits_of(model, NULL), *logits = logits_of(packed, NULL);
    if (!(distance(logits, wanted) < 0.02)) fail_msg("distance %g", distance(logits, wanted));
    assert_true(distance(logits, before) > 0.1);
    free(before);
    free(wanted);
    free(logits);
    lora_free(l);
    gemma3_free(packed);
    gemma3_free(model);
}

/* A token's logits are the same bits alone, in a chunk, and beside another session. */
static void check_batches(quantized_kind kind) {
    gemma3 *m;
    gemma3_runner *runner;
    gemma3_session *s[3];
    const float *logits;
    float kept[70];
    const gemma3_config c = small_config();
    assert_ok(gemma3_create_random(&m, &c, kind, 3, &error));
    const gemma3_runner_options options = {.type = TENSOR_F32, .chunk = 16, .tokens = 32};
    assert_ok(gemma3_runner_create(&runner, m, &options, &error));
    for (int i = 0; i < 3; i++) assert_ok(gemma3_session_create(&s[i], &c, TENSOR_BF16, 32, 16, &error));
    for (int64_t i = 0; i < TOKENS; i++)
        assert_ok(gemma3_runner_step(runner, &(gemma3_row){s[0], token(i), NULL, true, 0}, 1, &logits, &error));
    memcpy(kept, logits, sizeof kept);
    gemma3_row rows[TOKENS + 2];
    for (int64_t i = 0; i < TOKENS; i++) rows[i + 2] = (gemma3_row){s[1], token(i), NULL, i == TOKENS - 1, 0};
    rows[0] = (gemma3_row){s[2], 5, NULL, false, 0};
    rows[1] = (gemma3_row){s[2], 6, NULL, false, 0};
    assert_ok(gemma3_runner_step(runner, rows, TOKENS + 2, &logits, &error));
    assert_memory_equal(kept, logits, sizeof kept);
    for (int i = 0; i < 3; i++) gemma3_session_free(s[i]);
    gemma3_runner_free(runner);
    gemma3_free(m);
}

static void batches_do_not_matter(void **state) {
    (void)state;
    check_batches(QUANTIZED_Q4);
    check_batches(QUANTIZED_BF16);
}

/* ---- GGUF, written here ---- */

typedef struct bytes {
    uint8_t *data;
    uint64_t size;
} bytes;

static void put(bytes *b, const void *data, uint64_t size) {
    b->data = realloc(b->data, b->size + size + 1);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}
static void put_u32(bytes *b, uint32_t v) { put(b, &v, 4); }
static void put_u64(bytes *b, uint64_t v) { put(b, &v, 8); }
static void put_text(bytes *b, const char *text) {
    put_u64(b, strlen(text));
    put(b, text, strlen(text));
}
static void put_key(bytes *b, const char *key, uint32_t value) {
    put_text(b, key);
    put_u32(b, GGUF_KIND_U32);
    put_u32(b, value);
}
static void pad(bytes *b) {
    while (b->size % 32) put(b, "", 1);
}

/* "model.layers.1.mlp.up_proj.weight" -> "blk.1.ffn_up.weight", written out once more */
static void gguf_name(char out[65], const char *name) {
    static const char *const ends[][2] = {{"self_attn.q_proj", "attn_q"},
                                          {"self_attn.k_proj", "attn_k"},
                                          {"self_attn.v_proj", "attn_v"},
                                          {"self_attn.o_proj", "attn_output"},
                                          {"self_attn.q_norm", "attn_q_norm"},
                                          {"self_attn.k_norm", "attn_k_norm"},
                                          {"mlp.gate_proj", "ffn_gate"},
                                          {"mlp.up_proj", "ffn_up"},
                                          {"mlp.down_proj", "ffn_down"},
                                          {"input_layernorm", "attn_norm"},
                                          {"post_attention_layernorm", "post_attention_norm"},
                                          {"pre_feedforward_layernorm", "ffn_norm"},
                                          {"post_feedforward_layernorm", "post_ffw_norm"}};
    strcpy(out, strstr(name, "embed") ? "token_embd.weight" : "output_norm.weight");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char end[64];
        snprintf(end, sizeof end, ".%s.weight", ends[i][0]);
        if (strstr(name, end)) snprintf(out, 65, "blk.%c.%s.weight", name[13], ends[i][1]);
    }
}

/* Random blocks; the model in f32 becomes what they decode to. */
static void put_matrix(bytes *b, uint32_t type, parameter *p, uint32_t *noise) {
    uint64_t row_bytes;
    assert_true(gguf_row_bytes(type, (uint64_t)p->size[1], &row_bytes));
    for (int64_t row = 0; row < p->size[0]; row++) {
        uint8_t *at = malloc(row_bytes);
        uint64_t block = gguf_block_bytes(type);
        for (uint64_t i = 0; i < row_bytes; i++) at[i] = (uint8_t)((*noise = *noise * 1664525u + 1013904223u) >> 24);
        for (uint64_t i = 0; i < row_bytes; i += block) { /* small, finite scales; in halves the exponent */
            uint64_t scale = type == GGUF_Q6_K ? block - 2 : 0;
            at[i + scale + 1] = type == GGUF_Q4_0 ? 0x1c : type == GGUF_F16 ? at[i + 1] & 0xaf : 0x10;
            if (type == GGUF_Q4_K) at[i + 3] = 0x10;
        }
        assert_ok(gguf_decode_row(p->value + row * p->size[1], type, at, (uint64_t)p->size[1], &error));
        put(b, at, row_bytes);
        free(at);
    }
}

static const uint32_t kinds[] = {GGUF_Q8_0, GGUF_Q4_0, GGUF_Q4_K, GGUF_F16, GGUF_Q6_K};
static bool wide; /* all in f32 */
static uint32_t type_of(int index, const parameter *p) { return p->rank == 1 || wide ? GGUF_F32 : kinds[index % 5]; }

/* With what the metadata says of layers and vocabulary, and one key more (a pair's bytes, NULL: none). */
static bytes make_gguf_saying(gemma3 *m, const char *architecture, uint32_t layers, uint32_t vocabulary,
                              const bytes *more) {
    bytes b = {0}, data = {0};
    uint32_t noise = 99;
    uint64_t *offsets = calloc((size_t)m->parameters->count, sizeof *offsets);
    for (int i = 0; i < m->parameters->count; i++) {
        parameter *p = m->parameters->items[i];
        pad(&data);
        offsets[i] = data.size;
        for (int64_t k = 0; p->rank == 1 && k < p->count; k++) {
            float one = 1 + p->value[k];
            p->value[k] = one - 1; /* what the sum kept */
            put(&data, &one, 4);
        }
        if (p->rank == 2 && wide) put(&data, p->value, (uint64_t)p->count * sizeof *p->value);
        if (p->rank == 2 && !wide) put_matrix(&data, type_of(i, p), p, &noise);
    }
    put(&b, "GGUF", 4);
    put_u32(&b, 3);
    put_u64(&b, (uint64_t)m->parameters->count);
    put_u64(&b, more ? 13 : 12);
    put_text(&b, "general.architecture");
    put_u32(&b, GGUF_KIND_TEXT);
    put_text(&b, architecture);
    put_key(&b, "gemma3.embedding_length", 256);
    put_key(&b, "gemma3.block_count", layers);
    put_key(&b, "gemma3.vocab_size", vocabulary);
    put_key(&b, "gemma3.feed_forward_length", 512);
    put_key(&b, "gemma3.attention.head_count", 4);
    put_key(&b, "gemma3.attention.head_count_kv", 2);
    put_key(&b, "gemma3.attention.key_length", 64);
    put_key(&b, "gemma3.attention.value_length", 64);
    put_key(&b, "gemma3.attention.sliding_window", 4);
    put_text(&b, "gemma3.rope.scaling.type");
    put_u32(&b, GGUF_KIND_TEXT);
    put_text(&b, "linear");
    put_text(&b, "gemma3.rope.scaling.factor");
    put_u32(&b, GGUF_KIND_F32);
    put(&b, &(float){8}, 4);
    if (more) put(&b, more->data, more->size);
    for (int i = 0; i < m->parameters->count; i++) {
        const parameter *p = m->parameters->items[i];
        char name[65];
        gguf_name(name, p->name);
        put_text(&b, name);
        put_u32(&b, (uint32_t)p->rank);
        for (int axis = p->rank - 1; axis >= 0; axis--) put_u64(&b, (uint64_t)p->size[axis]);
        put_u32(&b, type_of(i, p));
        put_u64(&b, offsets[i]);
    }
    pad(&b);
    put(&b, data.data, data.size);
    free(data.data);
    free(offsets);
    parameters_changed(m->parameters);
    return b;
}

static bytes make_gguf(gemma3 *m, const char *architecture) { return make_gguf_saying(m, architecture, 2, 70, NULL); }

/* Of the kinds that keep their bits every row is what the file decodes to. */
static void assert_rows_kept(gemma3 *packed, const gemma3 *model) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(packed, slots), kept = 0;
    for (int i = 0; i < count; i++) {
        const parameter *p = parameters_find(model->parameters, slots[i].name);
        const quantized_matrix *m = slots[i].matrix->packed;
        int index = 0;
        while (model->parameters->items[index] != p) index++;
        if (!gguf_type_has_quants(type_of(index, p))) continue;
        kept++;
        for (int64_t row = 0; row < m->outputs; row++) {
            float values[512];
            quantized_get_row(m, row, values);
            assert_memory_equal(values, p->value + row * m->inputs, (size_t)m->inputs * sizeof *values);
        }
    }
    assert_true(kept >= 6);
}

static void gguf_files(void **state) {
    (void)state;
    gemma3 *model = make_model(), *packed;
    bytes b = make_gguf(model, "gemma3");
    model->config.global_every = 6; /* GGUF does not say another */
    assert_ok(file_write(path_of("small.gguf"), b.data, b.size, &error));
    assert_ok(gemma3_load_packed(&packed, path_of("small.gguf"), &(gemma3_pack_options){0}, &error));
    assert_true(packed->config.tied && packed->config.vocabulary == 70 && packed->config.global_scale == 8);
    assert_rows_kept(packed, model);
    float *wanted = logits_of(model, NULL), *logits = logits_of(packed, NULL);
    if (!(distance(logits, wanted) < 0.05)) fail_msg("distance %g", distance(logits, wanted));
    free(wanted);
    free(logits);
    gemma3_free(packed);
    char adapter[400];
    lora *l = write_adapter(&model->config);
    snprintf(adapter, sizeof adapter, "%s", path_of("adapter"));
    assert_ok(lora_merge(model, l, NULL, &error));
    assert_ok(gemma3_load_packed(&packed, path_of("small.gguf"), &(gemma3_pack_options){.adapter = adapter}, &error));
    wanted = logits_of(model, NULL), logits = logits_of(packed, NULL);
    if (!(distance(logits, wanted) < 0.1)) fail_msg("distance %g", distance(logits, wanted));
    free(wanted);
    free(logits);
    lora_free(l);
    gemma3_free(packed);
    free(b.data);
    gemma3_free(model);
}

/* A file of f32 alone is what the folder is, not rounded to bf16. */
static void gguf_files_of_f32(void **state) {
    (void)state;
    gemma3 *model = make_model(), *read;
    wide = true;
    bytes b = make_gguf(model, "gemma3");
    wide = false;
    assert_ok(file_write(path_of("wide.gguf"), b.data, b.size, &error));
    assert_ok(gemma3_load_packed(&read, path_of("wide.gguf"), &(gemma3_pack_options){0}, &error));
    assert_int_equal(read->parameters->count, model->parameters->count);
    for (int i = 0; i < model->parameters->count; i++) {
        const parameter *p = model->parameters->items[i];
        assert_memory_equal(read->parameters->items[i]->value, p->value, (size_t)p->count * sizeof *p->value);
    }
    gemma3_free(read);
    *(uint32_t *)(void *)(b.data + b.size - 4) = 0x7fc00000; /* of the last tensor */
    assert_ok(file_write(path_of("wide.gguf"), b.data, b.size, &error));
    assert_int_equal(gemma3_load_packed(&read, path_of("wide.gguf"), &(gemma3_pack_options){0}, &error),
                     CARINA_ERROR_FORMAT);
    if (!strstr(error.message, "is not a finite number")) fail_msg("%s", error.message);
    assert_null(read);
    free(b.data);
    gemma3_free(model);
}

static void assert_gguf_refused(bytes b, const char *message) {
    gemma3 *packed;
    assert_ok(file_write(path_of("less.gguf"), b.data, b.size, &error));
    assert_int_equal(gemma3_load_packed(&packed, path_of("less.gguf"), &(gemma3_pack_options){0}, &error),
                     CARINA_ERROR_MISMATCH);
    if (!strstr(error.message, message)) fail_msg("%s", error.message);
    assert_null(packed);
    free(b.data);
}

static void metadata_says_what_is_there(void **state) {
    (void)state;
    gemma3 *model = make_model();
    assert_gguf_refused(make_gguf_saying(model, "gemma3", 1, 70, NULL),
                        "less.gguf: tensor blk.1.attn_q_norm.weight is of none of the 1 layers of gemma3.block_count");
    assert_gguf_refused(make_gguf_saying(model, "gemma3", 2, 69, NULL),
                        "less.gguf: gemma3.vocab_size: 69, but token_embd.weight has 70 rows");
    gemma3_free(model);
}

/* A key that changes what the model computes is taken or refused. */
static void keys_of_other_models(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint32_t kind, size;
        const char *value, *message; /* NULL: accepted */
    } cases[] = {
        {"gemma3.attn_logit_softcapping", GGUF_KIND_F32, 4, "\0\0\xf0\x41", "attn_logit_softcapping: is Gemma 2's"},
        {"gemma3.final_logit_softcapping", GGUF_KIND_F32, 4, "\0\0\xf0\x41", "final_logit_softcapping: is Gemma 2's"},
        {"gemma3.final_logit_softcapping", GGUF_KIND_F32, 4, "\0\0\0\0", NULL},
        {"gemma3.attention.causal", GGUF_KIND_BOOL, 1, "\0", "attention.causal: false is not supported"},
        {"gemma3.attention.causal", GGUF_KIND_BOOL, 1, "\1", NULL},
        {"gemma3.rope.dimension_count", GGUF_KIND_U32, 4, "\x20\0\0\0",
         "rope.dimension_count: 32 of a head's 64 values"},
        {"gemma3.rope.dimension_count", GGUF_KIND_U32, 4, "\x40\0\0\0", NULL},
        {GEMMA3_GGUF_GLOBAL_EVERY, GGUF_KIND_ARRAY, 14, "\7\0\0\0\2\0\0\0\0\0\0\0\1\1", NULL},
        {GEMMA3_GGUF_GLOBAL_EVERY, GGUF_KIND_ARRAY, 14, "\7\0\0\0\2\0\0\0\0\0\0\0\0\1", "not one global layer after"},
        {GEMMA3_GGUF_GLOBAL_EVERY, GGUF_KIND_ARRAY, 13, "\7\0\0\0\1\0\0\0\0\0\0\0\1", "for each of the 2 layers"},
    };
    gemma3 *model = make_model(), *packed;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes more = {0};
        put_text(&more, cases[i].key);
        put_u32(&more, cases[i].kind);
        put(&more, cases[i].value, cases[i].size);
        bytes b = make_gguf_saying(model, "gemma3", 2, 70, &more);
        free(more.data);
        assert_ok(file_write(path_of("key.gguf"), b.data, b.size, &error));
        carina_status status = gemma3_load_packed(&packed, path_of("key.gguf"), &(gemma3_pack_options){0}, &error);
        assert_int_equal(status, cases[i].message ? CARINA_ERROR_UNSUPPORTED : CARINA_OK);
        if (cases[i].message && !strstr(error.message, cases[i].message)) fail_msg("%s", error.message);
        gemma3_free(packed);
        free(b.data);
    }
    gemma3_free(model);
}

static void files_that_do_not_fit(void **state) {
    (void)state;
    gemma3 *model = make_model(), *packed;
    bytes b = make_gguf(model, "llama");
    assert_ok(file_write(path_of("llama.gguf"), b.data, b.size, &error));
    assert_int_equal(gemma3_load_packed(&packed, path_of("llama.gguf"), &(gemma3_pack_options){0}, &error),
                     CARINA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "general.architecture: \"llama\", known here is gemma3"));
    free(b.data);
    b = make_gguf(model, "gemma3");
    static const char *const odd[][2] = {
        {"xlk.1.ffn_up", "less.gguf: tensor xlk.1.ffn_up.weight is none of Gemma 3's"},
        {"blk.1.ffn_uq", "less.gguf: tensor blk.1.ffn_uq.weight is none of Gemma 3's"},
        {"blk.+.ffn_up", "less.gguf: tensor blk.+.ffn_up.weight is none of Gemma 3's"},
        {"v.k.1.ffn_up", "less.gguf: no tensor blk.1.ffn_up.weight"}, /* as if of the vision part */
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        bytes other = {.data = malloc(b.size), .size = b.size};
        assert_non_null(other.data);
        memcpy(other.data, b.data, b.size);
        memcpy(memmem(other.data, other.size, "blk.1.ffn_up", 12), odd[i][0], 12);
        assert_gguf_refused(other, odd[i][1]);
    }
    assert_int_equal(gemma3_load_packed(&packed, path_of("missing.gguf"), &(gemma3_pack_options){0}, &error),
                     CARINA_ERROR_IO);
    write_folder(model);
    const char *narrow = "{\"model_type\": \"gemma3_text\", \"hidden_size\": 24}";
    assert_ok(file_write(path_of("config.json"), narrow, strlen(narrow), &error));
    assert_true(gemma3_load_packed(&packed, folder, &(gemma3_pack_options){0}, &error) != CARINA_OK);
    assert_non_null(strstr(error.message, "config.json: "));
    free(b.data);
    gemma3_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_packed),    cmocka_unit_test(adapters_are_merged),
        cmocka_unit_test(batches_do_not_matter), cmocka_unit_test(gguf_files),
        cmocka_unit_test(gguf_files_of_f32),     cmocka_unit_test(metadata_says_what_is_there),
        cmocka_unit_test(files_that_do_not_fit), cmocka_unit_test(keys_of_other_models),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
