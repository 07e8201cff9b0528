/* Training a small text encoder as a train_task: BERT, first on masked words, then on which sentences mean the same.
 *
 * Stage 1 (Devlin et al. 2019): rows of sentences, of which 15 % of the tokens are to be guessed (80 % of these show
 * [MASK], 10 % a random word, 10 % themselves); cross-entropy over those tokens alone. The head is BERT's: dense, GELU,
 * LayerNorm, then the table of words itself and a bias.
 *
 * Stage 2, from step similarity.from_step: two sentences that say the same (the same sentence where there is no other;
 * dropout makes their views differ, as in SimCSE, Gao et al. 2021) are a pair; the loss over a batch of pairs is
 * op_alignment_loss, whose soft target comes from what the sentences say and where (text_corpus.h). Masked words go on
 * with a small weight, so that they are not forgotten.
 *
 * Score: 1 / (1 + loss) on the validation set's sentences, the loss being that of the stage; during stage 1, less one,
 * so that a model that has not been through stage 2 never counts as better than one that has.
 */
#ifndef TRAIN_TEXT_TASK_H
#define TRAIN_TEXT_TASK_H

#include "train/train_task.h"

carina_status text_task_create(train_task **out, const train_config *config, thread_pool *pool, carina_error *error);

#endif
