/* The metadata of a GGUF file: keys with typed values, numbers, text, and arrays of them.
 *
 * Everything is checked when the file is read (lengths, types, keys given twice, UTF-8, booleans that are neither);
 * the look-ups here say in one line which key is missing or of another type than is needed. Keys and values point into
 * the file. Of an array of text only the beginnings of its items are kept, in one piece of memory: a tokenizer's
 * quarter of a million entries are one allocation.
 */
#ifndef FORMAT_GGUF_METADATA_H
#define FORMAT_GGUF_METADATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cursor.h"
#include "base/error.h"

#define GGUF_MAX_KEYS       (1u << 16)
#define GGUF_MAX_KEY_LENGTH 65535u /* bytes; the format's own limit */

typedef enum gguf_kind { /* the numbers that stand in files */
                         GGUF_KIND_U8,
                         GGUF_KIND_I8,
                         GGUF_KIND_U16,
                         GGUF_KIND_I16,
                         GGUF_KIND_U32,
                         GGUF_KIND_I32,
                         GGUF_KIND_F32,
                         GGUF_KIND_BOOL,
                         GGUF_KIND_TEXT,
                         GGUF_KIND_ARRAY, /* never of a gguf_value: that has its items' kind */
                         GGUF_KIND_U64,
                         GGUF_KIND_I64,
                         GGUF_KIND_F64,
                         GGUF_KIND_COUNT
} gguf_kind;

typedef struct gguf_text { /* bytes in the file, without a NUL; may hold NULs */
    const char *data;
    uint64_t size;
} gguf_text;

typedef struct gguf_value {
    gguf_text key; /* printable ASCII */
    gguf_kind kind;
    bool is_array;
    uint64_t count;       /* items; 1 unless is_array */
    const uint8_t *items; /* packed, unaligned; text: each with its length (u64) in front */
    uint64_t *starts;     /* [count] arrays of text: where an item's length lies, from `items` on; else NULL */
} gguf_value;

typedef struct gguf_metadata {
    const char *name;   /* of the file, borrowed, for messages */
    gguf_value *values; /* in the file's order */
    uint64_t count;
    const gguf_value **by_key; /* [count] sorted */
} gguf_metadata;

/* `count` keys and values from where the cursor stands. The cursor's bytes and `name` must outlive *out. On failure
 * *out is still to be freed. */
carina_status gguf_metadata_parse(gguf_metadata *out, const char *name, cursor *c, uint64_t count, carina_error *error);
void gguf_metadata_free(gguf_metadata *m);

/* NULL when there is none: the way to ask for a key that may be absent. */
const gguf_value *gguf_find(const gguf_metadata *m, const char *key);

/* Single values. CARINA_ERROR_FORMAT when the key is missing, holds another type, or a value that does not fit: u32
 * takes whole numbers of any type, f32 takes f32 and f64 and must be finite. */
carina_status gguf_get_u32(uint32_t *out, const gguf_metadata *m, const char *key, carina_error *error);
carina_status gguf_get_f32(float *out, const gguf_metadata *m, const char *key, carina_error *error);
carina_status gguf_get_bool(bool *out, const gguf_metadata *m, const char *key, carina_error *error);
carina_status gguf_get_text(gguf_text *out, const gguf_metadata *m, const char *key, carina_error *error);
bool gguf_text_is(gguf_text text, const char *expected);

/* Arrays: *out is borrowed, its items are of the group asked for. Whole numbers are of any width, and all fit int64. */
typedef enum gguf_group { GGUF_WHOLE, GGUF_REAL, GGUF_BOOL, GGUF_TEXT } gguf_group;
carina_status gguf_get_array(const gguf_value **out, const gguf_metadata *m, const char *key, gguf_group group,
                             carina_error *error);

/* Item `index` < count of an array of that group (or 0 of a single value); booleans are whole numbers 0 and 1. */
int64_t gguf_item_whole(const gguf_value *value, uint64_t index);
double gguf_item_real(const gguf_value *value, uint64_t index);
gguf_text gguf_item_text(const gguf_value *value, uint64_t index);

#endif
