/* Gathering regions with their true sentences, and scoring a ranking on them; see sentence_cases.h. */
#include "eval/sentence_cases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- cases ---- */

static carina_status make_room(sentence_cases *c, carina_error *error) {
    if (c->count < c->room) return CARINA_OK;
    uint64_t room = c->room ? c->room * 2 : 1024;
    size_t bytes = (size_t)room * (size_t)sentence_index_width(c->index) * sizeof(float);
    sentence_case *items = realloc(c->items, (size_t)room * sizeof *items);
    if (items) c->items = items;
    float *features = items ? realloc(c->features, bytes) : NULL;
    if (!features) return error_memory(error, "regions", bytes);
    c->features = features;
    c->room = room;
    return CARINA_OK;
}

carina_status sentence_cases_add(sentence_cases *c, int region, const float *feature, const char *sentence,
                                 carina_error *error) {
    sentence_finding found[SENTENCE_FINDINGS];
    const char *display = c->regions->regions[region].display_name;
    size_t width = (size_t)sentence_index_width(c->index);
    int count = sentence_findings_parse(found, sentence, display, c->regions);
    if (count < 0)
        return error_set(error, CARINA_ERROR_FORMAT, "\"%.120s\" is no sentence about %s", sentence, display);
    TRY(make_room(c, error));
    if (c->name_count == 0) c->name_count = sentence_finding_names(c->names, c->regions);
    memcpy(c->features + c->count * width, feature, width * sizeof *feature);
    sentence_case *item = &c->items[c->count++];
    *item = (sentence_case){
        .region = region, .row = sentence_index_find(c->index, region, sentence), .healthy = count == 0};
    for (int i = 0; i < count; i++) {
        int name = sentence_finding_find(c->names, c->name_count, found[i].name, found[i].length);
        if (name >= 0) item->findings[name / 64] |= 1ull << (name % 64);
    }
    return CARINA_OK;
}

void sentence_cases_free(sentence_cases *c) {
    free(c->items);
    free(c->features);
    *c = (sentence_cases){.index = c->index, .regions = c->regions};
}

bool sentence_case_names(const sentence_case *item, int finding) {
    return item->findings[finding / 64] >> (finding % 64) & 1;
}

/* ---- scores ---- */

/* Whole numbers, so that the order in which threads add to them does not matter. */
typedef struct tally {
    uint64_t all[2], right[2]; /* without and with a finding */
    sentence_counts findings;
    carina_status status;
    carina_error error;
} tally;

typedef struct score_work {
    const sentence_cases *cases;
    const sentence_ranking *ranking;
    uint64_t most_rows;
    float *scratch; /* [threads, 3, most_rows] */
    tally *tallies; /* [threads] */
} score_work;

static void count_findings(tally *t, const sentence_cases *c, const sentence_case *item, const sentence_entry *said) {
    sentence_finding found[SENTENCE_FINDINGS];
    const char *display = c->regions->regions[item->region].display_name;
    int count = said ? sentence_findings_parse(found, said->text, display, c->regions) : 0;
    for (int f = 0; f < c->name_count; f++) t->findings.truths[f] += sentence_case_names(item, f);
    for (int i = 0; i < count; i++) {
        int name = sentence_finding_find(c->names, c->name_count, found[i].name, found[i].length);
        if (name < 0) continue;
        t->findings.said[name]++;
        t->findings.hits[name] += sentence_case_names(item, name);
    }
}

static void score_shard(void *context, int shard, int worker) {
    const score_work *w = context;
    const sentence_cases *c = w->cases;
    tally *t = &w->tallies[worker];
    float *similarities = w->scratch + 3 * (uint64_t)worker * w->most_rows;
    float *probabilities = similarities + w->most_rows, *scores = probabilities + w->most_rows;
    uint64_t first = (uint64_t)shard * SENTENCE_CASES_SHARD, width = (uint64_t)sentence_index_width(c->index);
    for (uint64_t i = first; i < c->count && i < first + SENTENCE_CASES_SHARD && t->status == CARINA_OK; i++) {
        const sentence_case *item = &c->items[i];
        const sentence_region *region = sentence_index_region(c->index, item->region);
        t->status = sentence_ranking_rate(w->ranking, item->region, c->features + i * width, similarities,
                                          probabilities, scores, &t->error);
        int64_t best = region->count ? 0 : -1;
        for (uint64_t j = 1; j < region->count; j++)
            if (scores[j] > scores[best]) best = (int64_t)j;
        t->all[!item->healthy]++;
        t->right[!item->healthy] += best >= 0 && best == item->row;
        count_findings(t, c, item, best >= 0 ? &region->entries[best] : NULL);
    }
}

static double share(uint64_t part, uint64_t all) { return all ? (double)part / (double)all : NAN; }

static sentence_scores scores_of(const tally *t, int names) {
    const sentence_counts *n = &t->findings;
    double sum = 0;
    int count = 0;
    for (int f = 0; f < names; f++) {
        if (n->truths[f] + n->said[f] == 0) continue;
        sum += 2 * (double)n->hits[f] / (double)(n->truths[f] + n->said[f]);
        count++;
    }
    return (sentence_scores){share(t->right[0] + t->right[1], t->all[0] + t->all[1]), share(t->right[1], t->all[1]),
                             count ? sum / count : NAN};
}

carina_status sentence_cases_score(sentence_scores *out, sentence_counts *counts, const sentence_cases *c,
                                   const sentence_ranking *ranking, thread_pool *pool, carina_error *error) {
    score_work w = {.cases = c, .ranking = ranking, .most_rows = sentence_index_most(c->index)};
    int threads = thread_pool_count(pool);
    w.scratch = malloc((size_t)threads * 3 * (size_t)w.most_rows * sizeof *w.scratch);
    w.tallies = calloc((size_t)threads, sizeof *w.tallies);
    carina_status status = w.scratch && w.tallies ? CARINA_OK : error_memory(error, "scores", 12 * w.most_rows);
    if (status == CARINA_OK) {
        thread_pool_run(pool, (int)((c->count + SENTENCE_CASES_SHARD - 1) / SENTENCE_CASES_SHARD), score_shard, &w);
        for (int k = 0; k < threads && status == CARINA_OK; k++) {
            const tally *t = &w.tallies[k];
            if ((status = t->status) != CARINA_OK && error) *error = t->error;
            if (k == 0) continue;
            for (int i = 0; i < 2; i++) w.tallies[0].all[i] += t->all[i], w.tallies[0].right[i] += t->right[i];
            for (int f = 0; f < c->name_count; f++) {
                w.tallies[0].findings.truths[f] += t->findings.truths[f];
                w.tallies[0].findings.said[f] += t->findings.said[f];
                w.tallies[0].findings.hits[f] += t->findings.hits[f];
            }
        }
        *out = scores_of(&w.tallies[0], c->name_count);
        if (counts) *counts = w.tallies[0].findings;
    }
    free(w.scratch);
    free(w.tallies);
    return status;
}
