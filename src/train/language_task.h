/* Training a Gemma 3 as a train_task: from nothing, or on from a folder (`start`).
 *
 * Rows of documents (language_rows.h) go through the forward pass that inference uses (gemma3_record_body over whole
 * sequences); the loss is the next token's cross-entropy, whose logits never stand in memory (gemma3_record_loss). It
 * is the mean over the tokens that count in all of a step's accumulated batches: they are counted before the first of
 * them (gather), so that a step of several batches is the step of one large batch.
 *
 * Validation: the mean loss over every counted token of the held-out documents; perplexity is its exponential. Score:
 * exp(-loss), the (geometric) mean probability of the right token. The best model is a Hugging Face folder with its
 * tokenizer.json.
 */
#ifndef TRAIN_LANGUAGE_TASK_H
#define TRAIN_LANGUAGE_TASK_H

#include "train/train_task.h"

carina_status language_task_create(train_task **out, const train_config *config, thread_pool *pool,
                                   carina_error *error);

#endif
