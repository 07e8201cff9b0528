/* What belongs to a language model beside its weights, and where it is looked for:
 *
 *     tokenizer       the one that is named; else a folder's tokenizer.json; else a GGUF file's own (text/bpe_gguf.h);
 *                     else the tokenizer.json beside the GGUF file
 *     end tokens      generation_config.json's eos_token_id (a number or a list), else config.json's (or its
 *                     text_config's); a GGUF file's as text/bpe_gguf.h names them; where nobody says, the
 *                     tokenizer's <eos> and <end_of_turn>
 *     chat template   a folder's (text/chat_template.h); a GGUF file's tokenizer.chat_template, else that of the
 *                     folder which its tokenizer.json is in
 */
#ifndef PIPELINE_LANGUAGE_MODEL_FILES_H
#define PIPELINE_LANGUAGE_MODEL_FILES_H

#include "format/gguf_metadata.h"
#include "pipeline/language_model.h"
#include "text/chat_template.h"

bool language_model_is_gguf(const char *path); /* by its name */

/* Where it is: a tokenizer.json, or the GGUF file itself; malloc'ed. CARINA_OK and *out NULL: there is none. named: a
 * tokenizer.json (or GGUF file), or NULL. */
carina_status language_model_find_tokenizer(char **out, const char *path, const char *named, carina_error *error);
/* That one, read. cache_folder: bpe_read's, may be NULL. */
carina_status language_model_read_tokenizer(bpe **out, const char *path, const char *named, const char *cache_folder,
                                            carina_error *error);
/* CARINA_OK and *out NULL: the model has none. named: as for the tokenizer. */
carina_status language_model_read_template(chat_template **out, const char *path, const char *named,
                                           carina_error *error);

typedef struct language_model_end_list {
    int ids[LANGUAGE_MODEL_MAX_ENDS];
    int count;
} language_model_end_list;

/* Once; what does not fit is left out. */
void language_model_add_end(language_model_end_list *ends, int id);
void language_model_tokenizer_ends(language_model_end_list *ends, const bpe *tokenizer);
/* metadata: a GGUF file's; NULL: path is a folder. */
carina_status language_model_read_ends(language_model_end_list *ends, const char *path, const gguf_metadata *metadata,
                                       const bpe *tokenizer, carina_error *error);
/* The same by the path alone. */
carina_status language_model_find_ends(language_model_end_list *ends, const char *path, const bpe *tokenizer,
                                       carina_error *error);

#endif
