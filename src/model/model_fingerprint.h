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

#endif
