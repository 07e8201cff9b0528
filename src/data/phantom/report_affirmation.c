/* Findings in other words; see report_affirmation.h. Our own wording throughout. */
#include "data/phantom/report_affirmation.h"

#include <stdio.h>
#include <string.h>

#include "data/phantom/report_words.h"

#define SLOTS 8
#define TRIES 12
#define SEEN  "[seen|identified|noted|detected|visualised|demonstrated|found|shown]"
#define FILM  "[the film|the study|the examination|this film|the radiograph]"

/* Slots: those of report.c, {short}, {is}, which agrees with the noun, and {are}, which agrees with the short form. */
static const char *const certain_frames[] = {
    "{noun} {is} " SEEN ".",
    "{noun} {is} [present|evident|apparent|visible].",
    FILM " [shows|demonstrates|reveals] {noun}.",
    "there [is [sign|radiographic evidence|indication]|are signs] of {noun}.",
    "[we see|I see|positive for|with|presence of] {noun}.",
    "[findings|appearances] [suggest|indicate|point to] {noun}.",
    "{short}: [present|seen|yes].",
    "{more}",
    "{more}",
};

static const char *const uncertain_frames[] = {
    "[possible|probable|likely|suspected|questionable] {short}[ {are} seen|].",
    "{noun} {is} [not excluded|not ruled out|likely|suspected|questioned].",
    "{noun} cannot be ruled out.",
    "[there is concern for|concerning for|suspicious for|suggestive of|raises the question of] {noun}.",
    "[the appearance|this] [suggests|raises the possibility of] {noun}.",
    "[perhaps|maybe] {noun}.",
    "{noun} [would be|remains] possible.",
};

static const char *const short_certain_frames[] = {
    "[findings|evidence|signs|presence] of {short}.",
    "{short} {are} [present|seen|noted].",
    "{short}[, see above|, as stated above].",
};

static const char *const short_uncertain_frames[] = {
    "[likely|perhaps|questionable] {short}.",
    "{short} {are} [not excluded|possible|suspected].",
    "[concern|suspicion] for {short}.",
};

/* One more sentence for findings that have few. */
static const struct {
    finding_kind kind;
    const char *sentence;
} more_sentences[] = {
    {FINDING_CONSOLIDATION, "the {loc} [shows|contains] a {grade} consolidation."},
    {FINDING_PNEUMONIA, "[findings of|appearances of|an infection with] pneumonia [in|at] the {loc}."},
    {FINDING_EDEMA, "the lungs [show|have] {grade} [interstitial|pulmonary] edema."},
    {FINDING_VASCULAR_CONGESTION, "the pulmonary vessels are {grade}ly [distended|congested|engorged]."},
    {FINDING_NODULE, "the {loc} [contains|holds|shows] a nodule of {size}."},
    {FINDING_CALCIFIED_NODULE, "the {loc} [contains|holds|shows] a [granuloma|calcified granuloma|calcified nodule]."},
    {FINDING_MASS, "a large mass of {size} [lies|is centred] in the {loc}."},
    {FINDING_ATELECTASIS,
     "[the {loc} is {grade}ly atelectatic|there is volume loss from {grade} atelectasis in the "
     "{loc}]."},
    {FINDING_EFFUSION,
     "[pleural fluid|fluid], {grade} in amount, [lies|has collected|layers] [in|within] the {side} "
     "pleural space."},
    {FINDING_PNEUMOTHORAX,
     "[{grade} {side} pneumothorax, with a visible pleural line|air fills the {side} pleural "
     "space, a {grade} pneumothorax]."},
    {FINDING_LOW_VOLUMES, "the lung volumes are {grade}ly [reduced|low]."},
    {FINDING_HYPERAERATION, "the lungs are {grade}ly [hyperexpanded|overinflated]."},
    {FINDING_ELEVATED_HEMIDIAPHRAGM, "the {side} hemidiaphragm [stands high|is {grade}ly [elevated|raised]]."},
    {FINDING_HERNIA, "the stomach [has herniated|reaches] above the diaphragm[, a {grade} hiatal hernia|]."},
    {FINDING_ENLARGED_HEART,
     "[the cardiac [outline|contour] is {grade}ly [big|dilated|increased in size]|{grade} "
     "cardiac enlargement|the heart size is {grade}ly increased]."},
    {FINDING_MEDIASTINAL_WIDENING, "the [upper |]mediastinum is {grade}ly [wide|broadened|enlarged]."},
    {FINDING_ENLARGED_HILUM, "{grade} {side} hilar [enlargement|fullness|prominence]."},
    {FINDING_TORTUOUS_AORTA, "[tortuosity of the aorta|aortic tortuosity|unfolding of the aorta]."},
    {FINDING_RIB_FRACTURE, "a {side} rib is [broken|fractured]."},
    {FINDING_CLAVICLE_FRACTURE, "the {side} clavicle is [broken|fractured]."},
    {FINDING_SCOLIOSIS, "{grade} curvature of the [thoracic |]spine."},
    {FINDING_SPINAL_DEGENERATION, "the thoracic spine is {grade}ly [degenerated|worn]."},
};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static bool same_word(const char *a, const char *b, const char *word) {
    return (strstr(a, word) != NULL) == (strstr(b, word) != NULL);
}

/* What report.c reads off the words is the same in both. */
static bool says_same(const char *a, const char *b) {
    static const char *const words[] = {"mild", "moderate", "severe", "mphysema", "opaci", "irspace"};
    for (size_t i = 0; i < LENGTH(words); i++)
        if (!same_word(a, b, words[i])) return false;
    size_t length = strlen(b);
    return length > 3 && length < 220 && b[length - 1] == '.';
}

static const char *more_sentence(finding_kind kind) {
    for (size_t i = 0; i < LENGTH(more_sentences); i++)
        if (more_sentences[i].kind == kind) return more_sentences[i].sentence;
    return report_frame_certain;
}

/* Draws until the words fit; after some tries the first wording stays. */
static void reword(report_phrase *phrase, const finding *f, const char *const *frames, size_t count,
                   const text_slot *slots, int slot_count, random_state *words) {
    text_slot all[SLOTS + 4];
    int used = 0;
    bool plural = f->kind == FINDING_SPINAL_DEGENERATION;
    if (slot_count > SLOTS || !random_chance(words, 0.55)) return;
    for (; used < slot_count; used++) all[used] = slots[used];
    all[used++] = (text_slot){"is", plural ? "are" : "is"};
    all[used++] = (text_slot){"are", plural || f->kind == FINDING_LOW_VOLUMES ? "are" : "is"};
    all[used++] = (text_slot){"short", report_words_table[f->kind].short_form};
    all[used++] = (text_slot){"more", more_sentence(f->kind)};
    for (int i = 0; i < TRIES; i++) {
        char text[REPORT_TEXT] = {0};
        text_grammar_expand(text, sizeof text, frames[random_below(words, count)], all, used, words);
        if (!says_same(phrase->text, text)) continue;
        memcpy(phrase->text, text, sizeof text);
        return;
    }
}

void report_affirmation_reword(report_phrase *phrase, const finding *f, const text_slot *slots, int slot_count,
                               random_state *words) {
    const char *const *frames = f->uncertain ? uncertain_frames : certain_frames;
    reword(phrase, f, frames, f->uncertain ? LENGTH(uncertain_frames) : LENGTH(certain_frames), slots, slot_count,
           words);
}

void report_affirmation_reword_short(report_phrase *phrase, const finding *f, const text_slot *slots, int slot_count,
                                     random_state *words) {
    const char *const *frames = f->uncertain ? short_uncertain_frames : short_certain_frames;
    reword(phrase, f, frames, f->uncertain ? LENGTH(short_uncertain_frames) : LENGTH(short_certain_frames), slots,
           slot_count, words);
}

void report_affirmation_reword_normal(report_phrase *phrase, random_state *words) {
    static const char pattern[] =
        "[no [acute|significant|active] [findings|abnormality|chest disease|intrathoracic process]|the chest is "
        "[normal|unremarkable]|normal chest|no abnormality is " SEEN "|nothing abnormal is " SEEN
        "|no findings of acute disease|no radiographic abnormality].";
    if (random_chance(words, 0.6)) text_grammar_expand(phrase->text, sizeof phrase->text, pattern, NULL, 0, words);
}
