/* What each region's token attends to inside the feature extraction module F (arXiv 2601.03191, figure S9): the
 * softmax of F's attention, which the forward pass never holds in memory, made again for one film in plain f32.
 */
#ifndef MODEL_APM_ATTENTION_H
#define MODEL_APM_ATTENTION_H

#include "model/apm.h"

/* decoded [N, D], patch_features [P, D] of one film (apm_outputs) -> out [N, P], the mean over F's heads; each region's
 * P numbers sum to 1. Errors: memory; a model without F is CARINA_ERROR_UNSUPPORTED. */
carina_status apm_attention(float *out, const apm *model, const float *decoded, const float *patch_features,
                            int64_t patches, carina_error *error);

#endif
