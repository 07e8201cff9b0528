/* Findings that share regions out among them; see finding_colours.h. */
#include "cli/finding_colours.h"

#include <stdlib.h>
#include <string.h>

#include "atlas/sentence_findings.h"

#define MOST_FINDINGS 16 /* of one region that are looked at */

/* Told apart on black and on grey, and from the green of healthy regions. */
static const unsigned palette[FINDING_COLOURS] = {0xFF9D3C, 0x5AA9FF, 0xFF6FD8, 0xFFE14D,
                                                  0xFF5A5A, 0x4DE1E1, 0xB48CFF, 0xD8D8D8};

typedef struct region_findings {
    int count;
    sentence_finding names[MOST_FINDINGS];
} region_findings;

static bool same(const sentence_finding *a, const sentence_finding *b) {
    return a->length == b->length && memcmp(a->name, b->name, a->length) == 0;
}

static bool sorts_before(const sentence_finding *a, const sentence_finding *b) {
    int order = memcmp(a->name, b->name, a->length < b->length ? a->length : b->length);
    return order < 0 || (order == 0 && a->length < b->length);
}

static bool shows(const region_findings *of, const sentence_finding *finding) {
    for (int i = 0; i < of->count; i++)
        if (same(&of->names[i], finding)) return true;
    return false;
}

/* Without the general finding, where there is another. */
static void leave_out_general(region_findings *of) {
    static const sentence_finding general = {"lung opacity", 12};
    int kept = 0;
    if (of->count < 2) return;
    for (int i = 0; i < of->count; i++)
        if (!same(&of->names[i], &general)) of->names[kept++] = of->names[i];
    of->count = kept;
}

/* The finding that most of the regions without a colour show; NULL when none of them shows a known one. */
static const sentence_finding *most_common(const region_findings *of, const int *colour_of, int regions) {
    const sentence_finding *best = NULL;
    int most = 0;
    for (int r = 0; r < regions; r++)
        for (int i = 0; colour_of[r] < 0 && i < of[r].count; i++) {
            const sentence_finding *finding = &of[r].names[i];
            int count = 0;
            for (int k = 0; k < regions; k++) count += colour_of[k] < 0 && shows(&of[k], finding);
            if (count < most || (count == most && best && !sorts_before(finding, best))) continue;
            best = finding;
            most = count;
        }
    return best;
}

static carina_status add_colour(finding_colours *out, unsigned colour, const char *name, size_t length,
                                carina_error *error) {
    out->colour[out->count] = colour;
    out->name[out->count] = strndup(name, length);
    if (!out->name[out->count]) return error_memory(error, "a legend", length);
    out->count++;
    return CARINA_OK;
}

static carina_status share_out(finding_colours *out, const region_findings *of, const char *const *sentences,
                               int regions, carina_error *error) {
    const sentence_finding *next;
    while (out->count < FINDING_COLOURS - 1 && (next = most_common(of, out->of_region, regions))) {
        for (int r = 0; r < regions; r++)
            if (out->of_region[r] < 0 && shows(&of[r], next)) out->of_region[r] = out->count;
        TRY(add_colour(out, palette[out->count], next->name, next->length, error));
    }
    bool others = false;
    for (int r = 0; r < regions; r++) {
        if (!sentences[r] || out->of_region[r] >= 0) continue;
        out->of_region[r] = out->count;
        others = true;
    }
    return others ? add_colour(out, palette[FINDING_COLOURS - 1], "other findings", 14, error) : CARINA_OK;
}

carina_status finding_colours_choose(finding_colours *out, const char *const *sentences, const atlas *regions,
                                     carina_error *error) {
    *out = (finding_colours){0};
    region_findings *of = calloc(ATLAS_MAX_REGIONS, sizeof *of);
    if (!of) return error_memory(error, "a legend", ATLAS_MAX_REGIONS * sizeof *of);
    for (int r = 0; r < regions->region_count; r++) {
        sentence_finding all[SENTENCE_FINDINGS];
        const char *display = regions->regions[r].display_name;
        int count = sentences[r] ? sentence_findings_parse(all, sentences[r], display, regions) : 0;
        of[r].count = count < 0 ? 0 : count > MOST_FINDINGS ? MOST_FINDINGS : count;
        memcpy(of[r].names, all, (size_t)of[r].count * sizeof *all);
        leave_out_general(&of[r]);
        out->of_region[r] = -1;
    }
    carina_status status = share_out(out, of, sentences, regions->region_count, error);
    free(of);
    return status;
}

void finding_colours_free(finding_colours *c) {
    for (int i = 0; i < FINDING_COLOURS; i++) free(c->name[i]);
    *c = (finding_colours){0};
}
