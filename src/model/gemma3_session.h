/* Sequences that grow token by token: what a decoder has seen of each (its session), and the graphs that take the next
 * tokens of one or of several sessions at once (the runner). A loaded model is const; all that changes is here.
 *
 * A runner has one planned graph for each of a few row counts, made when first wanted; a step takes the smallest that
 * fits, and fills it up with rows that belong to nobody. Longer prompts go in chunks. What a row gets
 * does not depend on the other rows (attention, products with packed weights, op_row_linear); only activations in bf16
 * have products of the whole graph.
 *
 * Of a long prompt only the last rows are asked for anything, and behind the last global layer a local one asks only a
 * window back: keys that its ring will have dropped when the prompt ends are not made, nor what in the layers below is
 * made for them alone (the 4B shape: four layers behind the last global one; of 2,560 tokens 1,024 skip one layer, of a
 * very long prompt nearly all skip four). Rows say so by `more`; the bits are the same.
 */
#ifndef MODEL_GEMMA3_SESSION_H
#define MODEL_GEMMA3_SESSION_H

#include "base/threads.h"
#include "model/gemma3.h"
#include "model/lora.h"

/* ---- a session: its keys and values ---- */

typedef struct gemma3_session gemma3_session;

/* Room for `tokens` tokens in all; local layers keep their window and `chunk` tokens more. type: of keys and values. */
carina_status gemma3_session_create(gemma3_session **out, const gemma3_config *config, tensor_type type, int64_t tokens,
                                    int64_t chunk, carina_error *error);
void gemma3_session_free(gemma3_session *session); /* accepts NULL */

int64_t gemma3_session_length(const gemma3_session *session);   /* tokens seen */
int64_t gemma3_session_capacity(const gemma3_session *session); /* tokens that it has room for */
uint64_t gemma3_session_bytes(const gemma3_session *session);
/* The same for one that is still to be made; sizes as gemma3_session_create accepts them. */
uint64_t gemma3_session_needs(const gemma3_config *config, tensor_type type, int64_t tokens, int64_t chunk);
/* Of its bytes those that the system has not given yet: it gives whole pages, where something is written. */
uint64_t gemma3_session_grows(const gemma3_session *session);
/* Has the system give them all now: it takes the same time, but no token waits for it. */
void gemma3_session_settle(gemma3_session *session);

/* What a session is made of, for keeping it in a file (model/gemma3_session_file.h). */
typedef struct gemma3_session_parts {
    const gemma3_config *config;
    tensor_type type;
    int64_t capacity, chunk; /* as they were given to create */
    key_cache *layers;       /* [config->layers], the session's own */
} gemma3_session_parts;
gemma3_session_parts gemma3_session_open(gemma3_session *session);
/* The first position from which on all local layers have what their rings hold: 0, or more where keys were left out
 * (gemma3_row.more), or overwritten by rows that were gone back from. */
int64_t gemma3_session_first_key(const gemma3_session *session);
/* No promised rows (gemma3_row.more) are waited for: the next row may want logits. */
bool gemma3_session_is_whole(const gemma3_session *session);
/* Says that `length` tokens have been seen, up to the capacity: their keys and values were put into the parts, those of
 * local layers from first_key on. */
void gemma3_session_resume(gemma3_session *session, int64_t length, int64_t first_key);

/* A second session that has seen the same: prompts that share a beginning pay for it once. */
carina_status gemma3_session_copy(gemma3_session **out, const gemma3_session *session, carina_error *error);
/* Forgets all tokens from `length` on. False, and nothing changes, when a local layer does not have the window in front
 * of them: no longer, or not yet (rows that were to follow, gemma3_row.more, have not come). */
bool gemma3_session_rewind(gemma3_session *session, int64_t length);
bool gemma3_session_can_rewind(const gemma3_session *session, int64_t length);
/* The session's next rows are taken with that adapter, borrowed, or without one (NULL). What it has seen stays as it
 * was seen: to have a whole text by one adapter, choose it before the first row. Copies of the session have it too.
 * CARINA_ERROR_MISMATCH when the adapter is another model's. Rows without one are what they are without any, in packed
 * weights to the bit; a step in which no row has one does not know of adapters. */
carina_status gemma3_session_adapt(gemma3_session *session, const lora *adapter, carina_error *error);
/* lora_fingerprint of the adapter that was chosen last, which need not be there any more; 0: none. */
uint64_t gemma3_session_adapter(const gemma3_session *session);

/* ---- the runner ---- */

typedef struct gemma3_runner gemma3_runner;

typedef struct gemma3_runner_options {
    thread_pool *pool; /* borrowed, may be NULL */
    tensor_type type;  /* of activations */
    int64_t chunk;     /* most rows of a step: 1 .. 4096 */
    int64_t tokens;    /* the longest session's capacity: 1 .. 2^24 */
} gemma3_runner_options;

/* Borrows the model. */
carina_status gemma3_runner_create(gemma3_runner **out, const gemma3 *model, const gemma3_runner_options *options,
                                   carina_error *error);
void gemma3_runner_free(gemma3_runner *runner); /* accepts NULL */
/* Bytes that one of the longest sessions lets it take beside that session: for the angles of its positions, and for
 * each thread the scores of attention. Plans are not counted: they grow with the chunk, not with the text. */
uint64_t gemma3_runner_needs(const gemma3_config *config, const gemma3_runner_options *options);
/* The same without the angles of positions that a session has reached already. */
uint64_t gemma3_runner_grows(const gemma3_runner *runner);
/* Whole layers of the body that rows of its steps went through so far, summed over rows; each row has stored keys and
 * values in one layer more, and those whose logits were wanted went through the last one. */
uint64_t gemma3_runner_layer_rows(const gemma3_runner *runner);

/* The next token of a session: an id, or a vector [D] in its place. */
typedef struct gemma3_row {
    gemma3_session *session;
    int64_t id;          /* -1 with a vector */
    const float *vector; /* NULL with an id; taken as it is, not scaled */
    bool wants_logits;
    /* At least so many further rows of the session come before anybody wants logits of a row up to this one, copies
     * the session or goes back in it (to 0 it can always). 0: not known. */
    int64_t more;
} gemma3_row;

/* All rows at once; those of one session stand together, in their order. *logits: [rows that want them, V], in order,
 * until the next step. Errors: an id outside the vocabulary, more rows than a chunk, a session that is full or another
 * model's, or whose promised rows (gemma3_row.more) did not come. The sessions grow only when all went well. */
carina_status gemma3_runner_step(gemma3_runner *runner, const gemma3_row *rows, int64_t count, const float **logits,
                                 carina_error *error);

#endif
