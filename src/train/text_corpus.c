/* Collecting sentences and their meanings; see text_corpus.h. */
#include "train/text_corpus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atlas/sentence_findings.h"
#include "base/file.h"
#include "base/progress.h"
#include "data/chest_imagenome.h"
#include "data/film_report.h"
#include "data/region_sentence.h"
#include "data/report_sentences.h"
#include "data/string_index.h"
#include "text/wordpiece_train.h"
#include "train/text_set.h"

#define NO_GROUP UINT32_MAX

typedef struct text_corpus_tables {
    string_index *texts, *features, *groups;
} text_corpus_tables;

/* ---- one sentence ---- */

/* *out: its number; *added: it is new. */
static carina_status add_sentence(text_corpus *c, const char *text, uint32_t *out, bool *added, carina_error *error) {
    *added = false;
    if (string_index_find(c->tables->texts, text, out)) return CARINA_OK;
    if (c->count == c->room) {
        uint32_t room = c->room ? 2 * c->room : 1024;
        text_sentence *grown = room > c->room ? realloc(c->sentences, (size_t)room * sizeof *grown) : NULL;
        if (!grown) return error_memory(error, "sentences", (uint64_t)room * sizeof *grown);
        c->sentences = grown;
        c->room = room;
    }
    TRY(string_index_add(c->tables->texts, text, c->count, NULL, NULL, error));
    text_sentence *s = &c->sentences[c->count];
    *s = (text_sentence){.text = strdup(text), .group = NO_GROUP};
    *out = c->count++;
    *added = true;
    return s->text ? CARINA_OK : error_memory(error, "sentences", strlen(text) + 1);
}

/* ---- features ---- */

static void feature_key(char key[256], char kind, const char *name, size_t length) {
    snprintf(key, 256, "%c %.*s", kind, length < 200 ? (int)length : 200, name);
}

static carina_status new_feature(text_corpus *c, char kind, const char *name, size_t length, carina_error *error) {
    char key[256], other_key[256];
    uint32_t number = c->feature_count, other;
    size_t room = (size_t)number + 1;
    char *kinds = realloc(c->kind, room);
    if (kinds) c->kind = kinds;
    uint32_t *opposite = realloc(c->opposite, room * sizeof *opposite);
    if (opposite) c->opposite = opposite;
    if (!kinds || !opposite) return error_memory(error, "features", room * sizeof *opposite);
    kinds[number] = kind;
    opposite[number] = UINT32_MAX;
    feature_key(key, kind, name, length);
    feature_key(other_key, kind == 'y' ? 'n' : 'y', name, length);
    if ((kind == 'y' || kind == 'n') && string_index_find(c->tables->features, other_key, &other)) {
        opposite[number] = other;
        opposite[other] = number;
    }
    c->feature_count++;
    return string_index_add(c->tables->features, key, number, NULL, NULL, error);
}

static carina_status add_feature(text_corpus *c, uint32_t sentence, char kind, const char *name, size_t length,
                                 carina_error *error) {
    char key[256];
    uint32_t number = c->feature_count;
    text_sentence *s = &c->sentences[sentence];
    feature_key(key, kind, name, length);
    if (!string_index_find(c->tables->features, key, &number)) TRY(new_feature(c, kind, name, length, error));
    uint16_t at = 0;
    while (at < s->feature_count && s->features[at] < number) at++;
    if (at < s->feature_count && s->features[at] == number) return CARINA_OK;
    if (s->feature_count == TEXT_CORPUS_FEATURES) return CARINA_OK;
    uint32_t *grown = realloc(s->features, (size_t)(s->feature_count + 1) * sizeof *grown);
    if (!grown) return error_memory(error, "features", TEXT_CORPUS_FEATURES);
    s->features = grown;
    memmove(grown + at + 1, grown + at, (size_t)(s->feature_count - at) * sizeof *grown);
    grown[at] = number;
    s->feature_count++;
    s->region_count = (uint16_t)(s->region_count + (kind == 'r'));
    return CARINA_OK;
}

/* ---- a film ---- */

static carina_status add_region_sentence(text_corpus *c, const char *text, const atlas_region *region,
                                         const atlas *regions, carina_error *error) {
    sentence_finding findings[SENTENCE_FINDINGS];
    uint32_t sentence;
    bool added;
    TRY(add_sentence(c, text, &sentence, &added, error));
    int count = added ? sentence_findings_parse(findings, text, region->display_name, regions) : -1;
    if (count < 0) return CARINA_OK;
    if (count == 0) TRY(add_feature(c, sentence, 'h', "", 0, error));
    for (int i = 0; i < count; i++) TRY(add_feature(c, sentence, 'y', findings[i].name, findings[i].length, error));
    return add_feature(c, sentence, 'r', region->display_name, strlen(region->display_name), error);
}

/* "category|yes|name" */
static carina_status add_attribute(text_corpus *c, uint32_t sentence, const char *text, carina_error *error) {
    const char *first = strchr(text, '|'), *second = first ? strchr(first + 1, '|') : NULL;
    if (!second || !second[1] || strncmp(text, "laterality|", 11) == 0 || strncmp(text, "severity|", 9) == 0)
        return CARINA_OK;
    bool yes = strncmp(first, "|yes|", 5) == 0;
    if (strncmp(text, "nlp|", 4) == 0)
        return yes && strcmp(second + 1, "normal") == 0 ? add_feature(c, sentence, 'h', "", 0, error) : CARINA_OK;
    return add_feature(c, sentence, yes ? 'y' : 'n', second + 1, strlen(second + 1), error);
}

/* Phrases that an earlier film said keep what they meant there; within a film, every region that is spoken of counts.
 */
static carina_status add_phrases(text_corpus *c, const scene_graph *scene, const atlas *regions, carina_error *error) {
    uint32_t first = c->count, sentence;
    bool added;
    for (uint32_t m = 0; m < scene->mention_count; m++) {
        const scene_mention *mention = &scene->mentions[m];
        int region = atlas_find(regions, mention->region);
        for (uint32_t p = 0; p < mention->phrase_count; p++) {
            const scene_phrase *phrase = &mention->phrases[p];
            if (!*phrase->text || strchr(phrase->text, '\n')) continue;
            TRY(add_sentence(c, phrase->text, &sentence, &added, error));
            if (sentence < first) continue;
            for (uint32_t a = 0; a < phrase->attribute_count; a++)
                TRY(add_attribute(c, sentence, phrase->attributes[a], error));
            if (region < 0) continue;
            const char *name = regions->regions[region].display_name;
            TRY(add_feature(c, sentence, 'r', name, strlen(name), error));
        }
    }
    return CARINA_OK;
}

typedef struct report_reading {
    text_corpus *corpus;
    carina_status status;
    carina_error *error;
} report_reading;

static bool add_report_sentence(void *context, const char *sentence) {
    report_reading *r = context;
    uint32_t number;
    bool added;
    r->status = add_sentence(r->corpus, sentence, &number, &added, r->error);
    return r->status == CARINA_OK;
}

static carina_status add_report(text_corpus *c, const char *folder, const scene_graph *scene, carina_error *error) {
    char *text;
    uint64_t size;
    TRY(film_report_read(&text, &size, folder, scene, error));
    if (!text) return CARINA_OK;
    report_reading r = {c, CARINA_OK, error};
    report_sentences(text, size, add_report_sentence, &r);
    free(text);
    return r.status;
}

static carina_status add_film(text_corpus *c, const dataset *set, uint64_t film, const char *reports,
                              carina_error *error) {
    const atlas *regions = set->regions;
    sample s;
    scene_graph scene;
    sample_clear(&s);
    TRY(dataset_read(set, film, false, &s, error));
    carina_status status = CARINA_OK;
    for (int r = 0; r < regions->region_count && status == CARINA_OK; r++)
        if (s.sentences[r]) status = add_region_sentence(c, s.sentences[r], &regions->regions[r], regions, error);
    sample_free(&s);
    if (status != CARINA_OK) return status;
    TRY(chest_imagenome_graph(set, film, &scene, error));
    status = add_phrases(c, &scene, regions, error);
    if (status == CARINA_OK && reports) status = add_report(c, reports, &scene, error);
    scene_graph_free(&scene);
    return status;
}

/* ---- all ---- */

static carina_status add_films(text_corpus *c, const dataset *set, const char *reports, carina_error *error) {
    uint64_t fingerprint = dataset_fingerprint(set);
    c->fingerprint = dataset_hash(c->fingerprint, &fingerprint, sizeof fingerprint);
    for (uint64_t film = 0; film < dataset_count(set); film++) {
        TRY(add_film(c, set, film, reports, error));
        if (progress_interrupted())
            return error_set(error, CARINA_ERROR_CANCELLED, "interrupted while reading reports");
    }
    return CARINA_OK;
}

static carina_status add_set(text_corpus *c, const train_config *config, const train_config_set *keys, const char *key,
                             carina_error *error) {
    dataset *set;
    const char *folder;
    TRY(text_set_open(&set, &folder, config, keys, key, error));
    if (!set) return CARINA_OK;
    carina_status status = add_films(c, set, config->text_task.reports ? folder : NULL, error);
    dataset_free(set);
    return status == CARINA_OK ? CARINA_OK : error_prefix(error, "%s: %s", config->path, key);
}

static carina_status add_lines(text_corpus *c, const char *path, carina_error *error) {
    uint8_t *data;
    uint64_t size;
    TRY(file_read(path, 1u << 30, &data, &size, error));
    c->fingerprint = dataset_hash(c->fingerprint, data, size);
    carina_status status = CARINA_OK;
    for (uint64_t begin = 0, end; begin < size && status == CARINA_OK; begin = end + 1) {
        char line[REPORT_SENTENCE_MAX + 1];
        uint32_t number;
        bool added;
        for (end = begin; end < size && data[end] != '\n';) end++;
        uint64_t length = end - begin < REPORT_SENTENCE_MAX ? end - begin : REPORT_SENTENCE_MAX;
        for (uint64_t i = 0; i < length; i++) line[i] = data[begin + i] < ' ' ? ' ' : (char)data[begin + i];
        while (length && line[length - 1] == ' ') length--; /* CRLF; in UTF-8 a blank is never part of a letter */
        line[length] = 0;
        if (line[strspn(line, " ")]) status = add_sentence(c, line, &number, &added, error);
    }
    free(data);
    return status;
}

static carina_status read_all(text_corpus *c, const train_config *config, carina_error *error) {
    const config_texts *files = &config->text_task.texts;
    TRY(string_index_create(&c->tables->texts, error));
    TRY(string_index_create(&c->tables->features, error));
    TRY(string_index_create(&c->tables->groups, error));
    for (int i = 0; i < TRAIN_CONFIG_TRAIN_SETS; i++)
        TRY(add_set(c, config, &config->train_sets[i], train_config_train_keys[i], error));
    for (uint32_t i = 0; i < files->count; i++)
        if (add_lines(c, files->items[i], error) != CARINA_OK)
            return error_prefix(error, "%s: data.texts", config->path);
    c->train.end = c->validation.begin = c->count;
    if (c->count == 0)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: data.train: no sentences to train on", config->path);
    uint64_t trained = c->fingerprint; /* validation data may change between sessions, as with films */
    TRY(add_set(c, config, &config->validation_set, "data.validation", error));
    c->fingerprint = trained;
    c->validation.end = c->count;
    return CARINA_OK;
}

/* ---- groups ---- */

static carina_status find_group(text_corpus *c, text_sentence *s, carina_error *error) {
    char key[TEXT_CORPUS_FEATURES * 11 + 1];
    size_t length = 0;
    if (s->feature_count == s->region_count) return CARINA_OK; /* where, but not what */
    for (int i = 0; i < s->feature_count; i++)
        length += (size_t)snprintf(key + length, sizeof key - length, "%u ", s->features[i]);
    if (string_index_find(c->tables->groups, key, &s->group)) return CARINA_OK;
    s->group = (uint32_t)string_index_count(c->tables->groups);
    return string_index_add(c->tables->groups, key, s->group, NULL, NULL, error);
}

typedef struct member {
    uint32_t group, sentence;
} member;

static int compare_members(const void *left, const void *right) {
    const member *a = left, *b = right;
    if (a->group != b->group) return a->group < b->group ? -1 : 1;
    return (a->sentence > b->sentence) - (a->sentence < b->sentence);
}

static carina_status group_part(const text_corpus *c, text_part *part, carina_error *error) {
    size_t room = (size_t)(part->end - part->begin) + 1;
    member *list = malloc(room * sizeof *list);
    part->members = malloc(room * sizeof *part->members);
    part->group_begin = malloc((room + 1) * sizeof *part->group_begin);
    if (!list || !part->members || !part->group_begin) {
        free(list);
        return error_memory(error, "sentences", room * sizeof *list);
    }
    uint32_t count = 0;
    for (uint32_t i = part->begin; i < part->end; i++)
        if (c->sentences[i].group != NO_GROUP) list[count++] = (member){c->sentences[i].group, i};
    qsort(list, count, sizeof *list, compare_members);
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || list[i].group != list[i - 1].group) part->group_begin[part->group_count++] = i;
        part->members[i] = list[i].sentence;
    }
    part->group_begin[part->group_count] = part->member_count = count;
    free(list);
    return CARINA_OK;
}

carina_status text_corpus_read(text_corpus *out, const train_config *config, carina_error *error) {
    text_corpus_tables tables = {0};
    *out = (text_corpus){
        .fingerprint = DATASET_HASH_START, .region_weight = (float)config->text_task.region_weight, .tables = &tables};
    carina_status status = read_all(out, config, error);
    for (uint32_t i = 0; i < out->count && status == CARINA_OK; i++)
        status = find_group(out, &out->sentences[i], error);
    if (status == CARINA_OK) status = group_part(out, &out->train, error);
    if (status == CARINA_OK) status = group_part(out, &out->validation, error);
    string_index_free(tables.texts);
    string_index_free(tables.features);
    string_index_free(tables.groups);
    out->tables = NULL;
    if (status != CARINA_OK) text_corpus_free(out);
    return status;
}

void text_corpus_free(text_corpus *c) {
    for (uint32_t i = 0; i < c->count; i++) {
        free(c->sentences[i].text);
        free(c->sentences[i].features);
        free(c->sentences[i].tokens);
    }
    text_part *parts[] = {&c->train, &c->validation};
    for (int i = 0; i < 2; i++) {
        free(parts[i]->members);
        free(parts[i]->group_begin);
    }
    free(c->sentences);
    free(c->kind);
    free(c->opposite);
    *c = (text_corpus){0};
}

/* ---- as numbers ---- */

carina_status text_corpus_vocabulary(const text_corpus *c, int size, int min_frequency, vocabulary *out,
                                     carina_error *error) {
    wordpiece_train_options options = wordpiece_train_defaults();
    wordpiece_trainer *trainer;
    options.vocabulary_size = size;
    options.min_frequency = min_frequency;
    TRY(wordpiece_trainer_create(&trainer, &options, error));
    carina_status status = CARINA_OK;
    for (uint32_t i = c->train.begin; i < c->train.end && status == CARINA_OK; i++)
        status = wordpiece_trainer_add(trainer, c->sentences[i].text, strlen(c->sentences[i].text), error);
    if (status == CARINA_OK) status = wordpiece_trainer_finish(trainer, out, error);
    wordpiece_trainer_free(trainer);
    return status;
}

carina_status text_corpus_tokenise(text_corpus *c, const wordpiece *words, int most, carina_error *error) {
    int *ids = malloc((size_t)(most + 2) * sizeof *ids);
    if (!ids) return error_memory(error, "tokens", (uint64_t)most * sizeof *ids);
    for (uint32_t i = 0; i < c->count; i++) {
        text_sentence *s = &c->sentences[i];
        s->token_count = wordpiece_encode(words, s->text, strlen(s->text), ids, most + 2, NULL) - 2;
        free(s->tokens);
        s->tokens = malloc((size_t)(s->token_count + 1) * sizeof *s->tokens);
        if (!s->tokens) {
            free(ids);
            return error_memory(error, "tokens", (uint64_t)s->token_count * sizeof *ids);
        }
        memcpy(s->tokens, ids + 1, (size_t)s->token_count * sizeof *ids);
    }
    free(ids);
    return CARINA_OK;
}

void text_corpus_meaning(const text_corpus *c, uint32_t sentence, float *row) {
    const text_sentence *s = &c->sentences[sentence];
    memset(row, 0, (size_t)c->feature_count * sizeof *row);
    float region = s->region_count ? c->region_weight / sqrtf((float)s->region_count) : 0;
    for (int i = 0; i < s->feature_count; i++) row[s->features[i]] = c->kind[s->features[i]] == 'r' ? region : 1;
}
