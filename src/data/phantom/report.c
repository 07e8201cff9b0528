/* Wording a phantom's findings; see report.h. */
#include "data/phantom/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/phantom/report_absence.h"
#include "data/phantom/report_affirmation.h"
#include "data/phantom/report_words.h"
#include "data/phantom/text_grammar.h"

static const char *const side_words[4] = {"right", "left", "bilateral", ""};

/* What is said, and in what other words: two streams, so that more words leave what is said as it was. */
typedef struct drawing {
    random_state facts, words;
} drawing;
#define WORDS_SALT 0x776f726473000000ULL

/* Three grades in two scales. */
static const char *grade_word(double severity, bool amount) {
    int grade = severity < 0.35 ? 0 : severity < 0.68 ? 1 : 2;
    static const char *const words[2][3] = {{"mild", "moderate", "severe"},
                                            {"[small|trace|small]", "moderate", "[large|large|extensive]"}};
    return words[amount][grade];
}

static report_phrase *append(report *r) {
    if (r->phrase_count == REPORT_MAX_PHRASES) return NULL;
    report_phrase *phrase = &r->phrases[r->phrase_count++];
    memset(phrase, 0, sizeof *phrase);
    return phrase;
}

static void add_attribute(report_phrase *phrase, const char *category, bool yes, const char *name) {
    if (phrase->attribute_count == REPORT_MAX_ATTRIBUTES) return;
    char *text = phrase->attributes[phrase->attribute_count];
    snprintf(text, sizeof phrase->attributes[0], "%s|%s|%s", category, yes ? "yes" : "no", name);
    for (int i = 0; i < phrase->attribute_count; i++) {
        if (strcmp(phrase->attributes[i], text) == 0) return;
    }
    phrase->attribute_count++;
}

static void set_label(report *r, int index, float value) {
    /* a positive outweighs a doubt, a doubt outweighs a negative */
    float old = r->labels[index];
    bool stronger = isnan(old) || value == 1 || (value == -1 && old == 0);
    if (stronger) r->labels[index] = value;
}

static int label_named(const char *name) {
    for (int i = 0; i < ATLAS_LABEL_COUNT; i++) {
        if (strcmp(atlas_label_names[i], name) == 0) return i;
    }
    return -1;
}

/* The label classes that an attribute speaks of. */
static const struct {
    const char *attribute, *label;
} label_words[] = {
    {"lung opacity", "Lung Opacity"},
    {"consolidation", "Consolidation"},
    {"pneumonia", "Pneumonia"},
    {"pulmonary edema/hazy opacity", "Edema"},
    {"mass/nodule (not otherwise specified)", "Lung Lesion"},
    {"atelectasis", "Atelectasis"},
    {"pleural effusion", "Pleural Effusion"},
    {"pneumothorax", "Pneumothorax"},
    {"enlarged cardiac silhouette", "Cardiomegaly"},
    {"mediastinal widening", "Enlarged Cardiomediastinum"},
    {"rib fracture", "Fracture"},
};

int report_label_of_denial(const char *attribute) {
    const char *no = strstr(attribute, "|no|");
    for (size_t k = 0; no && k < sizeof label_words / sizeof *label_words; k++) {
        if (strcmp(no + 4, label_words[k].attribute) == 0) return label_named(label_words[k].label);
    }
    return -1;
}

static void negative_labels(report *r, const report_phrase *phrase) {
    for (int i = 0; i < phrase->attribute_count; i++) {
        int label = report_label_of_denial(phrase->attributes[i]);
        if (label >= 0) set_label(r, label, 0);
    }
}

typedef struct finding_text {
    text_slot slots[6];
    char size[24];
} finding_text;

static const char *lobe_words(const finding *f) {
    bool left = f->side == FINDING_LEFT;
    if (f->v < 0.5) return left ? "left upper lobe" : "right upper lobe";
    return left ? "left lower lobe" : "right lower lobe";
}

static void fill_slots(finding_text *t, const finding_film *film, int index, const phantom_scene *scene) {
    const finding *f = &film->list.items[index];
    int zone = finding_truth_zone(film, index, scene);
    double cm = fmax(f->width, f->height) * 1024 / 705 * 27; /* lungs are 705 pixels of the priors, about 27 cm, high */
    snprintf(t->size, sizeof t->size, "%.1f cm", cm);
    const char *where = zone >= 0 ? report_zone_words[zone][f->side == FINDING_LEFT] : "[lungs|chest]";
    t->slots[0] = (text_slot){"side", side_words[f->side]};
    t->slots[1] = (text_slot){"loc", where};
    t->slots[2] = (text_slot){"size", t->size};
    t->slots[3] = (text_slot){"grade", grade_word(f->severity, report_words_table[f->kind].amount)};
    t->slots[4] = (text_slot){"lobe", lobe_words(f)};
    t->slots[5] = (text_slot){"noun", report_words_table[f->kind].noun};
}

static void attribute_finding(report_phrase *phrase, const finding *f, bool many) {
    const finding_entry *entry = &finding_table[f->kind];
    for (int k = 0; k < 3 && entry->implied[k]; k++)
        add_attribute(phrase, "anatomicalfinding", true, entry->implied[k]);
    add_attribute(phrase, entry->category, true, many ? "multiple masses/nodules" : entry->attribute);
    if (f->kind == FINDING_EFFUSION) add_attribute(phrase, "anatomicalfinding", true, "costophrenic angle blunting");
    if (f->kind == FINDING_ATELECTASIS) add_attribute(phrase, "anatomicalfinding", true, "linear/patchy atelectasis");
    if (f->kind == FINDING_HYPERAERATION && strstr(phrase->text, "mphysema")) {
        add_attribute(phrase, "disease", true, "copd/emphysema");
    }
    add_attribute(phrase, "nlp", true, "abnormal");
    if (f->side <= FINDING_LEFT) add_attribute(phrase, "laterality", true, side_words[f->side]);
    phrase->severity = f->severity < 0.35 ? "mild" : f->severity < 0.68 ? "moderate" : "severe";
    if (!strstr(phrase->text, phrase->severity)) phrase->severity = NULL; /* only what the text says */
    if (phrase->severity) add_attribute(phrase, "severity", true, phrase->severity);
}

static void positive_labels(report *r, const report_phrase *phrase, const finding *f) {
    float value = f->uncertain ? -1 : 1;
    if (finding_table[f->kind].label >= 0) set_label(r, finding_table[f->kind].label, value);
    /* the labellers go by words: opacity is one */
    if (strstr(phrase->text, "opaci") || strstr(phrase->text, "irspace")) {
        set_label(r, label_named("Lung Opacity"), value);
    }
}

static void merge_regions(finding_regions *into, const finding_regions *more) {
    for (int i = 0; i < more->count && into->count < FINDING_MAX_REGIONS; i++) {
        bool known = false;
        for (int k = 0; k < into->count; k++) known |= strcmp(into->name[k], more->name[i]) == 0;
        if (!known) into->name[into->count++] = more->name[i];
    }
}

static int count_kind(const finding_list *list, finding_kind kind) {
    int count = 0;
    for (int i = 0; i < list->count; i++) count += list->items[i].kind == kind && list->items[i].told;
    return count;
}

/* One sentence for one finding, or for all nodules when there are three or more. */
static void tell_finding(report *r, const finding_film *film, int index, const phantom_scene *scene, drawing *from) {
    const finding *f = &film->list.items[index];
    const report_words *words = &report_words_table[f->kind];
    finding_text t;
    fill_slots(&t, film, index, scene);
    bool many = f->kind == FINDING_NODULE && count_kind(&film->list, f->kind) >= 3;
    report_phrase *phrase = append(r);
    if (!phrase) return;
    const char *pattern =
        many           ? "[multiple|several|scattered] pulmonary nodules[, the largest in the {loc}| up to {size}|]."
        : f->uncertain ? report_frame_uncertain
        : words->sentence && random_chance(&from->facts, 0.5) ? words->sentence
                                                              : report_frame_certain;
    text_grammar_expand(phrase->text, sizeof phrase->text, pattern, t.slots, 6, &from->facts);
    if (!many) report_affirmation_reword(phrase, f, t.slots, 6, &from->words);
    finding_truth_regions(&phrase->regions, film, index, scene);
    for (int i = index + 1; many && i < film->list.count; i++) {
        finding_regions more;
        if (film->list.items[i].kind != f->kind) continue;
        finding_truth_regions(&more, film, i, scene);
        merge_regions(&phrase->regions, &more);
    }
    phrase->names_region = finding_table[f->kind].form != FINDING_FORM_DIFFUSE && !many;
    attribute_finding(phrase, f, many);
    positive_labels(r, phrase, f);
}

/* True when an earlier finding of the list already said this. */
static bool told_before(const finding_film *film, int index, const phantom_scene *scene) {
    const finding *f = &film->list.items[index];
    bool many = f->kind == FINDING_NODULE && count_kind(&film->list, f->kind) >= 3;
    for (int i = 0; i < index; i++) {
        const finding *g = &film->list.items[i];
        if (g->kind != f->kind || !g->told) continue;
        bool same_place =
            g->side == f->side && finding_truth_zone(film, i, scene) == finding_truth_zone(film, index, scene);
        if (many || same_place) return true;
    }
    return false;
}

/* The finding of the film before that this one continues: same kind and side, the nearest in place. */
static const finding *same_before(const finding_list *prior, const finding *f) {
    const finding *best = NULL;
    for (int i = 0; i < prior->count; i++) {
        const finding *g = &prior->items[i];
        if (g->kind != f->kind || g->side != f->side) continue;
        if (!best || fabs(g->v - f->v) < fabs(best->v - f->v)) best = g;
    }
    return best;
}

/* Puts ", unchanged" or the like at the sentence's end. */
static void compare(report_phrase *phrase, const finding *f, const finding_list *prior, random_state *random) {
    static const char *const patterns[4] = {
        ", [unchanged|stable|similar to before|without change since the prior film].",
        ", [improved|decreased|smaller than before|less than on the prior film].",
        ", [worse|increased|progressed|more than on the prior film].",
        ", [new|new since the prior film|not seen before]."};
    static const char *const cues[4] = {"no change", "improved", "worsened", NULL};
    const finding *before = same_before(prior, f);
    double change = before ? f->severity - before->severity : 0;
    int which = !before ? 3 : fabs(change) < 0.12 ? 0 : change < 0 ? 1 : 2;
    size_t length = strlen(phrase->text);
    if (f->uncertain || length == 0 || phrase->text[length - 1] != '.' || length + 48 > sizeof phrase->text) return;
    char words[64];
    text_grammar_expand(words, sizeof words, patterns[which], NULL, 0, random);
    snprintf(phrase->text + length - 1, sizeof phrase->text - length + 1, "%s", words);
    phrase->comparison = cues[which];
}

static void tell_findings(report *r, const finding_film *film, const phantom_scene *scene, const finding_list *prior,
                          drawing *from) {
    for (int i = 0; i < film->list.count; i++) {
        const finding *f = &film->list.items[i];
        if (!f->told || told_before(film, i, scene)) continue;
        int before = r->phrase_count;
        tell_finding(r, film, i, scene, from);
        bool compared = prior && random_chance(&from->facts, 0.6) && finding_table[f->kind].form != FINDING_FORM_BONE;
        if (compared && r->phrase_count > before) compare(&r->phrases[before], f, prior, &from->facts);
    }
}

static bool is_excluded(const report_normal *normal, const finding_list *list) {
    for (int k = 0; k < 8 && normal->excludes[k] != FINDING_KIND_COUNT; k++) {
        if (finding_has(list, normal->excludes[k])) return true;
    }
    return false;
}

static void tell_normals(report *r, const finding_film *film, bool prior, drawing *from) {
    for (int n = 0; n < REPORT_NORMAL_COUNT; n++) {
        const report_normal *normal = &report_normals[n];
        if (!random_chance(&from->facts, normal->chance) || is_excluded(normal, &film->list)) continue;
        /* both at once and each alone need not be said */
        bool said = (n == 3 && r->labels[label_named("Pneumothorax")] == 0) ||
                    (n == 4 && r->labels[label_named("Pleural Effusion")] == 0);
        report_phrase *phrase = said ? NULL : append(r);
        if (!phrase) continue;
        text_grammar_expand(phrase->text, sizeof phrase->text, normal->pattern, NULL, 0, &from->facts);
        report_absence_reword(phrase, n, prior, &from->words);
        for (int k = 0; k < 4 && normal->attributes[k]; k++) {
            const char *text = normal->attributes[k];
            snprintf(phrase->attributes[phrase->attribute_count++], sizeof phrase->attributes[0], "%s", text);
        }
        for (int k = 0; k < 6 && normal->regions[k]; k++) {
            phrase->regions.name[phrase->regions.count++] = normal->regions[k];
        }
        phrase->names_region = n >= 7;
        negative_labels(r, phrase);
    }
}

static const char *end_words(const phantom_device *device) {
    if (device->end_region < 0) return "centrally";
    const char *name = atlas_anatomix36()->regions[device->end_region].name;
    if (strcmp(name, "svc") == 0) return "in the [SVC|superior vena cava|mid SVC]";
    if (strcmp(name, "cavoatrial junction") == 0) return "[at|near] the cavoatrial junction";
    if (strcmp(name, "right atrium") == 0) return "in the right atrium";
    return "centrally";
}

static void tell_devices(report *r, const phantom_scene *scene, random_state *random) {
    for (int i = 0; i < scene->device_count; i++) {
        const phantom_device *device = &scene->devices[i];
        const finding_device *words = finding_device_find(device->name);
        if (!words || !words->attribute || !random_chance(random, 0.93)) continue;
        bool again = false;
        for (int k = 0; k < i; k++) {
            again |= strcmp(scene->devices[k].name, device->name) == 0 && scene->devices[k].side == device->side;
        }
        report_phrase *phrase = again ? NULL : append(r);
        if (!phrase) continue;
        text_slot slots[2] = {{"side", device->side == 0   ? "right"
                                       : device->side == 1 ? "left"
                                                           : ""},
                              {"end", end_words(device)}};
        text_grammar_expand(phrase->text, sizeof phrase->text, report_device_words[words - finding_devices], slots, 2,
                            random);
        add_attribute(phrase, words->category, true, words->attribute);
        finding_device_regions(&phrase->regions, device);
        phrase->names_region = true;
        set_label(r, label_named("Support Devices"), 1);
    }
}

static bool is_telling(const report_phrase *phrase) {
    for (int i = 0; i < phrase->attribute_count; i++) {
        if (strcmp(phrase->attributes[i], "nlp|yes|abnormal") == 0) return true;
    }
    return false;
}

/* The impression repeats what matters most, briefly: at most four findings, in their order. */
static void tell_impression(report *r, const finding_film *film, const phantom_scene *scene, drawing *from) {
    int told = 0;
    for (int i = 0; i < film->list.count && told < 4; i++) {
        const finding *f = &film->list.items[i];
        if (!f->told || told_before(film, i, scene) || !random_chance(&from->facts, 0.85)) continue;
        finding_text t;
        fill_slots(&t, film, i, scene);
        t.slots[5] = (text_slot){"short", report_words_table[f->kind].short_form};
        report_phrase *phrase = append(r);
        if (!phrase) return;
        bool many = f->kind == FINDING_NODULE && count_kind(&film->list, f->kind) >= 3;
        if (many) t.slots[5].value = "multiple pulmonary nodules";
        const char *pattern = f->uncertain && !many ? report_impression_uncertain : report_impression_certain;
        text_grammar_expand(phrase->text, sizeof phrase->text, pattern, t.slots, 6, &from->facts);
        if (!many) report_affirmation_reword_short(phrase, f, t.slots, 6, &from->words);
        phrase->impression = true;
        phrase->names_region = finding_table[f->kind].form != FINDING_FORM_DIFFUSE;
        finding_truth_regions(&phrase->regions, film, i, scene);
        attribute_finding(phrase, f, many);
        positive_labels(r, phrase, f);
        told++;
    }
    if (told > 0) return;
    bool abnormal = false;
    for (int i = 0; i < r->phrase_count; i++) abnormal |= is_telling(&r->phrases[i]);
    report_phrase *phrase = append(r);
    if (!phrase) return;
    phrase->impression = true;
    const char *pattern = abnormal ? "[findings as above|see above|as described above]." : report_impression_normal;
    text_grammar_expand(phrase->text, sizeof phrase->text, pattern, NULL, 0, &from->facts);
    if (abnormal) return;
    report_affirmation_reword_normal(phrase, &from->words);
    add_attribute(phrase, "nlp", true, "normal");
    phrase->regions = (finding_regions){2, {"right lung", "left lung"}};
}

/* A shuffled order within FINDINGS: reports follow no single one. */
static void shuffle_phrases(report *r, int count, random_state *random) {
    for (int i = count - 1; i > 0; i--) {
        if (!random_chance(random, 0.4)) continue;
        int k = (int)random_below(random, (uint64_t)i + 1);
        report_phrase swap = r->phrases[i];
        r->phrases[i] = r->phrases[k];
        r->phrases[k] = swap;
    }
}

void report_make(report *out, const finding_film *film, const phantom_scene *scene, const finding_list *prior,
                 random_state *random) {
    drawing from = {*random, random_stream(random->word[0] ^ WORDS_SALT, random->word[1])};
    bool compared = prior != NULL;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < ATLAS_LABEL_COUNT; i++) out->labels[i] = NAN;
    text_grammar_expand(out->indication, sizeof out->indication, report_indications, NULL, 0, &from.facts);
    text_grammar_expand(out->technique, sizeof out->technique, report_techniques[scene->parameters.ap], NULL, 0,
                        &from.facts);
    text_grammar_expand(out->comparison, sizeof out->comparison, report_comparisons[compared], NULL, 0, &from.facts);
    tell_devices(out, scene, &from.facts);
    tell_findings(out, film, scene, prior, &from);
    tell_normals(out, film, compared, &from);
    shuffle_phrases(out, out->phrase_count, &from.facts);
    tell_impression(out, film, scene, &from);
    report_absence_add(out, &film->list, compared, &from.words);
    *random = from.facts;
    /* No Finding: nothing of the other classes is held possible; devices do not count */
    bool any = false;
    for (int i = 0; i < ATLAS_LABEL_COUNT; i++) {
        bool counts = i != label_named("Support Devices") && i != label_named("No Finding");
        any |= counts && (out->labels[i] == 1 || out->labels[i] == -1);
    }
    if (!any) out->labels[label_named("No Finding")] = 1;
}

static void print_section(FILE *stream, const report *r, bool impression) {
    int column = 0;
    for (int i = 0; i < r->phrase_count; i++) {
        if (r->phrases[i].impression != impression) continue;
        if (column > 0) fputs(column > 60 ? "\n " : " ", stream);
        if (column == 0) fputc(' ', stream);
        column = column > 60 ? 0 : column;
        column += fprintf(stream, "%s", r->phrases[i].text);
    }
    fputc('\n', stream);
}

size_t report_text(char *out, size_t size, const report *r) {
    FILE *stream = fmemopen(out, size, "w");
    if (!stream) {
        if (size) out[0] = 0;
        return 0;
    }
    fprintf(stream, "                                 FINAL REPORT\n");
    fprintf(stream, " EXAMINATION:  CHEST (SYNTHETIC FILM)\n \n INDICATION:  %s\n \n", r->indication);
    fprintf(stream, " TECHNIQUE:  %s\n \n COMPARISON:  %s\n \n FINDINGS:\n \n", r->technique, r->comparison);
    print_section(stream, r, false);
    fprintf(stream, " \n IMPRESSION:\n \n");
    print_section(stream, r, true);
    long length = ftell(stream);
    fclose(stream);
    return length < 0 ? 0 : (size_t)length;
}
