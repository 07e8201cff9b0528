/* A session in a file: what a conversation has seen, to go on with after the program has ended.
 *
 * safetensors. For every layer I and head of keys H "layers.I.keys.H" and "layers.I.values.H" [rows, d], f32 or bf16 as
 * the session keeps them: rows of the ring that have been used, row r holding the latest position p with p % ring = r,
 * where ring is the capacity, or in local layers window + chunk if that is less. Metadata:
 *
 *     format            "carina-gemma3-session-1"
 *     model             fingerprint of the model (gemma3_fingerprint)
 *     adapter           fingerprint of the session's adapter (lora_fingerprint), where it has one
 *     length            tokens seen
 *     capacity, chunk   what the session was made for
 *     content           fingerprint of these numbers, the adapter's, and of all tensors' bytes
 *
 * A session that was read continues with the same bits as the one that was written.
 */
#ifndef MODEL_GEMMA3_SESSION_FILE_H
#define MODEL_GEMMA3_SESSION_FILE_H

#include "model/gemma3_session.h"

/* Of configuration and weights, packed ones as they are packed: the same model in another precision is another one. It
 * reads all weights, so it is to be kept. */
uint64_t gemma3_fingerprint(const gemma3 *model);

/* Atomically. The session must not run meanwhile; it does not change. fingerprint: gemma3_fingerprint of its model. */
carina_status gemma3_session_write(const char *path, gemma3_session *session, uint64_t fingerprint,
                                   carina_error *error);

/* config, fingerprint, adapter (borrowed, NULL: none): of the model that is to go on, as which the session is adapted;
 * a file of another model or adapter is CARINA_ERROR_MISMATCH. most_tokens: a session for more is CARINA_ERROR_LIMIT,
 * before memory is taken. Damage and truncation are CARINA_ERROR_FORMAT. */
carina_status gemma3_session_read(gemma3_session **out, const char *path, const gemma3_config *config,
                                  uint64_t fingerprint, const lora *adapter, int64_t most_tokens, carina_error *error);
/* The same from memory; name is for messages. */
carina_status gemma3_session_parse(gemma3_session **out, const char *name, const void *data, uint64_t size,
                                   const gemma3_config *config, uint64_t fingerprint, const lora *adapter,
                                   int64_t most_tokens, carina_error *error);

#endif
