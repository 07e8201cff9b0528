/* What a tokenizer.json asks for beside its tokens and merges: normalizer, pre-tokenizer, post-processor, decoder.
 *
 * Known kinds: normalizer Replace of a string, Prepend, Sequence; pre-tokenizer Split at a string; post-processor
 * TemplateProcessing; decoder Sequence of Replace, ByteFallback, Fuse and Strip in this order. Each may be null, apart
 * from the decoder. Others are CARINA_ERROR_UNSUPPORTED with their name.
 */
#ifndef TEXT_BPE_SETTINGS_H
#define TEXT_BPE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define BPE_MAX_RULES    16
#define BPE_MAX_SPECIALS 16 /* around a text, on either side */
#define BPE_MAX_PATTERN  64 /* bytes */

typedef struct bpe_pattern {
    char text[BPE_MAX_PATTERN];
    uint32_t size;
} bpe_pattern;

/* One step on a text: every `pattern` becomes `content`; prepend: `content` is put in front, of texts not empty. */
typedef struct bpe_rule {
    bool prepend;
    bpe_pattern pattern, content;
} bpe_rule;

typedef enum bpe_split { /* what becomes of the pattern where a text is cut at it */
                         BPE_SPLIT_NONE,
                         BPE_SPLIT_REMOVED,
                         BPE_SPLIT_ISOLATED,
                         BPE_SPLIT_PREVIOUS, /* ends the piece before */
                         BPE_SPLIT_NEXT,     /* begins the piece after */
} bpe_split;

typedef enum bpe_part { /* parts of the file that are kept as they stand there */
                        BPE_PART_NORMALIZER,
                        BPE_PART_PRE_TOKENIZER,
                        BPE_PART_POST_PROCESSOR,
                        BPE_PART_DECODER,
                        BPE_PART_COUNT
} bpe_part;

const char *bpe_part_name(bpe_part part); /* its key in the file */

typedef struct bpe_settings {
    char *parts[BPE_PART_COUNT]; /* JSON, owned; NULL: null */
    bool byte_fallback, fuse_unk, ignore_merges;
    char *unk_token; /* owned, NULL: none */

    /* what the parts say */
    bpe_rule rules[BPE_MAX_RULES];
    int rule_count;
    bpe_split split;
    bpe_pattern split_at;
    int32_t before[BPE_MAX_SPECIALS], after[BPE_MAX_SPECIALS];
    int before_count, after_count;
    bpe_rule decode[BPE_MAX_RULES];
    int decode_count;
    bool decode_bytes;
    bpe_pattern strip; /* at most strip_count of it are taken off the beginning of a decoded text */
    int strip_count;
} bpe_settings;

void bpe_settings_free(bpe_settings *s);

/* Reads `parts`; name is the file's, for messages. Ids are not held against the vocabulary here. */
carina_status bpe_settings_parse(bpe_settings *s, const char *name, carina_error *error);

#endif
