/* `carina eval text`: how good a text encoder is on sentences that it was not trained on. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/configuration.h"
#include "cli/output.h"
#include "format/json_writer.h"
#include "model/text_encoder.h"
#include "pipeline/model_path.h"
#include "train/text_task.h"

typedef struct text_eval_values {
    const char *model, *triples, *json;
    int64_t threads;
} text_eval_values;

static const text_eval_values defaults = {0};

static const option options[] = {
    {"model", 'm', OPTION_FOLDER, "NAME|DIR", "text encoder that `carina train` wrote (required)",
     offsetof(text_eval_values, model), 0, 0},
    {"triples", 0, OPTION_FILE, "FILE",
     "count how often, of a line's three sentences between tabs, the second is "
     "nearer to the first than the third is",
     offsetof(text_eval_values, triples), 0, 0},
    {"json", 0, OPTION_FILE, "FILE", "write all figures to FILE", offsetof(text_eval_values, json), 0, 0},
    OPTION_THREADS(text_eval_values, threads),
    {0},
};

/* ---- triples ---- */

typedef struct triples {
    char *text; /* the whole file, cut in place */
    text_span *parts;
    uint64_t count, right;
    int64_t width;
    float *vectors; /* [3 count, width] */
} triples;

static carina_status cut_line(triples *t, char *line, const char *path, uint64_t number, carina_error *error) {
    for (int i = 0; i < 3; i++) {
        char *tab = strchr(line, '\t');
        if (!*line || *line == '\t' || !tab != (i == 2))
            return error_set(error, CARINA_ERROR_FORMAT, "%s: line %llu: three sentences with a tab between are wanted",
                             path, (unsigned long long)number);
        if (tab) *tab = 0;
        t->parts[3 * t->count + (uint64_t)i] = (text_span){line, strlen(line)};
        line = tab ? tab + 1 : line;
    }
    t->count++;
    return CARINA_OK;
}

static carina_status read_triples(triples *t, const char *path, carina_error *error) {
    uint8_t *bytes;
    uint64_t size, lines = 1, number = 0;
    TRY(file_read(path, 16u << 20, &bytes, &size, error));
    t->text = (char *)bytes; /* file_read puts a NUL behind */
    for (uint64_t i = 0; i < size; i++) lines += bytes[i] == '\n';
    t->parts = calloc(3 * lines, sizeof *t->parts);
    if (!t->parts) return error_memory(error, path, 3 * lines * sizeof *t->parts);
    for (char *line = t->text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        number++;
        if (*line && *line != '#') TRY(cut_line(t, line, path, number, error));
    }
    if (t->count == 0) return error_set(error, CARINA_ERROR_FORMAT, "%s: no sentences", path);
    return CARINA_OK;
}

static double cosine(const float *a, const float *b, int64_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static double triple_cosine(const triples *t, uint64_t triple, int other) {
    const float *row = t->vectors + (int64_t)(3 * triple) * t->width;
    return cosine(row, row + other * t->width, t->width);
}

static carina_status encode_triples(triples *t, const text_eval_values *v, thread_pool *pool, carina_error *error) {
    text_encoder encoder;
    TRY(text_encoder_load(&encoder, v->model, &(text_encoder_options){.pool = pool}, error));
    t->width = encoder.model->config.width;
    t->vectors = calloc((size_t)(3 * t->count) * (size_t)t->width, sizeof *t->vectors);
    carina_status status =
        t->vectors ? text_encoder_encode(&encoder, t->parts, 3 * t->count, t->vectors, NULL, NULL, NULL, error)
                   : error_memory(error, v->triples, 3 * t->count * (uint64_t)t->width);
    text_encoder_free(&encoder);
    for (uint64_t i = 0; i < t->count && status == CARINA_OK; i++)
        t->right += triple_cosine(t, i, 1) > triple_cosine(t, i, 2);
    return status;
}

static void print_triples(const triples *t) {
    printf("%-42s %llu of %llu\n", "triples with the second sentence nearer", (unsigned long long)t->right,
           (unsigned long long)t->count);
    for (uint64_t i = 0; i < t->count; i++) {
        double near = triple_cosine(t, i, 1), far = triple_cosine(t, i, 2);
        const text_span *p = &t->parts[3 * i];
        printf("  %s %6.3f %6.3f  %s | %s | %s\n", near > far ? "right" : "wrong", near, far, p[0].text, p[1].text,
               p[2].text);
    }
}

static void free_triples(triples *t) {
    free(t->text);
    free(t->parts);
    free(t->vectors);
}

/* ---- sentences of films ---- */

static carina_status measure(train_task_measures *out, const text_eval_values *v, train_config *config,
                             thread_pool *pool, carina_error *error) {
    train_task *task;
    if (config->task != TRAIN_CONFIG_TEXT)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: task: not text", config->path);
    TRY(text_task_create(&task, config, pool, error));
    carina_status status = task->type->load_weights(task, v->model, error);
    if (status == CARINA_OK) status = task->type->measure(task, (uint64_t)config->steps, out, error);
    if (status == CARINA_OK && !out->validated)
        status = error_set(error, CARINA_ERROR_ARGUMENT,
                           "%s: data.validation: no sentences that training does not have", config->path);
    task->type->free(task);
    return status;
}

static const char *plain_name(const char *name) {
    static const char set[] = "validation_";
    return strncmp(name, set, sizeof set - 1) == 0 ? name + sizeof set - 1 : name;
}

static carina_status write_json(const text_eval_values *v, const train_config *config, const train_task_measures *m,
                                const triples *t, carina_error *error) {
    file_writer *file;
    TRY(file_writer_open(&file, v->json, error));
    json_writer w = json_writer_make(file_writer_stream(file), JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "model", v->model);
    json_field_text(&w, "sentences_of", config->validation_set.annotations);
    for (int i = 0; i < m->value_count; i++) json_field_number(&w, plain_name(m->values[i].name), m->values[i].value);
    if (v->triples) {
        json_field_whole(&w, "triples", (int64_t)t->count);
        json_field_whole(&w, "triples_right", (int64_t)t->right);
    }
    json_end(&w);
    return file_writer_commit(file, error);
}

static carina_status check_output(const text_eval_values *v, const train_config *config, carina_error *error) {
    const output_file file = {.option = "--json", .path = v->json, .kind = OUTPUT_JSON};
    const char *paths[4 + TRAIN_CONFIG_TRAIN_SETS] = {config->path, v->model, v->triples,
                                                      config->validation_set.annotations};
    for (int i = 0; i < TRAIN_CONFIG_TRAIN_SETS; i++) {
        const char *annotations = config->train_sets[i].annotations;
        paths[4 + i] = *annotations ? annotations : NULL;
    }
    if (!*paths[3]) paths[3] = NULL;
    const output_reading sets = {.paths = paths, .path_count = 4 + TRAIN_CONFIG_TRAIN_SETS};
    const output_reading texts = {.paths = (const char *const *)config->text_task.texts.items,
                                  .path_count = (int)config->text_task.texts.count};
    TRY(output_check(&file, 1, &sets, error));
    return output_check(&file, 1, &texts, error);
}

static carina_status evaluate(const text_eval_values *v, train_config *config, triples *t, carina_error *error) {
    thread_pool *pool;
    train_task_measures m = {0};
    TRY(check_output(v, config, error));
    if (v->triples) TRY(read_triples(t, v->triples, error));
    TRY(thread_pool_create(&pool, (int)v->threads, error));
    carina_status status = measure(&m, v, config, pool, error);
    if (status == CARINA_OK && v->triples) status = encode_triples(t, v, pool, error);
    thread_pool_free(pool);
    TRY(status);
    for (int i = 0; i < m.value_count; i++) printf("%-42s %.4f\n", plain_name(m.values[i].name), m.values[i].value);
    if (v->triples) print_triples(t);
    return v->json ? write_json(v, config, &m, t, error) : CARINA_OK;
}

static int run(const void *values, int count, char *const *arguments) {
    text_eval_values found = *(const text_eval_values *)values;
    const text_eval_values *v = &found;
    carina_error error = {0};
    train_config config;
    char *folder;
    triples t = {0};
    if (!v->model) return command_usage("eval text: --model is wanted; see `carina eval text --help`");
    int read = configuration_read(&config, "eval text", count, arguments);
    if (read != COMMAND_OK) return read;
    progress_catch_interrupts();
    carina_status status = model_path_find_encoder(&folder, v->model, &error);
    found.model = folder;
    if (status == CARINA_OK) status = evaluate(v, &config, &t, &error);
    free(folder);
    free_triples(&t);
    train_config_free(&config);
    return status == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

const command command_eval_text = {
    .name = "eval text",
    .summary = "measure a text encoder on sentences that it was not trained on",
    .arguments = "CONFIG.yaml [KEY=VALUE...]",
    .description =
        "CONFIG.yaml is the configuration that the encoder was trained with: its training films tell which sentences\n"
        "are known, those of data.validation that are not are measured. Prints hidden words guessed, and by always\n"
        "saying the most usual word; how often a sentence of the same meaning is the nearest, and by chance; how\n"
        "cosines follow the overlap of findings; and how often a denial is nearer to another denial of the finding\n"
        "than to a sentence that affirms it (chance 0.5), also where the words mislead (comparing words: 0).\n",
    .examples =
        "carina eval text --model runs/text-small/best configs/text-encoder.yaml\n"
        "carina eval text --model runs/text-small/best configs/text-encoder.yaml data.validation.annotations=data/new "
        "data.validation.split=test\n",
    .options = options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 1,
    .most = -1,
    .run = run,
};
