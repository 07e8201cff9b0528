/* Tensors of a fixture file, and comparing with them: for tests against PyTorch. Include after cmocka.h. */
#ifndef TEST_FIXTURE_H
#define TEST_FIXTURE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/safetensors.h"
#include "tensor/graph.h"

static inline tensor_file fixture_open(const char *path) {
    tensor_file file;
    carina_error error;
    if (safetensors_read(&file, path, &error) != CARINA_OK) fail_msg("%s", error.message);
    return file;
}

/* malloc'ed */
static inline float *fixture_values(const tensor_file *file, const char *name, int64_t count) {
    const named_tensor *t = tensor_file_find(file, name);
    if (!t) fail_msg("fixture lacks %s", name);
    float *values = malloc((size_t)count * sizeof *values);
    if (named_tensor_to_f32(t, values, (uint64_t)count, NULL) != CARINA_OK) fail_msg("%s: another size", name);
    return values;
}

static inline void fixture_fill(const tensor_file *file, const char *name, tensor *input) {
    float *values = fixture_values(file, name, tensor_count(input));
    memcpy(tensor_data(input), values, (size_t)tensor_count(input) * sizeof *values);
    free(values);
}

static inline double fixture_scale(const float *values, int64_t count) {
    double scale = 0;
    for (int64_t i = 0; i < count; i++) scale = fmax(scale, fabs((double)values[i]));
    return scale;
}

/* Differences up to tolerance x scale pass. */
static inline void fixture_compare(const char *name, const float *ours, const float *wanted, int64_t count,
                                   double scale, double tolerance) {
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)ours[i] - (double)wanted[i]) <= tolerance * scale))
            fail_msg("%s[%d] is %g, not %g (scale %g)", name, (int)i, (double)ours[i], (double)wanted[i], scale);
}

/* Values against the tensor `name`, on that tensor's own scale but not below `least`. */
static inline void fixture_check(const tensor_file *file, const char *name, const float *ours, int64_t count,
                                 double least, double tolerance) {
    float *wanted = fixture_values(file, name, count);
    fixture_compare(name, ours, wanted, count, fmax(fixture_scale(wanted, count), least), tolerance);
    free(wanted);
}

#endif
