/* AnatomiX's projector of sentences into the space of region features (arXiv 2601.03191, "APM training"): trained with
 * the APM while the text encoder before it is frozen, and kept in the model's file.
 *
 *     pooled [M, H], the mean of the text encoder's last hidden states -> Linear, ReLU, Linear -> [M, R]
 *
 * Parameters are a set of their own, named as in an AnatomiX checkpoint: text_model.project_head.proj.{0,2}.
 */
#ifndef MODEL_TEXT_PROJECTOR_H
#define MODEL_TEXT_PROJECTOR_H

#include "base/fingerprint.h"
#include "model/bert.h"

typedef struct text_projector {
    int width;                      /* H: of the text encoder's vectors */
    int hidden;                     /* 512 */
    int features;                   /* R */
    char encoder[FINGERPRINT_TEXT]; /* which text encoder (text_encoder_bare_fingerprint); "": not known */
    parameters *parameters;
    linear_layer layers[2];
} text_projector;

/* Random weights; random NULL: weights of zero, for those that are loaded next. The sizes are checked by whoever knows
 * where they come from. */
carina_status text_projector_create(text_projector **out, int width, int hidden, int features, random_state *random,
                                    carina_error *error);
void text_projector_free(text_projector *p); /* accepts NULL */

tensor *text_projector_record(graph *g, const text_projector *p, tensor *pooled);

/* The projector in place of the text encoder's own, if it has one: *model is replaced by a model that has it. Vectors
 * of another width are CARINA_ERROR_MISMATCH. */
carina_status text_projector_attach(const text_projector *p, bert **model, carina_error *error);

#endif
