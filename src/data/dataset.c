/* Opening data sets by name; see dataset.h. */
#include "data/dataset.h"

#include <string.h>

#include "base/nearest.h"
#include "data/chest_imagenome.h"
#include "data/nih_boxes.h"

typedef carina_status open_function(dataset **out, const dataset_config *config, const atlas *regions,
                                    carina_error *error);

static const struct dataset_type {
    const char *name;
    open_function *open;
    bool has_sentences, has_masks, has_splits, has_opacity;
} types[] = {
    {"chest_imagenome", chest_imagenome_open, true, true, true, false},
    {"nih_boxes", nih_boxes_open, false, false, false, true},
    {"nih_films", nih_films_open, false, false, false, true},
};
#define TYPE_COUNT (sizeof types / sizeof *types)

const char *dataset_type_name(int index) { return index >= 0 && (size_t)index < TYPE_COUNT ? types[index].name : NULL; }

/* NULL: there is no such type. */
static const struct dataset_type *find_type(const char *name) {
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (strcmp(name, types[i].name) == 0) return &types[i];
    return NULL;
}

bool dataset_has_sentences(const char *type) {
    const struct dataset_type *found = find_type(type);
    return found && found->has_sentences;
}

bool dataset_has_masks(const char *type) {
    const struct dataset_type *found = find_type(type);
    return found && found->has_masks;
}

bool dataset_has_splits(const char *type) {
    const struct dataset_type *found = find_type(type);
    return found && found->has_splits;
}

bool dataset_has_opacity(const char *type) {
    const struct dataset_type *found = find_type(type);
    return found && found->has_opacity;
}

carina_status dataset_check_type(const char *type, carina_error *error) {
    const char *names[TYPE_COUNT];
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        names[i] = types[i].name;
        if (strcmp(type, names[i]) == 0) return CARINA_OK;
    }
    const char *near = nearest_word(type, names, TYPE_COUNT);
    return error_set(error, CARINA_ERROR_ARGUMENT,
                     "unknown data set type \"%.100s\"%s%s%s; known are chest_imagenome, nih_boxes, nih_films", type,
                     near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

carina_status dataset_check_split(const char *split, carina_error *error) {
    static const char *const splits[] = {"train", "valid", "validate", "test", "all"};
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
        if (strcmp(split, splits[i]) == 0) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT, "unknown split \"%.100s\"; choose train, valid, test or all", split);
}

carina_status dataset_open(dataset **out, const dataset_config *config, const atlas *regions, carina_error *error) {
    *out = NULL;
    if (!config->type || !config->annotations) {
        return error_set(error, CARINA_ERROR_ARGUMENT, "a data set needs its type and its folder");
    }
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        if (strcmp(config->type, types[i].name) != 0) continue;
        if (config->sentences && !types[i].has_sentences) {
            return error_set(
                error, CARINA_ERROR_UNSUPPORTED,
                "a data set of type %s says nothing of its regions: no sentences to read (chest_imagenome has)",
                config->type);
        }
        if (config->masks && !types[i].has_masks)
            return error_set(error, CARINA_ERROR_UNSUPPORTED,
                             "a data set of type %s has no masks of findings (chest_imagenome may)", config->type);
        return types[i].open(out, config, regions, error);
    }
    return dataset_check_type(config->type, error);
}

void dataset_free(dataset *d) {
    if (d) d->type->free(d);
}

uint64_t dataset_count(const dataset *d) { return d->type->count(d); }

carina_status dataset_read(const dataset *d, uint64_t index, bool with_film, sample *out, carina_error *error) {
    carina_status status = d->type->read(d, index, with_film, out, error);
    if (status != CARINA_OK) sample_free(out);
    return status;
}

uint64_t dataset_fingerprint(const dataset *d) { return d->type->fingerprint(d); }

uint64_t dataset_hash(uint64_t hash, const void *data, uint64_t size) {
    const uint8_t *bytes = data;
    for (uint64_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
    return hash;
}
