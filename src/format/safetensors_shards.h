/* Weights over several safetensors files: a Hugging Face folder with model.safetensors, or with
 * model.safetensors.index.json, {"metadata": {..}, "weight_map": {tensor: file, ..}}, and the files that it names.
 *
 * The index is believed in nothing: files must be plain names in the same folder, every tensor of the index must be in
 * its file, and every file may hold those tensors only.
 */
#ifndef FORMAT_SAFETENSORS_SHARDS_H
#define FORMAT_SAFETENSORS_SHARDS_H

#include "format/tensor_file.h"

#define SAFETENSORS_MAX_SHARDS 1024

typedef struct safetensors_index {
    char **files; /* each once, in the order of their first tensor */
    int file_count;
    char **tensors; /* sorted by name */
    int *file_of;   /* [tensor_count] into files */
    uint64_t tensor_count;
} safetensors_index;

carina_status safetensors_index_parse(safetensors_index *out, const char *name, const void *data, uint64_t size,
                                      carina_error *error);
void safetensors_index_free(safetensors_index *index); /* accepts an empty one */

/* All tensors of the folder as one list, mapped until tensor_file_free. */
carina_status safetensors_folder_read(tensor_file *out, const char *folder, carina_error *error);

#endif
