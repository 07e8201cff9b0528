/* One pass over the logits gathers the candidates, in the order of their ids; each option then leaves fewer of them.
 * See sampler.h for what each means. */
#include "text/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

typedef struct candidate {
    uint32_t key; /* the logit, penalised, as a number whose order is the logit's */
    int token;
    double weight; /* exp((logit - largest) / temperature); first of all the logit itself */
} candidate;

struct sampler {
    sampler_options options;
    int vocabulary;
    candidate *candidates; /* [vocabulary] */
    int *window;           /* ring of the last tokens [penalty_window] */
    uint16_t *times;       /* how often each token is in the window [vocabulary] */
    uint64_t seen;         /* tokens that ever entered the window */
    uint64_t step;
};

/* ---- making ---- */

sampler_options sampler_defaults(void) { return (sampler_options){.top_p = 1, .repetition_penalty = 1}; }

static carina_status refuse(carina_error *error, const char *name, double value, const char *range) {
    return error_set(error, CARINA_ERROR_ARGUMENT, "%s: %g is not %s", name, value, range);
}

static carina_status check(const sampler_options *o, carina_error *error) {
    if (!(o->temperature >= 0 && o->temperature <= FLT_MAX))
        return refuse(error, "temperature", o->temperature, "a number from 0 on");
    if (o->top_k < 0) return refuse(error, "top_k", o->top_k, "0 or more");
    if (!(o->top_p > 0 && o->top_p <= 1)) return refuse(error, "top_p", o->top_p, "above 0 and at most 1");
    if (!(o->min_p >= 0 && o->min_p < 1)) return refuse(error, "min_p", o->min_p, "from 0 on and below 1");
    if (!(o->repetition_penalty > 0 && o->repetition_penalty <= FLT_MAX))
        return refuse(error, "repetition_penalty", o->repetition_penalty, "above 0");
    if (o->penalty_window < 0 || o->penalty_window > SAMPLER_MAX_WINDOW)
        return error_set(error, CARINA_ERROR_ARGUMENT, "penalty_window: %d is not 0 .. %d tokens", o->penalty_window,
                         SAMPLER_MAX_WINDOW);
    if (o->repetition_penalty != 1 && o->penalty_window == 0)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "repetition_penalty: %g has no effect on a window of 0 tokens; set penalty_window",
                         (double)o->repetition_penalty);
    if (o->alternatives < 0 || o->alternatives > SAMPLER_MAX_ALTERNATIVES)
        return error_set(error, CARINA_ERROR_ARGUMENT, "alternatives: %d is not 0 .. %d", o->alternatives,
                         SAMPLER_MAX_ALTERNATIVES);
    if (o->no_log_probability && o->alternatives)
        return error_set(error, CARINA_ERROR_ARGUMENT, "alternatives: %d without log-probabilities", o->alternatives);
    return CARINA_OK;
}

carina_status sampler_make(sampler **out, int vocabulary, const sampler_options *options, carina_error *error) {
    *out = NULL;
    sampler_options o = options ? *options : sampler_defaults();
    TRY(check(&o, error));
    if (vocabulary < 1 || vocabulary > SAMPLER_MAX_VOCABULARY)
        return error_set(error, CARINA_ERROR_ARGUMENT, "a vocabulary of %d tokens is not 1 .. %d", vocabulary,
                         SAMPLER_MAX_VOCABULARY);
    sampler *s = calloc(1, sizeof *s);
    if (!s) return error_memory(error, "a sampler", sizeof *s);
    size_t tokens = (size_t)vocabulary, window = o.penalty_window ? (size_t)o.penalty_window : 1;
    *s = (sampler){.options = o,
                   .vocabulary = vocabulary,
                   .candidates = malloc(tokens * sizeof *s->candidates),
                   .window = malloc(window * sizeof *s->window),
                   .times = calloc(tokens, sizeof *s->times)};
    if (!s->candidates || !s->window || !s->times) {
        sampler_free(s);
        return error_memory(error, "a sampler", tokens * sizeof *s->candidates);
    }
    *out = s;
    return CARINA_OK;
}

void sampler_free(sampler *s) {
    if (!s) return;
    free(s->candidates);
    free(s->window);
    free(s->times);
    free(s);
}

void sampler_reset(sampler *s) {
    memset(s->times, 0, (size_t)s->vocabulary * sizeof *s->times);
    s->seen = s->step = 0;
}

/* ---- the window ---- */

static carina_status remember(sampler *s, int token, carina_error *error) {
    if (token < 0 || token >= s->vocabulary)
        return error_set(error, CARINA_ERROR_ARGUMENT, "token %d is outside the vocabulary of %d", token,
                         s->vocabulary);
    uint64_t room = (uint64_t)s->options.penalty_window;
    if (room == 0) return CARINA_OK;
    int *place = &s->window[s->seen % room];
    if (s->seen >= room) s->times[*place]--;
    *place = token;
    s->times[token]++;
    s->seen++;
    return CARINA_OK;
}

carina_status sampler_accept(sampler *s, int token, carina_error *error) {
    TRY(remember(s, token, error));
    s->step++;
    return CARINA_OK;
}

carina_status sampler_accept_prompt(sampler *s, const int *tokens, uint64_t count, carina_error *error) {
    for (uint64_t i = 0; i < count; i++) TRY(remember(s, tokens[i], error));
    return CARINA_OK;
}

/* ---- the model's own distribution ---- */

carina_status sampler_check_logits(float *largest, const float *logits, int vocabulary, carina_error *error) {
    float most = -INFINITY;
    for (int i = 0; i < vocabulary; i++) {
        if (!(logits[i] <= FLT_MAX)) /* NaN too */
            return error_set(error, CARINA_ERROR_ARGUMENT, "the logit of token %d is %s: the model has failed", i,
                             isnan(logits[i]) ? "not a number" : "infinite");
        if (logits[i] > most) most = logits[i];
    }
    if (most == -INFINITY)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "the logits of all %d tokens are minus infinity: the model has failed", vocabulary);
    *largest = most;
    return CARINA_OK;
}

/* log of the sum of exp(logits). Terms that are nothing beside the largest one are passed over: 2^24 of them would be
 * less than one part in 10^14. */
static double log_sum(const sampler *s, const float *logits, float largest) {
    double sum = 0;
    for (int i = 0; i < s->vocabulary; i++) {
        float below = logits[i] - largest;
        if (below > -50) sum += (double)expf(below);
    }
    return (double)largest + log(sum);
}

/* The likeliest tokens, kept in order while the logits pass by. */
static void find_alternatives(sampler_draw *out, const sampler *s, const float *logits, double log_total) {
    sampler_choice *best = out->alternatives;
    int count = 0, most = s->options.alternatives;
    for (int i = 0; i < s->vocabulary && most > 0; i++) {
        float logit = logits[i];
        if (logit == -INFINITY || (count == most && logit <= best[count - 1].log_probability)) continue;
        int at = count < most ? count++ : count - 1;
        for (; at > 0 && best[at - 1].log_probability < logit; at--) best[at] = best[at - 1];
        best[at] = (sampler_choice){i, logit};
    }
    for (int i = 0; i < count; i++) best[i].log_probability = (float)((double)best[i].log_probability - log_total);
    out->alternative_count = count;
}

/* ---- candidates ---- */

/* Rises with the logit; both zeros are the same. */
static uint32_t key_of(float logit) {
    float value = logit + 0.0f;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float penalised(const sampler *s, float logit, int token) {
    float penalty = s->options.repetition_penalty;
    if (penalty == 1 || s->times[token] == 0) return logit;
    float value = logit > 0 ? logit / penalty : logit * penalty;
    return value > FLT_MAX ? FLT_MAX : value;
}

/* Candidates are the tokens that the mask lets through, with the penalised logit for a weight. *best: the largest. */
static int gather(sampler *s, const float *logits, const uint64_t *mask, candidate *best) {
    int count = 0;
    for (int base = 0; base < s->vocabulary; base += 64) {
        uint64_t allowed = mask ? mask[base / 64] : UINT64_MAX;
        int left = s->vocabulary - base;
        if (left < 64) allowed &= (UINT64_C(1) << left) - 1;
        for (; allowed; allowed &= allowed - 1) {
            int token = base + __builtin_ctzll(allowed);
            float logit = penalised(s, logits[token], token);
            if (logit < -FLT_MAX) continue;
            candidate *c = &s->candidates[count];
            *c = (candidate){key_of(logit), token, (double)logit};
            if (count == 0 || c->key > best->key) *best = *c;
            count++;
        }
    }
    return count;
}

static void weigh(sampler *s, int count, double largest) {
    for (int i = 0; i < count; i++) {
        candidate *c = &s->candidates[i];
        c->weight = (double)expf((float)((c->weight - largest) / (double)s->options.temperature));
    }
}

static double mass_of(const candidate *c, bool counted) { return counted ? 1 : c->weight; }

/* Leaves the fewest candidates, the largest first, whose mass (their number, or their weights) reaches the target. The
 * key of the last of them is found digit by digit; of equal keys the lower ids stay. */
static int keep_largest(candidate *c, int count, bool counted, double target) {
    static const struct { int shift, bits; } digits[3] = {{21, 11}, {10, 11}, {0, 10}};
    double mass[2048], above = 0;
    uint32_t last = 0, known = 0; /* the digits of the key that are found, and their place */
    for (int d = 0; d < 3; d++) {
        uint32_t most = (1u << digits[d].bits) - 1;
        memset(mass, 0, sizeof mass);
        for (int i = 0; i < count; i++)
            if ((c[i].key & known) == last) mass[c[i].key >> digits[d].shift & most] += mass_of(&c[i], counted);
        uint32_t chosen = UINT32_MAX;
        for (uint32_t digit = most + 1; digit-- > 0;) {
            if (mass[digit] == 0) continue;
            if (chosen != UINT32_MAX) above += mass[chosen];
            chosen = digit;
            if (above + mass[digit] >= target) break;
        }
        /* weights that are all zero: nothing is left to choose by */
        if (chosen == UINT32_MAX) return count;
        last |= chosen << digits[d].shift;
        known |= most << digits[d].shift;
    }
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (c[i].key < last || (c[i].key == last && above >= target)) continue;
        if (c[i].key == last) above += mass_of(&c[i], counted);
        c[kept++] = c[i];
    }
    return kept;
}

static int keep_above(candidate *c, int count, double least) {
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (c[i].weight >= least) c[kept++] = c[i];
    return kept;
}

static double sum_of(const candidate *c, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) sum += c[i].weight;
    return sum;
}

static int draw(const sampler *s, int count) {
    const candidate *c = s->candidates;
    random_state random = random_stream(s->options.seed, s->step);
    double left = random_uniform(&random) * sum_of(c, count);
    int token = -1;
    for (int i = 0; i < count; i++) {
        if (c[i].weight == 0) continue;
        token = c[i].token; /* rounding may leave a remainder: then it is the last one */
        if (left < c[i].weight) break;
        left -= c[i].weight;
    }
    return token;
}

static carina_status choose(int *token, sampler *s, const float *logits, const uint64_t *mask, carina_error *error) {
    const sampler_options *o = &s->options;
    candidate best;
    int count = gather(s, logits, mask, &best);
    if (count == 0)
        return error_set(error, CARINA_ERROR_ARGUMENT, "no token is left: the mask allows none of probability above 0");
    *token = best.token;
    if (o->temperature == 0) return CARINA_OK;
    if (o->top_k > 0 && o->top_k < count) count = keep_largest(s->candidates, count, true, o->top_k);
    weigh(s, count, best.weight);
    if (o->top_p < 1)
        count = keep_largest(s->candidates, count, false, (double)o->top_p * sum_of(s->candidates, count));
    if (o->min_p > 0) count = keep_above(s->candidates, count, (double)o->min_p);
    *token = draw(s, count);
    return CARINA_OK;
}

carina_status sampler_next(sampler_draw *out, sampler *s, const float *logits, const uint64_t *mask,
                           carina_error *error) {
    *out = (sampler_draw){.token = -1};
    float largest = 0;
    TRY(sampler_check_logits(&largest, logits, s->vocabulary, error));
    TRY(choose(&out->token, s, logits, mask, error));
    double log_total = s->options.no_log_probability ? (double)NAN : log_sum(s, logits, largest);
    out->log_probability = (float)((double)logits[out->token] - log_total);
    find_alternatives(out, s, logits, log_total);
    return CARINA_OK;
}
