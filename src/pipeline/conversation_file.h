/* A conversation in a file, to go on with after the program has ended: the messages, and the session that has read
 * them.
 *
 * The file is a session's (model/gemma3_session_file.h), with the ids that it has seen and this text beside it:
 *
 *     {"format": "carina-conversation-1", "messages": [{"role": "user", "content": ".."}, {"role": "assistant", ..},
 * ..]}
 *
 * as conversation_resume takes them. Nothing else is in it. The next turn renders all messages and finds, as within one
 * run, how much of them the session has read; so another chat template costs time and nothing else.
 */
#ifndef PIPELINE_CONVERSATION_FILE_H
#define PIPELINE_CONVERSATION_FILE_H

#include "pipeline/conversation.h"

#define CONVERSATION_MAX_TEXT (64u << 20) /* bytes of that text */

/* Atomically. fingerprint: gemma3_fingerprint of its model. Without turns no session is kept. */
carina_status conversation_file_write(const conversation *c, const char *path, uint64_t fingerprint,
                                      carina_error *error);

/* Puts the file's messages in place of the conversation's, and keeps its session in the generator. adapter (borrowed,
 * NULL: none): that the next turns are to be answered with. Another model's or adapter's file is
 * CARINA_ERROR_MISMATCH; then, and on damage, the conversation is what it was. *read: tokens that the session has seen
 * and knows; of a session that was made for another context 0, and its messages are read again with the next turn. */
carina_status conversation_file_read(conversation *c, const char *path, uint64_t fingerprint, const lora *adapter,
                                     int64_t *read, carina_error *error);

/* The text alone, into the conversation; name is for messages. */
carina_status conversation_text_parse(conversation *c, const char *name, const void *text, uint64_t size,
                                      carina_error *error);

#endif
