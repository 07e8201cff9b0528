/* Writing parameters; see parameters_file.h. */
#include "model/parameters_file.h"

#include <stdlib.h>

#include "base/half.h"
#include "format/safetensors.h"

/* The parameters' values as bf16, one after the other; malloc'ed. */
static uint16_t *narrowed(const parameters *set) {
    int64_t total = parameters_total(set);
    uint16_t *values = malloc((size_t)(total + 1) * sizeof *values), *next = values;
    for (int i = 0; values && i < set->count; i++)
        for (int64_t j = 0; j < set->items[i]->count; j++) *next++ = bf16_from_f32(set->items[i]->value[j]);
    return values;
}

carina_status parameters_write(const parameters *set, const char *path, tensor_dtype type,
                               const tensor_file_entry *metadata, uint64_t metadata_count, carina_error *error) {
    bool narrow = type == DTYPE_BF16;
    named_tensor *tensors = calloc((size_t)set->count + 1, sizeof *tensors);
    uint16_t *values = narrow ? narrowed(set) : NULL, *next = values;
    if (!tensors || (narrow && !values)) {
        free(tensors);
        free(values);
        return error_memory(error, path, (uint64_t)parameters_total(set) * sizeof *values);
    }
    for (int i = 0; i < set->count; i++) {
        const parameter *p = set->items[i];
        tensors[i] = (named_tensor){.name = p->name,
                                    .dtype = type,
                                    .rank = p->rank,
                                    .data = narrow ? (const void *)next : p->value,
                                    .byte_count = (uint64_t)p->count * tensor_dtype_size(type)};
        for (int axis = 0; axis < p->rank; axis++) tensors[i].shape[axis] = (uint64_t)p->size[axis];
        if (narrow) next += p->count;
    }
    carina_status status = safetensors_write(path, tensors, (uint64_t)set->count, metadata, metadata_count, error);
    free(values);
    free(tensors);
    return status;
}
