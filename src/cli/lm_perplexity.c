/* carina lm perplexity: how well a language model foretells texts. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/text_whole.h"
#include "format/json_writer.h"
#include "model/lora_file.h"
#include "pipeline/language_model.h"
#include "pipeline/perplexity.h"
#include "text/bpe_cache.h"

typedef struct lm_perplexity_values {
    const char *model, *tokenizer, *lora;
    int weights;
    int64_t window, stride, threads;
    bool json, quiet;
} lm_perplexity_values;

static const lm_perplexity_values defaults = {.window = 2048};
static const option options[] = {
    {"model", 'm', OPTION_FILE, "PATH", "Hugging Face folder or .gguf file (required)",
     offsetof(lm_perplexity_values, model), 0, 0},
    {"tokenizer", 0, OPTION_FILE, "FILE", "tokenizer.json, where it does not lie in the model's folder",
     offsetof(lm_perplexity_values, tokenizer), 0, 0},
    {"weights", 'w', OPTION_CHOICE, "stored|q4|q8|bf16",
     "a folder's weights: in f32 (stored, the default), or packed while they are read",
     offsetof(lm_perplexity_values, weights), 0, 0},
    {"lora", 0, OPTION_FOLDER, "DIR", "adapter (PEFT's folder) to read by", offsetof(lm_perplexity_values, lora), 0, 0},
    {"window", 0, OPTION_INTEGER, "N", "tokens that the model sees at most (default 2048)",
     offsetof(lm_perplexity_values, window), 2, PERPLEXITY_MAX_WINDOW},
    {"stride", 0, OPTION_INTEGER, "N", "tokens that each window but the first scores (default 0: half the window)",
     offsetof(lm_perplexity_values, stride), 0, PERPLEXITY_MAX_WINDOW - 1},
    {"quiet", 'q', OPTION_FLAG, NULL, "show no progress", offsetof(lm_perplexity_values, quiet), 0, 0},
    OPTION_THREADS(lm_perplexity_values, threads),
    OPTION_JSON(lm_perplexity_values, json),
    {0},
};

typedef struct text_result {
    const char *name;
    uint64_t bytes;
    int32_t *ids; /* NULL: the file could not be read */
    uint64_t count;
    perplexity_sums sums; /* no tokens: it could not be scored */
    carina_error error;
} text_result;

typedef struct perplexity_run {
    const lm_perplexity_values *v;
    thread_pool *pool;
    language_model *model;
    lora *adapter;
    text_result *texts;
    int count;
    perplexity_sums total;
    uint64_t total_bytes;
} perplexity_run;

/* ---- work ---- */

static carina_status load(perplexity_run *r, carina_error *error) {
    char *cache = bpe_cache_default_folder();
    TRY(thread_pool_create(&r->pool, (int)r->v->threads, error));
    const language_model_options model_options = {.tokenizer = r->v->tokenizer,
                                                  .weights = (language_model_weights)r->v->weights,
                                                  .cache_folder = cache,
                                                  .pool = r->pool};
    carina_status status = language_model_load(&r->model, r->v->model, &model_options, error);
    free(cache);
    if (status == CARINA_OK && r->v->lora) status = lora_load(&r->adapter, r->v->lora, &r->model->model->config, error);
    return status;
}

static carina_status encode(text_result *t, bpe_encoder *encoder, carina_error *error) {
    char *text;
    const int32_t *ids;
    TRY(text_whole_read(&text, &t->bytes, t->name, error));
    carina_status status = bpe_encode(encoder, text, t->bytes, false, &ids, &t->count, error);
    free(text);
    if (status != CARINA_OK) return error_prefix(error, "%s", text_whole_name(t->name));
    t->ids = malloc((size_t)t->count * sizeof *ids + 1);
    if (!t->ids) return error_memory(error, t->name, t->count * sizeof *ids);
    memcpy(t->ids, ids, (size_t)t->count * sizeof *ids);
    return CARINA_OK;
}

/* All texts first: what cannot be read is said at once, and progress knows its end. */
static carina_status encode_all(perplexity_run *r, char *const *paths, uint64_t *tokens, carina_error *error) {
    bpe_encoder *encoder;
    *tokens = 0;
    TRY(bpe_encoder_create(&encoder, r->model->tokenizer, error));
    for (int i = 0; i < r->count; i++) {
        text_result *t = &r->texts[i];
        t->name = paths[i];
        if (encode(t, encoder, &t->error) != CARINA_OK) command_fail(&t->error);
        *tokens += t->count;
    }
    bpe_encoder_free(encoder);
    return CARINA_OK;
}

/* One that fails is said and left out; only an interruption ends the command. */
static carina_status score_all(perplexity_run *r, progress *shown, carina_error *error) {
    perplexity_options o = {.pool = r->pool,
                            .window = r->v->window,
                            .stride = r->v->stride ? r->v->stride : r->v->window / 2,
                            .begin = bpe_find(r->model->tokenizer, "<bos>", 5),
                            .adapter = r->adapter,
                            .shown = shown};
    for (int i = 0; i < r->count; i++) {
        text_result *t = &r->texts[i];
        if (!t->ids) continue;
        carina_status status = perplexity_measure(&t->sums, r->model->model, t->ids, t->count, &o, &t->error);
        if (status == CARINA_ERROR_CANCELLED) {
            if (error) *error = t->error;
            return status;
        }
        if (status != CARINA_OK) {
            error_prefix(&t->error, "%s", text_whole_name(t->name));
            command_fail(&t->error);
            continue;
        }
        r->total.tokens += t->sums.tokens;
        r->total.nats += t->sums.nats;
        r->total_bytes += t->bytes;
        o.shown_before = (uint64_t)r->total.tokens;
    }
    return CARINA_OK;
}

static carina_status work(perplexity_run *r, char *const *paths, carina_error *error) {
    uint64_t tokens;
    r->texts = calloc((size_t)r->count, sizeof *r->texts);
    if (!r->texts) return error_memory(error, "texts", (uint64_t)r->count * sizeof *r->texts);
    TRY(load(r, error));
    TRY(encode_all(r, paths, &tokens, error));
    progress *shown = r->v->quiet ? NULL : progress_start("perplexity", "tokens", 0, tokens);
    carina_status status = score_all(r, shown, error);
    progress_finish(shown);
    return status;
}

static void tear_down(perplexity_run *r) {
    for (int i = 0; r->texts && i < r->count; i++) free(r->texts[i].ids);
    free(r->texts);
    lora_free(r->adapter);
    language_model_free(r->model);
    thread_pool_free(r->pool);
}

/* ---- output ---- */

static void print_row(const char *name, const perplexity_sums *s, uint64_t bytes) {
    printf("%-32s %9lld %10.4f %12.4f %14.4f\n", name, (long long)s->tokens, perplexity_mean(s), perplexity_value(s),
           perplexity_bits_per_byte(s, bytes));
}

static void put_figures(json_writer *w, const perplexity_sums *s, uint64_t bytes) {
    json_field_whole(w, "tokens", s->tokens);
    json_field_whole(w, "bytes", (int64_t)bytes);
    json_field_number(w, "nats_per_token", perplexity_mean(s));
    json_field_number(w, "perplexity", perplexity_value(s));
    json_field_number(w, "bits_per_byte", perplexity_bits_per_byte(s, bytes));
}

static void print_json(const perplexity_run *r) {
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "model", r->v->model);
    if (r->v->lora) json_field_text(&w, "lora", r->v->lora);
    json_field_whole(&w, "window", r->v->window);
    json_field_whole(&w, "stride", r->v->stride ? r->v->stride : r->v->window / 2);
    json_key(&w, "texts");
    json_begin_array(&w);
    for (int i = 0; i < r->count; i++) {
        const text_result *t = &r->texts[i];
        json_begin_object(&w);
        json_field_text(&w, "file", t->name);
        if (t->sums.tokens)
            put_figures(&w, &t->sums, t->bytes);
        else
            json_field_text(&w, "error", t->error.message);
        json_end(&w);
    }
    json_end(&w);
    json_key(&w, "total");
    json_begin_object(&w);
    put_figures(&w, &r->total, r->total_bytes);
    json_end(&w);
    json_end(&w);
}

static void print_table(const perplexity_run *r) {
    int scored = 0;
    for (int i = 0; i < r->count; i++) scored += r->texts[i].sums.tokens > 0;
    if (!scored) return;
    printf("%-32s %9s %10s %12s %14s\n", "text", "tokens", "nats/token", "perplexity", "bits per byte");
    for (int i = 0; i < r->count; i++)
        if (r->texts[i].sums.tokens) print_row(text_whole_name(r->texts[i].name), &r->texts[i].sums, r->texts[i].bytes);
    if (scored > 1) print_row("all", &r->total, r->total_bytes);
}

static int run(const void *values, int count, char *const *arguments) {
    perplexity_run r = {.v = values, .count = count};
    carina_error error = {0};
    int status = COMMAND_OK;
    if (!r.v->model) return command_usage("lm perplexity: -m PATH is missing");
    if (r.v->stride >= r.v->window) return command_usage("lm perplexity: --stride is not less than --window");
    progress_catch_interrupts();
    if (work(&r, arguments, &error) != CARINA_OK) {
        status = command_fail(&error);
    } else {
        for (int i = 0; i < count; i++)
            if (!r.texts[i].sums.tokens) status = COMMAND_FAILED;
        if (r.v->json)
            print_json(&r);
        else
            print_table(&r);
    }
    tear_down(&r);
    return status;
}

const command command_lm_perplexity = {
    .name = "lm perplexity",
    .summary = "measure how well a language model foretells texts",
    .arguments = "FILE...",
    .description =
        "Prints of each text (- is standard input) the mean negative log-likelihood of its tokens, its exponential,\n"
        "and bits per byte, which compare models with different tokenizers. A text longer than the window is gone\n"
        "through in windows that overlap: every token is scored once and sees at least window - stride tokens\n"
        "before it. Each window begins with <bos>.\n",
    .examples =
        "carina lm perplexity -m models/medgemma-4b-it --weights q8 reports.txt\n"
        "carina lm perplexity -m tiny -w q4 --window 512 --stride 256 --json a.txt b.txt\n"
        "carina lm perplexity -m model.gguf --tokenizer tokenizer.json - < reports.txt\n",
    .options = options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 1,
    .most = -1,
    .run = run,
};
