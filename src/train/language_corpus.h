/* The documents that a language model learns from, as token ids.
 *
 * Plain text files (data.texts; a paragraph, a line or the file is a document) and the reports of data sets
 * (chest_imagenome; film_report_tidy makes them paragraphs). A document is encoded with the tokenizer's special tokens
 * (<bos> in front) and ends with the end token: "<bos> No effusion. <eos>". What is held out is left out where training
 * has the very same document, and counted; where none of it remains, that is an error.
 */
#ifndef TRAIN_LANGUAGE_CORPUS_H
#define TRAIN_LANGUAGE_CORPUS_H

#include "text/bpe.h"
#include "train/train_config.h"

/* ids [begin, begin + count) of the corpus. The first `prompt` of them are never to be guessed: 1 where all but the
 * first is (plain texts), more where an answer follows a question. */
typedef struct language_document {
    uint64_t begin;
    uint32_t count, prompt;
} language_document;

typedef struct language_part {
    language_document *documents;
    uint32_t count;
    uint64_t room;
    uint64_t tokens; /* of all documents */
    uint64_t bytes;  /* of their texts */
} language_part;

typedef struct language_corpus {
    int32_t *ids;
    uint64_t id_count, id_room;
    language_part train, validation;
    uint64_t repeated;    /* held-out documents that training has too: left out */
    uint64_t fingerprint; /* of the training documents as ids */
} language_corpus;

/* Reads everything that the configuration names. end: the end token's id. An interrupt is CARINA_ERROR_CANCELLED. */
carina_status language_corpus_read(language_corpus *out, const train_config *config, const bpe *tokenizer, int end,
                                   carina_error *error);
void language_corpus_free(language_corpus *corpus); /* accepts an empty one */

/* One more document; for what has prompts, too. */
carina_status language_corpus_add(language_corpus *corpus, language_part *part, const int32_t *ids, uint64_t count,
                                  uint32_t prompt, carina_error *error);

#endif
