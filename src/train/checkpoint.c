/* Saving and loading a training run; see checkpoint.h. */
#include "train/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/build.h"
#include "format/safetensors.h"

#define FORMAT_NAME "carina-checkpoint-1"

static const char *const prefixes[4] = {"model.", "first.", "second.", "average."};

/* The four arrays that go with parameter i, NULL where there is none; order of `prefixes`. */
static float *array_of(const optimizer *o, int kind, int i) {
    switch (kind) {
        case 0: return o->set->items[i]->value;
        case 1: return o->first[i];
        case 2: return o->second[i];
        default: return o->average ? o->average[i] : NULL;
    }
}

static char *joined(const char *prefix, const char *name) {
    size_t length = strlen(prefix) + strlen(name) + 1;
    char *text = malloc(length);
    if (text) snprintf(text, length, "%s%s", prefix, name);
    return text;
}

void checkpoint_state_free(checkpoint_state *state) {
    free(state->configuration);
    state->configuration = NULL;
}

/* ---- saving ---- */

typedef struct number_text {
    char text[32];
} number_text;

static char *whole(number_text *n, uint64_t value) {
    snprintf(n->text, sizeof n->text, "%" PRIu64, value);
    return n->text;
}

static char *real(number_text *n, double value) {
    snprintf(n->text, sizeof n->text, "%a", value); /* exact, and without a locale's comma inside the digits we read */
    return n->text;
}

/* The steps, the norm, the losses, in one line. */
typedef struct unlogged_text {
    char text[32 * (2 + TRAIN_TASK_LOSSES)];
} unlogged_text;

static char *unlogged(unlogged_text *out, const checkpoint_unlogged *u) {
    size_t length = (size_t)snprintf(out->text, sizeof out->text, "%" PRIu64 " %a", u->steps, u->norm);
    for (int k = 0; k < TRAIN_TASK_LOSSES; k++)
        length += (size_t)snprintf(out->text + length, sizeof out->text - length, " %a", u->losses[k]);
    return out->text;
}

/* safetensors_write takes names and values as char *, but only reads them. */
static char *constant(const char *text) { return (char *)(uintptr_t)text; }

carina_status checkpoint_save(const char *path, const optimizer *o, const checkpoint_state *state,
                              carina_error *error) {
    number_text n[8];
    unlogged_text sums;
    tensor_file_entry metadata[] = {
        {constant("format"), constant(FORMAT_NAME)},
        {constant("carina_version"), constant(build_version())},
        {constant("commit"), constant(build_commit())},
        {constant("configuration"), constant(state->configuration ? state->configuration : "")},
        {constant("data_fingerprint"), whole(&n[0], state->data_fingerprint)},
        {constant("step"), whole(&n[1], state->step)},
        {constant("batch"), whole(&n[2], state->batch)},
        {constant("seed"), whole(&n[3], state->seed)},
        {constant("skipped"), whole(&n[4], state->skipped)},
        {constant("best"), real(&n[5], state->best)},
        {constant("best_step"), whole(&n[6], state->best_step)},
        {constant("seconds"), real(&n[7], state->seconds)},
        {constant("unlogged"), unlogged(&sums, &state->unlogged)},
    };
    named_tensor *tensors = calloc((size_t)o->set->count * 4 + 1, sizeof *tensors);
    if (!tensors) return error_memory(error, path, (unsigned long long)o->set->count * 4 * sizeof *tensors);
    carina_status status = CARINA_OK;
    uint64_t count = 0;
    for (int i = 0; i < o->set->count && status == CARINA_OK; i++) {
        const parameter *p = o->set->items[i];
        for (int kind = 0; kind < 4 && status == CARINA_OK; kind++) {
            const float *data = array_of(o, kind, i);
            if (!data) continue;
            named_tensor *t = &tensors[count++];
            t->name = joined(prefixes[kind], p->name);
            if (!t->name) status = error_memory(error, p->name, 64);
            t->dtype = DTYPE_F32;
            t->rank = p->rank;
            for (int axis = 0; axis < p->rank; axis++) t->shape[axis] = (uint64_t)p->size[axis];
            t->data = data;
            t->byte_count = (uint64_t)p->count * sizeof(float);
        }
    }
    if (status == CARINA_OK)
        status = safetensors_write(path, tensors, count, metadata, sizeof metadata / sizeof metadata[0], error);
    for (uint64_t i = 0; i < count; i++) free(tensors[i].name);
    free(tensors);
    return status;
}

/* ---- loading ---- */

static carina_status get_text(const tensor_file *file, const char *path, const char *key, const char **out,
                              carina_error *error) {
    *out = tensor_file_metadata(file, key);
    if (*out) return CARINA_OK;
    return error_set(error, CARINA_ERROR_FORMAT, "%s: no \"%s\" in its metadata: not a checkpoint of Carina", path,
                     key);
}

static carina_status get_whole(const tensor_file *file, const char *path, const char *key, uint64_t *out,
                               carina_error *error) {
    const char *text;
    TRY(get_text(file, path, key, &text, error));
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-')
        return error_set(error, CARINA_ERROR_FORMAT, "%s: metadata %s: \"%.40s\" is not a whole number", path, key,
                         text);
    return CARINA_OK;
}

static carina_status get_real(const tensor_file *file, const char *path, const char *key, double *out,
                              carina_error *error) {
    const char *text;
    TRY(get_text(file, path, key, &text, error));
    char *end;
    *out = strtod(text, &end);
    if (end == text || *end)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: metadata %s: \"%.40s\" is not a number", path, key, text);
    return CARINA_OK;
}

/* A count, the norm, and as many losses as the version that wrote them had: none in the first checkpoints, whose next
 * line of the log is then of fewer steps. */
static carina_status get_unlogged(const tensor_file *file, const char *path, checkpoint_unlogged *out,
                                  carina_error *error) {
    const char *text = tensor_file_metadata(file, "unlogged");
    char *end;
    *out = (checkpoint_unlogged){0};
    if (!text) return CARINA_OK;
    out->steps = strtoull(text, &end, 10);
    bool fits = *text >= '0' && *text <= '9' && *end == ' ';
    for (int k = -1; k < TRAIN_TASK_LOSSES && fits && *end; k++) {
        const char *from = end;
        double value = strtod(from, &end);
        fits = end != from && isfinite(value) && (out->steps > 0 || value == 0);
        *(k < 0 ? &out->norm : &out->losses[k]) = value;
    }
    if (fits && !*end) return CARINA_OK;
    return error_set(error, CARINA_ERROR_FORMAT, "%s: metadata unlogged: \"%.40s\" is not a count and at most %d sums",
                     path, text, 1 + TRAIN_TASK_LOSSES);
}

/* Counts that no run can have would set the loader to a place in the data that never comes. */
static carina_status check_state(const checkpoint_state *s, const char *path, carina_error *error) {
    const char *key = s->step > CHECKPOINT_MAX_STEPS                    ? "step"
                      : s->batch > s->step * CHECKPOINT_MAX_ACCUMULATED ? "batch"
                      : s->skipped > s->step                            ? "skipped"
                      : s->best_step > s->step                          ? "best_step"
                      : s->unlogged.steps > s->step                     ? "unlogged"
                      : !isfinite(s->best)                              ? "best"
                      : !isfinite(s->seconds) || s->seconds < 0         ? "seconds"
                                                                        : NULL;
    if (!key) return CARINA_OK;
    return error_set(error, CARINA_ERROR_FORMAT, "%s: metadata %s: no run of %" PRIu64 " steps can have it", path, key,
                     s->step);
}

static carina_status read_state(const tensor_file *file, const char *path, checkpoint_state *state,
                                carina_error *error) {
    const char *format, *configuration;
    TRY(get_text(file, path, "format", &format, error));
    if (strcmp(format, FORMAT_NAME) != 0)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: format \"%.40s\", this version reads %s", path, format,
                         FORMAT_NAME);
    TRY(get_text(file, path, "configuration", &configuration, error));
    TRY(get_whole(file, path, "data_fingerprint", &state->data_fingerprint, error));
    TRY(get_whole(file, path, "step", &state->step, error));
    TRY(get_whole(file, path, "batch", &state->batch, error));
    TRY(get_whole(file, path, "seed", &state->seed, error));
    TRY(get_whole(file, path, "skipped", &state->skipped, error));
    TRY(get_whole(file, path, "best_step", &state->best_step, error));
    TRY(get_real(file, path, "best", &state->best, error));
    TRY(get_real(file, path, "seconds", &state->seconds, error));
    TRY(get_unlogged(file, path, &state->unlogged, error));
    TRY(check_state(state, path, error));
    state->configuration = strdup(configuration);
    return state->configuration ? CARINA_OK : error_memory(error, path, strlen(configuration) + 1);
}

/* The tensor that belongs to array `kind` of parameter p, checked. */
static carina_status find_tensor(const tensor_file *file, const char *path, int kind, const parameter *p,
                                 const named_tensor **out, carina_error *error) {
    char *name = joined(prefixes[kind], p->name);
    if (!name) return error_memory(error, path, 64);
    const named_tensor *t = *out = tensor_file_find(file, name);
    free(name);
    if (!t)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: no tensor %s%s: made by another model or configuration",
                         path, prefixes[kind], p->name);
    bool same = t->rank == p->rank && t->dtype == DTYPE_F32;
    for (int axis = 0; same && axis < p->rank; axis++) same = t->shape[axis] == (uint64_t)p->size[axis];
    if (!same) {
        char text[96];
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: tensor %s is %s %s, the configuration's model wants another shape of f32", path, t->name,
                         tensor_dtype_name(t->dtype), tensor_shape_text(text, sizeof text, t->shape, t->rank));
    }
    carina_status status = named_tensor_check_finite(t, error);
    return status == CARINA_OK ? CARINA_OK : error_prefix(error, "%s", path);
}

carina_status checkpoint_load(const char *path, optimizer *o, checkpoint_state *state, carina_error *error) {
    tensor_file file = {0};
    checkpoint_state loaded = {0};
    const named_tensor *t = NULL;
    TRY(safetensors_read(&file, path, error));
    carina_status status = read_state(&file, path, &loaded, error);
    /* First everything is looked at, then everything is copied. */
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < o->set->count; i++)
            for (int kind = 0; kind < 4 && status == CARINA_OK; kind++) {
                float *target = array_of(o, kind, i);
                if (!target) continue;
                status = find_tensor(&file, path, kind, o->set->items[i], &t, error);
                if (status == CARINA_OK && pass == 1) memcpy(target, t->data, (size_t)t->byte_count);
            }
    tensor_file_free(&file);
    if (status != CARINA_OK) {
        checkpoint_state_free(&loaded);
        return status;
    }
    o->step = loaded.step;
    o->averaged = false;
    parameters_changed(o->set);
    *state = loaded;
    return CARINA_OK;
}
