/* Embeddings that another program made: a .npy file [n, width] and a text file whose line i is the sentence of row i.
 * As a sentence_embedder: what is asked for must be among the lines.
 */
#ifndef INDEX_IMPORTED_EMBEDDINGS_H
#define INDEX_IMPORTED_EMBEDDINGS_H

#include "index/sentence_index.h"

/* fingerprint: of the text encoder that made them; NULL: "imported-" and a fingerprint of the two files' contents. A
 * sentence on two lines with different embeddings, an empty line, or unequal counts are errors that name the file and
 * line. */
carina_status imported_embeddings_open(sentence_embedder *out, const char *npy_path, const char *text_path,
                                       const char *fingerprint, carina_error *error);
void imported_embeddings_close(sentence_embedder *embedder); /* accepts one that was never opened ({0}) */

#endif
