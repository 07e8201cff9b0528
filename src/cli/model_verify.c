/* carina model verify: whether a model on disk is whole; and how such reports are printed (model_report.h). */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fingerprint.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/model_report.h"
#include "format/json_writer.h"
#include "pipeline/model_path.h"

/* ---- reports ---- */

static void put_config(json_writer *w, const gemma3_config *c) {
    json_key(w, "configuration");
    json_begin_object(w);
    const struct {
        const char *key;
        int value;
    } sizes[] = {{"vocab_size", c->vocabulary},
                 {"hidden_size", c->width},
                 {"num_hidden_layers", c->layers},
                 {"num_attention_heads", c->heads},
                 {"num_key_value_heads", c->key_heads},
                 {"head_dim", c->head_width},
                 {"intermediate_size", c->ffn_width},
                 {"sliding_window", c->window},
                 {"sliding_window_pattern", c->global_every}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) json_field_whole(w, sizes[i].key, sizes[i].value);
    json_field_truth(w, "tie_word_embeddings", c->tied);
    json_end(w);
}

static void print_json(const char *path, const model_report *r) {
    char print[FINGERPRINT_TEXT];
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "file", path);
    json_field_text(&w, "kind", model_kind_name(r->kind));
    if (r->kind == MODEL_KIND_LANGUAGE) json_field_text(&w, "format", r->is_gguf ? "GGUF" : "Hugging Face folder");
    json_field_whole(&w, "weights", r->weights);
    json_field_whole(&w, "tensors", r->tensors);
    if (r->kind == MODEL_KIND_LANGUAGE) {
        json_field_whole(&w, "other_tensors", r->others);
        json_field_whole(&w, "bytes", (int64_t)r->bytes);
        json_key(&w, "types");
        json_begin_object(&w);
        for (int i = 0; i < r->type_count; i++) {
            json_key(&w, r->types[i].name);
            json_begin_inline(&w, true);
            json_field_whole(&w, "tensors", r->types[i].tensors);
            json_field_whole(&w, "weights", r->types[i].weights);
            json_end(&w);
        }
        json_end(&w);
        put_config(&w, &r->config);
    }
    json_field_truth(&w, "verified", r->verified);
    if (r->verified) json_field_text(&w, "fingerprint", fingerprint_text(print, r->fingerprint));
    json_end(&w);
}

static void print_table(const char *path, const model_report *r) {
    char print[FINGERPRINT_TEXT];
    printf("%s\nkind         %s%s\nweights      %lld in %lld tensors\n", path, model_kind_name(r->kind),
           r->kind != MODEL_KIND_LANGUAGE ? ""
           : r->is_gguf                   ? " (GGUF)"
                                          : " (Hugging Face folder)",
           (long long)r->weights, (long long)r->tensors);
    for (int i = 0; i < r->type_count; i++)
        printf("  %-10s %lld in %lld tensors\n", r->types[i].name, (long long)r->types[i].weights,
               (long long)r->types[i].tensors);
    if (r->bytes) printf("size         %.3f GB\n", 1e-9 * (double)r->bytes);
    if (r->others) printf("others       %lld tensors that are not the language model's\n", (long long)r->others);
    if (r->kind == MODEL_KIND_LANGUAGE)
        printf("shape        %d layers of %d, %d heads of %d (%d of keys), window %d, vocabulary %d%s\n",
               r->config.layers, r->config.width, r->config.heads, r->config.head_width, r->config.key_heads,
               r->config.window, r->config.vocabulary, r->config.tied ? "" : ", a head of its own");
    if (r->verified)
        printf("fingerprint  %s\nverified     every value read\n", fingerprint_text(print, r->fingerprint));
}

void model_report_print(const char *path, const model_report *report, bool json) {
    if (json)
        print_json(path, report);
    else
        print_table(path, report);
}

/* ---- verify ---- */

typedef struct verify_values {
    int64_t threads;
    bool json, quiet;
} verify_values;

static const verify_values defaults = {0};
static const option options[] = {
    {"quiet", 'q', OPTION_FLAG, NULL, "show no progress", offsetof(verify_values, quiet), 0, 0},
    OPTION_THREADS(verify_values, threads),
    OPTION_JSON(verify_values, json),
    {0},
};

/* A model's path as it is; the rest as everywhere (pipeline/model_path.h). */
static carina_status find_path(char **out, const char *name, carina_error *error) {
    if (!model_is_path(name)) return model_path_find(out, name, error);
    *out = strdup(name);
    return *out ? CARINA_OK : error_memory(error, name, 4096);
}

static carina_status verify(const char *name, const verify_values *v, carina_error *error) {
    model_report report;
    thread_pool *pool;
    char *path;
    TRY(find_path(&path, name, error));
    carina_status status = thread_pool_create(&pool, (int)v->threads, error);
    if (status == CARINA_OK) {
        status = model_verify(&report, path, pool, !v->quiet, error);
        thread_pool_free(pool);
    }
    if (status == CARINA_OK) model_report_print(path, &report, v->json);
    free(path);
    return status;
}

static int run(const void *values, int count, char *const *arguments) {
    const verify_values *v = values;
    carina_error error = {0};
    int status = COMMAND_OK;
    (void)count;
    progress_catch_interrupts();
    if (verify(arguments[0], v, &error) != CARINA_OK) status = command_fail(&error);
    return status;
}

const command command_model_verify = {
    .name = "model verify",
    .summary = "read a whole model and say what it is, or what is wrong with it",
    .arguments = "NAME|PATH",
    .description =
        "PATH is a model file of Carina, a Gemma 3 (Hugging Face folder or .gguf file) or a BERT folder. Every tensor\n"
        "is read and must be there, of the right shape, and finite; an index must agree with its shards. Prints what\n"
        "the model is, how its weights are stored, and a fingerprint of their values: the same weights give the same\n"
        "one in any format that keeps them. The first fault is named, and the exit status is then 1.\n",
    .examples =
        "carina model verify apm-small\ncarina model verify models/medgemma-4b-it --json\n"
        "carina model verify medgemma-q4.gguf\n",
    .options = options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 1,
    .most = 1,
    .run = run,
};
