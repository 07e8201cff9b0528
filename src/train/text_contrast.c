/* Finding groups that deny and affirm; see text_contrast.h. */
#include "train/text_contrast.h"

#include <stdlib.h>

static bool says(const text_sentence *s, uint32_t feature) {
    for (int i = 0; i < s->feature_count; i++)
        if (s->features[i] == feature) return true;
    return false;
}

/* Adds the groups with `wanted` and without `other`, or only counts them (list NULL). */
static uint32_t groups_with(uint32_t *list, const text_corpus *c, const text_part *part, uint32_t wanted,
                            uint32_t other) {
    uint32_t count = 0;
    for (uint32_t g = 0; g < part->group_count; g++) {
        const text_sentence *s = &c->sentences[part->members[part->group_begin[g]]];
        if (!says(s, wanted) || says(s, other)) continue;
        if (list) list[count] = g;
        count++;
    }
    return count;
}

static bool is_denial(const text_corpus *c, uint32_t feature) {
    return c->kind[feature] == 'n' && c->opposite[feature] != UINT32_MAX;
}

/* Of the findings both sides have; NULL lists: only counted. */
static void fill(text_contrast *out, const text_corpus *c, const text_part *part, uint32_t total[2]) {
    total[0] = total[1] = out->count = 0;
    for (uint32_t f = 0; f < c->feature_count; f++) {
        if (!is_denial(c, f)) continue;
        const uint32_t side[2] = {f, c->opposite[f]};
        uint32_t found[2];
        for (int i = 0; i < 2; i++)
            found[i] = groups_with(out->groups[i] ? out->groups[i] + total[i] : NULL, c, part, side[i], side[1 - i]);
        if (found[0] == 0 || found[1] == 0) continue;
        for (int i = 0; i < 2; i++) {
            if (out->begin[i]) out->begin[i][out->count] = total[i];
            total[i] += found[i];
        }
        out->count++;
    }
    for (int i = 0; i < 2; i++)
        if (out->begin[i]) out->begin[i][out->count] = total[i];
}

carina_status text_contrast_create(text_contrast *out, const text_corpus *corpus, const text_part *part,
                                   carina_error *error) {
    uint32_t total[2];
    *out = (text_contrast){0};
    fill(out, corpus, part, total);
    for (int i = 0; i < 2; i++) {
        /* Findings that one side lacks are written beyond the end for a moment, hence the room for all groups. */
        size_t room = (size_t)total[i] + part->group_count + 1;
        out->begin[i] = malloc(((size_t)out->count + 1) * sizeof *out->begin[i]);
        out->groups[i] = malloc(room * sizeof *out->groups[i]);
        if (!out->begin[i] || !out->groups[i]) {
            text_contrast_free(out);
            return error_memory(error, "groups of sentences", room * sizeof *out->groups[i]);
        }
    }
    fill(out, corpus, part, total);
    return CARINA_OK;
}

void text_contrast_free(text_contrast *c) {
    for (int i = 0; i < 2; i++) {
        free(c->begin[i]);
        free(c->groups[i]);
    }
    *c = (text_contrast){0};
}
