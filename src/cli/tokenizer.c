/* `carina tokenizer encode`, `decode` and `train`: texts as the ids that a language model reads, back, and how such a
 * tokenizer is made. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/text_lines.h"
#include "format/json_writer.h"
#include "text/bpe.h"
#include "text/bpe_cache.h"
#include "text/bpe_gguf.h"
#include "text/bpe_train.h"

typedef struct tokenizer_values {
    const char *out, *add;
    bool json, special, skip_special;
    int64_t vocabulary_size, min_frequency, alphabet;
} tokenizer_values;

static const tokenizer_values defaults = {.vocabulary_size = 8000, .min_frequency = 2, .alphabet = 1000};

#define OPTION_ADD                                                                                        \
    {                                                                                                     \
        "add", 0, OPTION_FILE, "FILE", "tokens to add at the vocabulary's end, one a line, if not in it", \
            offsetof(tokenizer_values, add), 0, 0                                                         \
    }

/* ---- what all share ---- */

#define ADD_BYTES (16u << 20) /* of a file of tokens to add */

/* The file's bytes become the texts: each line ends with a NUL. */
static carina_status add_tokens(bpe *tokenizer, const char *path, carina_error *error) {
    uint8_t *data;
    uint64_t size;
    int count = 0;
    TRY(file_read(path, ADD_BYTES, &data, &size, error));
    if (memchr(data, 0, (size_t)size)) {
        free(data);
        return error_set(error, CARINA_ERROR_FORMAT, "%s: has a NUL byte: not a text file", path);
    }
    const char **texts = calloc((size_t)size + 1, sizeof *texts);
    carina_status status = texts ? CARINA_OK : error_memory(error, path, size * sizeof *texts);
    char *rest = (char *)data;
    for (char *line; status == CARINA_OK && (line = strsep(&rest, "\r\n"));)
        if (*line) texts[count++] = line;
    if (status == CARINA_OK) status = bpe_add(tokenizer, texts, count, false, NULL, error);
    free(texts);
    free(data);
    return status;
}

static carina_status open_tokenizer(bpe **out, const char *path, const tokenizer_values *v, carina_error *error) {
    size_t length = strlen(path);
    bool gguf = length > 5 && strcasecmp(path + length - 5, ".gguf") == 0;
    char *folder = gguf ? NULL : bpe_cache_default_folder();
    carina_status status = gguf ? bpe_read_gguf(out, path, error) : bpe_read(out, path, folder, error);
    free(folder);
    if (status == CARINA_OK && v->add) status = add_tokens(*out, v->add, error);
    return status;
}

/* ---- encode ---- */

static const option encode_options[] = {
    {"special", 's', OPTION_FLAG, NULL, "put the special tokens round each line that the file asks for (<bos>)",
     offsetof(tokenizer_values, special), 0, 0},
    OPTION_ADD,
    {"json", 0, OPTION_FLAG, NULL, "print one JSON object a line", offsetof(tokenizer_values, json), 0, 0},
    {0},
};

/* stdio's numbers are slow for megabytes of ids. */
static void print_ids(const int32_t *ids, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        char digits[12], *at = digits + sizeof digits;
        uint32_t rest = (uint32_t)ids[i];
        do *--at = (char)('0' + rest % 10);
        while (rest /= 10);
        if (i) *--at = ' ';
        fwrite_unlocked(at, 1, (size_t)(digits + sizeof digits - at), stdout);
    }
    putchar('\n');
}

static void print_encoded(const bpe *tokenizer, const text_lines *line, const int32_t *ids, uint64_t count) {
    json_writer w = json_writer_make(stdout, JSON_ONE_LINE);
    json_begin_object(&w);
    json_key(&w, "text");
    json_put_bytes(&w, line->line ? line->line : "", line->size);
    json_key(&w, "ids");
    json_begin_array(&w);
    for (uint64_t i = 0; i < count; i++) json_put_whole(&w, ids[i]);
    json_end(&w);
    json_key(&w, "tokens");
    json_begin_array(&w);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t size;
        const char *text = bpe_token(tokenizer, ids[i], &size);
        json_put_bytes(&w, text, size);
    }
    json_end(&w);
    json_end(&w);
}

static carina_status encode_lines(const bpe *tokenizer, text_lines *lines, const tokenizer_values *v,
                                  carina_error *error) {
    bpe_encoder *encoder;
    TRY(bpe_encoder_create(&encoder, tokenizer, error));
    carina_status status = CARINA_OK;
    for (bool more = true; status == CARINA_OK && !ferror(stdout);) {
        const int32_t *ids;
        uint64_t count;
        status = text_lines_next(lines, &more, error);
        if (status != CARINA_OK || !more) break;
        status = bpe_encode(encoder, lines->line ? lines->line : "", lines->size, v->special, &ids, &count, error);
        if (status != CARINA_OK) break;
        if (v->json)
            print_encoded(tokenizer, lines, ids, count);
        else
            print_ids(ids, count);
    }
    bpe_encoder_free(encoder);
    return status;
}

/* ---- decode ---- */

static const option decode_options[] = {
    {"skip-special", 's', OPTION_FLAG, NULL, "leave special tokens out", offsetof(tokenizer_values, skip_special), 0,
     0},
    OPTION_ADD,
    {"json", 0, OPTION_FLAG, NULL, "print one JSON object a line", offsetof(tokenizer_values, json), 0, 0},
    {0},
};

/* The ids of a line, NUL-terminated; cut into words in place. Lines of Windows end with a CR. */
static carina_status decode_line(bpe_decoder *d, char *line, uint64_t number, json_writer *w, carina_error *error) {
    char *rest = line;
    for (char *word; (word = strsep(&rest, " \t,\r"));) {
        int64_t id;
        if (!*word) continue;
        if (!number_parse_integer(word, &id))
            return error_set(error, CARINA_ERROR_FORMAT, "standard input: line %llu: \"%.40s\" is no id",
                             (unsigned long long)number, word);
        if (bpe_decoder_push(d, id, error) != CARINA_OK) {
            carina_error reason = *error;
            return error_set(error, reason.status, "standard input: line %llu: %s", (unsigned long long)number,
                             reason.message);
        }
        if (w) json_put_whole(w, id);
    }
    return bpe_decoder_finish(d, error);
}

static carina_status print_decoded(const bpe *tokenizer, text_lines *lines, const tokenizer_values *v,
                                   carina_error *error) {
    if (lines->size && memchr(lines->line, 0, (size_t)lines->size))
        return error_set(error, CARINA_ERROR_FORMAT, "standard input: line %llu: a NUL byte is no id",
                         (unsigned long long)lines->number);
    bpe_decoder d = bpe_decoder_make(tokenizer, v->skip_special);
    char *line = lines->size ? strndup(lines->line, (size_t)lines->size) : strdup("");
    char *json = NULL;
    size_t json_size = 0;
    FILE *stream = open_memstream(&json, &json_size); /* nothing is printed of a line that fails */
    carina_status status = line && stream ? CARINA_OK : error_memory(error, "a line", lines->size);
    json_writer w = json_writer_make(stream, JSON_ONE_LINE);
    if (status == CARINA_OK) {
        json_begin_object(&w);
        json_key(&w, "ids");
        json_begin_array(&w);
        status = decode_line(&d, line, lines->number, &w, error);
    }
    if (status == CARINA_OK && v->json) {
        json_end(&w);
        json_key(&w, "text");
        json_put_bytes(&w, d.text, d.size);
        json_end(&w);
        fflush(stream);
        fwrite(json, 1, json_size, stdout);
    } else if (status == CARINA_OK) {
        fwrite(d.text, 1, (size_t)d.size, stdout);
        putchar('\n');
    }
    if (stream) fclose(stream);
    free(json);
    free(line);
    bpe_decoder_free(&d);
    return status;
}

static carina_status decode_lines(const bpe *tokenizer, text_lines *lines, const tokenizer_values *v,
                                  carina_error *error) {
    carina_status status = CARINA_OK;
    for (bool more = true; status == CARINA_OK && !ferror(stdout);) {
        status = text_lines_next(lines, &more, error);
        if (status != CARINA_OK || !more) break;
        status = print_decoded(tokenizer, lines, v, error);
    }
    return status;
}

/* ---- both ---- */

static int run_lines(const char *path, const tokenizer_values *v,
                     carina_status (*work)(const bpe *, text_lines *, const tokenizer_values *, carina_error *)) {
    bpe *tokenizer = NULL;
    carina_error error = {0};
    text_lines lines = {.stream = stdin, .most = BPE_MAX_TEXT, .keep_return = true}; /* decode gives back each byte */
    carina_status status = open_tokenizer(&tokenizer, path, v, &error);
    if (status == CARINA_OK) status = work(tokenizer, &lines, v, &error);
    text_lines_free(&lines);
    bpe_free(tokenizer);
    return status == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

static int run_encode(const void *values, int count, char *const *arguments) {
    (void)count;
    return run_lines(arguments[0], values, encode_lines);
}

static int run_decode(const void *values, int count, char *const *arguments) {
    (void)count;
    return run_lines(arguments[0], values, decode_lines);
}

const command command_tokenizer_encode = {
    .name = "tokenizer encode",
    .summary = "texts as the token ids that a language model reads",
    .arguments = "FILE.json",
    .description =
        "Reads texts from standard input, one a line, and prints the ids of each line, as Hugging Face's library "
        "gives\n"
        "them. FILE.json is a tokenizer.json of the BPE kind, such as Gemma's. No special tokens are put round a line\n"
        "unless --special asks for them; those that stand in the text are found. Bytes that are not UTF-8 count as\n"
        "U+FFFD. A carriage return before the line break belongs to the line. A line has at most 64 MiB.\n"
        "\n"
        "A model's FILE.gguf stands for the tokenizer in it.\n"
        "\n"
        "A compact form of a large FILE.json is kept in CARINA_CACHE, or else in the user's cache folder.\n"
        "\n"
        "--json prints one object a line: text, ids and tokens.\n",
    .examples =
        "echo 'The right lung is clear.' | carina tokenizer encode gemma/tokenizer.json\n"
        "carina tokenizer encode --json --add region-tokens.txt gemma/tokenizer.json < prompts.txt\n",
    .options = encode_options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 1,
    .most = 1,
    .run = run_encode,
};

const command command_tokenizer_decode = {
    .name = "tokenizer decode",
    .summary = "token ids as text",
    .arguments = "FILE.json",
    .description =
        "Reads lines of ids from standard input, separated by blanks, and prints the text of each line. Bytes that "
        "make\n"
        "no character come out as U+FFFD. A text that has line breaks is printed with them; --json keeps it together.\n"
        "\n"
        "--json prints one object a line: ids and text.\n",
    .examples =
        "echo 'The heart is normal.' | carina tokenizer encode t.json | carina tokenizer decode t.json\n"
        "echo 2 105 2364 107 | carina tokenizer decode --skip-special --json gemma/tokenizer.json\n",
    .options = decode_options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 1,
    .most = 1,
    .run = run_decode,
};

/* ---- train ---- */

static const option train_options[] = {
    {"out", 'o', OPTION_FILE, "FILE.json", "where to write it (required)", offsetof(tokenizer_values, out), 0, 0},
    {"vocabulary-size", 'n', OPTION_INTEGER, "N",
     "tokens wanted, 263 fixed ones and characters included (default 8000)",
     offsetof(tokenizer_values, vocabulary_size), 264, 1000000},
    {"min-frequency", 0, OPTION_INTEGER, "N", "least count of two neighbours that are joined (default 2)",
     offsetof(tokenizer_values, min_frequency), 1, 1000000000},
    {"alphabet", 0, OPTION_INTEGER, "N", "most characters kept, the others are spelled as bytes (default 1000)",
     offsetof(tokenizer_values, alphabet), 1, 100000},
    {"json", 0, OPTION_FLAG, NULL, "print JSON instead of a line", offsetof(tokenizer_values, json), 0, 0},
    {0},
};

typedef struct read_lines {
    uint64_t all, with_text;
} read_lines;

/* A file, or "-", standard input. */
static carina_status read_text(bpe_trainer *trainer, const char *path, read_lines *read, carina_error *error) {
    bool standard = strcmp(path, "-") == 0;
    FILE *stream = standard ? stdin : fopen(path, "r");
    if (!stream) return error_errno(error, "%s: cannot open", path);
    text_lines lines = {.stream = stream, .name = standard ? NULL : path};
    carina_status status = CARINA_OK;
    for (bool more = true; status == CARINA_OK;) {
        status = text_lines_next(&lines, &more, error);
        if (status != CARINA_OK || !more) break;
        if (lines.size) status = bpe_trainer_add(trainer, lines.line, lines.size, error);
        read->all++;
        read->with_text += lines.size > 0;
    }
    text_lines_free(&lines);
    if (!standard) fclose(stream);
    return status;
}

static void print_trained(const tokenizer_values *v, const bpe *tokenizer, uint64_t lines) {
    if (!v->json) {
        printf("%s: %d tokens from %llu lines\n", v->out, bpe_count(tokenizer), (unsigned long long)lines);
        return;
    }
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "file", v->out);
    json_field_whole(&w, "tokens", bpe_count(tokenizer));
    json_field_whole(&w, "lines", (int64_t)lines);
    json_end(&w);
}

static carina_status train(const tokenizer_values *v, int count, char *const *paths, carina_error *error) {
    const output_file file = {.option = "--out", .path = v->out, .kind = OUTPUT_TOKENIZER};
    const output_reading reading = {.paths = (const char *const *)paths, .path_count = count};
    const bpe_train_options options = {(int)v->vocabulary_size, v->min_frequency, (int)v->alphabet};
    bpe_trainer *trainer;
    bpe *tokenizer = NULL;
    read_lines lines = {0};
    TRY(output_check(&file, 1, &reading, error));
    TRY(bpe_trainer_create(&trainer, &options, error));
    carina_status status = CARINA_OK;
    for (int i = 0; status == CARINA_OK && i < count; i++) status = read_text(trainer, paths[i], &lines, error);
    if (status == CARINA_OK && !lines.with_text) /* a tokenizer of bytes alone, which nobody wants */
        status = error_set(error, CARINA_ERROR_ARGUMENT, "%s%s: no text to learn from, only empty lines or none",
                           strcmp(paths[0], "-") == 0 ? "standard input" : paths[0], count > 1 ? " and others" : "");
    if (status == CARINA_OK) status = bpe_trainer_finish(trainer, &tokenizer, error);
    if (status == CARINA_OK) status = bpe_write(tokenizer, v->out, error);
    if (status == CARINA_OK) print_trained(v, tokenizer, lines.all);
    bpe_free(tokenizer);
    bpe_trainer_free(trainer);
    return status;
}

static int run_train(const void *values, int count, char *const *arguments) {
    const tokenizer_values *v = values;
    carina_error error = {0};
    if (!v->out) return command_usage("tokenizer train: --out FILE.json is required");
    return train(v, count, arguments, &error) == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

const command command_tokenizer_train = {
    .name = "tokenizer train",
    .summary = "make a tokenizer of Gemma's kind from texts",
    .arguments = "TEXT...",
    .description =
        "Reads text files by lines (-: standard input) and writes a tokenizer.json that Hugging Face's library can "
        "read: byte pair "
        "encoding\n"
        "with byte fallback, <bos> in front, Gemma's special tokens and turns. The result depends on which lines "
        "there\n"
        "are, not on their order.\n"
        "\n"
        "--json prints one object: file, tokens and lines.\n",
    .examples =
        "carina tokenizer train -o tokenizer.json reports.txt\n"
        "carina tokenizer train -o tokenizer.json -n 4096 --json reports.txt questions.txt\n"
        "zcat reports.txt.gz | carina tokenizer train -o tokenizer.json -\n",
    .options = train_options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 1,
    .most = -1,
    .run = run_train,
};
