/* Named weights, their gradients and initial values; see parameters.h. */
#include "tensor/parameters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

carina_status parameters_create(parameters **out, carina_error *error) {
    *out = calloc(1, sizeof **out);
    if (!*out) return error_memory(error, "parameters", sizeof **out);
    return CARINA_OK;
}

static void parameter_free(parameter *p) {
    if (!p) return;
    free(p->name);
    free(p->value);
    free(p->gradient);
    free(p);
}

void parameters_free(parameters *set) {
    if (!set) return;
    for (int i = 0; i < set->count; i++) parameter_free(set->items[i]);
    free(set->items);
    free(set);
}

/* 64-byte aligned and zeroed, because kernels and oneDNN read it directly. */
static float *allocate_values(int64_t count) {
    size_t bytes = ((size_t)count * sizeof(float) + 63) / 64 * 64;
    float *values = aligned_alloc(64, bytes ? bytes : 64);
    if (values) memset(values, 0, bytes);
    return values;
}

parameter *parameters_add(parameters *set, const char *name, parameter_kind kind, int rank, const int64_t *size) {
    uint64_t count = 1;
    if (rank < 0 || rank > TENSOR_MAX_RANK || parameters_find(set, name)) return NULL;
    for (int i = 0; i < rank; i++)
        if (size[i] < 1 || !size_multiply(count, (uint64_t)size[i], &count) || count > INT32_MAX) return NULL;
    parameter **items = realloc(set->items, (size_t)(set->count + 1) * sizeof *items);
    if (!items) return NULL;
    set->items = items;
    parameter *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->name = strdup(name);
    p->value = allocate_values((int64_t)count);
    if (!p->name || !p->value) {
        parameter_free(p);
        return NULL;
    }
    p->version = 1;
    p->kind = kind;
    p->rank = rank;
    for (int i = 0; i < rank; i++) p->size[i] = size[i];
    p->count = (int64_t)count;
    p->trainable = kind == PARAMETER_WEIGHT;
    p->decay = kind == PARAMETER_WEIGHT && rank >= 2;
    p->matrices = p->decay;
    set->items[set->count++] = p;
    return p;
}

parameter *parameters_find(const parameters *set, const char *name) {
    for (int i = 0; i < set->count; i++)
        if (strcmp(set->items[i]->name, name) == 0) return set->items[i];
    return NULL;
}

void parameters_changed(parameters *set) {
    for (int i = 0; i < set->count; i++) set->items[i]->version++;
}

carina_status parameters_allocate_gradients(parameters *set, carina_error *error) {
    for (int i = 0; i < set->count; i++) {
        parameter *p = set->items[i];
        if (!p->trainable || p->gradient) continue;
        p->gradient = allocate_values(p->count);
        if (!p->gradient) return error_memory(error, p->name, (unsigned long long)p->count * sizeof(float));
    }
    return CARINA_OK;
}

void parameters_zero_gradients(parameters *set) {
    for (int i = 0; i < set->count; i++)
        if (set->items[i]->gradient) memset(set->items[i]->gradient, 0, (size_t)set->items[i]->count * sizeof(float));
}

int64_t parameters_total(const parameters *set) {
    int64_t total = 0;
    for (int i = 0; i < set->count; i++) total += set->items[i]->count;
    return total;
}

void parameter_fill(parameter *p, float value) {
    for (int64_t i = 0; i < p->count; i++) p->value[i] = value;
}

void parameter_fill_normal(parameter *p, random_state *random, double deviation) {
    if (!random) return;
    for (int64_t i = 0; i < p->count; i++) p->value[i] = (float)(deviation * random_normal(random));
}

void parameter_fill_uniform(parameter *p, random_state *random, double bound) {
    if (!random) return;
    for (int64_t i = 0; i < p->count; i++) p->value[i] = (float)random_range(random, -bound, bound);
}

void parameter_fill_kaiming_normal(parameter *p, random_state *random) {
    double fan_out = (double)p->size[0];
    for (int i = 2; i < p->rank; i++) fan_out *= (double)p->size[i];
    parameter_fill_normal(p, random, sqrt(2.0 / fan_out));
}

void parameter_fill_xavier_uniform(parameter *p, random_state *random) {
    parameter_fill_uniform(p, random, sqrt(6.0 / (double)(p->size[0] + p->size[1])));
}
