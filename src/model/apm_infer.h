/* The configuration of an APM from the names and shapes of its weights, for checkpoints that do not carry one. */
#ifndef MODEL_APM_INFER_H
#define MODEL_APM_INFER_H

#include "format/tensor_file.h"
#include "model/apm.h"

/* What shapes cannot tell. */
typedef struct apm_infer_options {
    int heads, feature_heads;      /* of the transformer and of module F: published 4 and 2 */
    resnet_norm norm;              /* when the weights hold running statistics: RESNET_FROZEN or RESNET_BATCH */
    int image_height, image_width; /* pixels */
} apm_infer_options;

/* Missing or misshapen tensors: CARINA_ERROR_MISMATCH naming path and tensor. */
carina_status apm_infer_config(apm_config *out, const tensor_file *weights, const char *path,
                               const apm_infer_options *options, carina_error *error);

#endif
