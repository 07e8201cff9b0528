/* Building and asking a sentence database in memory; see sentence_index.h. Searching is in sentence_search.c. */
#include "index/sentence_index.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/build.h"
#include "base/fingerprint.h"
#include "base/utf8.h"
#include "index/sentence_index_internal.h"

#define ARENA_BLOCK (1u << 20)

/* ---- texts ---- */

struct arena_block {
    struct arena_block *next;
    size_t used, room;
    char bytes[];
};

/* A copy that lives as long as the index; NULL: out of memory. */
static char *keep_text(sentence_index *index, const char *text, size_t length) {
    struct arena_block *block = index->arena;
    if (!block || block->room - block->used < length + 1) {
        size_t room = length + 1 > ARENA_BLOCK ? length + 1 : ARENA_BLOCK;
        block = malloc(sizeof *block + room);
        if (!block) return NULL;
        *block = (struct arena_block){.next = index->arena, .room = room};
        index->arena = block;
    }
    char *copy = block->bytes + block->used;
    memcpy(copy, text, length);
    copy[length] = 0;
    block->used += length + 1;
    return copy;
}

/* UTF-8 without ASCII control characters. Eight bytes at a time, for there can be hundreds of megabytes: in a byte c
 * below 0x80 the high bit of c + 0x60 stays off below 0x20, and c ^ 0x7f is zero for 0x7f alone. */
static bool plain_text(const char *text, size_t length) {
    const uint64_t ones = 0x0101010101010101ULL, high = 0x8080808080808080ULL;
    uint64_t seen = 0;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t word, low;
        memcpy(&word, text + i, 8);
        seen |= word;
        low = word & ~high;
        uint64_t above_20 = low + 0x60 * ones, not_7f = (low ^ (0x7f * ones)) + 0x7f * ones;
        if (((word | above_20) & (word | not_7f) & high) != high) return false;
    }
    for (; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) return false;
        seen |= (unsigned char)text[i];
    }
    return length <= SENTENCE_INDEX_MAX_TEXT && (!(seen & high) || utf8_valid(text, length));
}

static carina_status keep_checked(sentence_index *index, const char **out, const char *text, const char *what,
                                  carina_error *error) {
    if (!text) text = "";
    size_t length = strlen(text);
    if (!plain_text(text, length)) {
        return error_set(error, CARINA_ERROR_FORMAT,
                         "%s \"%.60s...\" has a control character, is no UTF-8 or has more than %d bytes", what, text,
                         SENTENCE_INDEX_MAX_TEXT);
    }
    *out = keep_text(index, text, length);
    return *out ? CARINA_OK : error_memory(error, what, length);
}

/* ---- building ---- */

static carina_status fill_origin(sentence_index *index, const atlas *regions, const sentence_index_info *info,
                                 carina_error *error) {
    static const sentence_index_info nothing = {0};
    char made_by[128];
    const sentence_index_info *from = info ? info : &nothing;
    sentence_index_info all = *from;
    snprintf(made_by, sizeof made_by, "Carina %s, commit %s", build_version(), build_commit());
    if (!all.region_set) all.region_set = regions->name;
    if (!all.made_by) all.made_by = made_by;
    const char *const texts[SENTENCE_INDEX_INFO_FIELDS] = {
        all.model, all.model_fingerprint, all.encoder, all.encoder_fingerprint, all.region_set, all.source, all.split,
        all.films, all.data_fingerprint,  all.made_by};
    const char **kept[SENTENCE_INDEX_INFO_FIELDS] = {&index->info.model,
                                                     &index->info.model_fingerprint,
                                                     &index->info.encoder,
                                                     &index->info.encoder_fingerprint,
                                                     &index->info.region_set,
                                                     &index->info.source,
                                                     &index->info.split,
                                                     &index->info.films,
                                                     &index->info.data_fingerprint,
                                                     &index->info.made_by};
    for (size_t i = 0; i < SENTENCE_INDEX_INFO_FIELDS; i++)
        TRY(keep_checked(index, kept[i], texts[i], "origin of the sentence database", error));
    return CARINA_OK;
}

static carina_status fill_index(sentence_index *index, const atlas *regions, const sentence_index_info *info,
                                carina_error *error) {
    TRY(fill_origin(index, regions, info, error));
    for (int r = 0; r < regions->region_count; r++) {
        sentence_region *region = &index->regions[r].shown;
        TRY(keep_checked(index, &region->name, regions->regions[r].name, "region name", error));
        TRY(keep_checked(index, &region->display, regions->regions[r].display_name, "region name", error));
    }
    return CARINA_OK;
}

carina_status sentence_index_create(sentence_index **out, const atlas *regions, const sentence_index_info *info,
                                    int width, carina_error *error) {
    *out = NULL;
    if (width < 1 || width > SENTENCE_INDEX_MAX_WIDTH || regions->region_count < 1 ||
        regions->region_count > ATLAS_MAX_REGIONS) {
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "a sentence database of %d regions and width %d: at most %d and %d are possible",
                         regions->region_count, width, ATLAS_MAX_REGIONS, SENTENCE_INDEX_MAX_WIDTH);
    }
    sentence_index *index = calloc(1, sizeof *index);
    if (!index) return error_memory(error, "sentence database", sizeof *index);
    index->region_count = regions->region_count;
    index->width = width;
    index->kernels = similarity_kernels_best();
    carina_status status = fill_index(index, regions, info, error);
    if (status != CARINA_OK) {
        sentence_index_free(index);
        return status;
    }
    *out = index;
    return CARINA_OK;
}

/* Room for one more row. */
static carina_status grow(sentence_index *index, index_region *region, carina_error *error) {
    uint64_t room = region->room ? region->room * 2 : 64;
    if (region->shown.count == SENTENCE_INDEX_MAX_ROWS)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: more than %u sentences", region->shown.name,
                         SENTENCE_INDEX_MAX_ROWS);
    uint64_t bytes = room * (uint64_t)index->width * sizeof(float);
    sentence_entry *entries = realloc(region->entries, (size_t)room * sizeof *entries);
    if (entries) region->entries = entries;
    float *rows = entries ? realloc(region->rows, (size_t)bytes) : NULL;
    if (!rows) return error_memory(error, "sentence database", bytes);
    region->rows = rows;
    region->room = room;
    return CARINA_OK;
}

/* Copies to length 1. What has that length already (read back from a file) keeps its bits. */
bool index_normalise(float *out, const float *vector, int width) {
    double sum = 0;
    for (int d = 0; d < width; d++) sum += (double)vector[d] * (double)vector[d];
    double length = sqrt(sum);
    if (!isfinite(sum) || !(length > 1e-30)) return false;
    double factor = fabs(length - 1) < 1e-5 ? 1 : 1 / length;
    for (int d = 0; d < width; d++) out[d] = (float)((double)vector[d] * factor);
    return true;
}

carina_status sentence_index_add(sentence_index *index, int region, const sentence_entry *entry, const float *embedding,
                                 carina_error *error) {
    if (region < 0 || region >= index->region_count)
        return error_set(error, CARINA_ERROR_ARGUMENT, "region %d of %d", region, index->region_count);
    index_region *r = &index->regions[region];
    if (!entry->text || !*entry->text)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: an empty sentence", r->shown.name);
    if (r->shown.count == r->room) TRY(grow(index, r, error));
    sentence_entry *e = &r->entries[r->shown.count];
    e->seen = entry->seen;
    TRY(keep_checked(index, &e->text, entry->text, "sentence", error));
    TRY(keep_checked(index, &e->place, entry->place, "place of a sentence", error));
    if (!index_normalise(r->rows + r->shown.count * (uint64_t)index->width, embedding, index->width)) {
        return error_set(error, CARINA_ERROR_FORMAT, "the embedding of \"%.80s\" is zero or not finite", entry->text);
    }
    r->shown.count++;
    return CARINA_OK;
}

/* ---- finishing ---- */

typedef struct sort_item {
    const char *text;
    uint64_t row;
} sort_item;

static int compare_items(const void *a, const void *b) {
    return strcmp(((const sort_item *)a)->text, ((const sort_item *)b)->text);
}

/* The rows in the order of their texts; *out malloc'ed. */
static carina_status sort_rows(const index_region *r, sort_item **out, carina_error *error) {
    uint64_t count = r->shown.count;
    bool sorted = true;
    sort_item *items = malloc((size_t)(count + 1) * sizeof *items);
    if (!items) return error_memory(error, "sentence database", count * sizeof *items);
    for (uint64_t i = 0; i < count; i++) {
        items[i] = (sort_item){r->entries[i].text, i};
        if (i && sorted) sorted = strcmp(items[i - 1].text, items[i].text) < 0;
    }
    if (!sorted) qsort(items, (size_t)count, sizeof *items, compare_items);
    for (uint64_t i = 1; i < count && !sorted; i++) {
        if (strcmp(items[i - 1].text, items[i].text) != 0) continue;
        carina_status status = error_set(error, CARINA_ERROR_MISMATCH, "%s: the sentence \"%.120s\" is given twice",
                                         r->shown.name, items[i].text);
        free(items);
        return status;
    }
    *out = items;
    return CARINA_OK;
}

static double times_seen(const sentence_entry *e) { return e->seen ? (double)e->seen : 1; }

/* log(seen / all seen of the region) */
static void fill_log_priors(float *out, const sentence_entry *entries, uint64_t count) {
    double total = 0;
    for (uint64_t i = 0; i < count; i++) total += times_seen(&entries[i]);
    for (uint64_t i = 0; i < count; i++) out[i] = (float)log(times_seen(&entries[i]) / total);
}

static carina_status finish_region(sentence_index *index, index_region *r, carina_error *error) {
    uint64_t count = r->shown.count, width = (uint64_t)index->width;
    uint64_t blocks = (count + SIMILARITY_BLOCK - 1) / SIMILARITY_BLOCK;
    uint64_t bytes = blocks * SIMILARITY_BLOCK * width * sizeof(float);
    sort_item *items = NULL;
    TRY(sort_rows(r, &items, error));
    uint64_t prior_bytes = blocks * SIMILARITY_BLOCK * sizeof(float);
    sentence_entry *entries = malloc((size_t)(count + 1) * sizeof *entries);
    float *matrix = bytes ? aligned_alloc(64, (size_t)bytes) : NULL;
    float *log_priors = bytes ? aligned_alloc(64, (size_t)prior_bytes) : NULL;
    if (!entries || (bytes && (!matrix || !log_priors))) {
        free(items);
        free(entries);
        free(matrix);
        free(log_priors);
        return error_memory(error, "sentence database", bytes + prior_bytes);
    }
    if (count % SIMILARITY_BLOCK) { /* the rows that fill up the last block */
        uint64_t last = SIMILARITY_BLOCK * width;
        memset(matrix + (blocks - 1) * last, 0, (size_t)last * sizeof *matrix);
    }
    for (uint64_t i = 0; i < count; i++) {
        const float *row = r->rows + items[i].row * width;
        float *column = matrix + i / SIMILARITY_BLOCK * SIMILARITY_BLOCK * width + i % SIMILARITY_BLOCK;
        for (uint64_t d = 0; d < width; d++) column[d * SIMILARITY_BLOCK] = row[d];
        entries[i] = r->entries[items[i].row];
    }
    free(items);
    free(r->rows);
    free(r->entries);
    if (count) fill_log_priors(log_priors, entries, count);
    r->rows = NULL;
    r->entries = entries;
    r->matrix = matrix;
    r->log_priors = log_priors;
    r->shown.entries = entries;
    r->shown.blocks = matrix;
    r->shown.log_priors = log_priors;
    return CARINA_OK;
}

carina_status sentence_index_finish(sentence_index *index, carina_error *error) {
    for (int r = 0; r < index->region_count; r++) TRY(finish_region(index, &index->regions[r], error));
    return CARINA_OK;
}

void sentence_index_free(sentence_index *index) {
    if (!index) return;
    for (int r = 0; r < index->region_count; r++) {
        free(index->regions[r].entries);
        free(index->regions[r].rows);
        free(index->regions[r].matrix);
        free(index->regions[r].log_priors);
    }
    for (struct arena_block *block = index->arena, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(index);
}

/* ---- looking ---- */

const sentence_index_info *sentence_index_origin(const sentence_index *index) { return &index->info; }
int sentence_index_width(const sentence_index *index) { return index->width; }
int sentence_index_regions(const sentence_index *index) { return index->region_count; }
const sentence_region *sentence_index_region(const sentence_index *index, int region) {
    return &index->regions[region].shown;
}

uint64_t sentence_index_total(const sentence_index *index) {
    uint64_t total = 0;
    for (int r = 0; r < index->region_count; r++) total += index->regions[r].shown.count;
    return total;
}

uint64_t sentence_index_most(const sentence_index *index) {
    uint64_t most = 1;
    for (int r = 0; r < index->region_count; r++)
        if (index->regions[r].shown.count > most) most = index->regions[r].shown.count;
    return most;
}

void sentence_index_vector(const sentence_index *index, int region, uint64_t row, float *out) {
    uint64_t width = (uint64_t)index->width;
    const float *column =
        index->regions[region].matrix + row / SIMILARITY_BLOCK * SIMILARITY_BLOCK * width + row % SIMILARITY_BLOCK;
    for (uint64_t d = 0; d < width; d++) out[d] = column[d * SIMILARITY_BLOCK];
}

uint64_t sentence_index_fingerprint(const sentence_index *index) {
    fingerprint f = fingerprint_start();
    fingerprint_add_number(&f, (uint64_t)index->width);
    for (int i = 0; i < index->region_count; i++) {
        const sentence_region *r = &index->regions[i].shown;
        uint64_t blocks = (r->count + SIMILARITY_BLOCK - 1) / SIMILARITY_BLOCK;
        fingerprint_add_text(&f, r->name);
        fingerprint_add_number(&f, r->count);
        for (uint64_t row = 0; row < r->count; row++) fingerprint_add_text(&f, r->entries[row].text);
        fingerprint_add(&f, r->blocks, blocks * SIMILARITY_BLOCK * (uint64_t)index->width * sizeof *r->blocks);
    }
    return fingerprint_value(&f);
}

int64_t sentence_index_find(const sentence_index *index, int region, const char *text) {
    const sentence_region *r = &index->regions[region].shown;
    uint64_t low = 0, high = r->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int order = strcmp(r->entries[middle].text, text);
        if (order == 0) return (int64_t)middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

/* ---- what it may be used with ---- */

static carina_status check_fingerprint(const char *name, const char *what, const char *of, const char *found,
                                       const char *wanted, carina_error *error) {
    if (!wanted || strcmp(found, wanted) == 0) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MISMATCH,
                     "%s: made with another %s: %s %.40s%s%.64s, not %.40s; build it again (carina index build)", name,
                     what, *found ? found : "an unknown one", *of ? "(" : "", of, *of ? ")" : "", wanted);
}

carina_status sentence_index_check(const sentence_index *index, const char *name, const sentence_index_use *use,
                                   carina_error *error) {
    if (!use) return CARINA_OK;
    const atlas *a = use->regions;
    if (a && a->region_count != index->region_count)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: made for %d regions (%s), the model has %d (%s)", name,
                         index->region_count, index->info.region_set, a->region_count, a->name);
    for (int r = 0; a && r < a->region_count; r++) {
        const sentence_region *own = &index->regions[r].shown;
        if (strcmp(own->name, a->regions[r].name) == 0 && strcmp(own->display, a->regions[r].display_name) == 0)
            continue;
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: another region set (%s): region %d is \"%s\" (%s), the model's (%s) is \"%s\" (%s)", name,
                         index->info.region_set, r, own->name, own->display, a->name, a->regions[r].name,
                         a->regions[r].display_name);
    }
    TRY(check_fingerprint(name, "model", index->info.model, index->info.model_fingerprint, use->model_fingerprint,
                          error));
    TRY(check_fingerprint(name, "text encoder", index->info.encoder, index->info.encoder_fingerprint,
                          use->encoder_fingerprint, error));
    if (use->width && use->width != index->width)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: embeddings of %d numbers, the model gives %d", name,
                         index->width, use->width);
    return CARINA_OK;
}
