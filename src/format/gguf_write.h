/* Writing GGUF (version 3, little-endian, alignment 32): keys, then the tensors' infos, then their bytes in the same
 * order, so that no more than what is at hand lies in memory. The file appears whole or not at all.
 *
 *     gguf_writer_open -> gguf_writer_put_.. -> gguf_writer_add_tensor.. -> gguf_writer_write.. -> gguf_writer_commit
 */
#ifndef FORMAT_GGUF_WRITE_H
#define FORMAT_GGUF_WRITE_H

#include "format/gguf.h"

typedef struct gguf_writer gguf_writer;

/* Keys by themselves, to be put into a file later; `count` of them in `bytes`, as gguf_metadata_parse reads them. All
 * zero at first. Running out of memory is said by gguf_keys_finish. */
typedef struct gguf_keys {
    void *stream; /* while they are put */
    char *bytes;  /* [byte_count], owned */
    size_t byte_count;
    uint64_t count;
} gguf_keys;

void gguf_keys_u32(gguf_keys *k, const char *key, uint32_t value);
void gguf_keys_f32(gguf_keys *k, const char *key, float value);
void gguf_keys_bool(gguf_keys *k, const char *key, bool value);
void gguf_keys_text(gguf_keys *k, const char *key, const char *text);
/* Arrays: the head, then as many items. */
void gguf_keys_array(gguf_keys *k, const char *key, gguf_kind kind, uint64_t count);
void gguf_keys_text_item(gguf_keys *k, const char *text, uint64_t size);
void gguf_keys_u32_item(gguf_keys *k, uint32_t value); /* of 32-bit whole numbers */
void gguf_keys_f32_item(gguf_keys *k, float value);
carina_status gguf_keys_finish(gguf_keys *k, carina_error *error); /* bytes are complete; nothing can follow */
void gguf_keys_free(gguf_keys *k);

carina_status gguf_writer_open(gguf_writer **out, const char *path, carina_error *error);
void gguf_writer_abort(gguf_writer *w); /* frees; accepts NULL */

/* Each key once, before the first tensor. What does not fit is found by gguf_writer_commit. */
void gguf_writer_put_u32(gguf_writer *w, const char *key, uint32_t value);
void gguf_writer_put_f32(gguf_writer *w, const char *key, float value);
void gguf_writer_put_text(gguf_writer *w, const char *key, const char *text);
void gguf_writer_put_keys(gguf_writer *w, const gguf_keys *keys); /* finished ones */

/* Shapes in C order. CARINA_ERROR_ARGUMENT: a name that is too long, rows that are no whole number of blocks, a tensor
 * after the first bytes. */
carina_status gguf_writer_add_tensor(gguf_writer *w, const char *name, uint32_t type, int rank, const uint64_t *shape,
                                     carina_error *error);
/* The next bytes of the data; a tensor may come in pieces, but a piece lies within one tensor. A full disk is said as
 * soon as the stream knows. */
carina_status gguf_writer_write(gguf_writer *w, const void *bytes, uint64_t size, carina_error *error);

/* Frees w, whatever the result. CARINA_ERROR_ARGUMENT when bytes are missing. */
carina_status gguf_writer_commit(gguf_writer *w, carina_error *error);

#endif
