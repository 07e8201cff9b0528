/* `carina index info` and `carina index query`: what a sentence database holds, and asking it. */
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/fingerprint.h"
#include "base/nearest.h"
#include "base/number.h"
#include "cli/command.h"
#include "cli/ranking_option.h"
#include "format/json_writer.h"
#include "format/npy.h"
#include "index/index_file.h"
#include "model/model_file.h"
#include "model/model_fingerprint.h"
#include "pipeline/model_path.h"

/* How the model ranks the sentences of an open database. */
static carina_status open_ranking(sentence_ranking *out, const sentence_index *index, const model_file *file,
                                  const char *path, bool cosine, carina_error *error) {
    sentence_calibration *c = calloc(1, sizeof *c);
    if (!c) return error_memory(error, path, sizeof *c);
    carina_status status = calibration_read_sentences(c, file, path, error);
    if (status == CARINA_OK) status = sentence_ranking_open(out, c, index, file->regions, cosine, error);
    free(c);
    return status;
}

/* Opens a database; with a model's name it must be one made for that model. ranking, which may be NULL: the model's, or
 * by cosine. */
static carina_status open_index(sentence_index **out, const char *path, const char *model, sentence_ranking *ranking,
                                bool cosine, carina_error *error) {
    if (!model) {
        TRY(index_file_read(out, path, NULL, error));
        if (ranking) *ranking = (sentence_ranking){.index = *out, .why_not = ""};
        return CARINA_OK;
    }
    char *model_path, print[FINGERPRINT_TEXT];
    model_file file = {0};
    TRY(model_path_find(&model_path, model, error));
    carina_status status = model_file_load(&file, model_path, error);
    if (status == CARINA_OK) {
        const sentence_index_use use = {
            .regions = file.regions,
            .model_fingerprint = fingerprint_text(print, model_fingerprint(file.model->parameters)),
            .width = file.model->config.feature_size};
        status = index_file_read(out, path, &use, error);
    }
    if (status == CARINA_OK && ranking) {
        status = open_ranking(ranking, *out, &file, model_path, cosine, error);
        if (status != CARINA_OK) sentence_index_free(*out);
    }
    free(model_path);
    model_file_free(&file);
    return status;
}

/* ---- info ---- */

typedef struct info_values {
    const char *model;
    bool json;
} info_values;

static const info_values info_defaults = {0};

static const option info_options[] = {
    {"model", 'm', OPTION_TEXT, "NAME|PATH", "fail unless the database was made for this model",
     offsetof(info_values, model), 0, 0},
    OPTION_JSON(info_values, json),
    {0},
};

static uint64_t films_of(const sentence_region *region) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < region->count; i++) sum += region->entries[i].seen;
    return sum;
}

static void print_info(const char *path, const sentence_index *index) {
    const sentence_index_info *info = sentence_index_origin(index);
    printf("%s\nsentences     %" PRIu64 "\nwidth         %d\nregions       %s (%d)\nmodel         %s %s\n", path,
           sentence_index_total(index), sentence_index_width(index), info->region_set, sentence_index_regions(index),
           info->model_fingerprint, info->model);
    printf("text encoder  %s %s\nfilms         %s (%s of %s)\ndata          %s\nmade by       %s\n\n",
           info->encoder_fingerprint, info->encoder, info->films, info->split, info->source, info->data_fingerprint,
           info->made_by);
    printf("%-28s %9s %9s\n", "region", "sentences", "films");
    for (int r = 0; r < sentence_index_regions(index); r++) {
        const sentence_region *region = sentence_index_region(index, r);
        printf("%-28s %9" PRIu64 " %9" PRIu64 "\n", region->name, region->count, films_of(region));
    }
}

static void print_info_json(const char *path, const sentence_index *index) {
    const sentence_index_info *info = sentence_index_origin(index);
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "file", path);
    json_field_whole(&w, "schema", INDEX_FILE_SCHEMA);
    json_field_whole(&w, "sentences", (int64_t)sentence_index_total(index));
    json_field_whole(&w, "embedding_width", sentence_index_width(index));
    json_field_text(&w, "region_set", info->region_set);
    json_field_text(&w, "model", info->model);
    json_field_text(&w, "model_fingerprint", info->model_fingerprint);
    json_field_text(&w, "text_encoder", info->encoder);
    json_field_text(&w, "text_encoder_fingerprint", info->encoder_fingerprint);
    json_field_text(&w, "source", info->source);
    json_field_text(&w, "split", info->split);
    json_field_text(&w, "films", info->films);
    json_field_text(&w, "data_fingerprint", info->data_fingerprint);
    json_field_text(&w, "made_by", info->made_by);
    json_key(&w, "regions");
    json_begin_array(&w);
    for (int r = 0; r < sentence_index_regions(index); r++) {
        const sentence_region *region = sentence_index_region(index, r);
        json_begin_inline(&w, true);
        json_field_text(&w, "region", region->name);
        json_field_text(&w, "display", region->display);
        json_field_whole(&w, "sentences", (int64_t)region->count);
        json_field_whole(&w, "films", (int64_t)films_of(region));
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
}

static int run_info(const void *values, int count, char *const *arguments) {
    const info_values *v = values;
    carina_error error = {0};
    sentence_index *index;
    (void)count;
    if (open_index(&index, arguments[0], v->model, NULL, true, &error) != CARINA_OK) return command_fail(&error);
    if (v->json)
        print_info_json(arguments[0], index);
    else
        print_info(arguments[0], index);
    sentence_index_free(index);
    return COMMAND_OK;
}

const command command_index_info = {
    .name = "index info",
    .summary = "show what a sentence database holds and what it was made with",
    .arguments = "DATABASE",
    .description = "Reads the whole file, so that what is damaged is found.\n",
    .examples = "carina index info phantom.sentences\ncarina index info --model apm-small --json phantom.sentences\n",
    .options = info_options,
    .defaults = &info_defaults,
    .values_size = sizeof info_defaults,
    .least = 1,
    .most = 1,
    .run = run_info,
};

/* ---- query ---- */

typedef struct query_values {
    const char *region, *vector, *model;
    int64_t k;
    bool json, cosine;
} query_values;

static const query_values query_defaults = {.k = 5};

static const option query_options[] = {
    {"region", 'r', OPTION_TEXT, "NAME|N", "region to search, by its name or number (default: all, a vector for each)",
     offsetof(query_values, region), 0, 0},
    {"vector", 0, OPTION_FILE, "FILE.npy", "region feature to search for: [width], or [n, width] (required)",
     offsetof(query_values, vector), 0, 0},
    {"results", 'k', OPTION_INTEGER, "K", "how many sentences", offsetof(query_values, k), 1, SENTENCE_INDEX_MAX_K},
    {"model", 'm', OPTION_TEXT, "NAME|PATH",
     "rank by this model's calibration; fail unless the database was made for it", offsetof(query_values, model), 0, 0},
    OPTION_COSINE(query_values, cosine),
    OPTION_JSON(query_values, json),
    {0},
};

static carina_status find_region(const sentence_index *index, const char *text, int *out, carina_error *error) {
    const char *names[ATLAS_MAX_REGIONS];
    int64_t number;
    int count = sentence_index_regions(index);
    if (number_parse_integer(text, &number)) {
        *out = (int)number;
        if (number >= 0 && number < count) return CARINA_OK;
        return error_set(error, CARINA_ERROR_ARGUMENT, "--region %s: the database has regions 0 to %d", text,
                         count - 1);
    }
    for (int r = 0; r < count; r++) {
        const sentence_region *region = sentence_index_region(index, r);
        *out = r;
        names[r] = region->name;
        if (strcasecmp(text, region->name) == 0 || strcasecmp(text, region->display) == 0) return CARINA_OK;
    }
    const char *near = nearest_word(text, names, count);
    return error_set(error, CARINA_ERROR_ARGUMENT, "--region: no region \"%.60s\"%s%s%s", text,
                     near ? " (did you mean \"" : "", near ? near : "",
                     near ? "\"?)" : "; `carina index info` lists them");
}

/* A direction is needed: told before anything is printed. */
static carina_status check_vectors(const float *vectors, int64_t count, int width, const char *path,
                                   carina_error *error) {
    for (int64_t i = 0; i < count; i++) {
        float largest = 0;
        bool finite = true;
        for (int d = 0; d < width; d++) {
            float size = fabsf(vectors[i * width + d]);
            finite &= isfinite(size);
            if (size > largest) largest = size;
        }
        if (!finite || !(largest > 1e-15f))
            return error_set(error, CARINA_ERROR_FORMAT, "%s: vector %lld is zero or not finite", path, (long long)i);
    }
    return CARINA_OK;
}

/* The file's vectors [*count, width], malloc'ed. */
static carina_status read_vectors(float **out, int64_t *count, const char *path, int width, carina_error *error) {
    tensor_file file = {0};
    *out = NULL;
    TRY(npy_read(&file, path, error));
    const named_tensor *t = &file.tensors[0];
    uint64_t elements = named_tensor_elements(t);
    carina_status status = CARINA_OK;
    if (elements == 0) {
        status = error_set(error, CARINA_ERROR_ARGUMENT, "%s: there is no vector in it", path);
    } else if ((t->rank != 1 && t->rank != 2) || t->shape[t->rank - 1] != (uint64_t)width) {
        char shape[96];
        status = error_set(error, CARINA_ERROR_MISMATCH, "%s: shape %s, but the database's embeddings have %d numbers",
                           path, tensor_shape_text(shape, sizeof shape, t->shape, t->rank), width);
    }
    if (status == CARINA_OK && !(*out = malloc((size_t)elements * sizeof **out)))
        status = error_memory(error, path, elements * sizeof **out);
    if (status == CARINA_OK) {
        *count = (int64_t)(elements / (uint64_t)width);
        status = named_tensor_to_f32(t, *out, elements, error);
        if (status != CARINA_OK) error_prefix(error, "%s", path);
        if (status == CARINA_OK) status = check_vectors(*out, *count, width, path, error);
    }
    tensor_file_free(&file);
    if (status != CARINA_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

/* What was found for one vector. */
typedef struct query_answer {
    int region, count;
    similarity_hit *hits;
    float *probabilities; /* NaN when not calibrated */
} query_answer;

static void print_hits(const sentence_index *index, const query_answer *a) {
    const sentence_region *r = sentence_index_region(index, a->region);
    printf("%s\n", r->name);
    for (int i = 0; i < a->count; i++) {
        const sentence_entry *e = &r->entries[a->hits[i].row];
        printf("%4d  ", i + 1);
        if (!isnan(a->probabilities[i])) printf("%7.5f  ", (double)a->probabilities[i]);
        printf("%8.5f  %8" PRIu64 "  %s\n", (double)a->hits[i].similarity, e->seen, e->text);
    }
}

static void put_hits(json_writer *w, const sentence_index *index, const query_answer *a) {
    const sentence_region *r = sentence_index_region(index, a->region);
    json_begin_object(w);
    json_field_text(w, "region", r->name);
    json_key(w, "sentences");
    json_begin_array(w);
    for (int i = 0; i < a->count; i++) {
        const sentence_entry *e = &r->entries[a->hits[i].row];
        json_begin_inline(w, true);
        json_key(w, "similarity");
        json_put_f32(w, a->hits[i].similarity);
        if (!isnan(a->probabilities[i])) {
            json_key(w, "score");
            json_put_f32(w, a->hits[i].score);
            json_key(w, "probability");
            json_put_f32(w, a->probabilities[i]);
        }
        json_field_text(w, "sentence", e->text);
        json_field_whole(w, "films", (int64_t)e->seen);
        json_field_text(w, "first", e->place);
        json_end(w);
    }
    json_end(w);
    json_end(w);
}

static carina_status answer(const sentence_index *index, const sentence_ranking *ranking, const float *vectors,
                            int64_t count, int first_region, const query_values *v, carina_error *error) {
    query_answer a = {.hits = malloc((size_t)v->k * sizeof *a.hits),
                      .probabilities = malloc((size_t)v->k * sizeof *a.probabilities)};
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    carina_status status =
        a.hits && a.probabilities ? CARINA_OK : error_memory(error, "results", (uint64_t)v->k * sizeof *a.hits);
    if (v->json) json_begin_array(&w);
    for (int64_t i = 0; i < count && status == CARINA_OK; i++) {
        a.region = first_region >= 0 ? first_region : (int)i;
        status = sentence_ranking_search(ranking, a.region, vectors + i * sentence_index_width(index), (int)v->k,
                                         a.hits, a.probabilities, &a.count, error);
        if (status != CARINA_OK) continue;
        if (v->json)
            put_hits(&w, index, &a);
        else
            print_hits(index, &a);
    }
    if (v->json) json_end(&w);
    free(a.hits);
    free(a.probabilities);
    return status;
}

static carina_status query(const char *path, const query_values *v, carina_error *error) {
    sentence_index *index = NULL;
    float *vectors = NULL;
    int64_t count = 0;
    int region = -1;
    sentence_ranking ranking;
    TRY(open_index(&index, path, v->model, &ranking, v->cosine, error));
    carina_status status = v->region ? find_region(index, v->region, &region, error) : CARINA_OK;
    if (status == CARINA_OK) status = read_vectors(&vectors, &count, v->vector, sentence_index_width(index), error);
    if (status == CARINA_OK && region < 0 && count != sentence_index_regions(index))
        status =
            error_set(error, CARINA_ERROR_MISMATCH, "%s: %lld vectors for %d regions; --region searches one region",
                      v->vector, (long long)count, sentence_index_regions(index));
    if (status == CARINA_OK) ranking_warn(&ranking);
    if (status == CARINA_OK) status = answer(index, &ranking, vectors, count, region, v, error);
    free(vectors);
    sentence_ranking_close(&ranking);
    sentence_index_free(index);
    return status;
}

static int run_query(const void *values, int count, char *const *arguments) {
    const query_values *v = values;
    carina_error error = {0};
    (void)count;
    if (!v->vector) return command_usage("index query: --vector FILE.npy is required");
    return query(arguments[0], v, &error) == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

const command command_index_query = {
    .name = "index query",
    .summary = "find the sentences that fit a region feature best",
    .arguments = "DATABASE",
    .description =
        "Prints, for each vector of FILE.npy, the K sentences of the region with the highest cosine similarity: rank,\n"
        "similarity, how many films say it, sentence. Equal similarities keep the order of the database. With a\n"
        "--model whose sentences are calibrated (carina eval calibrate --database) their probability stands before\n"
        "the similarity, and they are ranked by what saying them is worth where the calibration knows that, else by\n"
        "probability.\n",
    .examples =
        "carina index query phantom.sentences --region \"right lung\" --vector feature.npy -k 3\n"
        "carina index query phantom.sentences --vector all-36-features.npy --json\n"
        "carina index query best.sentences -m best.safetensors --vector all-36-features.npy\n",
    .options = query_options,
    .defaults = &query_defaults,
    .values_size = sizeof query_defaults,
    .least = 1,
    .most = 1,
    .run = run_query,
};
