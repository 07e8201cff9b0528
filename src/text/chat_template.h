/* A conversation as the text that a language model was trained on: the chat template of a Hugging Face tokenizer.
 *
 * The template is Jinja, of the subset in text/jinja.h, and sees what Hugging Face's library shows it: messages,
 * bos_token and eos_token, add_generation_prompt, and tools and documents as none. strftime_now is not there: a
 * template that would write today's date writes its own, so that a conversation is the same text every day.
 *
 * The text is to be encoded as it is, special tokens included and none added: most templates begin with bos_token. What
 * a user types is put into it unchanged, so that "<end_of_turn>" in a message is that token, as it is for Hugging Face.
 */
#ifndef TEXT_CHAT_TEMPLATE_H
#define TEXT_CHAT_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "format/gguf_metadata.h"

#define CHAT_MAX_MESSAGES 65536

/* Constant once it is made; may be shared by threads. */
typedef struct chat_template chat_template;

typedef enum chat_part_kind {
    CHAT_TEXT,
    CHAT_IMAGE /* the template puts its mark there (Gemma 3: <start_of_image>) */
} chat_part_kind;

typedef struct chat_part {
    chat_part_kind kind;
    const char *text; /* of CHAT_TEXT */
} chat_part;

typedef struct chat_message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* or NULL: the parts; a template may know only one of the two */
    const chat_part *parts;
    int part_count;
} chat_message;

typedef struct chat_options {
    const char *bos, *eos;      /* NULL: those of tokenizer_config.json; where there are none, undefined */
    bool add_generation_prompt; /* ends with the beginning of the answer */
} chat_options;

/* name is for messages. Errors are jinja_parse's. */
carina_status chat_template_parse(chat_template **out, const char *name, const void *data, uint64_t size,
                                  carina_error *error);
/* The template of a model's folder: chat_template.jinja, else "chat_template" of tokenizer_config.json (a text, or a
 * list of {name, template}, of which "default" is taken). CARINA_OK and *out NULL: the folder has none. */
carina_status chat_template_read(chat_template **out, const char *folder, carina_error *error);
/* The same of a GGUF file: tokenizer.chat_template, with the tokens of tokenizer.ggml.bos_token_id and .eos_token_id.
 */
carina_status chat_template_from_gguf(chat_template **out, const gguf_metadata *metadata, carina_error *error);
void chat_template_free(chat_template *t); /* accepts NULL */

/* The texts of bos_token and eos_token that came with the template, borrowed; NULL: none. */
const char *chat_template_bos(const chat_template *t);
const char *chat_template_eos(const chat_template *t);
const char *chat_template_source(const chat_template *t); /* its Jinja, borrowed */

/* *text is malloc'ed UTF-8, NUL-terminated. What the template itself refuses (raise_exception) is CARINA_ERROR_ARGUMENT
 * with its words; what it does that is not supported, or too much, says where it does it. Bytes in messages that are
 * not UTF-8 become U+FFFD. */
carina_status chat_template_render(const chat_template *t, const chat_message *messages, int count,
                                   const chat_options *options, char **text, uint64_t *size, carina_error *error);

/* Gemma's turns, for models that bring no template of their own: as chat_template_parse. */
carina_status chat_template_gemma(chat_template **out, carina_error *error);

#endif
