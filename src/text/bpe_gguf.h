/* The tokenizer that a GGUF file carries in its metadata, as a bpe: for tokenizer.ggml.model "llama", the kind of
 * Gemma's.
 *
 *     tokenizer.ggml.tokens       text of each id
 *     tokenizer.ggml.scores       of each: the higher, the sooner two neighbours are joined to it
 *     tokenizer.ggml.token_type   1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
 *     tokenizer.ggml.bos_token_id, .eos_token_id, .unknown_token_id, .add_bos_token, .add_eos_token, .add_space_prefix
 *
 *     tokenizer.ggml.eot_token_id, .eom_token_id     more tokens that end an answer
 *     carina.end_token_ids        all of them, where they are more than those three: other programs pass over it
 *
 * There are no merges in such a file: any two neighbours whose texts together are a token may be joined. All these
 * pairs are made, in the order in which Hugging Face's converter of SentencePiece models puts them: by the score of
 * what they make, then the longer left side first. Control and user defined tokens become added tokens, found before
 * anything else. "gpt2" (byte letters, cut by a regular expression) and others are CARINA_ERROR_UNSUPPORTED with their
 * name. An unused token that is called "[PADn]" with its own id n is none: a model has more rows than tokens.
 */
#ifndef TEXT_BPE_GGUF_H
#define TEXT_BPE_GGUF_H

#include "format/gguf_metadata.h"
#include "format/gguf_write.h"
#include "text/bpe.h"

/* Borrows nothing. Errors name the file and the key. */
carina_status bpe_from_gguf(bpe **out, const gguf_metadata *metadata, carina_error *error);
/* The same of a file, whose tensors are not looked at beyond its headers. */
carina_status bpe_read_gguf(bpe **out, const char *path, carina_error *error);

#define BPE_GGUF_PADDING "[PAD%llu]"

/* Keys of tokens that end an answer: of the first, second and third; of all. */
#define BPE_GGUF_END_KEYS 3
extern const char *const bpe_gguf_end_keys[BPE_GGUF_END_KEYS];
#define BPE_GGUF_ALL_ENDS "carina.end_token_ids"

/* The keys that give this tokenizer back, for a model of so many rows; finished, to be freed. ends [end_count]: tokens
 * that end an answer. CARINA_ERROR_UNSUPPORTED, and no keys: they could not
 * give the same ids for every text; the message says what they have no words for. */
carina_status bpe_gguf_keys(gguf_keys *out, const bpe *b, int vocabulary, const int *ends, int end_count,
                            carina_error *error);

#endif
