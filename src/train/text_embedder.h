/* A text encoder as the maker of a sentence database's embeddings: the projected vectors of AnatomiX's text side. */
#ifndef TRAIN_TEXT_EMBEDDER_H
#define TRAIN_TEXT_EMBEDDER_H

#include "base/fingerprint.h"
#include "index/sentence_index.h"
#include "model/text_encoder.h"

/* Tells text encoders apart: weights with projector, vocabulary, and how text is cut into words. */
uint64_t text_encoder_fingerprint(const text_encoder *encoder);

/* Loads `folder` (model/text_encoder.h) with a projector, its own or options->projector's: without one it is
 * CARINA_ERROR_MISMATCH. The pool of the options is used until text_embedder_close. */
carina_status text_embedder_open(sentence_embedder *out, const char *folder, const text_encoder_options *options,
                                 carina_error *error);
void text_embedder_close(sentence_embedder *embedder); /* accepts one that was never opened ({0}) */

/* Sentences so far that were longer than the encoder reads: what is left out of them has no say in their embedding. */
uint64_t text_embedder_cut(const sentence_embedder *embedder);

#endif
