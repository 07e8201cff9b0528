/* A sentence database from counted sentences and whatever embeds them. */
#ifndef TRAIN_INDEX_BUILD_H
#define TRAIN_INDEX_BUILD_H

#include "data/sentence_table.h"
#include "index/sentence_index.h"

/* table: sorted. The embedder's name, fingerprint and width and the number of films go into the index; the rest of its
 * origin is taken from info. The same sentence of several regions is embedded for each. */
carina_status index_build(sentence_index **out, const sentence_table *table, const sentence_embedder *embedder,
                          const atlas *regions, const sentence_index_info *info, carina_error *error);

#endif
