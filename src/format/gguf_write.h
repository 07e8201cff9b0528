/* Writing GGUF (version 3, little-endian, alignment 32): keys, then the tensors' infos, then their bytes in the same
 * order, so that no more than what is at hand lies in memory. The file appears whole or not at all.
 *
 *     gguf_writer_open -> gguf_writer_put_.. -> gguf_writer_add_tensor.. -> gguf_writer_write.. -> gguf_writer_commit
 */
#ifndef FORMAT_GGUF_WRITE_H
#define FORMAT_GGUF_WRITE_H

#include "format/gguf.h"

typedef struct gguf_writer gguf_writer;

carina_status gguf_writer_open(gguf_writer **out, const char *path, carina_error *error);
void gguf_writer_abort(gguf_writer *w); /* frees; accepts NULL */

/* Each key once, before the first tensor. What does not fit is found by gguf_writer_commit. */
void gguf_writer_put_u32(gguf_writer *w, const char *key, uint32_t value);
void gguf_writer_put_f32(gguf_writer *w, const char *key, float value);
void gguf_writer_put_text(gguf_writer *w, const char *key, const char *text);

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
