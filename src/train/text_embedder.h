/* A text encoder as the maker of a sentence database's embeddings: the projected vectors of AnatomiX's text side. */
#ifndef TRAIN_TEXT_EMBEDDER_H
#define TRAIN_TEXT_EMBEDDER_H

#include "base/fingerprint.h"
#include "index/sentence_index.h"
#include "model/text_encoder.h"
#include "model/text_projector.h"

/* Tells text encoders apart: weights with projector, vocabulary, and how text is cut into words. */
uint64_t text_encoder_fingerprint(const text_encoder *encoder);

/* The same without any projector: tells which encoder a projector was trained for. */
uint64_t text_encoder_bare_fingerprint(const text_encoder *encoder);

/* Loads `folder` (model/text_encoder.h) with a projector: the one that a model was trained with, options->projector's,
 * or its own. Without one, or for another text encoder than the projector was trained for, it is CARINA_ERROR_MISMATCH.
 * The pool of the options is used until text_embedder_close. trained: NULL for a model without; not used later. */
carina_status text_embedder_open(sentence_embedder *out, const char *folder, const text_encoder_options *options,
                                 const text_projector *trained, carina_error *error);
void text_embedder_close(sentence_embedder *embedder); /* accepts one that was never opened ({0}) */

/* Sentences so far that were longer than the encoder reads: what is left out of them has no say in their embedding. */
uint64_t text_embedder_cut(const sentence_embedder *embedder);

#endif
