/* WordPiece as Hugging Face's BertTokenizer does it: a sentence in, the ids that BERT was trained on out.
 *
 *     text -> special tokens written out ("[MASK]") are themselves
 *          -> control characters dropped, white space to breaks, ideographs set apart
 *          -> lower case, then accents stripped (NFD without nonspacing marks)
 *          -> cut at white space and round every punctuation mark: words
 *          -> each word: the longest token that it begins with, then the longest "##" token that goes on, ...; a word
 *             that cannot be cut so, or of more than 100 characters, is [UNK]
 *     [CLS] ids [SEP]
 *
 * Malformed UTF-8 counts as U+FFFD, which is dropped. Lower case looks at one character at a time (a final sigma is a
 * sigma), and there is no composition (NFC) before it: both as in the reference. Text is read in one pass that ends
 * when no more ids fit, with memory for one word.
 */
#ifndef TEXT_WORDPIECE_H
#define TEXT_WORDPIECE_H

#include <stdbool.h>

#include "text/vocabulary.h"

#define WORDPIECE_MAX_WORD 100 /* characters */

typedef struct wordpiece_options {
    bool lower_case;    /* do_lower_case */
    bool strip_accents; /* strip_accents; when the file leaves it open: as lower_case */
    bool split_cjk;     /* tokenize_chinese_chars */
} wordpiece_options;

typedef struct wordpiece {
    vocabulary words;
    wordpiece_options options;
} wordpiece;

/* What a file that says nothing gets: all true. */
wordpiece_options wordpiece_defaults(void);
/* The three keys of a tokenizer_config.json. Special tokens under other names, and a tokenizer class that is not
 * BERT's, are CARINA_ERROR_UNSUPPORTED. */
carina_status wordpiece_options_parse(wordpiece_options *out, const char *name, const void *data, uint64_t size,
                                      carina_error *error);

/* FOLDER/vocab.txt, with FOLDER/tokenizer_config.json when it is there. On failure *out is empty. */
carina_status wordpiece_load(wordpiece *out, const char *folder, carina_error *error);
void wordpiece_free(wordpiece *w); /* accepts NULL and an empty one */

/* [CLS] text [SEP] into ids [limit], limit >= 2; returns how many there are. What does not fit between is cut off, and
 * *cut (may be NULL) says so. */
int wordpiece_encode(const wordpiece *w, const char *text, uint64_t size, int *ids, int limit, bool *cut);

/* The words of a text, cut and normalised as above but not yet looked up; for building a vocabulary. `word` is not
 * NUL-terminated; words longer than WORDPIECE_MAX_WORD and special tokens are passed over. Returns false when `each`
 * did (to stop). */
typedef bool wordpiece_each(void *context, const char *word, int size);
bool wordpiece_split(const wordpiece_options *options, const char *text, uint64_t size, wordpiece_each *each,
                     void *context);

#endif
