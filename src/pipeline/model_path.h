/* Where models are: from what a user writes behind --model to the path of a file.
 *
 * A model is one .safetensors file. A name ("apm-small") is looked for as NAME.safetensors, then
 * NAME/model.safetensors, in these folders, in this order:
 *   1. each folder of the environment variable CARINA_MODELS (separated by ':', empty ones passed over)
 *   2. ./models
 *   3. share/carina/models beside the bin or lib folder that Carina was installed into
 *   4. models beside the build folder, where the program runs from a source tree
 *   5. the folder that was configured for the installation
 * What holds a '/' or ends in .safetensors is a path and is not searched for.
 *
 * A text encoder is a folder (a Hugging Face BERT). Its name ("text-small") is looked for as the folder NAME with a
 * vocab.txt in it, in the same folders; what holds a '/' or is a folder from here is taken as it is.
 */
#ifndef PIPELINE_MODEL_PATH_H
#define PIPELINE_MODEL_PATH_H

#include "base/error.h"

#define MODEL_PATH_DEFAULT     "apm-small" /* the model in models/ that is used when none is named */
#define MODEL_PATH_MAX_FOLDERS 32

/* The folders above, each once, existing or not. */
typedef struct model_folders {
    int count;
    char *path[MODEL_PATH_MAX_FOLDERS]; /* owned */
} model_folders;

carina_status model_folders_list(model_folders *out, carina_error *error);
void model_folders_free(model_folders *folders);

/* *out: the file's path, malloc'ed. NULL stands for MODEL_PATH_DEFAULT. When nothing is found the error names the
 * folders that were searched and the nearest name there is. */
carina_status model_path_find(char **out, const char *name, carina_error *error);

/* *out: the text encoder's folder, malloc'ed. */
carina_status model_path_find_encoder(char **out, const char *name, carina_error *error);

/* Every model of the folders, in order and by name within a folder. name and path are valid during the call only. */
typedef void model_path_visit(void *context, const char *name, const char *path);
carina_status model_path_each(model_path_visit *visit, void *context, carina_error *error);

#endif
