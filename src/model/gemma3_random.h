/* A Gemma 3 of random packed weights, made in memory: for measuring speed without a file of gigabytes. */
#ifndef MODEL_GEMMA3_RANDOM_H
#define MODEL_GEMMA3_RANDOM_H

#include "model/gemma3.h"

/* Bytes of all packed matrices. */
carina_status gemma3_packed_bytes(uint64_t *out, const gemma3_config *config, quantized_kind kind, carina_error *error);
/* Every matrix of `kind`, the table too. Normal values in its first 64 blocks of outputs, which the others repeat: time
 * and memory are those of a real model, and making it takes seconds. */
carina_status gemma3_create_random(gemma3 **out, const gemma3_config *config, quantized_kind kind, uint64_t seed,
                                   carina_error *error);

#endif
