/* Weights of a vision transformer from Hugging Face's files of DINOv3 (DINOv3ViTModel): S, B and L with patches of 16.
 * The gated feed-forward layers of S+, H+ and 7B are refused. */
#ifndef MODEL_VIT_FILE_H
#define MODEL_VIT_FILE_H

#include "format/tensor_file.h"
#include "model/vit.h"

/* path: a folder with model.safetensors, or the file itself (.safetensors or .pth); names may stand behind
 * "dinov3_vit." or "model.". Patch kernels of three channels are folded into one (vit_fold_kernel), of one channel
 * taken as they are. A config.json beside the weights is held against the encoder: tensors do not tell the number of
 * heads, and nothing else here does. Every tensor is wanted or known to be of no use (embeddings.mask_token,
 * rope_embeddings.*), every parameter must be there: CARINA_ERROR_MISMATCH names the one that is not, and nothing was
 * changed then. */
carina_status vit_file_load(vit *net, const char *path, carina_error *error);

/* Its two parts, for bytes and tensors from anywhere; name is for messages. */
carina_status vit_file_check_config(const vit_config *config, const char *name, const void *data, uint64_t size,
                                    carina_error *error);
carina_status vit_file_copy_tensors(vit *net, const tensor_file *file, const char *name, carina_error *error);

#endif
