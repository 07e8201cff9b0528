/* Adapters in memory: making, merging, attaching; see lora.h. */
#include "model/lora.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model_fingerprint.h"

/* ---- making ---- */

static parameter *add(lora *l, const gemma3_slot *slot, const char *which, int64_t rows, int64_t columns) {
    char name[80];
    int stem = (int)(strlen(slot->name) - strlen(".weight"));
    snprintf(name, sizeof name, "%.*s.%s.weight", stem, slot->name, which);
    parameter *p = parameters_add(l->parameters, name, PARAMETER_WEIGHT, 2, (int64_t[]){rows, columns});
    if (p) p->matrices = 1;
    return p;
}

static carina_status add_parts(lora *l, const lora_shape *shapes, carina_error *error) {
    gemma3 shape = {.config = l->config};
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(&shape, slots);
    int64_t transposed = 0;
    for (int i = 0; i < count; i++) {
        int64_t rank = shapes[i].rank;
        if (!rank) continue;
        if (rank < 0 || rank > LOW_RANK_MOST)
            return error_set(error, CARINA_ERROR_LIMIT, "%s: an adapter of rank %lld, at most %d are possible",
                             slots[i].name, (long long)rank, LOW_RANK_MOST);
        lora_part *part = &l->parts[i];
        *part = (lora_part){add(l, &slots[i], "lora_A", rank, slots[i].inputs),
                            add(l, &slots[i], "lora_B", slots[i].outputs, rank), shapes[i].scale};
        if (!part->down || !part->up) return error_memory(error, "an adapter", 8 * (uint64_t)(rank * slots[i].inputs));
        transposed += part->up->count;
    }
    l->transposed = calloc((size_t)transposed + 1, sizeof *l->transposed);
    return l->transposed ? CARINA_OK : error_memory(error, "an adapter", (uint64_t)transposed * sizeof *l->transposed);
}

carina_status lora_create_empty(lora **out, const gemma3_config *config, const lora_shape *shapes,
                                carina_error *error) {
    *out = NULL;
    TRY(gemma3_config_check(config, error));
    lora *l = calloc(1, sizeof *l);
    if (!l) return error_memory(error, "an adapter", sizeof *l);
    l->config = *config;
    carina_status status = parameters_create(&l->parameters, error);
    if (status == CARINA_OK) status = add_parts(l, shapes, error);
    if (status != CARINA_OK) {
        lora_free(l);
        return status;
    }
    lora_changed(l);
    *out = l;
    return CARINA_OK;
}

void lora_free(lora *l) {
    if (!l) return;
    parameters_free(l->parameters);
    free(l->transposed);
    free(l);
}

/* Two adapters with the same A and B differ by their scales. */
static uint64_t make_fingerprint(const lora *l) {
    fingerprint f = fingerprint_start();
    fingerprint_add_number(&f, model_fingerprint(l->parameters));
    for (int i = 0; i < GEMMA3_MAX_SLOTS; i++) {
        uint32_t bits;
        if (!l->parts[i].up) continue;
        memcpy(&bits, &l->parts[i].scale, sizeof bits);
        fingerprint_add_number(&f, (uint64_t)i << 32 | bits);
    }
    return fingerprint_value(&f) | 1;
}

uint64_t lora_fingerprint(const lora *l) { return l ? l->fingerprint : 0; }

void lora_changed(lora *l) {
    float *to = l->transposed;
    for (int i = 0; i < GEMMA3_MAX_SLOTS; i++) {
        const lora_part *part = &l->parts[i];
        if (!part->up) continue;
        int64_t outputs = part->up->size[0], rank = part->up->size[1];
        for (int64_t j = 0; j < rank; j++)
            for (int64_t o = 0; o < outputs; o++) to[j * outputs + o] = part->scale * part->up->value[o * rank + j];
        l->pairs[i] = (low_rank_pair){part->down->value, to, rank};
        to += part->up->count;
    }
    parameters_changed(l->parameters);
    l->fingerprint = make_fingerprint(l);
}

carina_status lora_check(const lora *l, const gemma3_config *c, carina_error *error) {
    const gemma3_config *own = &l->config;
    if (own->layers == c->layers && own->width == c->width && own->heads == c->heads &&
        own->key_heads == c->key_heads && own->head_width == c->head_width && own->ffn_width == c->ffn_width)
        return CARINA_OK;
    return error_set(error, CARINA_ERROR_MISMATCH,
                     "the adapter is for a model of %d layers of %d, this one has %d of %d or other heads", own->layers,
                     own->width, c->layers, c->width);
}

/* ---- merging ---- */

#define SPAN 256

void lora_add_to_row(const lora *l, int slot, int64_t row, float *values) {
    const lora_part *part = &l->parts[slot];
    if (!part->up) return;
    int64_t inputs = part->down->size[1], rank = part->down->size[0];
    const float *factors = part->up->value + row * rank;
    for (int64_t begin = 0; begin < inputs; begin += SPAN) {
        int64_t n = inputs - begin < SPAN ? inputs - begin : SPAN;
        float sum[SPAN] = {0}; /* first by itself: next to the weight its small terms would be rounded */
        for (int64_t j = 0; j < rank; j++) {
            const float *down = part->down->value + j * inputs + begin;
            for (int64_t i = 0; i < n; i++) sum[i] += factors[j] * down[i];
        }
        for (int64_t i = 0; i < n; i++) values[begin + i] += part->scale * sum[i];
    }
}

#define SHARD_ROWS 64

typedef struct merge_job {
    const lora *adapter;
    const gemma3_slot *slot;
    carina_status *status; /* [shard] */
    carina_error *errors;  /* [shard] */
} merge_job;

static carina_status merge_rows(const merge_job *job, int64_t first, int64_t end, carina_error *error) {
    const gemma3_matrix *m = job->slot->matrix;
    int64_t inputs = job->slot->inputs;
    int slot = m->slot;
    for (int64_t row = first; m->weight && row < end; row++)
        lora_add_to_row(job->adapter, slot, row, m->weight->value + row * inputs);
    if (m->weight) return CARINA_OK;
    float *values = malloc((size_t)inputs * sizeof *values);
    if (!values) return error_memory(error, "a row", (uint64_t)inputs * sizeof *values);
    carina_status status = CARINA_OK;
    for (int64_t row = first; row < end && status == CARINA_OK; row++) {
        quantized_get_row(m->packed, row, values);
        lora_add_to_row(job->adapter, slot, row, values);
        status = quantized_set_row(m->packed, row, values, error);
    }
    free(values);
    return status;
}

static void merge_shard(void *context, int shard, int worker) {
    const merge_job *job = context;
    int64_t first = (int64_t)shard * SHARD_ROWS, end = first + SHARD_ROWS;
    (void)worker;
    if (end > job->slot->outputs) end = job->slot->outputs;
    job->status[shard] = merge_rows(job, first, end, &job->errors[shard]);
}

static carina_status merge_slot(merge_job *job, thread_pool *pool, carina_error *error) {
    int shards = (int)((job->slot->outputs + SHARD_ROWS - 1) / SHARD_ROWS);
    const quantized_matrix *packed = job->slot->matrix->packed;
    if (packed && !packed->owned)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: mapped weights cannot be changed", job->slot->name);
    job->status = calloc((size_t)shards, sizeof *job->status);
    job->errors = calloc((size_t)shards, sizeof *job->errors);
    carina_status status = CARINA_OK;
    if (job->status && job->errors)
        thread_pool_run(pool, shards, merge_shard, job);
    else
        status = error_memory(error, job->slot->name, (uint64_t)shards * sizeof *job->errors);
    for (int i = 0; job->status && job->errors && i < shards && status == CARINA_OK; i++)
        if (job->status[i] != CARINA_OK) {
            if (error) *error = job->errors[i];
            status = error_prefix(error, "%s", job->slot->name);
        }
    free(job->status);
    free(job->errors);
    return status;
}

carina_status lora_merge(gemma3 *model, const lora *adapter, thread_pool *pool, carina_error *error) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(model, slots);
    TRY(lora_check(adapter, &model->config, error));
    for (int i = 0; i < count; i++) {
        merge_job job = {.adapter = adapter, .slot = &slots[i]};
        if (adapter->parts[i].up) TRY(merge_slot(&job, pool, error));
    }
    parameters_changed(model->parameters);
    return CARINA_OK;
}

/* ---- attaching ---- */

carina_status lora_attach(gemma3 *model, lora *adapter, carina_error *error) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(model, slots);
    TRY(lora_check(adapter, &model->config, error));
    for (int i = 0; i < count; i++) {
        gemma3_matrix *m = slots[i].matrix;
        m->down = adapter->parts[i].down;
        m->up = adapter->parts[i].up;
        m->scale = adapter->parts[i].scale;
    }
    return CARINA_OK;
}

void lora_detach(gemma3 *model) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(model, slots);
    for (int i = 0; i < count; i++) slots[i].matrix->down = slots[i].matrix->up = NULL;
}
