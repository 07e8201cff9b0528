/* Saving and loading models; see model_file.h. */
#include "model/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atlas/atlas_file.h"
#include "base/build.h"
#include "base/half.h"
#include "base/utf8.h"
#include "format/config.h"
#include "format/safetensors.h"
#include "format/tensor_read.h"
#include "format/yaml.h"
#include "model/apm_schema.h"

#define FORMAT_NAME  MODEL_FILE_FORMATS "1"
#define ENCODER_NOTE "text_encoder_fingerprint"
#define PROJECTOR    "text_model.project_head.proj."

/* ---- the region set as YAML ---- */

static void write_text(FILE *out, const char *key, const char *text) {
    fputs(key, out);
    yaml_put_text(out, text);
}

static void write_region(FILE *out, const atlas *set, int index) {
    const atlas_region *r = &set->regions[index];
    write_text(out, "  - name: ", r->name);
    write_text(out, "\n    display: ", r->display_name);
    write_text(out, "\n    concept: ", r->concept_name);
    if (r->partner != index) write_text(out, "\n    partner: ", set->regions[r->partner].name);
    if (r->parent >= 0) write_text(out, "\n    parent: ", set->regions[r->parent].name);
    fprintf(out, "\n    colour: \"%06X\"\n    findings:%s\n", r->colour, r->finding_count ? "" : " []");
    for (int i = 0; i < r->finding_count; i++) {
        write_text(out, "      - ", r->findings[i]);
        fputc('\n', out);
    }
}

static carina_status regions_text(char **out, const atlas *set, carina_error *error) {
    size_t size;
    FILE *stream = open_memstream(out, &size);
    if (!stream) return error_memory(error, "region set", 4096);
    write_text(stream, "name: ", set->name);
    fputs("\nregions:\n", stream);
    for (int i = 0; i < set->region_count; i++) write_region(stream, set, i);
    return fclose(stream) == 0 ? CARINA_OK : error_memory(error, "region set", size);
}

carina_status model_file_copy_regions(atlas **out, const atlas *regions, carina_error *error) {
    char *text = NULL;
    carina_status status = regions_text(&text, regions, error);
    if (status == CARINA_OK) status = atlas_parse(out, regions->name, text, strlen(text), error);
    free(text);
    return status;
}

/* ---- saving ---- */

/* safetensors_write takes names and values as char *, but only reads them. */
static char *constant(const char *text) { return (char *)(uintptr_t)text; }

/* Kernels and matrices take nearly all the room; norms and biases keep every bit. */
static bool stored_short(const parameter *p, model_file_type type) { return type == MODEL_FILE_BF16 && p->rank >= 2; }

static carina_status describe_tensor(named_tensor *t, const parameter *p, model_file_type type, carina_error *error) {
    t->name = p->name;
    t->dtype = stored_short(p, type) ? DTYPE_BF16 : DTYPE_F32;
    t->rank = p->rank;
    for (int axis = 0; axis < p->rank; axis++) t->shape[axis] = (uint64_t)p->size[axis];
    t->byte_count = (uint64_t)p->count * tensor_dtype_size(t->dtype);
    t->data = p->value;
    if (t->dtype == DTYPE_F32) return CARINA_OK;
    uint16_t *halves = malloc((size_t)t->byte_count);
    if (!halves) return error_memory(error, p->name, t->byte_count);
    for (int64_t i = 0; i < p->count; i++) halves[i] = bf16_from_f32(p->value[i]);
    t->data = halves;
    return CARINA_OK;
}

/* The model's parameters and then the projector's. */
static const parameter *stored_parameter(const apm *model, const text_projector *projector, int i) {
    int count = model->parameters->count;
    return i < count ? model->parameters->items[i] : projector->parameters->items[i - count];
}

carina_status model_file_save(const char *path, const apm *model, const text_projector *projector, const atlas *regions,
                              model_file_type type, const model_file_note *notes, int note_count, carina_error *error) {
    int tensor_count = model->parameters->count + (projector ? projector->parameters->count : 0);
    apm_config config = model->config;
    const config_part part = {"", &apm_schema, &config};
    char *model_text = NULL, *region_text = NULL;
    named_tensor *tensors = calloc((size_t)tensor_count + 1, sizeof *tensors);
    tensor_file_entry *metadata = calloc((size_t)note_count + 6, sizeof *metadata);
    carina_status status = tensors && metadata ? CARINA_OK : error_memory(error, path, 4096);
    if (status == CARINA_OK) status = config_dump(&model_text, &part, 1, error);
    if (status == CARINA_OK) status = regions_text(&region_text, regions, error);
    int described = 0;
    for (; status == CARINA_OK && described < tensor_count; described++)
        status = describe_tensor(&tensors[described], stored_parameter(model, projector, described), type, error);
    if (status == CARINA_OK) {
        uint64_t count = 0;
        metadata[count++] = (tensor_file_entry){constant("format"), constant(FORMAT_NAME)};
        metadata[count++] = (tensor_file_entry){constant("carina_version"), constant(build_version())};
        metadata[count++] = (tensor_file_entry){constant("commit"), constant(build_commit())};
        metadata[count++] = (tensor_file_entry){constant("model"), model_text};
        metadata[count++] = (tensor_file_entry){constant("regions"), region_text};
        if (projector && *projector->encoder)
            metadata[count++] = (tensor_file_entry){constant(ENCODER_NOTE), constant(projector->encoder)};
        for (int i = 0; i < note_count; i++)
            metadata[count++] = (tensor_file_entry){constant(notes[i].key), constant(notes[i].value)};
        status = safetensors_write(path, tensors, (uint64_t)tensor_count, metadata, count, error);
    }
    for (int i = 0; i < described; i++)
        if (tensors[i].dtype == DTYPE_BF16) free((void *)(uintptr_t)tensors[i].data);
    free(tensors);
    free(metadata);
    free(model_text);
    free(region_text);
    return status;
}

/* ---- weights by name ---- */

static const char *stripped(const char *name) {
    static const char *const prefixes[] = {"average.", "model.", "vis_model."};
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(prefixes[i]);
        if (strncmp(name, prefixes[i], length) == 0) name += length;
    }
    return name;
}

/* The tensor for a parameter: under its own name, or behind the prefixes; a checkpoint's averaged weights win. */
const named_tensor *model_file_find_weight(const tensor_file *file, const char *name) {
    const named_tensor *found = NULL;
    for (uint64_t i = 0; i < file->count; i++) {
        const named_tensor *t = &file->tensors[i];
        if (strcmp(stripped(t->name), name) != 0) continue;
        if (!found || strncmp(t->name, "average.", 8) == 0) found = t;
    }
    return found;
}

/* The same axes in the same order; axes of one count for nothing ([CLS] is saved as [D] or [1, 1, D]). */
static bool same_shape(const named_tensor *t, const parameter *p) {
    int i = 0, j = 0;
    for (;;) {
        while (i < t->rank && t->shape[i] == 1) i++;
        while (j < p->rank && p->size[j] == 1) j++;
        if (i == t->rank || j == p->rank) return i == t->rank && j == p->rank;
        if (t->shape[i++] != (uint64_t)p->size[j++]) return false;
    }
}

/* Of a model that a run starts from optional weights may be missing: they stay as they begin. */
enum { CHECK = 0, WRITE = 1, STARTING = 2 };

#define VARIANCE ".running_var"

bool model_file_is_format(const char *format) {
    return format && strncmp(format, MODEL_FILE_FORMATS, sizeof MODEL_FILE_FORMATS - 1) == 0;
}

static carina_status copy_weight(const tensor_file *file, const char *path, parameter *p, int how,
                                 carina_error *error) {
    const named_tensor *t = model_file_find_weight(file, p->name);
    if (!t && p->optional && (how & STARTING)) return CARINA_OK;
    if (!t) return error_set(error, CARINA_ERROR_MISMATCH, "%s: no tensor for parameter %s", path, p->name);
    if (!tensor_dtype_is_float(t->dtype) || !same_shape(t, p)) {
        char found[96], wanted[96];
        uint64_t shape[TENSOR_MAX_RANK];
        for (int axis = 0; axis < p->rank; axis++) shape[axis] = (uint64_t)p->size[axis];
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: tensor %s is %s %s, the model wants float %s", path,
                         t->name, tensor_dtype_name(t->dtype),
                         tensor_shape_text(found, sizeof found, t->shape, t->rank),
                         tensor_shape_text(wanted, sizeof wanted, shape, p->rank));
    }
    carina_status status = named_tensor_check_finite(t, error);
    if (status == CARINA_OK && (how & WRITE)) status = named_tensor_to_f32(t, p->value, (uint64_t)p->count, error);
    if (status != CARINA_OK) return error_prefix(error, "%s", path);
    size_t length = strlen(p->name), ending = strlen(VARIANCE);
    if (!(how & WRITE) || length < ending || strcmp(p->name + length - ending, VARIANCE) != 0) return CARINA_OK;
    for (int64_t i = 0; i < p->count; i++) /* its root would be no number, which ReLU passes on as 0 */
        if (p->value[i] < 0)
            return error_set(error, CARINA_ERROR_FORMAT, "%s: tensor %s: a variance of %g", path, t->name,
                             (double)p->value[i]);
    return CARINA_OK;
}

/* All are checked before the first is written (that variances are none below 0, while they are). */
static carina_status copy_weights(const tensor_file *file, const char *path, parameters *set, int how,
                                  carina_error *error) {
    for (int pass = CHECK; pass <= WRITE; pass++)
        for (int i = 0; i < set->count; i++) TRY(copy_weight(file, path, set->items[i], how | pass, error));
    parameters_changed(set);
    return CARINA_OK;
}

carina_status model_file_copy_weights(apm *model, const tensor_file *weights, const char *path, carina_error *error) {
    return copy_weights(weights, path, model->parameters, CHECK, error);
}

carina_status model_file_load_parameters(parameters *set, const char *path, carina_error *error) {
    tensor_file file = {0};
    TRY(tensor_read(&file, path, error));
    carina_status status = copy_weights(&file, path, set, STARTING, error);
    tensor_file_free(&file);
    return status;
}

carina_status model_file_load_weights(apm *model, const char *path, carina_error *error) {
    return model_file_load_parameters(model->parameters, path, error);
}

/* ---- the projector ---- */

/* Its sizes, which its shapes tell; *hidden 0: there is none. What it says of R must be the model's. */
static carina_status projector_sizes(const tensor_file *file, const char *path, int features, int *width, int *hidden,
                                     carina_error *error) {
    const named_tensor *first = model_file_find_weight(file, PROJECTOR "0.weight");
    *hidden = 0;
    if (!first) return CARINA_OK;
    const named_tensor *second = model_file_find_weight(file, PROJECTOR "2.weight");
    if (!second || first->rank != 2 || second->rank != 2 || first->shape[0] < 1 || first->shape[0] > 65536 ||
        first->shape[1] < 1 || first->shape[1] > 65536)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: " PROJECTOR "0 and 2 are no projector's matrices", path);
    if (second->shape[0] != (uint64_t)features)
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: tensor %s has %llu rows, the model's region features have %d numbers", path, second->name,
                         (unsigned long long)second->shape[0], features);
    *width = (int)first->shape[1];
    *hidden = (int)first->shape[0];
    return CARINA_OK;
}

carina_status model_file_read_projector(text_projector **out, const tensor_file *file, const char *path, int features,
                                        carina_error *error) {
    int width, hidden;
    *out = NULL;
    TRY(projector_sizes(file, path, features, &width, &hidden, error));
    if (hidden == 0) return CARINA_OK;
    TRY(text_projector_create(out, width, hidden, features, NULL, error));
    const char *encoder = tensor_file_metadata(file, ENCODER_NOTE);
    snprintf((*out)->encoder, sizeof(*out)->encoder, "%s", encoder ? encoder : "");
    carina_status status = copy_weights(file, path, (*out)->parameters, CHECK, error);
    if (status == CARINA_OK) return CARINA_OK;
    text_projector_free(*out);
    *out = NULL;
    return status;
}

carina_status model_file_load_projector(text_projector *projector, const char *path, carina_error *error) {
    tensor_file file = {0};
    int width, hidden = 0;
    TRY(tensor_read(&file, path, error));
    const char *encoder = tensor_file_metadata(&file, ENCODER_NOTE);
    carina_status status = CARINA_OK;
    if (!encoder || strcmp(encoder, projector->encoder) == 0)
        status = projector_sizes(&file, path, projector->features, &width, &hidden, error);
    if (status == CARINA_OK && hidden > 0) status = copy_weights(&file, path, projector->parameters, CHECK, error);
    tensor_file_free(&file);
    return status;
}

/* ---- loading ---- */

static carina_status get_note(const tensor_file *file, const char *path, const char *key, const char **out,
                              carina_error *error) {
    *out = tensor_file_metadata(file, key);
    if (*out) return CARINA_OK;
    return error_set(error, CARINA_ERROR_FORMAT,
                     "%s: no \"%s\" in its metadata: not a model of Carina (carina model import makes one)", path, key);
}

static bool is_constant(const parameter *p) {
    for (int64_t i = 1; i < p->count; i++)
        if (p->value[i] != p->value[0]) return false;
    return p->count > 1;
}

carina_status model_file_check_weights(const apm *m, const char *path, carina_error *error) {
    const parameter *const first = m->config.encoder == APM_VIT ? m->transformer.patch_weight : m->backbone.stem.weight;
    const parameter *const needed[] = {first,
                                       m->projection_weight,
                                       m->queries,
                                       m->box_layers[0].weight,
                                       m->box_layers[1].weight,
                                       m->box_layers[2].weight};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (is_constant(needed[i]))
            return error_set(error, CARINA_ERROR_FORMAT,
                             "%s: tensor %s holds nothing but the number %g: these weights were never trained, or the "
                             "file is damaged",
                             path, needed[i]->name, (double)needed[i]->value[0]);
    return CARINA_OK;
}

/* Some texts have several lines; the others are printed as they are. */
static bool may_be_shown(const tensor_file_entry *e) {
    static const char *const long_texts[] = {"model", "regions", "training_configuration", "card"};
    for (size_t i = 0; i < sizeof long_texts / sizeof *long_texts; i++)
        if (strcmp(e->key, long_texts[i]) == 0) return true;
    return utf8_is_line(e->key) && utf8_is_line(e->value);
}

static carina_status build_model(model_file *m, const tensor_file *file, const char *path, carina_error *error) {
    const char *format, *model_text, *region_text;
    apm_config config = {0};
    const config_part part = {"", &apm_schema, &config};
    TRY(get_note(file, path, "format", &format, error));
    if (strcmp(format, FORMAT_NAME) != 0)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: format \"%.40s\", this version reads %s", path, format,
                         FORMAT_NAME);
    TRY(get_note(file, path, "model", &model_text, error));
    TRY(get_note(file, path, "regions", &region_text, error));
    TRY(atlas_parse(&m->regions, path, region_text, strlen(region_text), error));
    TRY(config_load_text(&part, 1, path, model_text, strlen(model_text), NULL, 0, error));
    apm_schema_finish(&config, m->regions->region_count, ATLAS_LABEL_COUNT);
    if (apm_create_empty(&m->model, &config, error) != CARINA_OK) return error_prefix(error, "%s: model", path);
    TRY(copy_weights(file, path, m->model->parameters, CHECK, error));
    TRY(model_file_check_weights(m->model, path, error));
    TRY(model_file_read_projector(&m->projector, file, path, config.feature_size, error));
    /* The texts outlive the mapping. */
    m->notes = calloc((size_t)file->metadata_count + 1, sizeof *m->notes);
    if (!m->notes) return error_memory(error, path, file->metadata_count * sizeof *m->notes);
    for (uint64_t i = 0; i < file->metadata_count; i++) {
        if (!may_be_shown(&file->metadata[i]))
            return error_set(error, CARINA_ERROR_FORMAT, "%s: metadata \"%.40s\" has a control character", path,
                             utf8_is_line(file->metadata[i].key) ? file->metadata[i].key : "?");
        m->notes[i].key = strdup(file->metadata[i].key);
        m->notes[i].value = strdup(file->metadata[i].value);
        m->note_count++;
        if (!m->notes[i].key || !m->notes[i].value) return error_memory(error, path, 4096);
    }
    return CARINA_OK;
}

carina_status model_file_annotate(const char *path, const char *source, model_file_note note, carina_error *error) {
    tensor_file file = {0};
    const char *format;
    TRY(safetensors_read(&file, source, error));
    uint64_t count = 0;
    tensor_file_entry *entries = calloc((size_t)file.metadata_count + 1, sizeof *entries);
    carina_status status = entries ? CARINA_OK : error_memory(error, source, file.metadata_count * sizeof *entries);
    if (status == CARINA_OK) status = get_note(&file, source, "format", &format, error);
    if (status == CARINA_OK) {
        for (uint64_t i = 0; i < file.metadata_count; i++)
            if (strcmp(file.metadata[i].key, note.key) != 0) entries[count++] = file.metadata[i];
        entries[count++] = (tensor_file_entry){constant(note.key), constant(note.value)};
        status = safetensors_write(path, file.tensors, file.count, entries, count, error);
    }
    free(entries);
    tensor_file_free(&file);
    return status;
}

carina_status model_file_load(model_file *out, const char *path, carina_error *error) {
    *out = (model_file){0};
    tensor_file file = {0};
    TRY(safetensors_read(&file, path, error));
    carina_status status = build_model(out, &file, path, error);
    tensor_file_free(&file);
    if (status != CARINA_OK) model_file_free(out);
    return status;
}

void model_file_free(model_file *m) {
    if (!m) return;
    for (uint64_t i = 0; i < m->note_count; i++) {
        free(m->notes[i].key);
        free(m->notes[i].value);
    }
    free(m->notes);
    text_projector_free(m->projector);
    apm_free(m->model);
    atlas_free(m->regions);
    *m = (model_file){0};
}

const char *model_file_note_text(const model_file *m, const char *key) {
    for (uint64_t i = 0; i < m->note_count; i++)
        if (strcmp(m->notes[i].key, key) == 0) return m->notes[i].value;
    return NULL;
}
