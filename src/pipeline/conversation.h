/* A conversation with a language model: turns in, answers out.
 *
 * Every turn renders the whole conversation by the model's own template (text/chat_template.h) and asks the generator,
 * which still has the keys of the turns before (pipeline/prefix_cache.h): only the new turn is read. Where an answer's
 * text is cut into other tokens than it was drawn as, reading begins again at that place.
 */
#ifndef PIPELINE_CONVERSATION_H
#define PIPELINE_CONVERSATION_H

#include "format/json_writer.h"
#include "pipeline/generate.h"
#include "text/chat_template.h"

typedef struct conversation conversation;

/* Borrows all three. The generator should keep a session. */
carina_status conversation_create(conversation **out, language_model *model, generator *g, const chat_template *t,
                                  carina_error *error);
void conversation_free(conversation *c); /* accepts NULL */

/* Forgets all turns; system (copied, may be NULL): what a template that knows such a role puts in front. */
carina_status conversation_reset(conversation *c, const char *system, carina_error *error);

/* The user's turn and the model's. how: everything but the prompt; its receivers hear the answer. A cancelled answer
 * stays in the conversation as far as it came. Where it failed (or the template refuses, or the context has no room)
 * the turn has not been: CARINA_ERROR_* or result->end GENERATE_FAILED. */
carina_status conversation_answer(conversation *c, const char *text, const generate_request *how,
                                  generate_result *result, carina_error *error);

int conversation_count(const conversation *c); /* messages, the system's included */
const chat_message *conversation_messages(const conversation *c);

/* Goes on with turns that have been elsewhere, in place of those here: role and content are copied. A system's message
 * may come first, then the user's and the assistant's in turn, the assistant's last; others are CARINA_ERROR_FORMAT,
 * and nothing changes. */
carina_status conversation_resume(conversation *c, const chat_message *messages, int count, carina_error *error);

generator *conversation_generator(const conversation *c); /* borrowed, as it was given to create */

/* {"messages": [{"role": .., "content": ..}, ..]}, as chat programs exchange it; the file is replaced. */
carina_status conversation_save(const conversation *c, const char *path, carina_error *error);
/* The array of them alone. */
void conversation_put_messages(json_writer *w, const conversation *c);

#endif
