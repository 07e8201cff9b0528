/* Sentences in, vectors out: tokenizer and BERT together, in padded batches.
 *
 * Sentences are sorted by length; those of about one length share a batch, padded to the upper end of their length
 * class. One graph is kept between calls: encoding again as many sentences of one class costs no planning.
 */
#ifndef MODEL_TEXT_ENCODER_H
#define MODEL_TEXT_ENCODER_H

#include "base/progress.h"
#include "base/threads.h"
#include "model/bert.h"
#include "text/wordpiece.h"

typedef struct text_encoder_options {
    thread_pool *pool; /* borrowed; NULL: the calling thread */
    tensor_type type;  /* of the activations */
    int batch;         /* most sentences at a time; 0: 32 */
    int max_tokens;    /* longer sentences are cut, [CLS] and [SEP] counted; 0: 512. At most the model's positions */
    const char *projector; /* a file to take the projector from; NULL: the directory's own, if any */
} text_encoder_options;

typedef struct text_encoder {
    wordpiece tokens;
    bert *model;
    text_encoder_options options;
    graph *g; /* of the batch size and length that were last used */
    tensor *ids, *mask;
    bert_outputs outputs;
} text_encoder;

/* A Hugging Face directory (model/bert_file.h). A vocabulary with more words than the weights have rows is
 * CARINA_ERROR_MISMATCH. On failure *out is empty. */
carina_status text_encoder_load(text_encoder *out, const char *folder, const text_encoder_options *options,
                                carina_error *error);
void text_encoder_free(text_encoder *e); /* accepts NULL and an empty one */

typedef struct text_span { /* one sentence */
    const char *text;      /* borrowed */
    uint64_t size;
} text_span;

/* pooled [count, D] and projected [count, R], each may be NULL; row i is sentence i. projected without a projector is
 * CARINA_ERROR_MISMATCH, and so are vectors that are not finite. *cut, when not NULL, counts the sentences that were
 * longer than max_tokens. CARINA_ERROR_CANCELLED after an interruption. `shown` may be NULL: sentences done. */
carina_status text_encoder_encode(text_encoder *e, const text_span *sentences, uint64_t count, float *pooled,
                                  float *projected, uint64_t *cut, progress *shown, carina_error *error);

#endif
