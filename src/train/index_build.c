/* Sentences to a database, a batch at a time; see index_build.h. */
#include "train/index_build.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH 1024 /* sentences embedded at once: the encoder cuts this into what fits it */

static carina_status add_batch(sentence_index *index, const sentence_row *rows, uint64_t count,
                               const sentence_embedder *embedder, float *vectors, carina_error *error) {
    const char *texts[BATCH];
    for (uint64_t i = 0; i < count; i++) texts[i] = rows[i].text;
    TRY(embedder->embed(embedder->context, texts, count, vectors, error));
    for (uint64_t i = 0; i < count; i++) {
        const sentence_entry entry = {rows[i].text, rows[i].seen, rows[i].place};
        TRY(sentence_index_add(index, rows[i].region, &entry, vectors + i * (uint64_t)embedder->width, error));
    }
    return CARINA_OK;
}

carina_status index_build(sentence_index **out, const sentence_table *table, const sentence_embedder *embedder,
                          const atlas *regions, const sentence_index_info *info, carina_error *error) {
    uint64_t count;
    const sentence_row *rows = sentence_table_rows(table, &count);
    sentence_index_info all = *info;
    char films[24];
    *out = NULL;
    snprintf(films, sizeof films, "%" PRIu64, sentence_table_films(table));
    all.films = films;
    all.encoder = embedder->name;
    all.encoder_fingerprint = embedder->fingerprint;
    if (count == 0) return error_set(error, CARINA_ERROR_ARGUMENT, "no sentences: no film has a region with a box");
    float *vectors = malloc(BATCH * (size_t)embedder->width * sizeof *vectors);
    sentence_index *index = NULL;
    carina_status status = vectors ? CARINA_OK : error_memory(error, "embeddings", BATCH * sizeof *vectors);
    if (status == CARINA_OK) status = sentence_index_create(&index, regions, &all, embedder->width, error);
    for (uint64_t first = 0; first < count && status == CARINA_OK; first += BATCH)
        status =
            add_batch(index, rows + first, count - first < BATCH ? count - first : BATCH, embedder, vectors, error);
    if (status == CARINA_OK) status = sentence_index_finish(index, error);
    free(vectors);
    if (status != CARINA_OK) {
        sentence_index_free(index);
        return status;
    }
    *out = index;
    return CARINA_OK;
}
