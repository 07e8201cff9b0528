/* Which model is this: a fingerprint of weights, for what was made with one model and must not be used with another.
 *
 * Over the name, shape and values (as f32) of every parameter, whatever their order: the same weights give the same
 * fingerprint, in whichever file they lie, unless storing rounded them. The configuration counts only through names and
 * shapes.
 */
#ifndef MODEL_MODEL_FINGERPRINT_H
#define MODEL_MODEL_FINGERPRINT_H

#include "base/fingerprint.h"
#include "tensor/parameters.h"

uint64_t model_fingerprint(const parameters *set);

/* The same for weights that are not in memory together: for each parameter begin, its values as pieces (f32;
 * fingerprint_add_blocks and _rest), add; the order of parameters does not matter. */
typedef struct model_fingerprint_sum {
    uint64_t sum, count;
} model_fingerprint_sum;
fingerprint model_fingerprint_begin(const char *name, int rank, const int64_t *size);
void model_fingerprint_add(model_fingerprint_sum *sum, const fingerprint *of_one);
uint64_t model_fingerprint_value(const model_fingerprint_sum *sum);

#endif
