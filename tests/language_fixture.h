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
#include "format/safetensors.h"
#include "model/gemma3.h"
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
    c.global_every = 3;
    c.query_scalar = 32;
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
             "\"sliding_window\": 12, \"sliding_window_pattern\": 3, \"query_pre_attn_scalar\": 32, "
             "\"tie_word_embeddings\": false, "
             "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8}, \"eos_token_id\": 1}",
             m->config.vocabulary);
    language_fixture_put(folder, "config.json", json);
    language_fixture_put(folder, "generation_config.json", "{\"eos_token_id\": [1, 6]}");
}

#endif
