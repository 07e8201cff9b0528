/* A tiny language model for tests: a tokenizer trained on a few sentences, and a Gemma 3 of random weights that attends
 * and chooses (those of a model that begins would say one token for ever). Its vocabulary has ten rows more than the
 * tokenizer has ids, and its window is short. Functions end the program when they fail: they are only ours. */
#ifndef LANGUAGE_FIXTURE_H
#define LANGUAGE_FIXTURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/random.h"
#include "format/gguf.h"
#include "format/safetensors.h"
#include "model/gemma3.h"
#include "model/lora.h"
#include "text/bpe_train.h"

#define LANGUAGE_FIXTURE_PADDING 10

static inline void language_fixture_need(carina_status status, const carina_error *error) {
    if (status == CARINA_OK) return;
    fprintf(stderr, "language_fixture: %s\n", error->message);
    abort();
}

static inline bpe *language_fixture_tokenizer(void) {
    static const char *const lines[] = {"The heart is of normal size and the lungs are clear.",
                                        "No pleural effusion or pneumothorax is seen.",
                                        "There is a small pleural effusion on the left side.",
                                        "The heart is large; the lungs are not clear.",
                                        "{\"finding\": \"effusion\", \"side\": \"left\", \"size\": 12}",
                                        "yes no Yes No <box>(10,20),(300,400)</box> £ \xf0\x9f\xab\x81"};
    carina_error error = {0};
    bpe_train_options options = bpe_train_defaults();
    bpe_trainer *trainer;
    bpe *tokenizer;
    options.vocabulary_size = 420;
    options.min_frequency = 1;
    language_fixture_need(bpe_trainer_create(&trainer, &options, &error), &error);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        language_fixture_need(bpe_trainer_add(trainer, lines[i], strlen(lines[i]), &error), &error);
    language_fixture_need(bpe_trainer_finish(trainer, &tokenizer, &error), &error);
    bpe_trainer_free(trainer);
    return tokenizer;
}

static inline gemma3_config language_fixture_config(const bpe *tokenizer) {
    gemma3_config c = gemma3_config_4b();
    c.vocabulary = bpe_count(tokenizer) + LANGUAGE_FIXTURE_PADDING;
    c.width = 64;
    c.layers = 3;
    c.heads = 2;
    c.key_heads = 1;
    c.head_width = 32;
    c.ffn_width = 96;
    c.window = 12;
    c.global_every = 2;
    c.query_scalar = 32;
    c.positions = 5000;
    c.tied = false; /* a tied one would say again what it has just read */
    return c;
}

static inline gemma3 *language_fixture_model(const bpe *tokenizer) {
    carina_error error = {0};
    const gemma3_config config = language_fixture_config(tokenizer);
    gemma3 *m;
    random_state random = random_seed(11);
    language_fixture_need(gemma3_create(&m, &config, 7, &error), &error);
    for (int i = 0; i < m->parameters->count; i++) {
        parameter *p = m->parameters->items[i];
        double deviation = p->rank == 2 ? 1.2 / sqrt((double)p->size[1]) : 0.3;
        for (int64_t k = 0; k < p->count; k++) p->value[k] = (float)(deviation * random_normal(&random));
    }
    parameters_changed(m->parameters);
    return m;
}

static inline void language_fixture_put(const char *folder, const char *name, const char *text) {
    carina_error error = {0};
    char path[1000];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    language_fixture_need(file_write(path, text, strlen(text), &error), &error);
}

/* A Hugging Face folder, which must exist. */
static inline void language_fixture_write(const char *folder, const bpe *tokenizer, const gemma3 *m) {
    carina_error error = {0};
    named_tensor tensors[64];
    char path[1000], json[1000];
    for (int i = 0; i < m->parameters->count; i++) {
        const parameter *p = m->parameters->items[i];
        tensors[i] = (named_tensor){.name = p->name, .dtype = DTYPE_F32, .rank = p->rank, .data = p->value};
        for (int axis = 0; axis < p->rank; axis++) tensors[i].shape[axis] = (uint64_t)p->size[axis];
        tensors[i].byte_count = (uint64_t)p->count * sizeof(float);
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    language_fixture_need(safetensors_write(path, tensors, (uint64_t)m->parameters->count, NULL, 0, &error), &error);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    language_fixture_need(bpe_write(tokenizer, path, &error), &error);
    snprintf(json, sizeof json,
             "{\"model_type\": \"gemma3_text\", \"vocab_size\": %d, \"hidden_size\": 64, \"num_hidden_layers\": 3, "
             "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": 32, \"intermediate_size\": 96, "
             "\"sliding_window\": 12, \"sliding_window_pattern\": 2, \"query_pre_attn_scalar\": 32, "
             "\"max_position_embeddings\": 5000, "
             "\"tie_word_embeddings\": false, "
             "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8}, \"eos_token_id\": 1}",
             m->config.vocabulary);
    language_fixture_put(folder, "config.json", json);
    language_fixture_put(folder, "generation_config.json", "{\"eos_token_id\": [1, 6]}");
}

/* An adapter of all matrices, large enough to change what is said. */
static inline lora *language_fixture_adapter(const gemma3_config *config, uint64_t seed) {
    carina_error error = {0};
    lora *l;
    lora_shape shapes[GEMMA3_MAX_SLOTS] = {{0}};
    random_state random = random_seed(seed);
    for (int i = 1; i <= 7 * config->layers; i++) shapes[i] = (lora_shape){4, 0.5f}; /* the table has none */
    language_fixture_need(lora_create_empty(&l, config, shapes, &error), &error);
    for (int i = 0; i < l->parameters->count; i++) parameter_fill_normal(l->parameters->items[i], &random, 0.3);
    lora_changed(l);
    return l;
}

/* As PEFT writes it, into a folder that must exist. */
static inline void language_fixture_write_adapter(const char *folder, const lora *l) {
    carina_error error = {0};
    named_tensor tensors[64];
    char path[1000], names[64][120];
    for (int i = 0; i < l->parameters->count; i++) {
        const parameter *p = l->parameters->items[i];
        snprintf(names[i], sizeof names[i], "base_model.model.%s", p->name);
        tensors[i] = (named_tensor){.name = names[i],
                                    .dtype = DTYPE_F32,
                                    .rank = 2,
                                    .shape = {(uint64_t)p->size[0], (uint64_t)p->size[1]},
                                    .data = p->value,
                                    .byte_count = (uint64_t)p->count * sizeof(float)};
    }
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    language_fixture_need(safetensors_write(path, tensors, (uint64_t)l->parameters->count, NULL, 0, &error), &error);
    language_fixture_put(folder, "adapter_config.json",
                         "{\"peft_type\": \"LORA\", \"target_modules\": \"all-linear\", \"r\": 4, \"lora_alpha\": 2}");
}

/* ---- the same model as GGUF, version 3, in f32 ---- */

static inline void language_fixture_put_u64(FILE *f, uint64_t value) { fwrite(&value, 8, 1, f); }

static inline void language_fixture_put_text(FILE *f, const char *text) {
    language_fixture_put_u64(f, strlen(text));
    fputs(text, f);
}

static inline void language_fixture_put_key(FILE *f, const char *key, int value) {
    const uint32_t both[2] = {GGUF_KIND_U32, (uint32_t)value};
    language_fixture_put_text(f, key);
    fwrite(both, 4, 2, f);
}

/* "model.layers.1.mlp.up_proj.weight" -> "blk.1.ffn_up.weight" */
static inline void language_fixture_gguf_name(char out[65], const char *name) {
    static const char *const ends[][2] = {{"q_proj", "attn_q"},
                                          {"k_proj", "attn_k"},
                                          {"v_proj", "attn_v"},
                                          {"o_proj", "attn_output"},
                                          {"q_norm", "attn_q_norm"},
                                          {"k_norm", "attn_k_norm"},
                                          {"gate_proj", "ffn_gate"},
                                          {"up_proj", "ffn_up"},
                                          {"down_proj", "ffn_down"},
                                          {".input_layernorm", "attn_norm"},
                                          {"post_attention_layernorm", "post_attention_norm"},
                                          {"pre_feedforward_layernorm", "ffn_norm"},
                                          {"post_feedforward_layernorm", "post_ffw_norm"}};
    strcpy(out, strstr(name, "embed")  ? "token_embd.weight"
                : strstr(name, "head") ? "output.weight"
                                       : "output_norm.weight");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strncmp(name, "model.layers.", 13) == 0 && strstr(name, ends[i][0]))
            snprintf(out, 65, "blk.%c.%s.weight", name[13], ends[i][1]);
}

static inline void language_fixture_put_head(FILE *f, const gemma3_config *c, int end) {
    const uint32_t version = 3, text = GGUF_KIND_TEXT;
    fwrite("GGUF", 1, 4, f);
    fwrite(&version, 4, 1, f);
    language_fixture_put_u64(f, 3 * 13 + 3); /* tensors */
    language_fixture_put_u64(f, end >= 0 ? 10 : 9);
    language_fixture_put_text(f, "general.architecture");
    fwrite(&text, 4, 1, f);
    language_fixture_put_text(f, "gemma3");
    language_fixture_put_key(f, "gemma3.embedding_length", c->width);
    language_fixture_put_key(f, "gemma3.block_count", c->layers);
    language_fixture_put_key(f, "gemma3.feed_forward_length", c->ffn_width);
    language_fixture_put_key(f, "gemma3.attention.head_count", c->heads);
    language_fixture_put_key(f, "gemma3.attention.head_count_kv", c->key_heads);
    language_fixture_put_key(f, "gemma3.attention.key_length", c->head_width);
    language_fixture_put_key(f, "gemma3.attention.value_length", c->head_width);
    language_fixture_put_key(f, "gemma3.attention.sliding_window", c->window);
    if (end >= 0) language_fixture_put_key(f, "tokenizer.ggml.eos_token_id", end);
}

static inline void language_fixture_pad(FILE *f) {
    while (ftell(f) % 32) fputc(0, f);
}

/* end: the eos_token_id, -1: the file says none. */
static inline void language_fixture_write_gguf(const char *path, const gemma3 *m, int end) {
    FILE *f = fopen(path, "wb");
    uint64_t offset = 0;
    if (!f) abort();
    language_fixture_put_head(f, &m->config, end);
    for (int i = 0; i < m->parameters->count; i++) {
        const parameter *p = m->parameters->items[i];
        const uint32_t rank = (uint32_t)p->rank, type = GGUF_F32;
        char name[65];
        language_fixture_gguf_name(name, p->name);
        language_fixture_put_text(f, name);
        fwrite(&rank, 4, 1, f);
        for (int axis = p->rank - 1; axis >= 0; axis--) language_fixture_put_u64(f, (uint64_t)p->size[axis]);
        fwrite(&type, 4, 1, f);
        language_fixture_put_u64(f, offset);
        offset += ((uint64_t)p->count * 4 + 31) / 32 * 32;
    }
    for (int i = 0; i < m->parameters->count; i++) {
        const parameter *p = m->parameters->items[i];
        language_fixture_pad(f);
        for (int64_t k = 0; k < p->count; k++) {
            float value = p->rank == 1 ? 1 + p->value[k] : p->value[k]; /* GGUF's norms hold what is multiplied with */
            fwrite(&value, 4, 1, f);
        }
    }
    language_fixture_pad(f);
    if (fclose(f) != 0) abort();
}

#endif
