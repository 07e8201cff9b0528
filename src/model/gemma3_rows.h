/* What the loaders share: filling a packed matrix row by row, by all threads, from wherever rows come; and whether the
 * memory would suffice. */
#ifndef MODEL_GEMMA3_ROWS_H
#define MODEL_GEMMA3_ROWS_H

#include "base/threads.h"
#include "model/gemma3.h"

/* Sets row `row` of m; scratch holds m->inputs f32 values and belongs to this call alone. */
typedef carina_status gemma3_set_row(void *context, quantized_matrix *m, int64_t row, float *scratch,
                                     carina_error *error);

/* slot->matrix->packed of `kind`; the error begins with the slot's name. */
carina_status gemma3_fill_slot(const gemma3_slot *slot, quantized_kind kind, gemma3_set_row *set_row, void *context,
                               thread_pool *pool, carina_error *error);

/* Refuses what would not fit into the memory that is available now, with a gigabyte to spare. */
carina_status gemma3_check_memory(const char *path, uint64_t bytes, carina_error *error);

#endif
