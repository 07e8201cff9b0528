/* Gemma 3 folders: whole, in shards, nested as MedGemma is; configurations of every age; and what is said of those that
 * do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/half.h"
#include "format/safetensors_shards.h"
#include "gemma3_fixture.h"
#include "model/gemma3_file.h"
#include "model/gemma3_write.h"

static carina_error error;
#include "assert_ok.h"

#define TIED_SIZES                                                                                   \
    "\"vocab_size\": 61, \"hidden_size\": 24, \"num_hidden_layers\": 5, \"num_attention_heads\": 4," \
    "\"num_key_value_heads\": 2, \"head_dim\": 8, \"intermediate_size\": 40, \"sliding_window\": 5," \
    "\"query_pre_attn_scalar\": 6, \"rms_norm_eps\": 1e-6, \"hidden_activation\": \"gelu_pytorch_tanh\""
#define TIED_OLD                                                  \
    "{\"model_type\": \"gemma3_text\", " TIED_SIZES               \
    ", \"sliding_window_pattern\": 3, \"rope_theta\": 1000000.0," \
    "\"rope_local_base_freq\": 10000.0, \"rope_scaling\": {\"factor\": 8.0, \"rope_type\": \"linear\"}}"

static char folder[300];

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/gemma3-XXXXXX", TEST_TMP);
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

static void write_text(const char *name, const char *text) {
    assert_ok(file_write(path_of(name), text, strlen(text), &error));
}

/* Tensors [first, first + count) of the tied fixture under another prefix instead of "model.". */
static void write_weights(const char *name, const tensor_file *from, uint64_t first, uint64_t count,
                          const char *prefix) {
    named_tensor tensors[100];
    char names[100][120];
    assert_true(count <= 100);
    for (uint64_t i = 0; i < count; i++) {
        tensors[i] = from->tensors[first + i];
        snprintf(names[i], sizeof names[i], "%s%s", prefix, tensors[i].name + strlen("model."));
        tensors[i].name = names[i];
    }
    assert_ok(safetensors_write(path_of(name), tensors, count, NULL, 0, &error));
}

static void assert_same_model(const gemma3 *m) {
    gemma3 *wanted = gemma3_fixture_load(&gemma3_fixtures[0]);
    assert_int_equal(m->parameters->count, wanted->parameters->count);
    for (int i = 0; i < m->parameters->count; i++)
        assert_memory_equal(m->parameters->items[i]->value, wanted->parameters->items[i]->value,
                            (size_t)wanted->parameters->items[i]->count * sizeof(float));
    assert_true(m->config.global_every == 3 && m->config.global_scale == 8 && m->config.tied);
    gemma3_free(wanted);
}

static void folders_of_every_nesting(void **state) {
    (void)state;
    static const char *const prefixes[] = {"model.", "language_model.model.", "model.language_model."};
    tensor_file file = gemma3_fixture_file(&gemma3_fixtures[0], "weights");
    for (int i = 0; i < 3; i++) {
        gemma3 *m;
        write_weights("model.safetensors", &file, 0, file.count, prefixes[i]);
        write_text("config.json", i ? "{\"model_type\": \"gemma3\", \"text_config\": " TIED_OLD "}" : TIED_OLD);
        assert_ok(gemma3_load(&m, folder, &error));
        assert_same_model(m);
        gemma3_free(m);
    }
    tensor_file_free(&file);
    assert_int_equal(remove(path_of("model.safetensors")), 0);
}

static void write_index(const tensor_file *file, uint64_t cut, const char *second) {
    FILE *out = fopen(path_of("model.safetensors.index.json"), "w");
    fprintf(out, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    for (uint64_t i = 0; i < file->count; i++)
        fprintf(out, "%s\"%s\": \"%s\"", i ? ", " : "", file->tensors[i].name, i < cut ? "a.safetensors" : second);
    fprintf(out, "}}");
    fclose(out);
}

static void assert_refused(const char *message) {
    gemma3 *m;
    assert_true(gemma3_load(&m, folder, &error) != CARINA_OK);
    assert_null(m);
    if (!strstr(error.message, message)) fail_msg("%s", error.message);
}

static void shards(void **state) {
    (void)state;
    gemma3 *m;
    tensor_file file = gemma3_fixture_file(&gemma3_fixtures[0], "weights");
    write_text("config.json", TIED_OLD);
    assert_refused("neither model.safetensors nor model.safetensors.index.json");
    write_weights("a.safetensors", &file, 0, 20, "model.");
    write_index(&file, 20, "b.safetensors");
    assert_refused("b.safetensors");
    write_weights("b.safetensors", &file, 20, file.count - 20, "model.");
    assert_ok(gemma3_load(&m, folder, &error));
    assert_same_model(m);
    gemma3_free(m);
    write_index(&file, 19, "b.safetensors");
    assert_refused("a.safetensors: tensor ");
    write_weights("b.safetensors", &file, 21, file.count - 21, "model.");
    write_index(&file, 20, "b.safetensors");
    assert_refused("is not in b.safetensors");
    write_index(&file, 20, "../b.safetensors");
    assert_refused("\"../b.safetensors\" is no safetensors file of this folder");
    write_text("model.safetensors.index.json", "{\"weight_map\": {}}");
    assert_refused("weight_map: names no tensor");
    write_text("model.safetensors.index.json", "{\"weight_map\": {\"x\": 3}}");
    assert_refused("weight_map.x: a file's name is wanted, not ");
    tensor_file_free(&file);
}

static void weights_that_do_not_fit(void **state) {
    (void)state;
    tensor_file file = gemma3_fixture_file(&gemma3_fixtures[0], "weights");
    write_weights("model.safetensors", &file, 0, file.count, "model.");
    write_text("config.json",
               "{\"model_type\": \"gemma3_text\", " TIED_SIZES ", \"sliding_window_pattern\": 3, \"vocab_size\": 62}");
    assert_refused("config.json");
    write_text("config.json", "{\"model_type\": \"gemma3_text\", \"vocab_size\": 62, \"hidden_size\": 24}");
    assert_refused("tensor model.embed_tokens.weight is f32 [61,24], the configuration wants float [62,24]");
    write_text("config.json", TIED_OLD);
    write_weights("model.safetensors", &file, 0, file.count, "model.x");
    assert_refused("no tensor model.embed_tokens.weight");
    write_weights("model.safetensors", &file, 0, file.count, "model.");
    char *text = NULL;
    assert_true(asprintf(&text, "%s", TIED_OLD) > 0);
    *strstr(text, "\"num_hidden_layers\": 5") = '"';
    strstr(text, "\"num_hidden_layers\": 5")[strlen("\"num_hidden_layers\": ")] = '4';
    write_text("config.json", text);
    free(text);
    assert_refused("is not of the model that the configuration describes (4 layers)");
    tensor_file_free(&file);
}

/* A tied model's table, saved twice, is one; a head of its own is not passed over. */
static void tied_models_with_a_head(void **state) {
    (void)state;
    tensor_file file = gemma3_fixture_file(&gemma3_fixtures[0], "weights");
    named_tensor tensors[100];
    float *head = NULL;
    gemma3 *m;
    memcpy(tensors, file.tensors, (size_t)file.count * sizeof *tensors);
    named_tensor *own = &tensors[file.count];
    *own = *tensor_file_find(&file, "model.embed_tokens.weight");
    own->name = "lm_head.weight";
    write_text("config.json", TIED_OLD);
    assert_ok(safetensors_write(path_of("model.safetensors"), tensors, file.count + 1, NULL, 0, &error));
    assert_ok(gemma3_load(&m, folder, &error));
    assert_same_model(m);
    gemma3_free(m);
    head = malloc((size_t)own->byte_count);
    assert_non_null(head);
    memcpy(head, own->data, (size_t)own->byte_count);
    head[17] += 1;
    own->data = head;
    assert_ok(safetensors_write(path_of("model.safetensors"), tensors, file.count + 1, NULL, 0, &error));
    assert_refused("tensor lm_head.weight is not the table model.embed_tokens.weight, although the configuration ties");
    own->rank = 1;
    own->shape[0] = 1;
    own->byte_count = sizeof *head;
    assert_ok(safetensors_write(path_of("model.safetensors"), tensors, file.count + 1, NULL, 0, &error));
    assert_refused("tensor lm_head.weight is f32 [1], the configuration wants float [61,24]");
    free(head);
    tensor_file_free(&file);
}

static carina_status parse(gemma3_config *c, const char *text) {
    return gemma3_config_parse(c, "config.json", text, strlen(text), &error);
}

static void configurations_of_every_age(void **state) {
    (void)state;
    gemma3_config c, wanted = gemma3_config_4b();
    assert_ok(parse(&c,
                    "{\"model_type\": \"gemma3\", \"vision_config\": {}, \"text_config\": {\"hidden_size\": 2560,"
                    "\"intermediate_size\": 10240, \"model_type\": \"gemma3_text\", \"num_hidden_layers\": 34,"
                    "\"rope_scaling\": {\"factor\": 8.0, \"rope_type\": \"linear\"}, \"sliding_window\": 1024}}"));
    assert_true(c.vocabulary == wanted.vocabulary && c.width == wanted.width && c.layers == wanted.layers);
    assert_true(c.heads == wanted.heads && c.key_heads == wanted.key_heads && c.head_width == wanted.head_width);
    assert_true(c.ffn_width == wanted.ffn_width && c.window == wanted.window && c.global_every == wanted.global_every);
    assert_true(c.local_base == wanted.local_base && c.global_base == wanted.global_base && c.tied == wanted.tied);
    assert_true(c.global_scale == wanted.global_scale && c.query_scalar == wanted.query_scalar);
    assert_true(c.epsilon == wanted.epsilon);
    assert_ok(parse(
        &c, "{\"model_type\": \"gemma3_text\", " TIED_SIZES ", \"layer_types\": [\"sliding_attention\","
            "\"sliding_attention\", \"full_attention\", \"sliding_attention\", \"sliding_attention\"],"
            "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"linear\", \"factor\": 4, \"rope_theta\": 2e6},"
            "\"sliding_attention\": {\"rope_type\": \"default\", \"rope_theta\": 3e4}}}"));
    assert_true(c.global_every == 3 && c.global_scale == 4 && c.global_base == 2e6 && c.local_base == 3e4);
    static const char *const cases[][2] = {
        {"{\"model_type\": \"llama\"}", "model_type: \"llama\", known here is gemma3 or gemma3_text"},
        {"{\"model_type\": \"gemma3\"}", "text_config"},
        {"[]", "an object is wanted"},
        {"{\"model_type\": \"gemma3_text\", \"final_logit_softcapping\": 30}", "final_logit_softcapping: is Gemma 2's"},
        {"{\"model_type\": \"gemma3_text\", \"hidden_activation\": \"silu\"}",
         "hidden_activation: \"silu\", known here"},
        {"{\"model_type\": \"gemma3_text\", \"rope_scaling\": {\"rope_type\": \"yarn\"}}",
         "rope_type: \"yarn\", known here is linear"},
        {"{\"model_type\": \"gemma3_text\", \"num_hidden_layers\": 2, \"layer_types\": [\"full_attention\", "
         "\"sliding_attention\"]}",
         "layer_types: not one full_attention after every so many"},
        {"{\"model_type\": \"gemma3_text\", \"num_key_value_heads\": 3}", "num_key_value_heads: 3 does not divide"},
        {"{\"model_type\": \"gemma3_text\", \"head_dim\": -4}", "head_dim"},
        {"{\"model_type\": \"gemma3_text\", \"rope_scaling\": \"linear\"}", "rope_scaling: an object is expected"},
        {"{\"model_type\": \"gemma3_text\", \"rope_scaling\": {\"rope_type\": 3, \"factor\": 8}}",
         "rope_scaling.rope_type: text is expected"},
        {"{\"model_type\": \"gemma3_text\", \"rope_scaling\": {\"rope_type\": \"linear\"}}", "rope_scaling.factor: "},
        {"{\"model_type\": \"gemma3_text\", \"rope_parameters\": [8]}", "rope_parameters: an object is expected"},
        {"{\"model_type\": \"gemma3_text\", \"rope_parameters\": {\"rope_theta\": 3}}",
         "rope_parameters.full_attention: "},
        {"{\"model_type\": \"gemma3_text\", \"rope_parameters\": {\"full_attention\": {}, \"sliding_attention\": "
         "{\"type\": \"linear\", \"factor\": 2}}}",
         "rope_parameters.sliding_attention.factor: 2: window layers are not scaled"},
        {"{\"model_type\": \"gemma3_text\", \"hidden_activation\": 5}", "hidden_activation: text is expected"},
        {"{\"model_type\": \"gemma3_text\", \"hidden_act\": \"silu\"}",
         "hidden_act: \"silu\", known here is gelu_pytorch_tanh"},
        {"{\"model_type\": \"gemma3_text\", \"hidden_activation\": \"gelu_pytorch_tanh\", \"hidden_act\": \"relu\"}",
         "hidden_act: \"relu\", known here"},
        {"{\"model_type\": \"gemma3_text\", \"attention_bias\": true}", "attention_bias: true is not supported"},
        {"{\"model_type\": \"gemma3_text\", \"use_bidirectional_attention\": true}",
         "use_bidirectional_attention: true is not supported"},
        {"{\"model_type\": \"gemma3_text\", \"use_bidirectional_attention\": \"all\"}",
         "use_bidirectional_attention: "},
        {"{\"model_type\": \"gemma3_text\", \"rope_scaling\": {\"factor\": 8}}", "rope_scaling.rope_type: missing"},
        {"{\"model_type\": \"gemma3\", \"text_config\": {\"model_type\": \"gemma2\"}}",
         "text_config.model_type: \"gemma2\", known here is gemma3_text"},
        {"{\"model_type\": \"gemma3_text\", \"quantization_config\": {\"quant_method\": \"bitsandbytes\"}}",
         "quantization_config: weights quantised by \"bitsandbytes\" are not read"},
        {"{\"model_type\": \"gemma3\", \"text_config\": {}, \"quantization_config\": {}}",
         "quantization_config: weights quantised by"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(parse(&c, cases[i][0]) != CARINA_OK);
        if (!strstr(error.message, cases[i][1])) fail_msg("%s", error.message);
        assert_int_equal(strncmp(error.message, "config.json: ", 13), 0);
    }
}

/* ---- writing ---- */

static void assert_same_config(const gemma3_config *a, const gemma3_config *b) {
    assert_true(a->vocabulary == b->vocabulary && a->width == b->width && a->layers == b->layers);
    assert_true(a->heads == b->heads && a->key_heads == b->key_heads && a->head_width == b->head_width);
    assert_true(a->ffn_width == b->ffn_width && a->window == b->window && a->global_every == b->global_every);
    assert_true(a->local_base == b->local_base && a->global_base == b->global_base && a->tied == b->tied);
    assert_true(a->global_scale == b->global_scale && a->query_scalar == b->query_scalar && a->epsilon == b->epsilon);
    assert_int_equal(a->positions, b->positions);
}

static void assert_text(const char *path, const char *wanted) {
    uint8_t *data;
    uint64_t size;
    assert_ok(file_read(path, 1 << 20, &data, &size, &error));
    if (!strstr((const char *)data, wanted)) fail_msg("%s: no %s", path, wanted);
    free(data);
}

/* Whatever model: the same configuration and, in f32, the same bits; names and keys as Hugging Face's library has them.
 */
static void saved_and_loaded_it_is_the_same(void **state) {
    (void)state;
    static char note[] = "note", words[] = "of a test";
    const tensor_file_entry metadata = {note, words};
    const gemma3_save_options options = {
        .type = DTYPE_F32, .begin = 2, .end = 1, .pad = -1, .metadata = &metadata, .metadata_count = 1};
    char out[400], path[500];
    snprintf(out, sizeof out, "%s/a/saved", folder);
    for (size_t i = 0; i < GEMMA3_FIXTURE_COUNT; i++) {
        gemma3 *m = gemma3_fixture_load(&gemma3_fixtures[i]), *again;
        tensor_file file;
        assert_ok(gemma3_save(m, out, &options, &error));
        assert_ok(gemma3_load(&again, out, &error));
        assert_same_config(&m->config, &again->config);
        for (int k = 0; k < m->parameters->count; k++) {
            const parameter *p = m->parameters->items[k], *q = parameters_find(again->parameters, p->name);
            assert_non_null(q);
            assert_memory_equal(p->value, q->value, (size_t)p->count * sizeof(float));
        }
        snprintf(path, sizeof path, "%s/model.safetensors", out);
        assert_ok(safetensors_read(&file, path, &error));
        assert_int_equal(file.count, m->parameters->count);
        assert_non_null(tensor_file_find(&file, "model.layers.1.self_attn.q_norm.weight"));
        assert_non_null(tensor_file_find(&file, "model.layers.0.pre_feedforward_layernorm.weight"));
        assert_true((tensor_file_find(&file, "lm_head.weight") == NULL) == m->config.tied);
        assert_string_equal(tensor_file_metadata(&file, "format"), "pt");
        assert_string_equal(tensor_file_metadata(&file, "note"), "of a test");
        tensor_file_free(&file);
        snprintf(path, sizeof path, "%s/config.json", out);
        assert_text(path, "\"Gemma3ForCausalLM\"");
        assert_text(path, "\"max_position_embeddings\": 4096");
        snprintf(path, sizeof path, "%s/generation_config.json", out);
        assert_text(path, "\"eos_token_id\": 1,");
        assert_text(path, "\"pad_token_id\": null");
        gemma3_free(again), gemma3_free(m);
    }
}

static void saved_in_bf16_it_is_rounded(void **state) {
    (void)state;
    char out[400];
    gemma3 *m = gemma3_fixture_load(&gemma3_fixtures[0]), *again;
    snprintf(out, sizeof out, "%s/short", folder);
    assert_ok(gemma3_save(m, out, &(gemma3_save_options){.type = DTYPE_BF16}, &error));
    assert_ok(gemma3_load(&again, out, &error));
    for (int64_t i = 0; i < m->table.weight->count; i++)
        assert_true(bf16_to_f32(bf16_from_f32(m->table.weight->value[i])) == again->table.weight->value[i]);
    gemma3_free(again), gemma3_free(m);
    assert_ok(file_write(path_of("taken"), "x", 1, &error));
    m = gemma3_fixture_load(&gemma3_fixtures[0]);
    assert_true(gemma3_save(m, path_of("taken"), &(gemma3_save_options){.type = DTYPE_F32}, &error) != CARINA_OK);
    assert_non_null(strstr(error.message, "taken"));
    gemma3_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_of_every_nesting),    cmocka_unit_test(shards),
        cmocka_unit_test(weights_that_do_not_fit),     cmocka_unit_test(configurations_of_every_age),
        cmocka_unit_test(tied_models_with_a_head),     cmocka_unit_test(saved_and_loaded_it_is_the_same),
        cmocka_unit_test(saved_in_bf16_it_is_rounded),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
