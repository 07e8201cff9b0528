/* Model files: an APM's weights with all that is needed to build it again, in one safetensors file.
 *
 * Metadata: format "carina-model-1", model (apm_config as JSON), regions (the region set as YAML, so that a model with
 * a user's own set needs no second file), carina_version, commit, and notes (training configuration, card). Weights
 * are f32 or bf16; batch-norm statistics and other vectors stay f32, they weigh nothing. A model that was trained with
 * sentences has their projector too (model/text_projector.h), and as text_encoder_fingerprint which encoder it is for.
 */
#ifndef MODEL_MODEL_FILE_H
#define MODEL_MODEL_FILE_H

#include "atlas/atlas.h"
#include "format/tensor_file.h"
#include "model/apm.h"
#include "model/text_projector.h"

/* What `format` begins with in model files of any version. */
#define MODEL_FILE_FORMATS "carina-model-"
bool model_file_is_format(const char *format); /* NULL is none */

typedef struct model_file_note {
    const char *key, *value; /* borrowed */
} model_file_note;

typedef enum model_file_type { MODEL_FILE_F32, MODEL_FILE_BF16 } model_file_type;

/* projector: NULL for a model without. */
carina_status model_file_save(const char *path, const apm *model, const text_projector *projector, const atlas *regions,
                              model_file_type type, const model_file_note *notes, int note_count, carina_error *error);

/* Writes the model file at `source` again to `path` with one note set or replaced; every other byte of weights and
 * metadata is as it was. path may be the source itself. Not a model file: CARINA_ERROR_FORMAT. */
carina_status model_file_annotate(const char *path, const char *source, model_file_note note, carina_error *error);

/* The note that says how films are read: "true", each together with its mirror image, whose mean counts
 * (pipeline/locate.c). */
#define MODEL_FILE_MIRROR_MEAN "mirror_mean"

/* A loaded model. Everything belongs to it. */
typedef struct model_file {
    apm *model;
    text_projector *projector; /* NULL: trained without sentences */
    atlas *regions;
    tensor_file_entry *notes; /* the file's whole metadata */
    uint64_t note_count;
} model_file;

/* Wrong format, missing or misshapen tensors, NaN, weights of nothing but one number where every box depends on them:
 * each an error that names file and tensor. On failure *out is empty. */
carina_status model_file_load(model_file *out, const char *path, carina_error *error);
void model_file_free(model_file *m);                                    /* accepts NULL and an empty one */
const char *model_file_note_text(const model_file *m, const char *key); /* NULL: none */

/* Copies weights by name into an existing model: from a model file, a training checkpoint (its averaged weights where
 * it has them), or AnatomiX's .pth or safetensors (prefixes "vis_model." and "model." are stripped). Every parameter
 * of the model must be there; tensors of the file that the model lacks are passed over (the text side). */
carina_status model_file_copy_weights(apm *model, const tensor_file *weights, const char *path, carina_error *error);
/* The same from a path, for a run that begins with these weights: optional parameters may be missing there, and stay.
 */
carina_status model_file_load_weights(apm *model, const char *path, carina_error *error);
/* The same for other parameters that a run trains beside a model. */
carina_status model_file_load_parameters(parameters *set, const char *path, carina_error *error);
/* The projector among these weights (AnatomiX's, or a model's of Carina); *out NULL: there is none. Its vectors have
 * the model's `features` numbers, or it is CARINA_ERROR_MISMATCH. */
carina_status model_file_read_projector(text_projector **out, const tensor_file *weights, const char *path,
                                        int features, carina_error *error);
/* Weights for a projector, from the same kinds of file; a file that has none, or one for another text encoder, leaves
 * it as it is. */
carina_status model_file_load_projector(text_projector *projector, const char *path, carina_error *error);

/* What a picture must pass on its way to a box, with no other way round: where such weights are all the same number,
 * boxes come out that have nothing to do with the film. Then the file was an export that went wrong, not a model. */
carina_status model_file_check_weights(const apm *model, const char *path, carina_error *error);

/* The tensor for a parameter's name: itself, or behind those prefixes; a checkpoint's average wins. NULL: none. */
const named_tensor *model_file_find_weight(const tensor_file *file, const char *name);

/* A region set that the caller owns (atlas_free). */
carina_status model_file_copy_regions(atlas **out, const atlas *regions, carina_error *error);

#endif
