/* `carina text encode` and `carina text tokenize`: sentences on standard input as vectors, and as token ids. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/text_lines.h"
#include "format/json_writer.h"
#include "format/npy.h"
#include "model/text_encoder.h"
#include "pipeline/model_path.h"

typedef struct text_values {
    const char *model, *out, *projector;
    bool json, pooled, projected;
    int dtype; /* 0 f32, 1 bf16 */
    int64_t threads, max_tokens;
} text_values;

static const text_values defaults = {.max_tokens = 512};

/* ---- encode ---- */

static const option encode_options[] = {
    {"model", 'm', OPTION_FOLDER, "NAME|DIR", "Hugging Face directory of a BERT (required)",
     offsetof(text_values, model), 0, 0},
    {"out", 'o', OPTION_FILE, "FILE", "write the vectors as .npy, [lines, width], f32", offsetof(text_values, out), 0,
     0},
    {"json", 0, OPTION_FLAG, NULL, "print one JSON object a line", offsetof(text_values, json), 0, 0},
    {"pooled", 0, OPTION_FLAG, NULL, "the mean over the tokens (the default)", offsetof(text_values, pooled), 0, 0},
    {"projected", 0, OPTION_FLAG, NULL, "the mean behind AnatomiX's projector", offsetof(text_values, projected), 0, 0},
    {"projector", 0, OPTION_FILE, "FILE", "take the projector from FILE, such as an AnatomiX checkpoint",
     offsetof(text_values, projector), 0, 0},
    {"dtype", 0, OPTION_CHOICE, "f32|bf16", "arithmetic: bf16 is faster on AMX or AVX-512 BF16",
     offsetof(text_values, dtype), 0, 0},
    {"max-tokens", 0, OPTION_INTEGER, "N",
     "longer lines are cut, [CLS] and [SEP] counted (default and at most: its positions, 512)",
     offsetof(text_values, max_tokens), 2, 4096},
    OPTION_THREADS(text_values, threads),
    {0},
};

#define LINES_AT_A_TIME 4096

/* Lines read so far in this round, and all vectors. */
typedef struct encode_run {
    const text_values *values;
    text_encoder encoder;
    thread_pool *pool;
    text_lines lines;
    char *text;
    uint64_t text_size, text_room;
    text_span spans[LINES_AT_A_TIME];
    uint64_t begins[LINES_AT_A_TIME];
    int count;
    float *vectors;
    uint64_t total, vector_room, cut;
    int64_t width;
} encode_run;

/* Room for `wanted` items; doubles. */
static carina_status grow(void *items, uint64_t *room, uint64_t wanted, uint64_t item_bytes, carina_error *error) {
    void **memory = items;
    if (wanted <= *room) return CARINA_OK;
    uint64_t count = wanted > 2 * *room ? wanted : 2 * *room, bytes;
    void *grown = size_multiply(count, item_bytes, &bytes) ? realloc(*memory, (size_t)bytes) : NULL;
    if (!grown) return error_memory(error, "standard input", count);
    *memory = grown;
    *room = count;
    return CARINA_OK;
}

static carina_status read_round(encode_run *r, carina_error *error) {
    r->count = 0;
    r->text_size = 0;
    for (bool more = true; r->count < LINES_AT_A_TIME && r->text_size < (16u << 20);) {
        TRY(text_lines_next(&r->lines, &more, error));
        if (!more) break;
        TRY(grow(&r->text, &r->text_room, r->text_size + r->lines.size + 1, 1, error));
        if (r->lines.size) memcpy(r->text + r->text_size, r->lines.line, (size_t)r->lines.size);
        r->begins[r->count] = r->text_size;
        r->spans[r->count++].size = r->lines.size;
        r->text_size += r->lines.size;
    }
    for (int i = 0; i < r->count; i++) r->spans[i].text = r->text + r->begins[i]; /* where the text came to rest */
    return CARINA_OK;
}

static void print_round(const encode_run *r, const float *vectors) {
    for (int i = 0; i < r->count; i++) {
        json_writer w = json_writer_make(stdout, JSON_ONE_LINE);
        json_begin_object(&w);
        json_key(&w, "text");
        json_put_bytes(&w, r->spans[i].text, r->spans[i].size);
        json_key(&w, "embedding");
        json_begin_array(&w);
        for (int64_t c = 0; c < r->width; c++) json_put_f32(&w, vectors[i * r->width + c]);
        json_end(&w);
        json_end(&w);
    }
}

static carina_status encode_all(encode_run *r, carina_error *error) {
    const text_values *v = r->values;
    for (;;) {
        uint64_t cut;
        TRY(read_round(r, error));
        if (progress_interrupted()) return error_set(error, CARINA_ERROR_CANCELLED, "interrupted");
        if (r->count == 0 || ferror(stdout)) return CARINA_OK;
        uint64_t kept = v->out ? r->total : 0; /* rows that stay in memory: the file's header tells their number */
        TRY(grow(&r->vectors, &r->vector_room, kept + (uint64_t)r->count, (uint64_t)r->width * sizeof(float), error));
        float *vectors = r->vectors + kept * (uint64_t)r->width;
        TRY(text_encoder_encode(&r->encoder, r->spans, (uint64_t)r->count, v->projected ? NULL : vectors,
                                v->projected ? vectors : NULL, &cut, NULL, error));
        if (v->json) print_round(r, vectors);
        r->total += (uint64_t)r->count;
        r->cut += cut;
    }
}

static carina_status encode(encode_run *r, carina_error *error) {
    const text_values *v = r->values;
    const output_file file = {.option = "--out", .path = v->out, .kind = OUTPUT_ARRAY};
    const output_reading reading = {.paths = (const char *const[]){v->model, v->projector}, .path_count = 2};
    TRY(output_check(&file, 1, &reading, error));
    TRY(thread_pool_create(&r->pool, (int)v->threads, error));
    const text_encoder_options options = {.pool = r->pool,
                                          .type = v->dtype ? TENSOR_BF16 : TENSOR_F32,
                                          .max_tokens = (int)v->max_tokens,
                                          .projector = v->projector};
    char *folder;
    TRY(model_path_find_encoder(&folder, v->model, error));
    carina_status status = text_encoder_load(&r->encoder, folder, &options, error);
    free(folder);
    TRY(status);
    const bert_config *c = &r->encoder.model->config;
    if (v->projected && c->feature_size == 0)
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: no projector (project_head.proj.0.weight); give one with "
                         "--projector",
                         v->model);
    r->width = v->projected ? c->feature_size : c->width;
    r->lines.stream = stdin;
    TRY(encode_all(r, error));
    if (r->cut)
        fprintf(stderr, "carina: warning: %llu of %llu lines were cut at %d tokens\n", (unsigned long long)r->cut,
                (unsigned long long)r->total, r->encoder.options.max_tokens);
    if (!v->out) return CARINA_OK;
    uint64_t shape[2] = {r->total, (uint64_t)r->width};
    return npy_write(v->out, DTYPE_F32, shape, 2, r->vectors, error);
}

static int run_encode(const void *values, int count, char *const *arguments) {
    (void)count;
    (void)arguments;
    const text_values *v = values;
    if (!v->model) return command_usage("text encode: --model is required");
    if (!v->out && !v->json) return command_usage("text encode: where to? --out FILE or --json");
    if (v->pooled && v->projected) return command_usage("text encode: --pooled or --projected, not both");
    if (v->projector && !v->projected) return command_usage("text encode: --projector is for --projected");
    encode_run *r = calloc(1, sizeof *r);
    carina_error error = {0};
    if (!r) return error_memory(&error, "sentences", sizeof *r), command_fail(&error);
    r->values = v;
    progress_catch_interrupts();
    carina_status status = encode(r, &error);
    text_encoder_free(&r->encoder);
    thread_pool_free(r->pool);
    text_lines_free(&r->lines);
    free(r->text);
    free(r->vectors);
    free(r);
    return status == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

const command command_text_encode = {
    .name = "text encode",
    .summary = "sentences as vectors of a BERT text encoder",
    .arguments = "",
    .description =
        "Reads sentences from standard input, one a line, and writes one vector for each: the mean of BERT's last\n"
        "hidden states over the sentence's tokens (--pooled), or that mean behind AnatomiX's projector (--projected).\n"
        "DIR is a Hugging Face directory: config.json, vocab.txt, and model.safetensors (or its shards with their\n"
        "index), pytorch_model.bin or .pth; BiomedBERT (PubMedBERT) loads as it is. A line has at most 1 MiB; bytes\n"
        "that are not UTF-8 are passed over.\n"
        "\n"
        "Vectors go to --out FILE or, with --json, to standard output, one object a line: text and embedding. The\n"
        "projector of --projected comes from the directory's weights or from --projector: an AnatomiX checkpoint, or\n"
        "one of our models that was trained with sentences (models/apm-small.safetensors goes with text-small).\n",
    .examples =
        "carina text encode -m biomedbert --out sentences.npy < sentences.txt\n"
        "echo 'Right lung is healthy.' | carina text encode -m biomedbert --json\n"
        "carina text encode -m text-small --projected --projector models/apm-small.safetensors --json < sentences.txt\n"
        "carina text encode -m biomedbert --projector anatomix.pth --projected -o z.npy < sentences.txt\n",
    .options = encode_options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 0,
    .most = 0,
    .run = run_encode,
};

/* ---- tokenize ---- */

static const option tokenize_options[] = {
    {"model", 'm', OPTION_FOLDER, "NAME|DIR", "directory with vocab.txt (required)", offsetof(text_values, model), 0,
     0},
    {"json", 0, OPTION_FLAG, NULL, "print one JSON object a line", offsetof(text_values, json), 0, 0},
    {"max-tokens", 0, OPTION_INTEGER, "N", "longer lines are cut, [CLS] and [SEP] counted (default 512)",
     offsetof(text_values, max_tokens), 2, 4096},
    {0},
};

static void print_ids(const wordpiece *w, const text_lines *line, const int *ids, int count, bool json) {
    if (!json) {
        for (int i = 0; i < count; i++) printf(i ? " %d" : "%d", ids[i]);
        putchar('\n');
        return;
    }
    json_writer out = json_writer_make(stdout, JSON_ONE_LINE);
    json_begin_object(&out);
    json_key(&out, "text");
    json_put_bytes(&out, line->line ? line->line : "", line->size);
    json_key(&out, "ids");
    json_begin_array(&out);
    for (int i = 0; i < count; i++) json_put_whole(&out, ids[i]);
    json_end(&out);
    json_key(&out, "tokens");
    json_begin_array(&out);
    for (int i = 0; i < count; i++) json_put_text(&out, vocabulary_token(&w->words, ids[i]));
    json_end(&out);
    json_end(&out);
}

static carina_status tokenize(const text_values *v, text_lines *lines, const wordpiece *w, carina_error *error) {
    int *ids = calloc((size_t)v->max_tokens, sizeof *ids);
    if (!ids) return error_memory(error, "ids", (uint64_t)v->max_tokens * sizeof *ids);
    carina_status status = CARINA_OK;
    for (bool more = true; status == CARINA_OK && !ferror(stdout);) {
        status = text_lines_next(lines, &more, error);
        if (status != CARINA_OK || !more) break;
        int count = wordpiece_encode(w, lines->line ? lines->line : "", lines->size, ids, (int)v->max_tokens, NULL);
        print_ids(w, lines, ids, count, v->json);
    }
    free(ids);
    return status;
}

static int run_tokenize(const void *values, int count, char *const *arguments) {
    (void)count;
    (void)arguments;
    const text_values *v = values;
    if (!v->model) return command_usage("text tokenize: --model is required");
    wordpiece w;
    carina_error error = {0};
    char *folder;
    carina_status status = model_path_find_encoder(&folder, v->model, &error);
    if (status == CARINA_OK) status = wordpiece_load(&w, folder, &error);
    free(folder);
    if (status != CARINA_OK) return command_fail(&error);
    text_lines lines = {.stream = stdin};
    status = tokenize(v, &lines, &w, &error);
    text_lines_free(&lines);
    wordpiece_free(&w);
    return status == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

const command command_text_tokenize = {
    .name = "text tokenize",
    .summary = "sentences as the token ids that a BERT reads",
    .arguments = "",
    .description =
        "Reads sentences from standard input, one a line, and prints the ids of their WordPiece tokens, [CLS] and\n"
        "[SEP] included, as Hugging Face's BertTokenizer gives them. DIR needs vocab.txt only; tokenizer_config.json\n"
        "is heeded when it is there (do_lower_case, strip_accents, tokenize_chinese_chars).\n"
        "\n"
        "--json prints one object a line: text, ids and tokens.\n",
    .examples =
        "echo 'Right lung is healthy.' | carina text tokenize -m biomedbert\n"
        "carina text tokenize -m biomedbert --json < sentences.txt | jq '.tokens | length'\n",
    .options = tokenize_options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 0,
    .most = 0,
    .run = run_tokenize,
};
