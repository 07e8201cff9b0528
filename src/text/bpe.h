/* The tokenizer of a language model: Hugging Face's tokenizer.json of the BPE kind that Gemma and Llama use.
 *
 * A text goes through these steps, each as the file asks for it:
 *   1. bytes that are not UTF-8 become U+FFFD, one for each longest beginning of a character (Unicode 15, 3.9)
 *   2. added tokens are found in the text as it is, the longest at each place; then, between them,
 *   3. the normalizer (a blank becomes U+2581, and so on), and added tokens that want normalised text
 *   4. the pre-tokenizer cuts into pieces
 *   5. a piece begins as its characters (those that are no token as their bytes, <0xE2> and so on), and neighbours
 *      are joined, always the pair whose merge stands first in the file, the leftmost of equals (text/bpe_merge.c)
 *   6. asked for special tokens, the post-processor's are put round the ids (<bos> in front)
 *
 * Facts: https://huggingface.co/docs/tokenizers. Kinds that are not known here are an error that names them.
 * "truncation" and "padding" are left to the caller.
 *
 * A bpe is constant once it is loaded (bpe_add apart), and may be shared by threads; each needs its own bpe_encoder.
 */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define BPE_MAX_TOKENS (1 << 21)
#define BPE_MAX_MERGES (1 << 22)
#define BPE_MAX_TOKEN  4096         /* bytes of one token */
#define BPE_MAX_FILE   (256u << 20) /* bytes of a tokenizer.json */
#define BPE_MAX_TEXT   (64u << 20)  /* bytes of one text, also repaired or normalised: at worst 3 GiB of memory */

typedef struct bpe bpe;

/* Reads tokenizer.json. cache_folder (may be NULL): where a compact form of large files is kept, see text/bpe_cache.h;
 * a cache that is damaged, or cannot be written, is no error. */
carina_status bpe_read(bpe **out, const char *path, const char *cache_folder, carina_error *error);
/* The same from memory; name is for messages. */
carina_status bpe_parse(bpe **out, const char *name, const void *data, uint64_t size, carina_error *error);
void bpe_free(bpe *b); /* accepts NULL */
/* Writes tokenizer.json, atomically. */
carina_status bpe_write(const bpe *b, const char *path, carina_error *error);

/* ---- tokens ---- */

int bpe_count(const bpe *b); /* the largest id + 1; not every id need have a token */
/* The token's text as it stands in the file, not NUL-terminated; NULL for an id without one. */
const char *bpe_token(const bpe *b, int id, uint64_t *size);
int bpe_find(const bpe *b, const char *text, uint64_t size); /* id or -1 */
bool bpe_is_special(const bpe *b, int id);

/* Makes each text an added token, found before anything else is done with a text: the token of that name when there is
 * one, else a new one behind the last id. special: left out when decoding skips special tokens. ids[count] may be NULL.
 * Encoders made before do not know them. */
carina_status bpe_add(bpe *b, const char *const *texts, int count, bool special, int32_t *ids, carina_error *error);

/* ---- encoding ---- */

/* Working memory, as large as the longest text was, and the words that were met lately. Borrows the tokenizer. */
typedef struct bpe_encoder bpe_encoder;

carina_status bpe_encoder_create(bpe_encoder **out, const bpe *b, carina_error *error);
void bpe_encoder_free(bpe_encoder *e); /* accepts NULL */
/* *ids is the encoder's, until it encodes the next text. text may hold any bytes. */
carina_status bpe_encode(bpe_encoder *e, const char *text, uint64_t size, bool add_special, const int32_t **ids,
                         uint64_t *count, carina_error *error);

/* ---- decoding ---- */

/* Ids to text as the file's decoder asks: U+2581 becomes a blank, byte tokens in a row become characters, each byte
 * that belongs to none U+FFFD. One id at a time, so that an answer can be shown while it is made. */
typedef struct bpe_decoder {
    const bpe *tokenizer; /* borrowed */
    bool skip_special;
    char *text; /* so far, NUL-terminated; whole characters only */
    uint64_t size, room;
    uint8_t bytes[4]; /* of a character that is not whole yet */
    int byte_count;
    int stripped; /* characters taken off the beginning, -1: no more are */
} bpe_decoder;

bpe_decoder bpe_decoder_make(const bpe *b, bool skip_special);
void bpe_decoder_free(bpe_decoder *d);
/* An id without a token is CARINA_ERROR_ARGUMENT and changes nothing. */
carina_status bpe_decoder_push(bpe_decoder *d, int64_t id, carina_error *error);
carina_status bpe_decoder_finish(bpe_decoder *d, carina_error *error); /* bytes that wait for others */
/* All at once; *out is malloc'ed and NUL-terminated. */
carina_status bpe_decode(const bpe *b, const int32_t *ids, uint64_t count, bool skip_special, char **out,
                         uint64_t *out_size, carina_error *error);
/* What one token adds behind other text, in bytes that need be no whole character: <0xE2> is one byte, special tokens
 * and ids without a token add none. They go to *out + *at (of *room bytes, grown by realloc), and *at moves on. */
carina_status bpe_token_bytes(const bpe *b, int id, char **out, uint64_t *room, uint64_t *at, carina_error *error);

#endif
