/* Sentences from scene graphs; see region_sentence.h. */
#include "data/region_sentence.h"

#include <stdlib.h>
#include <string.h>

#include "atlas/sentence_findings.h"

#define JOINT   SENTENCE_JOINT
#define SHOWS   SENTENCE_SHOWS
#define HEALTHY SENTENCE_HEALTHY

/* One affirmed attribute; the texts lie in the graph. */
typedef struct affirmed {
    int rank; /* of its category */
    const char *category, *name;
    size_t category_length, name_length;
} affirmed;

static bool same_text(const char *text, size_t length, const char *word) {
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

/* The place of a category in the sentence, -1: left out. */
static int category_rank(const char *text, size_t length) {
    static const char *const left_out[] = {"laterality", "severity", "nlp"};
    static const char *const first[] = {"anatomicalfinding", "disease", "device", "tubesandlines",
                                        "technicalassessment"};
    for (int i = 0; i < 3; i++)
        if (same_text(text, length, left_out[i])) return -1;
    for (int i = 0; i < 5; i++)
        if (same_text(text, length, first[i])) return i;
    return 5;
}

/* "category|yes|name" into *out; false when it does not count. */
static bool read_attribute(affirmed *out, const char *text) {
    const char *bar = strchr(text, '|'), *second = bar ? strchr(bar + 1, '|') : NULL;
    if (!second || strchr(second + 1, '|') || !second[1]) return false;
    if (!same_text(bar + 1, (size_t)(second - bar) - 1, "yes")) return false;
    *out = (affirmed){.category = text, .category_length = (size_t)(bar - text), .name = second + 1};
    out->name_length = strlen(out->name);
    out->rank = category_rank(out->category, out->category_length);
    return out->rank >= 0;
}

static int compare_bytes(const char *a, size_t a_length, const char *b, size_t b_length) {
    size_t shorter = a_length < b_length ? a_length : b_length;
    int order = memcmp(a, b, shorter);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare_affirmed(const void *left, const void *right) {
    const affirmed *a = left, *b = right;
    if (a->rank != b->rank) return a->rank - b->rank;
    int order = compare_bytes(a->category, a->category_length, b->category, b->category_length);
    return order ? order : compare_bytes(a->name, a->name_length, b->name, b->name_length);
}

/* *out, malloc'ed, in the order of the sentence; names can still be there twice. */
static carina_status collect(affirmed **out, size_t *count, const scene_mention *mention, carina_error *error) {
    size_t room = 0;
    *count = 0;
    for (uint32_t p = 0; p < mention->phrase_count; p++) room += mention->phrases[p].attribute_count;
    *out = malloc((room + 1) * sizeof **out);
    if (!*out) return error_memory(error, "attributes of a region", (room + 1) * sizeof **out);
    for (uint32_t p = 0; p < mention->phrase_count; p++) {
        const scene_phrase *phrase = &mention->phrases[p];
        for (uint32_t a = 0; a < phrase->attribute_count; a++)
            *count += read_attribute(&(*out)[*count], phrase->attributes[a]);
    }
    qsort(*out, *count, sizeof **out, compare_affirmed);
    return CARINA_OK;
}

typedef struct text_buffer {
    char *text;
    size_t length;
    bool full;
} text_buffer;

static void append(text_buffer *b, const char *text, size_t length) {
    if (b->full || length > REGION_SENTENCE_MAX - b->length) {
        b->full = true;
        return;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        b->text[b->length++] = c < 0x20 || c == 0x7f ? ' ' : text[i];
    }
}

static bool named_before(const affirmed *list, size_t index) {
    for (size_t i = index; i-- > 0;) { /* backwards: repetitions lie side by side */
        if (compare_bytes(list[i].name, list[i].name_length, list[index].name, list[index].name_length) == 0)
            return true;
    }
    return false;
}

carina_status region_sentence_make(char **out, const char *object, const scene_mention *mention, carina_error *error) {
    static const scene_mention nothing = {0};
    affirmed *list = NULL;
    size_t count = 0, kept = 0;
    *out = NULL;
    text_buffer b = {.text = malloc(REGION_SENTENCE_MAX + 1)};
    if (!b.text) return error_memory(error, "sentence of a region", REGION_SENTENCE_MAX + 1);
    carina_status status = collect(&list, &count, mention ? mention : &nothing, error);
    append(&b, object, strlen(object));
    /* `kept` names moved to the front; the sentence is full before looking back at them costs anything */
    for (size_t i = 0; i < count && !b.full; i++) {
        list[kept] = list[i];
        if (named_before(list, kept)) continue;
        append(&b, kept ? JOINT : SHOWS, strlen(kept ? JOINT : SHOWS));
        append(&b, list[kept].name, list[kept].name_length);
        kept++;
    }
    append(&b, kept ? "." : HEALTHY, strlen(kept ? "." : HEALTHY));
    free(list);
    if (status == CARINA_OK && b.full) {
        status = error_set(error, CARINA_ERROR_LIMIT, "the sentence of %.80s is longer than %d bytes", object,
                           REGION_SENTENCE_MAX);
    }
    if (status != CARINA_OK) {
        free(b.text);
        return status;
    }
    b.text[b.length] = 0;
    char *fitted = realloc(b.text, b.length + 1);
    *out = fitted ? fitted : b.text;
    return CARINA_OK;
}

carina_status region_sentences_make(char **sentences, const atlas *regions, const scene_graph *graph,
                                    const bool *present, carina_error *error) {
    const scene_mention *mentions[ATLAS_MAX_REGIONS] = {0};
    carina_status status = CARINA_OK;
    for (uint32_t i = 0; i < graph->mention_count; i++) {
        int region = atlas_find(regions, graph->mentions[i].region);
        if (region >= 0) mentions[region] = &graph->mentions[i];
    }
    for (int r = 0; r < regions->region_count; r++) sentences[r] = NULL;
    for (int r = 0; r < regions->region_count && status == CARINA_OK; r++) {
        if (present[r])
            status = region_sentence_make(&sentences[r], regions->regions[r].display_name, mentions[r], error);
    }
    for (int r = 0; r < regions->region_count && status != CARINA_OK; r++) {
        free(sentences[r]);
        sentences[r] = NULL;
    }
    return status;
}
