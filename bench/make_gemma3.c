/* A Gemma 3 of random weights as a Hugging Face folder, in bf16 and two shards: what a downloaded model looks like, for
 * measuring loading, quantising and other programs beside ours.
 *
 *     make_gemma3 SHAPE FOLDER     SHAPE: 4b (7.8 GB) or 1b (2.0 GB)
 *
 * All matrices are the beginning of one block of random numbers: time and memory are those of a real model. No
 * tokenizer is written.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/random.h"
#include "format/safetensors.h"
#include "model/gemma3.h"

#define MAX_TENSORS (14 * GEMMA3_MAX_LAYERS + 3)

static carina_error error;

static void need(carina_status status) {
    if (status == CARINA_OK) return;
    fprintf(stderr, "make_gemma3: %s\n", error.message);
    exit(1);
}

/* bf16 of normal numbers of deviation 0.02: the upper half of the f32. */
static uint16_t *make_noise(uint64_t count) {
    uint16_t *noise = malloc(count * sizeof *noise);
    if (!noise) need(error_memory(&error, "weights", count * sizeof *noise));
    random_state random = random_seed(1);
    uint64_t drawn = count < 1 << 20 ? count : 1 << 20; /* the rest repeats them */
    for (uint64_t i = 0; i < drawn; i++) {
        float value = (float)(0.02 * random_normal(&random));
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        noise[i] = (uint16_t)(bits >> 16);
    }
    for (uint64_t i = drawn; i < count; i++) noise[i] = noise[i - drawn];
    return noise;
}

static char *path_of(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    if (!path) need(error_memory(&error, folder, strlen(name)));
    return path;
}

static void write_text(const char *folder, const char *name, const char *text) {
    char *path = path_of(folder, name);
    need(file_write(path, text, strlen(text), &error));
    free(path);
}

static void write_config(const char *folder, const gemma3_config *c) {
    char text[1000];
    snprintf(text, sizeof text,
             "{\"model_type\": \"gemma3_text\", \"vocab_size\": %d, \"hidden_size\": %d, \"num_hidden_layers\": %d,\n"
             " \"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"head_dim\": %d, \"intermediate_size\": %d,\n"
             " \"sliding_window\": %d, \"sliding_window_pattern\": %d, \"query_pre_attn_scalar\": %g,\n"
             " \"rope_theta\": %g, \"rope_local_base_freq\": %g, \"rope_scaling\": %s, \"eos_token_id\": 1}\n",
             c->vocabulary, c->width, c->layers, c->heads, c->key_heads, c->head_width, c->ffn_width, c->window,
             c->global_every, c->query_scalar, c->global_base, c->local_base,
             c->global_scale == 8 ? "{\"rope_type\": \"linear\", \"factor\": 8}" : "null");
    write_text(folder, "config.json", text);
}

static const char *shard_name(int shard) {
    return shard ? "model-00002-of-00002.safetensors" : "model-00001-of-00002.safetensors";
}

static void write_shard(const char *folder, int shard, named_tensor *tensors, int count) {
    char *path = path_of(folder, shard_name(shard));
    need(safetensors_write(path, tensors, (uint64_t)count, NULL, 0, &error));
    free(path);
}

static void write_index(const char *folder, const named_tensor *tensors, int first, int count) {
    char *path = path_of(folder, "model.safetensors.index.json");
    file_writer *writer;
    need(file_writer_open(&writer, path, &error));
    FILE *f = file_writer_stream(writer);
    fputs("{\"weight_map\": {", f);
    for (int i = 0; i < count; i++)
        fprintf(f, "%s\n \"%s\": \"%s\"", i ? "," : "", tensors[i].name, shard_name(i >= first));
    fputs("}}\n", f);
    need(file_writer_commit(writer, &error));
    free(path);
}

int main(int argc, char **argv) {
    if (argc != 3 || (strcmp(argv[1], "4b") != 0 && strcmp(argv[1], "1b") != 0)) {
        fputs("usage: make_gemma3 4b|1b FOLDER\n", stderr);
        return 2;
    }
    const gemma3_config config = argv[1][0] == '4' ? gemma3_config_4b() : gemma3_config_1b();
    static named_tensor tensors[MAX_TENSORS];
    static gemma3_slot slots[GEMMA3_MAX_SLOTS];
    gemma3 *model;
    need(gemma3_create_packed(&model, &config, &error));
    int slot_count = gemma3_slots(model, slots), count = 0;
    uint16_t *noise = make_noise((uint64_t)config.vocabulary * (uint64_t)config.width);
    for (int i = 0; i < slot_count; i++) {
        uint64_t outputs = (uint64_t)slots[i].outputs, inputs = (uint64_t)slots[i].inputs;
        tensors[count++] =
            (named_tensor){slots[i].name, DTYPE_BF16, 2, {outputs, inputs}, noise, outputs * inputs * sizeof *noise};
    }
    for (int i = 0; i < model->parameters->count; i++) { /* the norms */
        parameter *p = model->parameters->items[i];
        uint64_t length = (uint64_t)p->count;
        tensors[count++] = (named_tensor){p->name, DTYPE_BF16, 1, {length}, noise, length * sizeof *noise};
    }
    need(file_make_folders(argv[2], &error));
    int first = count / 3; /* of the first shard: the table is among them */
    write_shard(argv[2], 0, tensors, first);
    write_shard(argv[2], 1, tensors + first, count - first);
    write_index(argv[2], tensors, first, count);
    write_config(argv[2], &config); /* last: whoever finds it finds the rest */
    free(noise);
    gemma3_free(model);
    return 0;
}
