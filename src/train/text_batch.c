/* Drawing sentences and hiding words; see text_batch.h. */
#include "train/text_batch.h"

#include <string.h>

/* Streams of one seed for different purposes. */
#define MASKED_SEED 0x6d61736b65640000ULL
#define PAIRS_SEED  0x7061697273000000ULL

void text_batch_hide(const masking *m, float *ids, float *targets, int count, random_state *random) {
    for (int i = 0; i < count; i++) {
        int id = (int)ids[i];
        targets[i] = -1;
        if (id == m->cls || id == m->sep || !random_chance(random, m->share)) continue;
        double what = random_uniform(random);
        targets[i] = ids[i];
        if (what < 0.8)
            ids[i] = (float)m->mask;
        else if (what < 0.9)
            ids[i] = (float)(m->ordinary + (int)random_below(random, (uint64_t)(m->vocabulary - m->ordinary)));
    }
}

static void pad_row(const masking *m, int used, int tokens, float *ids, float *mask) {
    for (int i = 0; i < tokens; i++) {
        mask[i] = i < used;
        if (i >= used) ids[i] = (float)m->pad;
    }
}

static int append(const text_sentence *s, int used, int room, float *ids) {
    int count = s->token_count < room ? s->token_count : room;
    for (int i = 0; i < count; i++) ids[used + i] = (float)s->tokens[i];
    return used + count;
}

int text_batch_sentence(const masking *m, const text_sentence *s, int tokens, float *ids, float *mask) {
    ids[0] = (float)m->cls;
    int used = append(s, 1, tokens - 2, ids);
    ids[used++] = (float)m->sep;
    pad_row(m, used, tokens, ids, mask);
    return used;
}

static const text_sentence *draw(const text_corpus *c, random_state *random) {
    return &c->sentences[c->train.begin + random_below(random, c->train.end - c->train.begin)];
}

void text_batch_masked(const masking *m, const text_corpus *c, uint64_t seed, uint64_t batch, int rows, int tokens,
                       float *ids, float *mask, float *targets) {
    for (int r = 0; r < rows; r++) {
        random_state random = random_stream(seed ^ MASKED_SEED, batch * (uint64_t)rows + (uint64_t)r);
        float *row = ids + (int64_t)r * tokens, *row_targets = targets + (int64_t)r * tokens;
        bool single = random_chance(&random, m->single);
        row[0] = (float)m->cls;
        int used = append(draw(c, &random), 1, tokens - 2, row);
        while (!single) {
            const text_sentence *next = draw(c, &random);
            if (next->token_count > tokens - 1 - used || next->token_count == 0) break;
            used = append(next, used, next->token_count, row);
        }
        row[used++] = (float)m->sep;
        pad_row(m, used, tokens, row, mask + (int64_t)r * tokens);
        for (int i = 0; i < tokens; i++) row_targets[i] = -1;
        text_batch_hide(m, row, row_targets, used, &random);
    }
}

/* Two sentences of a group, in other words where there are any. */
static void draw_members(const text_part *part, uint32_t group, random_state *random, uint32_t *z, uint32_t *t) {
    uint32_t begin = part->group_begin[group], count = part->group_begin[group + 1] - begin;
    uint32_t first = (uint32_t)random_below(random, count);
    uint32_t step = count > 1 ? 1 + (uint32_t)random_below(random, count - 1) : 0;
    *z = part->members[begin + first];
    *t = part->members[begin + (first + step) % count];
}

static uint32_t draw_group(const text_contrast *c, int side, uint32_t finding, random_state *random) {
    uint32_t begin = c->begin[side][finding], count = c->begin[side][finding + 1] - begin;
    return c->groups[side][begin + (uint32_t)random_below(random, count)];
}

void text_batch_pairs(const text_pairs *from, uint64_t seed, uint64_t batch, int pairs, uint32_t *z, uint32_t *t) {
    const text_part *part = from->part;
    const text_contrast *c = from->contrast;
    for (int p = 0; p < pairs; p++) {
        random_state random = random_stream(seed ^ PAIRS_SEED, batch * (uint64_t)pairs + (uint64_t)p);
        if (p + 1 < pairs && c && c->count > 0 && random_chance(&random, from->opposed / (2 - from->opposed))) {
            uint32_t finding = (uint32_t)random_below(&random, c->count);
            for (int side = 0; side < 2; side++, p += side < 2)
                draw_members(part, draw_group(c, side, finding, &random), &random, &z[p], &t[p]);
            continue;
        }
        draw_members(part, (uint32_t)random_below(&random, part->group_count), &random, &z[p], &t[p]);
    }
}
