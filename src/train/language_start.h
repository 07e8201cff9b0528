/* A language model's run that begins with the weights of another (`start`). */
#ifndef TRAIN_LANGUAGE_START_H
#define TRAIN_LANGUAGE_START_H

#include "model/gemma3.h"
#include "text/bpe.h"

/* FOLDER's weights into the model, which must be of the same shape. FOLDER's tokenizer.json, when there is one, must
 * give every id the text that `tokenizer` gives it; the latter may have more tokens. Errors name folder and value. */
carina_status language_start(const gemma3 *model, const bpe *tokenizer, const char *folder, carina_error *error);

#endif
