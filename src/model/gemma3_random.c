/* Random packed weights; see gemma3_random.h. */
#include "model/gemma3_random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OWN_BLOCKS 4 /* of a matrix; the others repeat them: made in seconds, and speed does not depend on values */

carina_status gemma3_packed_bytes(uint64_t *out, const gemma3_config *config, quantized_kind kind,
                                  carina_error *error) {
    gemma3 shape = {.config = *config};
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    *out = 0;
    TRY(gemma3_config_check(config, error));
    int count = gemma3_slots(&shape, slots);
    for (int i = 0; i < count; i++) {
        uint64_t bytes;
        TRY(quantized_bytes(&bytes, kind, slots[i].outputs, slots[i].inputs, error));
        *out += bytes;
    }
    return CARINA_OK;
}

static carina_status fill(quantized_matrix *m, random_state *random, float *row, carina_error *error) {
    int64_t own = m->blocks < OWN_BLOCKS ? m->blocks : OWN_BLOCKS;
    float deviation = (float)(1 / sqrt((double)m->inputs));
    for (int64_t i = 0; i < m->outputs && i < own * QUANTIZED_BLOCK; i++) {
        for (int64_t k = 0; k < m->inputs; k++) row[k] = deviation * (float)random_normal(random);
        TRY(quantized_set_row(m, i, row, error));
    }
    for (int64_t b = own; b < m->blocks; b++)
        memcpy(m->owned + (uint64_t)b * m->block_bytes, m->owned + (uint64_t)(b % own) * m->block_bytes,
               m->block_bytes);
    return CARINA_OK;
}

carina_status gemma3_create_random(gemma3 **out, const gemma3_config *config, quantized_kind kind, uint64_t seed,
                                   carina_error *error) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    random_state random = random_seed(seed);
    TRY(gemma3_create_packed(out, config, error));
    int count = gemma3_slots(*out, slots);
    int64_t longest = 0;
    for (int i = 0; i < count; i++) longest = slots[i].inputs > longest ? slots[i].inputs : longest;
    float *row = malloc((size_t)longest * sizeof *row);
    carina_status status = row ? CARINA_OK : error_memory(error, "random weights", (uint64_t)longest * sizeof *row);
    for (int i = 0; i < count && status == CARINA_OK; i++) {
        gemma3_matrix *m = slots[i].matrix;
        status = quantized_matrix_create(&m->packed, kind, slots[i].outputs, slots[i].inputs, error);
        if (status == CARINA_OK) status = fill(m->packed, &random, row, error);
    }
    free(row);
    if (status == CARINA_OK) return CARINA_OK;
    gemma3_free(*out);
    *out = NULL;
    return status;
}
