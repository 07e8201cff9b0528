/* Rows of a Gemma 3 that is not loaded; see gemma3_source.h. */
#include "model/gemma3_source.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/safetensors_shards.h"
#include "model/gemma3_file.h"
#include "model/gemma3_gguf.h"

bool gemma3_is_gguf(const char *path) {
    size_t length = strlen(path);
    return length >= 5 && strcmp(path + length - 5, ".gguf") == 0;
}

/* ---- opening ---- */

static carina_status find(gemma3_source *s, gemma3_source_tensor *t, carina_error *error) {
    uint64_t shape[2] = {(uint64_t)t->size[0], (uint64_t)t->size[1]};
    t->columns = t->size[t->rank - 1];
    t->rows = t->rank == 2 ? t->size[0] : 1;
    if (s->is_gguf) return gemma3_gguf_find(&t->blocks, &s->gguf, t->name, t->rank, shape, error);
    return gemma3_find_tensor(&t->named, &s->folder, s->path, t->name, t->rank, shape, error);
}

static carina_status list_tensors(gemma3_source *s, gemma3 *shape, carina_error *error) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int slot_count = gemma3_slots(shape, slots);
    s->tensors = calloc(GEMMA3_MAX_TENSORS, sizeof *s->tensors);
    if (!s->tensors) return error_memory(error, s->path, GEMMA3_MAX_TENSORS * sizeof *s->tensors);
    for (int i = 0; i < slot_count; i++) {
        gemma3_source_tensor *t = &s->tensors[s->count++];
        *t = (gemma3_source_tensor){.rank = 2, .size = {slots[i].outputs, slots[i].inputs}, .slot = i};
        snprintf(t->name, sizeof t->name, "%.63s", slots[i].name);
        TRY(find(s, t, error));
    }
    for (int i = 0; i < shape->parameters->count; i++) {
        const parameter *p = shape->parameters->items[i];
        gemma3_source_tensor *t = &s->tensors[s->count++];
        *t = (gemma3_source_tensor){.rank = 1, .size = {p->count}, .slot = -1};
        snprintf(t->name, sizeof t->name, "%.63s", p->name);
        TRY(find(s, t, error));
    }
    return s->is_gguf ? CARINA_OK : gemma3_refuse_strangers(shape, &s->folder, s->path, error);
}

static carina_status open_files(gemma3_source *s, carina_error *error) {
    if (s->is_gguf) {
        TRY(gguf_read(&s->gguf, s->path, error));
        return gemma3_gguf_config(&s->config, &s->gguf, error);
    }
    TRY(gemma3_config_read(&s->config, s->path, error));
    return safetensors_folder_read(&s->folder, s->path, error);
}

carina_status gemma3_source_open(gemma3_source *out, const char *path, carina_error *error) {
    gemma3 *shape = NULL;
    *out = (gemma3_source){.path = strdup(path), .is_gguf = gemma3_is_gguf(path)};
    carina_status status = out->path ? open_files(out, error) : error_memory(error, path, strlen(path));
    if (status == CARINA_OK) status = gemma3_create_packed(&shape, &out->config, error); /* its norms, no matrices */
    if (status == CARINA_OK) status = list_tensors(out, shape, error);
    gemma3_free(shape);
    if (status != CARINA_OK) gemma3_source_close(out);
    return status;
}

void gemma3_source_close(gemma3_source *s) {
    tensor_file_free(&s->folder);
    gguf_free(&s->gguf);
    free(s->tensors);
    free(s->path);
    *s = (gemma3_source){0};
}

/* ---- reading ---- */

const char *gemma3_source_type(const gemma3_source_tensor *t) {
    return t->named ? tensor_dtype_name(t->named->dtype) : gguf_type_name(t->blocks->type);
}

uint64_t gemma3_source_bytes(const gemma3_source_tensor *t) {
    return t->named ? t->named->byte_count : t->blocks->byte_count;
}

carina_status gemma3_source_row(const gemma3_source *s, const gemma3_source_tensor *t, int64_t row, float *values,
                                carina_error *error) {
    if (t->named)
        named_tensor_part_to_f32(t->named, (uint64_t)(row * t->columns), (uint64_t)t->columns, values);
    else
        TRY(gguf_decode_rows(values, &s->gguf, t->blocks, (uint64_t)row, 1, error));
    for (int64_t i = 0; i < t->columns; i++) {
        if (!isfinite(values[i]))
            return error_set(error, CARINA_ERROR_FORMAT, "%s: tensor %s: value %" PRId64 " is not a finite number",
                             s->path, t->named ? t->named->name : t->blocks->name, row * t->columns + i);
        if (t->blocks && t->slot < 0) values[i] -= 1; /* the file has what is multiplied with */
    }
    return CARINA_OK;
}

/* ---- the others ---- */

int64_t gemma3_source_others(const gemma3_source *s) {
    return (int64_t)(s->is_gguf ? s->gguf.tensor_count : s->folder.count) - s->count;
}

static bool is_own(const gemma3_source *s, const void *one) {
    for (int i = 0; i < s->count; i++)
        if (s->tensors[i].named == one || s->tensors[i].blocks == one) return true;
    return false;
}

static carina_status check_blocks(const gemma3_source *s, const gguf_tensor *t, carina_error *error) {
    if (!t->byte_count) return CARINA_OK;
    float *values = malloc((size_t)t->row_length * sizeof *values);
    if (!values) return error_memory(error, t->name, t->row_length * sizeof *values);
    carina_status status = CARINA_OK;
    for (uint64_t row = 0; row < t->row_count && status == CARINA_OK; row++) {
        status = gguf_decode_rows(values, &s->gguf, t, row, 1, error);
        for (uint64_t i = 0; i < t->row_length && status == CARINA_OK; i++)
            if (!isfinite(values[i]))
                status =
                    error_set(error, CARINA_ERROR_FORMAT, "%s: tensor %s: value %" PRIu64 " is not a finite number",
                              s->path, t->name, row * t->row_length + i);
    }
    free(values);
    return status;
}

carina_status gemma3_source_check_others(const gemma3_source *s, carina_error *error) {
    for (uint64_t i = 0; i < s->folder.count; i++)
        if (!is_own(s, &s->folder.tensors[i]) && named_tensor_check_finite(&s->folder.tensors[i], error) != CARINA_OK)
            return error_prefix(error, "%s", s->path);
    for (uint64_t i = 0; i < s->gguf.tensor_count; i++)
        if (!is_own(s, &s->gguf.tensors[i])) TRY(check_blocks(s, &s->gguf.tensors[i], error));
    return CARINA_OK;
}
