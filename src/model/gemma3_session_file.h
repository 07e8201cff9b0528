/* A session in a file: what a conversation has seen, to go on with after the program has ended.
 *
 * safetensors. For every layer I and head of keys H "layers.I.keys.H" and "layers.I.values.H" [rows, d], f32 or bf16 as
 * the session keeps them: rows of the ring that have been used, row r holding the latest position p with p % ring = r,
 * where ring is the capacity, or in local layers window + chunk if that is less. Metadata:
 *
 *     format            "carina-gemma3-session-2"
 *     model             fingerprint of the model (gemma3_fingerprint)
 *     adapter           fingerprint of the session's adapter (lora_fingerprint), where it has one
 *     length            tokens seen
 *     capacity, chunk   what the session was made for
 *     first_key         rows of local layers that would hold an earlier position hold nothing of use
 *     content           fingerprint of these numbers, the adapter's, and of all those tensors' bytes
 *
 * and where its owner keeps something beside it, "tokens" [length] i32 and "text" [bytes] u8, with
 *
 *     notes             fingerprint of the text of `content`, of tokens and text
 *
 * A session that was read continues with the same bits as the one that was written.
 */
#ifndef MODEL_GEMMA3_SESSION_FILE_H
#define MODEL_GEMMA3_SESSION_FILE_H

#include "format/tensor_file.h"
#include "model/gemma3_session.h"

/* Of configuration and weights, packed ones as they are packed: the same model in another precision is another one. It
 * reads all weights, so it is to be kept. */
uint64_t gemma3_fingerprint(const gemma3 *model);

/* What its owner keeps beside a session: the ids that it has seen, and a text of the owner's own. */
typedef struct gemma3_session_notes {
    const int32_t *tokens; /* [length] */
    const char *text;      /* [text_size], any bytes */
    uint64_t text_size;
} gemma3_session_notes;

/* Atomically. The session must not run meanwhile; it does not change. fingerprint: gemma3_fingerprint of its model.
 * notes: NULL for none. A session that waits for promised rows (gemma3_row.more) is CARINA_ERROR_ARGUMENT. */
carina_status gemma3_session_write(const char *path, gemma3_session *session, uint64_t fingerprint,
                                   const gemma3_session_notes *notes, carina_error *error);

/* config, fingerprint, adapter (borrowed, NULL: none): of the model that is to go on, as which the session is adapted;
 * a file of another model or adapter is CARINA_ERROR_MISMATCH. most_tokens: a session for more is CARINA_ERROR_LIMIT,
 * before memory is taken. Damage and truncation are CARINA_ERROR_FORMAT. */
carina_status gemma3_session_read(gemma3_session **out, const char *path, const gemma3_config *config,
                                  uint64_t fingerprint, const lora *adapter, int64_t most_tokens, carina_error *error);
/* The same from memory; name is for messages. */
carina_status gemma3_session_parse(gemma3_session **out, const char *name, const void *data, uint64_t size,
                                   const gemma3_config *config, uint64_t fingerprint, const lora *adapter,
                                   int64_t most_tokens, carina_error *error);

/* The same in two steps, from an open file: for whoever wants its notes, or to see first what it was made for. */
typedef struct gemma3_session_head {
    int64_t length, capacity, chunk, first_key;
    tensor_type type;
    bool has_notes;
    int32_t *tokens;  /* [length], malloc'ed; NULL without notes */
    const char *text; /* [text_size], the file's */
    uint64_t text_size;
} gemma3_session_head;
/* Checks all but keys and values. Ids are within the model's vocabulary. */
carina_status gemma3_session_head_read(gemma3_session_head *out, const tensor_file *file, const char *name,
                                       const gemma3_config *config, uint64_t fingerprint, const lora *adapter,
                                       carina_error *error);
void gemma3_session_head_free(gemma3_session_head *head); /* accepts zeros */
/* Takes memory for head->capacity tokens: to be looked at before. */
carina_status gemma3_session_restore(gemma3_session **out, const gemma3_session_head *head, const tensor_file *file,
                                     const char *name, const gemma3_config *config, const lora *adapter,
                                     carina_error *error);

#endif
