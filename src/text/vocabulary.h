/* A WordPiece vocabulary: vocab.txt, one token a line; the line's number is the token's id.
 *
 * A token that continues a word begins with "##". [UNK], [CLS], [SEP] and [PAD] must be there, [MASK] may be.
 */
#ifndef TEXT_VOCABULARY_H
#define TEXT_VOCABULARY_H

#include <stdint.h>

#include "base/error.h"

#define VOCABULARY_MAX_TOKENS (1 << 20)
#define VOCABULARY_MAX_BYTES  (64u << 20)
#define VOCABULARY_MAX_TOKEN  512 /* bytes of one token */

typedef enum vocabulary_special { /* in the order in which they are looked for */
                                  VOCABULARY_PAD,
                                  VOCABULARY_UNK,
                                  VOCABULARY_CLS,
                                  VOCABULARY_SEP,
                                  VOCABULARY_MASK,
                                  VOCABULARY_SPECIAL_COUNT
} vocabulary_special;

const char *vocabulary_special_text(vocabulary_special special); /* "[PAD]" ... */

typedef struct vocabulary {
    int count;
    int longest;                           /* bytes of the longest token */
    int special[VOCABULARY_SPECIAL_COUNT]; /* ids; -1 for a [MASK] that is not there */
    char *text;                            /* all tokens, each with a NUL */
    uint32_t *begin;                       /* [count]: where a token begins in text */
    uint32_t *slots;                       /* hash table: id + 1, 0 for an empty slot */
    uint32_t slot_mask;
} vocabulary;

/* Errors name the line: two lines alike, a token too long, malformed UTF-8, no [UNK], and so on. `data` is copied.
 * Blank lines take an id that no text ever gets, as in the reference. CRLF is accepted. On failure *out is empty. */
carina_status vocabulary_parse(vocabulary *out, const char *name, const void *data, uint64_t size, carina_error *error);
carina_status vocabulary_read(vocabulary *out, const char *path, carina_error *error);
void vocabulary_free(vocabulary *v); /* accepts NULL and an empty one */

int vocabulary_find(const vocabulary *v, const char *text, uint64_t size); /* id or -1 */
const char *vocabulary_token(const vocabulary *v, int id);                 /* NULL outside 0 .. count - 1 */

/* Writes vocab.txt, atomically. */
carina_status vocabulary_write(const vocabulary *v, const char *path, carina_error *error);

#endif
