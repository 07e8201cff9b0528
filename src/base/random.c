/* xoshiro256** and the draws made from it; see random.h. */
#include "base/random.h"

#include <math.h>

static uint64_t splitmix64(uint64_t *x) {
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

random_state random_seed(uint64_t seed) { return random_stream(seed, 0); }

random_state random_stream(uint64_t seed, uint64_t stream) {
    /* Two rounds keep neighbouring (seed, stream) pairs far apart. */
    uint64_t x = seed;
    x = splitmix64(&x) ^ (stream * 0xd1342543de82ef95u + 0x632be59bd9b4e019u);
    random_state state;
    for (int i = 0; i < 4; i++) state.word[i] = splitmix64(&x);
    return state;
}

static uint64_t rotate_left(uint64_t x, int count) { return x << count | x >> (64 - count); }

uint64_t random_u64(random_state *state) {
    uint64_t *s = state->word;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t random_below(random_state *state, uint64_t bound) {
    /* Reject the uneven remainder at the bottom of the range. */
    uint64_t threshold = -bound % bound;
    uint64_t draw;
    do draw = random_u64(state);
    while (draw < threshold);
    return draw % bound;
}

double random_uniform(random_state *state) { return (double)(random_u64(state) >> 11) * 0x1.0p-53; }

double random_range(random_state *state, double low, double high) { return low + (high - low) * random_uniform(state); }

double random_normal(random_state *state) {
    /* Box-Muller, one value per draw: no hidden second value, so the state alone says what comes next. */
    double radius = sqrt(-2.0 * log(1.0 - random_uniform(state)));
    return radius * cos(6.283185307179586 * random_uniform(state));
}

bool random_chance(random_state *state, double probability) { return random_uniform(state) < probability; }

void random_shuffle(random_state *state, uint32_t *items, uint64_t count) {
    for (uint64_t i = count; i > 1; i--) {
        uint64_t j = random_below(state, i);
        uint32_t swap = items[i - 1];
        items[i - 1] = items[j];
        items[j] = swap;
    }
}
