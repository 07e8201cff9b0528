/* Random numbers: one small generator with a state that can be saved, so that a seed fixes everything.
 *
 * xoshiro256** (Blackman and Vigna), seeded through splitmix64. `random_stream` derives independent generators from
 * (seed, stream index): film i of a set, or sample i of an epoch, draws from its own stream, whatever thread makes it.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct random_state {
    uint64_t word[4];
} random_state;

random_state random_seed(uint64_t seed);
random_state random_stream(uint64_t seed, uint64_t stream);
uint64_t random_u64(random_state *state);
uint64_t random_below(random_state *state, uint64_t bound);        /* 0 .. bound - 1, unbiased; bound > 0 */
double random_uniform(random_state *state);                        /* [0, 1), 53 bits */
double random_range(random_state *state, double low, double high); /* [low, high) */
double random_normal(random_state *state);                         /* mean 0, deviation 1 */
bool random_chance(random_state *state, double probability);
void random_shuffle(random_state *state, uint32_t *items, uint64_t count);

#endif
