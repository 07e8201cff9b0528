/* Laying documents out in rows; see language_rows.h. */
#include "train/language_rows.h"

#include <stdlib.h>

#include "base/random.h"

#define ORDER_SEED 0x6c616e6775616765ULL /* of one seed's streams: the order of documents */

/* Places that a document takes: its tokens but the last. */
static uint64_t places_of(const language_rows *r, uint32_t document) {
    uint64_t places = r->part->documents[document].count - 1, context = (uint64_t)r->options.context;
    return r->options.packed ? places : (places + context - 1) / context * context;
}

static void lay_out(language_rows *r, uint64_t epoch) {
    if (r->epoch == epoch) return;
    for (uint32_t i = 0; i < r->part->count; i++) r->order[i] = i;
    if (r->options.shuffled) {
        random_state random = random_stream(r->options.seed ^ ORDER_SEED, epoch);
        random_shuffle(&random, r->order, r->part->count);
    }
    r->start[0] = 0;
    for (uint32_t i = 0; i < r->part->count; i++) r->start[i + 1] = r->start[i] + places_of(r, r->order[i]);
    r->epoch = epoch;
}

carina_status language_rows_create(language_rows *out, const language_corpus *corpus, const language_part *part,
                                   const language_rows_options *options, carina_error *error) {
    size_t documents = part->count;
    *out = (language_rows){.corpus = corpus, .part = part, .options = *options, .epoch = UINT64_MAX};
    out->order = malloc((documents + 1) * sizeof *out->order);
    out->start = malloc((documents + 1) * sizeof *out->start);
    if (!out->order || !out->start) {
        language_rows_free(out);
        return error_memory(error, "the order of documents", documents * (sizeof *out->order + sizeof *out->start));
    }
    lay_out(out, 0);
    out->count = (out->start[documents] + (uint64_t)options->context - 1) / (uint64_t)options->context;
    return CARINA_OK;
}

void language_rows_free(language_rows *r) {
    free(r->order);
    free(r->start);
    *r = (language_rows){0};
}

/* Which document of the order has this place. */
static uint32_t find(const language_rows *r, uint64_t place) {
    uint32_t low = 0, high = r->part->count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (r->start[middle] <= place)
            low = middle;
        else
            high = middle;
    }
    return low;
}

double language_rows_fill(language_rows *r, uint64_t row, float *ids, float *targets, float *weights) {
    if (r->count == 0) return 0;
    lay_out(r, row / r->count);
    uint64_t place = row % r->count * (uint64_t)r->options.context;
    uint32_t at = find(r, place);
    double sum = 0;
    for (int i = 0; i < r->options.context; i++, place++) {
        while (at + 1 < r->part->count && place >= r->start[at + 1]) at++;
        const language_document *d = &r->part->documents[r->order[at]];
        uint64_t offset = place - r->start[at];
        ids[i] = (float)r->options.pad;
        targets[i] = -1;
        weights[i] = 0;
        if (offset + 1 >= d->count) continue;
        ids[i] = (float)r->corpus->ids[d->begin + offset];
        if (offset + 1 < d->prompt) continue;
        targets[i] = (float)r->corpus->ids[d->begin + offset + 1];
        weights[i] = 1;
        sum++;
    }
    return sum;
}
