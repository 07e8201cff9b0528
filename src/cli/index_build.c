/* `carina index sentences` and `carina index build`: what training films say of their regions, and the sentence
 * database made of it. */
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/fingerprint.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/data_word.h"
#include "cli/output.h"
#include "format/json_writer.h"
#include "index/imported_embeddings.h"
#include "index/index_file.h"
#include "model/model_file.h"
#include "model/model_fingerprint.h"
#include "pipeline/model_path.h"
#include "train/index_build.h"
#include "train/text_embedder.h"

typedef struct build_values {
    const char *out, *model, *split, *allow_split, *images, *embeddings, *sentences, *encoder_name, *text_encoder,
        *projector;
    int64_t limit, threads;
    int dtype; /* 0 f32, 1 bf16 */
    bool own_split_only, plain, json, quiet;
} build_values;

static const build_values defaults = {.split = "train"};

/* ---- the sentences of the sets ---- */

/* The reference builds its database from all three parts, so that it is asked for what it was made of. */
static carina_status check_split(const build_values *v, carina_error *error) {
    TRY(dataset_check_split(v->split, error));
    if (strcmp(v->split, "train") == 0) return CARINA_OK;
    if (v->allow_split && strcmp(v->allow_split, v->split) == 0) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT,
                     "--split %s: models are measured on these films; sentences taken from them would make the measure "
                     "worthless; --split %s --allow-split %s takes them all the same",
                     v->split, v->split, v->split);
}

static carina_status read_set(sentence_table *table, uint64_t *data, const char *word, const build_values *v,
                              const atlas *regions, thread_pool *pool, carina_error *error) {
    dataset_config config;
    dataset *set = NULL;
    char *type = NULL;
    TRY(data_word_parse(&config, &type, word, error));
    config.images = v->images;
    config.split = v->split;
    config.limit = (uint64_t)v->limit;
    config.own_split_only = v->own_split_only;
    config.sentences = true;
    carina_status status = dataset_open(&set, &config, regions, error);
    if (status == CARINA_OK)
        status = sentence_table_read(table, set, v->split, pool, v->quiet ? NULL : "reading", error);
    if (status == CARINA_OK) {
        uint64_t print = dataset_fingerprint(set);
        *data = dataset_hash(*data, &print, sizeof print);
    }
    dataset_free(set);
    free(type);
    return status;
}

static carina_status read_sets(sentence_table **out, uint64_t *data, int count, char *const *words,
                               const build_values *v, const atlas *regions, thread_pool *pool, carina_error *error) {
    *data = DATASET_HASH_START;
    carina_status status = sentence_table_create(out, error);
    for (int i = 0; i < count && status == CARINA_OK; i++)
        status = read_set(*out, data, words[i], v, regions, pool, error);
    return status == CARINA_OK ? sentence_table_sort(*out, error) : status;
}

/* The model whose regions are meant; everything the command line alone tells has been checked before. */
static carina_status load_model(model_file *out, const build_values *v, carina_error *error) {
    char *path;
    *out = (model_file){0};
    TRY(model_path_find(&path, v->model, error));
    carina_status status = model_file_load(out, path, error);
    free(path);
    return status;
}

static int check_usage(const char *name, int count, char *const *words, const build_values *v) {
    carina_error error;
    for (int i = 0; i < count; i++) {
        dataset_config config;
        char *type;
        carina_status status = data_word_parse(&config, &type, words[i], &error);
        if (status == CARINA_OK) status = dataset_check_type(type, &error);
        free(type);
        if (status != CARINA_OK) return command_usage("%s: %s", name, error.message);
        for (int j = 0; j < i; j++)
            if (strcmp(words[i], words[j]) == 0)
                return command_usage("%s: %s is given twice; its films would count twice", name, words[i]);
    }
    if (check_split(v, &error) != CARINA_OK) return command_usage("%s: %s", name, error.message);
    return COMMAND_OK;
}

/* ---- sentences ---- */

/* The lines for another program to embed. */
static void print_plain(const sentence_row *rows, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) puts(rows[i].text);
}

static void print_table(const sentence_row *rows, uint64_t count, const atlas *regions) {
    printf("%-24s %8s  %s\n", "region", "films", "sentence");
    for (uint64_t i = 0; i < count; i++)
        printf("%-24s %8" PRIu64 "  %s\n", regions->regions[rows[i].region].name, rows[i].seen, rows[i].text);
}

static void print_json(const sentence_row *rows, uint64_t count, uint64_t films, const atlas *regions) {
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_whole(&w, "films", (int64_t)films);
    json_key(&w, "sentences");
    json_begin_array(&w);
    for (uint64_t i = 0; i < count; i++) {
        json_begin_inline(&w, true);
        json_field_text(&w, "region", regions->regions[rows[i].region].name);
        json_field_whole(&w, "films", (int64_t)rows[i].seen);
        json_field_text(&w, "first", rows[i].place);
        json_field_text(&w, "sentence", rows[i].text);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
}

static carina_status list_sentences(int count, char *const *words, const build_values *v, carina_error *error) {
    thread_pool *pool = NULL;
    model_file model = {0};
    sentence_table *table = NULL;
    uint64_t data, rows_count;
    carina_status status = v->model ? load_model(&model, v, error) : CARINA_OK;
    const atlas *regions = v->model ? model.regions : atlas_anatomix36();
    if (status == CARINA_OK) status = thread_pool_create(&pool, (int)v->threads, error);
    if (status == CARINA_OK) status = read_sets(&table, &data, count, words, v, regions, pool, error);
    if (status == CARINA_OK) {
        const sentence_row *rows = sentence_table_rows(table, &rows_count);
        if (v->plain)
            print_plain(rows, rows_count);
        else if (v->json)
            print_json(rows, rows_count, sentence_table_films(table), regions);
        else
            print_table(rows, rows_count, regions);
    }
    sentence_table_free(table);
    thread_pool_free(pool);
    model_file_free(&model);
    return status;
}

static int run_sentences(const void *values, int count, char *const *words) {
    carina_error error = {0};
    const build_values *v = values;
    int usage = check_usage("index sentences", count, words, v);
    if (usage != COMMAND_OK) return usage;
    if (v->plain && v->json) return command_usage("index sentences: --plain and --json contradict each other");
    progress_catch_interrupts();
    return list_sentences(count, words, v, &error) == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

/* ---- build ---- */

/* What turns sentences into embeddings: the one place that knows which kinds there are. */
static carina_status open_embedder(sentence_embedder *out, const build_values *v, const model_file *model,
                                   thread_pool *pool, carina_error *error) {
    if (!v->text_encoder) return imported_embeddings_open(out, v->embeddings, v->sentences, v->encoder_name, error);
    const text_encoder_options options = {
        .pool = pool, .type = v->dtype ? TENSOR_BF16 : TENSOR_F32, .projector = v->projector};
    if (v->projector && model->projector)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "--projector %s: the model has the projector that it was trained with; leave --projector out",
                         v->projector);
    char *folder;
    TRY(model_path_find_encoder(&folder, v->text_encoder, error));
    carina_status status = text_embedder_open(out, folder, &options, model->projector, error);
    free(folder);
    return status;
}

static void close_embedder(sentence_embedder *embedder, const build_values *v) {
    if (v->text_encoder)
        text_embedder_close(embedder);
    else
        imported_embeddings_close(embedder);
}

static void warn_of_cut(const sentence_embedder *embedder, const build_values *v) {
    uint64_t cut = v->text_encoder ? text_embedder_cut(embedder) : 0;
    if (cut) fprintf(stderr, "carina: warning: %" PRIu64 " sentences are longer than the text encoder reads\n", cut);
}

static carina_status check_width(const sentence_embedder *embedder, const model_file *model, carina_error *error) {
    int wanted = model->model->config.feature_size;
    if (embedder->width == wanted) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MISMATCH,
                     "%s: embeddings of %d numbers, but the model's region features have %d", embedder->name,
                     embedder->width, wanted);
}

/* All words, separated by blanks. */
static char *join_words(int count, char *const *words) {
    size_t size = 1;
    for (int i = 0; i < count; i++) size += strlen(words[i]) + 1;
    char *text = calloc(size, 1), *end = text;
    for (int i = 0; i < count && text; i++) {
        if (i) *end++ = ' ';
        end = stpcpy(end, words[i]);
    }
    return text;
}

static void print_built(const build_values *v, const sentence_index *index) {
    const sentence_index_info *info = sentence_index_origin(index);
    if (!v->json) {
        printf("%s: %" PRIu64 " sentences of %d regions from %s films\n", v->out, sentence_index_total(index),
               sentence_index_regions(index), info->films);
        return;
    }
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "file", v->out);
    json_field_whole(&w, "sentences", (int64_t)sentence_index_total(index));
    json_field_whole(&w, "region_count", sentence_index_regions(index));
    json_field_text(&w, "films", info->films);
    json_field_text(&w, "model_fingerprint", info->model_fingerprint);
    json_field_text(&w, "text_encoder_fingerprint", info->encoder_fingerprint);
    json_end(&w);
}

/* Reads, embeds, and writes. */
static carina_status build_index(sentence_index **out, int count, char *const *words, const build_values *v,
                                 const model_file *model, const sentence_embedder *embedder, thread_pool *pool,
                                 carina_error *error) {
    sentence_table *table = NULL;
    uint64_t data;
    char data_text[FINGERPRINT_TEXT], model_text[FINGERPRINT_TEXT];
    char *source = join_words(count, words);
    carina_status status = source ? CARINA_OK : error_memory(error, "data sets", 4096);
    if (status == CARINA_OK) status = read_sets(&table, &data, count, words, v, model->regions, pool, error);
    if (status == CARINA_OK) {
        const sentence_index_info info = {
            .model = v->model ? v->model : MODEL_PATH_DEFAULT,
            .model_fingerprint = fingerprint_text(model_text, model_fingerprint(model->model->parameters)),
            .source = source,
            .split = v->split,
            .data_fingerprint = fingerprint_text(data_text, data)};
        status = index_build(out, table, embedder, model->regions, &info, error);
    }
    if (status == CARINA_OK) status = index_file_write(v->out, *out, error);
    sentence_table_free(table);
    free(source);
    return status;
}

static carina_status check_output(int count, char *const *words, const build_values *v, carina_error *error) {
    const output_file file = {.option = "--out", .path = v->out, .kind = OUTPUT_DATABASE};
    const output_reading reading = {
        .paths = (const char *const[]){v->images, v->embeddings, v->sentences, v->text_encoder, v->projector},
        .path_count = 5,
        .words = words,
        .word_count = count,
        .with_model = true,
        .model = v->model};
    TRY(output_check(&file, 1, &reading, error));
    return index_file_check_target(v->out, error);
}

static carina_status build(int count, char *const *words, const build_values *v, carina_error *error) {
    thread_pool *pool = NULL;
    model_file model = {0};
    sentence_embedder embedder = {0};
    sentence_index *index = NULL;
    carina_status status = check_output(count, words, v, error);
    if (status == CARINA_OK) status = load_model(&model, v, error);
    if (status == CARINA_OK) status = thread_pool_create(&pool, (int)v->threads, error);
    if (status == CARINA_OK) status = open_embedder(&embedder, v, &model, pool, error);
    if (status == CARINA_OK) status = check_width(&embedder, &model, error);
    if (status == CARINA_OK) status = build_index(&index, count, words, v, &model, &embedder, pool, error);
    if (status == CARINA_OK) warn_of_cut(&embedder, v);
    if (status == CARINA_OK) print_built(v, index);
    sentence_index_free(index);
    close_embedder(&embedder, v);
    thread_pool_free(pool);
    model_file_free(&model);
    return status;
}

static int run_build(const void *values, int count, char *const *words) {
    carina_error error = {0};
    const build_values *v = values;
    int usage = check_usage("index build", count, words, v);
    if (usage != COMMAND_OK) return usage;
    if (!v->out) return command_usage("index build: --out FILE is required");
    if (!v->embeddings != !v->sentences || !v->text_encoder == !v->embeddings)
        return command_usage(
            "index build: either --text-encoder DIR, or --embeddings FILE.npy with --sentences FILE.txt");
    if (v->embeddings && v->projector)
        return command_usage("index build: --projector is for --text-encoder; --embeddings are projected already");
    if (v->text_encoder && v->encoder_name)
        return command_usage("index build: --encoder-name is for --embeddings; --text-encoder tells its own");
    progress_catch_interrupts();
    return build(count, words, v, &error) == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

/* ---- options ---- */

/* What both commands have. */
/* clang-format off */
#define SET_OPTIONS                                                                                                  \
    {"model", 'm', OPTION_TEXT, "NAME|PATH", "model whose regions these are", offsetof(build_values, model), 0, 0},  \
    {"split", 0, OPTION_TEXT, "NAME", "part of the sets to read (chest_imagenome; default train)",                   \
     offsetof(build_values, split), 0, 0},                                                                           \
    {"allow-split", 0, OPTION_TEXT, "NAME", "with --split NAME: read it although models are measured on it",         \
     offsetof(build_values, allow_split), 0, 0},                                                                     \
    {"images", 0, OPTION_FOLDER, "FOLDER", "films and CSV files, when they lie elsewhere than the annotations",      \
     offsetof(build_values, images), 0, 0},                                                                          \
    {"own-split-only", 0, OPTION_FLAG, NULL, "do not ask that MIMIC-CXR's split agrees",                             \
     offsetof(build_values, own_split_only), 0, 0},                                                                  \
    {"limit", 0, OPTION_INTEGER, "N", "only the first N films of each set (0: all)", offsetof(build_values, limit),  \
     0, 1e9},                                                                                                        \
    {"quiet", 'q', OPTION_FLAG, NULL, "no progress line", offsetof(build_values, quiet), 0, 0},                      \
    OPTION_THREADS(build_values, threads),                                                                           \
    OPTION_JSON(build_values, json)
/* clang-format on */

static const option sentences_options[] = {
    {"plain", 0, OPTION_FLAG, NULL, "print the sentences alone, one a line", offsetof(build_values, plain), 0, 0},
    SET_OPTIONS,
    {0},
};

static const option build_options[] = {
    {"out", 'o', OPTION_FILE, "FILE", "database to write (required)", offsetof(build_values, out), 0, 0},
    {"embeddings", 0, OPTION_FILE, "FILE.npy", "embeddings [n, width], row i of line i of --sentences",
     offsetof(build_values, embeddings), 0, 0},
    {"sentences", 0, OPTION_FILE, "FILE.txt", "the sentences that were embedded, one a line",
     offsetof(build_values, sentences), 0, 0},
    {"text-encoder", 0, OPTION_FOLDER, "NAME|DIR", "Hugging Face directory of a BERT that embeds the sentences",
     offsetof(build_values, text_encoder), 0, 0},
    {"projector", 0, OPTION_FILE, "FILE", "take the text encoder's projector from FILE, such as an AnatomiX checkpoint",
     offsetof(build_values, projector), 0, 0},
    {"dtype", 0, OPTION_CHOICE, "f32|bf16", "arithmetic of the text encoder", offsetof(build_values, dtype), 0, 0},
    {"encoder-name", 0, OPTION_TEXT, "TEXT",
     "what tells the encoder of --embeddings from others (default: a fingerprint of both files)",
     offsetof(build_values, encoder_name), 0, 0},
    SET_OPTIONS,
    {0},
};

const command command_index_sentences = {
    .name = "index sentences",
    .summary = "list what the films of data sets say of each region",
    .arguments = "TYPE=PATH...",
    .description =
        "Prints every distinct sentence of every region, and how many films say it, from the scene graphs of\n"
        "chest_imagenome=FOLDER (real, or made by `carina data phantom`). Regions without a box say nothing.\n",
    .examples =
        "carina index sentences chest_imagenome=data/phantom\n"
        "carina index sentences --plain chest_imagenome=data/phantom > sentences.txt\n",
    .options = sentences_options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 1,
    .most = -1,
    .run = run_sentences,
};

const command command_index_build = {
    .name = "index build",
    .summary = "make the database of sentences that regions are matched with",
    .arguments = "TYPE=PATH...",
    .description =
        "Collects what the training films of data sets say of each region (`carina index sentences` lists it), and\n"
        "writes one SQLite file with every sentence, how often and where it was seen, and its embedding. The file\n"
        "knows the model and the text encoder that it was made with; opening it with others is an error. Validation\n"
        "and test films are not read unless --allow-split names them, too. A model that was trained with sentences\n"
        "has the projector for its text encoder; for other models it is the encoder's own, or --projector's.\n",
    .examples =
        "carina index build --out phantom.sentences --text-encoder text-small chest_imagenome=data/phantom\n"
        "carina index build --out phantom.sentences --embeddings vectors.npy --sentences sentences.txt \\\n"
        "    chest_imagenome=data/phantom\n",
    .options = build_options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 1,
    .most = -1,
    .run = run_build,
};
