/* carina model quantize: a language model in fewer bits, as a GGUF file, with what that cost. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/text_whole.h"
#include "format/json_writer.h"
#include "model/gemma3_file.h"
#include "model/gemma3_packed.h"
#include "model/gemma3_source.h"
#include "pipeline/language_model_files.h"
#include "pipeline/model_quantize.h"
#include "pipeline/perplexity.h"
#include "text/bpe_cache.h"
#include "text/bpe_gguf.h"

typedef struct quantize_values {
    const char *out, *text, *tokenizer;
    int weights;
    int64_t window, threads;
    bool json, quiet;
} quantize_values;

static const quantize_values defaults = {.window = 512};
static const option options[] = {
    {"weights", 'w', OPTION_CHOICE, "q8|q4|bf16", "how weights are packed (default q8)",
     offsetof(quantize_values, weights), 0, 0},
    {"out", 'o', OPTION_FILE, "FILE.gguf", "file to write (required)", offsetof(quantize_values, out), 0, 0},
    {"text", 0, OPTION_FILE, "FILE", "measure perplexity before and after, and divergence, on this text",
     offsetof(quantize_values, text), 0, 0},
    {"window", 0, OPTION_INTEGER, "N", "tokens that the models see of it at most (default 512)",
     offsetof(quantize_values, window), 2, PERPLEXITY_MAX_WINDOW},
    {"tokenizer", 0, OPTION_FILE, "FILE", "tokenizer.json, where it does not lie in the model's folder",
     offsetof(quantize_values, tokenizer), 0, 0},
    {"quiet", 'q', OPTION_FLAG, NULL, "show no progress", offsetof(quantize_values, quiet), 0, 0},
    OPTION_THREADS(quantize_values, threads),
    OPTION_JSON(quantize_values, json),
    {0},
};

typedef struct quantize_command {
    const quantize_values *v;
    const char *in;
    char *tokenizer;            /* path, or NULL: there is none */
    gguf_keys keys;             /* the same; none: it cannot be said so */
    chat_template *template_of; /* or NULL */
    char *copied;               /* path of its copy beside the output, or NULL */
    thread_pool *pool;
    quantize_result result;
    char *text;
    bpe *bpe;
    gemma3 *before, *after;
    perplexity_change change; /* no tokens: not measured */
} quantize_command;

/* ---- the tokenizer ---- */

static carina_status find_tokenizer(quantize_command *q, carina_error *error) {
    TRY(language_model_find_tokenizer(&q->tokenizer, q->in, q->v->tokenizer, error));
    if (q->tokenizer || !q->v->text) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT, "%s: no tokenizer.json for --text; name one with --tokenizer",
                     q->in);
}

static carina_status read_tokenizer(quantize_command *q, carina_error *error) {
    char *cache = bpe_cache_default_folder();
    carina_status status = language_model_read_tokenizer(&q->bpe, q->in, q->v->tokenizer, cache, error);
    free(cache);
    return status;
}

/* The tokenizer as keys of the file. One that these cannot hold is said, and copied afterwards. */
static carina_status make_keys(quantize_command *q, carina_error *error) {
    language_model_end_list ends;
    gemma3_source source;
    TRY(gemma3_source_open(&source, q->in, error));
    int vocabulary = source.config.vocabulary;
    gemma3_source_close(&source);
    TRY(language_model_find_ends(&ends, q->in, q->bpe, error));
    carina_status status = bpe_gguf_keys(&q->keys, q->bpe, vocabulary, ends.ids, ends.count, error);
    if (status != CARINA_ERROR_UNSUPPORTED) return status;
    fprintf(stderr, "carina: %s; the tokenizer is left a file of its own\n", error->message);
    return CARINA_OK;
}

/* A template that cannot be read is no reason not to pack the weights. */
static void read_template(quantize_command *q) {
    carina_error error = {0};
    if (language_model_read_template(&q->template_of, q->in, q->v->tokenizer, &error) != CARINA_OK)
        fprintf(stderr, "carina: %s; left out\n", error.message);
}

#define TOKENIZER_BYTES (256u << 20)

/* One that lies there is left alone; another model's is no use to this one, which is said. */
static carina_status keep_tokenizer(quantize_command *q, const uint8_t *bytes, uint64_t size, carina_error *error) {
    uint8_t *there;
    uint64_t there_size;
    TRY(file_read(q->copied, TOKENIZER_BYTES, &there, &there_size, error));
    if (there_size != size || memcmp(there, bytes, (size_t)size) != 0) {
        fprintf(stderr, "carina: %s: is another tokenizer, left as it is; the model wants %s\n", q->copied,
                q->tokenizer);
        free(q->copied);
        q->copied = NULL;
    }
    free(there);
    return CARINA_OK;
}

static carina_status copy_tokenizer(quantize_command *q, carina_error *error) {
    const char *name = path_name(q->v->out);
    if (!q->tokenizer || q->keys.count || language_model_is_gguf(q->tokenizer)) return CARINA_OK;
    size_t folder = (size_t)(name - q->v->out);
    if (asprintf(&q->copied, "%.*stokenizer.json", (int)folder, q->v->out) < 0) {
        q->copied = NULL;
        return error_memory(error, q->v->out, folder);
    }
    uint8_t *bytes;
    uint64_t size;
    TRY(file_read(q->tokenizer, TOKENIZER_BYTES, &bytes, &size, error));
    carina_status status =
        file_exists(q->copied) ? keep_tokenizer(q, bytes, size, error) : file_write(q->copied, bytes, size, error);
    free(bytes);
    return status;
}

/* ---- the logits ---- */

/* The weights as they are: f32 where any matrix is, else bf16, which holds them (f16 is rounded). */
static carina_status load_before(quantize_command *q, carina_error *error) {
    const gemma3_pack_options packing = {.kind = QUANTIZED_BF16, .pool = q->pool};
    gemma3_source source;
    bool wide = false;
    TRY(gemma3_source_open(&source, q->in, error));
    for (int i = 0; i < source.count; i++)
        wide |= source.tensors[i].slot >= 0 && source.tensors[i].named && source.tensors[i].named->dtype != DTYPE_BF16;
    gemma3_source_close(&source);
    return wide ? gemma3_load(&q->before, q->in, error) : gemma3_load_packed(&q->before, q->in, &packing, error);
}

static carina_status compare(quantize_command *q, const int32_t *ids, uint64_t count, carina_error *error) {
    const gemma3_pack_options packing = {.pool = q->pool};
    TRY(load_before(q, error));
    TRY(gemma3_load_packed(&q->after, q->v->out, &packing, error));
    progress *shown = q->v->quiet ? NULL : progress_start("comparing", "tokens", 0, count);
    const perplexity_options how = {.pool = q->pool,
                                    .window = q->v->window,
                                    .stride = q->v->window / 2,
                                    .begin = bpe_find(q->bpe, "<bos>", 5),
                                    .shown = shown};
    carina_status status = perplexity_compare(&q->change, q->before, q->after, ids, count, &how, error);
    progress_finish(shown);
    return status == CARINA_OK || status == CARINA_ERROR_CANCELLED ? status : error_prefix(error, "%s", q->v->text);
}

static carina_status measure_text(quantize_command *q, uint64_t size, carina_error *error) {
    bpe_encoder *encoder;
    const int32_t *ids;
    uint64_t count;
    TRY(bpe_encoder_create(&encoder, q->bpe, error));
    carina_status status = bpe_encode(encoder, q->text, size, false, &ids, &count, error);
    if (status == CARINA_OK) status = compare(q, ids, count, error);
    bpe_encoder_free(encoder);
    return status;
}

/* ---- work and output ---- */

static carina_status work(quantize_command *q, carina_error *error) {
    static const quantized_kind kinds[] = {QUANTIZED_Q8, QUANTIZED_Q4, QUANTIZED_BF16};
    uint64_t size = 0;
    TRY(find_tokenizer(q, error));
    /* What is needed is read before hours of work. */
    if (q->tokenizer) TRY(read_tokenizer(q, error));
    if (q->tokenizer) TRY(make_keys(q, error));
    read_template(q);
    if (q->v->text) TRY(text_whole_read(&q->text, &size, q->v->text, error));
    TRY(thread_pool_create(&q->pool, (int)q->v->threads, error));
    const quantize_options how = {.kind = kinds[q->v->weights],
                                  .pool = q->pool,
                                  .shown = !q->v->quiet,
                                  .tokenizer = q->keys.count ? &q->keys : NULL,
                                  .chat_template = q->template_of ? chat_template_source(q->template_of) : NULL};
    TRY(model_quantize(&q->result, q->in, q->v->out, &how, error));
    TRY(copy_tokenizer(q, error));
    return q->v->text ? measure_text(q, size, error) : CARINA_OK;
}

static void tear_down(quantize_command *q) {
    gemma3_free(q->before);
    gemma3_free(q->after);
    bpe_free(q->bpe);
    gguf_keys_free(&q->keys);
    chat_template_free(q->template_of);
    thread_pool_free(q->pool);
    free(q->text);
    free(q->tokenizer);
    free(q->copied);
}

static const quantize_matrix *worst(const quantize_result *r) {
    const quantize_matrix *m = r->matrices;
    for (int i = 1; i < r->count; i++)
        if (quantized_error_relative(&r->matrices[i].error) > quantized_error_relative(&m->error)) m = &r->matrices[i];
    return m;
}

static void print_table(const quantize_command *q) {
    const quantize_result *r = &q->result;
    const perplexity_change *c = &q->change;
    const quantize_matrix *w = worst(r);
    printf("%s\nsize            %.3f GB, before %.3f GB\n", q->v->out, 1e-9 * (double)r->bytes_after,
           1e-9 * (double)r->bytes_before);
    printf("relative error  %.3e over all matrices, at most %.3e in %s\n", quantized_error_relative(&r->error),
           quantized_error_relative(&w->error), w->name);
    if (c->before.tokens) {
        double tokens = (double)c->before.tokens;
        printf("perplexity      %.4f, before %.4f (%lld tokens)\n", perplexity_value(&c->after),
               perplexity_value(&c->before), (long long)c->before.tokens);
        printf("divergence      %.3e nats a token; the same likeliest token for %.2f %%\n", c->divergence / tokens,
               100 * (double)c->agreed / tokens);
    }
    const char *tokenizer = q->keys.count ? "in the file" : q->copied;
    if (tokenizer) printf("tokenizer       %s\n", tokenizer);
    if (q->template_of) printf("chat template   in the file\n");
}

static void put_change(json_writer *w, const perplexity_change *c) {
    json_field_whole(w, "tokens", c->before.tokens);
    json_field_number(w, "perplexity_before", perplexity_value(&c->before));
    json_field_number(w, "perplexity_after", perplexity_value(&c->after));
    json_field_number(w, "divergence_nats_per_token", c->divergence / (double)c->before.tokens);
    json_field_number(w, "same_likeliest_token", (double)c->agreed / (double)c->before.tokens);
}

static void print_json(const quantize_command *q) {
    const quantize_result *r = &q->result;
    char weights[16];
    options_choice(options[0].argument, q->v->weights, weights, sizeof weights);
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "file", q->v->out);
    json_field_text(&w, "weights", weights);
    json_field_text(&w, "tokenizer", q->keys.count ? q->v->out : q->copied);
    json_field_truth(&w, "chat_template", q->template_of != NULL);
    json_field_whole(&w, "bytes_before", (int64_t)r->bytes_before);
    json_field_whole(&w, "bytes_after", (int64_t)r->bytes_after);
    json_field_number(&w, "relative_error", quantized_error_relative(&r->error));
    if (q->change.before.tokens) put_change(&w, &q->change);
    json_key(&w, "matrices");
    json_begin_array(&w);
    for (int i = 0; i < r->count; i++) {
        json_begin_inline(&w, true);
        json_field_text(&w, "name", r->matrices[i].name);
        json_field_number(&w, "relative_error", quantized_error_relative(&r->matrices[i].error));
        json_field_number(&w, "largest_error", r->matrices[i].error.largest);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
}

static int run(const void *values, int count, char *const *arguments) {
    quantize_command q = {.v = values, .in = arguments[0]};
    carina_error error = {0};
    int status = COMMAND_OK;
    (void)count;
    if (!q.v->out) return command_usage("model quantize: --out FILE.gguf is missing");
    if (!gemma3_is_gguf(q.v->out)) return command_usage("model quantize: --out %s does not end in .gguf", q.v->out);
    const output_file file = {.option = "--out", .path = q.v->out, .kind = OUTPUT_GGUF};
    const output_reading reading = {.paths = (const char *const[]){q.in, q.v->text, q.v->tokenizer}, .path_count = 3};
    if (output_check(&file, 1, &reading, &error) != CARINA_OK) return command_fail(&error);
    progress_catch_interrupts();
    if (work(&q, &error) != CARINA_OK)
        status = command_fail(&error);
    else if (q.v->json)
        print_json(&q);
    else
        print_table(&q);
    tear_down(&q);
    return status;
}

const command command_model_quantize = {
    .name = "model quantize",
    .summary = "pack a language model in fewer bits, and say what that cost",
    .arguments = "FOLDER|FILE.gguf",
    .description =
        "Reads a Gemma 3 (Hugging Face folder, or a GGUF file of f32, f16 or bf16) a few rows at a time and writes a\n"
        "GGUF file of Q8_0, Q4_0 or BF16, which loads to the same bits as packing the folder while it is read. Prints\n"
        "the relative error of the weights (--json: of each matrix); with --text also perplexity before and after and\n"
        "the mean divergence of what is foretold, for which both models are loaded. Tokenizer and chat\n"
        "template become part of the file; a tokenizer that GGUF has no words for is copied beside it, unless one "
        "lies\n"
        "there.\n",
    .examples =
        "carina model quantize models/medgemma-4b-it -w q4 --out medgemma-q4.gguf\n"
        "carina model quantize models/medgemma-4b-it -w q8 -o medgemma-q8.gguf --text reports.txt --json\n",
    .options = options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 1,
    .most = 1,
    .run = run,
};
