/* What training films say of their regions, as numbers: each different sentence once, its vector by a text encoder that
 * stays as it is, and for each film and region which sentence it is. Made before training, so that a batch needs no
 * text encoder.
 *
 * Vectors are f32: 100,000 sentences of 768 numbers take 0.3 GB.
 */
#ifndef TRAIN_SENTENCE_VECTORS_H
#define TRAIN_SENTENCE_VECTORS_H

#include "data/dataset.h"
#include "model/text_encoder.h"

#define SENTENCE_VECTORS_NONE UINT32_MAX /* the film says nothing of this region, or the region has no box */

typedef struct sentence_vectors {
    uint64_t films; /* of all sets, laid end to end as in a loader */
    int regions;
    uint32_t *number; /* [films, regions]: which sentence, or SENTENCE_VECTORS_NONE */
    uint64_t count;   /* different sentences, in order of their first film and region */
    char **texts;     /* [count], owned; NULL once there are vectors */
    bool *healthy;    /* [count]: says that nothing is found */
    uint16_t *region; /* [count]: which region it speaks of */
    int width;        /* H */
    float *vectors;   /* [count, H]; NULL before sentence_vectors_embed */
} sentence_vectors;

/* Reads the annotations of the sets; one that was opened without sentences counts with films that say nothing. `show`:
 * progress lines. An interrupt is CARINA_ERROR_CANCELLED. On failure *out is empty. */
carina_status sentence_vectors_read(sentence_vectors *out, dataset *const *sets, int set_count, const atlas *regions,
                                    thread_pool *pool, bool show, carina_error *error);
/* The mean of the encoder's last hidden states for each sentence: the same bits for any number of threads. */
carina_status sentence_vectors_embed(sentence_vectors *v, text_encoder *encoder, bool show, carina_error *error);
void sentence_vectors_free(sentence_vectors *v); /* accepts NULL and an empty one */

/* The regions' sentences of film `film`: [regions]. */
const uint32_t *sentence_vectors_of(const sentence_vectors *v, uint64_t film);

#endif
