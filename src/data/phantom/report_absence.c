/* Denials in many words; see report_absence.h. Our own wording throughout. */
#include "data/phantom/report_absence.h"

#include <stdio.h>
#include <string.h>

#include "data/phantom/report_words.h"
#include "data/phantom/text_grammar.h"

typedef enum absence_kind {
    ABSENT_OPACITY,
    ABSENT_CONSOLIDATION,
    ABSENT_EFFUSION,
    ABSENT_PNEUMOTHORAX,
    ABSENT_EDEMA,
    ABSENT_CONGESTION,
    ABSENT_PNEUMONIA,
    ABSENT_LARGE_HEART,
    ABSENT_WIDENING,
    ABSENT_LARGE_HILUM,
    ABSENT_FRACTURE,
    ABSENT_FREE_AIR,
    ABSENT_DEVIATION,
    ABSENT_NODULE,
    ABSENT_ATELECTASIS,
    ABSENT_COLLAPSE,
    ABSENT_SCARRING,
    ABSENT_THICKENING,
    ABSENT_LOW_VOLUMES,
    ABSENT_HYPERINFLATION,
    ABSENT_RAISED_DOME,
    ABSENT_HERNIA,
    ABSENT_TORTUOUS_AORTA,
    ABSENT_SCOLIOSIS,
    ABSENT_WORN_SPINE,
    ABSENT_GRANULOMA,
    ABSENT_BLUNTING,
    ABSENT_RIB_FRACTURE,
    ABSENT_CLAVICLE_FRACTURE,
    ABSENCE_COUNT
} absence_kind;

/* What can be absent. Slot {side}: "right", "left", or nothing. */
typedef struct absence {
    const char *noun;      /* without an article; of one gender with "is": "pleural effusion" */
    const char *article;   /* the noun with its article, NULL: it has none */
    const char *plural;    /* NULL: none */
    const char *adjective; /* that denials put before the noun: "[focal|]" */
    const char *where;     /* behind the noun, when no side is meant */
    const char *one_side;  /* behind the noun of one side, with {side}; "": the noun says it; NULL: it has no sides */
    const char *not_so;    /* a whole denial in another word than the noun, without the mark; NULL: none */
    const char *normal;    /* a whole statement that all is well, without the mark; NULL: none */
    const char *clear_of;  /* "the lungs are": may be said to be clear of it; NULL: not */
    const char *attributes[3];
    finding_kind excludes[12]; /* as report_normal */
    const char *regions[6], *side_regions[2][3];
    double alone; /* how often it is worth a sentence of its own */
} absence;

#define NONE       FINDING_KIND_COUNT
#define BOTH_LUNGS "right lung", "left lung"
#define LUNG_SIDES                      \
    {                                   \
        {"right lung"}, { "left lung" } \
    }
#define IN_LUNGS "[in [either lung|the lungs]|]"
#define IN_LUNG  "[in the {side} lung|on the {side}]"

static const absence absences[ABSENCE_COUNT] = {
    [ABSENT_OPACITY] = {.noun = "[lung|pulmonary|airspace|parenchymal|] opacity",
                        .article = "a [lung|pulmonary|airspace|parenchymal|] opacity",
                        .plural = "[lung|pulmonary|airspace|parenchymal|] opacities",
                        .adjective = "[focal|]",
                        .where = IN_LUNGS,
                        .one_side = IN_LUNG,
                        .not_so = "[neither lung is|the lungs are not] [opacified|hazy]",
                        .normal = "[the lungs are|both lungs are|the lung fields are] [well aerated|clear on both "
                                  "sides|clear throughout|free of disease]",
                        .clear_of = "[the lungs|both lungs|the lung fields] are",
                        .attributes = {"anatomicalfinding|no|lung opacity"},
                        .excludes = {FINDING_OPACITY, FINDING_CONSOLIDATION, FINDING_PNEUMONIA, FINDING_EDEMA,
                                     FINDING_NODULE, FINDING_MASS, FINDING_CALCIFIED_NODULE, FINDING_ATELECTASIS,
                                     FINDING_LOBAR_COLLAPSE, FINDING_EFFUSION, FINDING_SCARRING, NONE},
                        .regions = {BOTH_LUNGS},
                        .side_regions = LUNG_SIDES,
                        .alone = 1},
    [ABSENT_CONSOLIDATION] = {.noun = "consolidation",
                              .article = "a [focal|lobar|] consolidation",
                              .plural = "consolidations",
                              .adjective = "[focal|airspace|lobar|confluent|]",
                              .where = IN_LUNGS,
                              .one_side = IN_LUNG,
                              .not_so = "the lungs are not consolidated",
                              .clear_of = "[the lungs|both lungs] are",
                              .attributes = {"anatomicalfinding|no|consolidation"},
                              .excludes = {FINDING_CONSOLIDATION, FINDING_PNEUMONIA, FINDING_LOBAR_COLLAPSE, NONE},
                              .regions = {BOTH_LUNGS},
                              .side_regions = LUNG_SIDES,
                              .alone = 1},
    [ABSENT_EFFUSION] = {.noun = "{side} [[pleural|] effusion|pleural fluid]",
                         .article = "a {side} [pleural|] effusion",
                         .plural = "{side} pleural effusions",
                         .adjective = "[significant|layering|]",
                         .where = "[on either side|]",
                         .one_side = "",
                         .not_so = "[no fluid is seen in|there is no fluid in|no fluid lies in] the pleural spaces",
                         .normal = "the pleural spaces are [clear|dry|unremarkable]",
                         .clear_of = "the pleural spaces are",
                         .attributes = {"anatomicalfinding|no|pleural effusion"},
                         .excludes = {FINDING_EFFUSION, NONE},
                         .regions = {BOTH_LUNGS, "right costophrenic angle", "left costophrenic angle"},
                         .side_regions = {{"right lung", "right costophrenic angle"},
                                          {"left lung", "left costophrenic angle"}},
                         .alone = 1},
    [ABSENT_PNEUMOTHORAX] = {.noun = "{side} pneumothorax",
                             .article = "a {side} pneumothorax",
                             .plural = "{side} pneumothoraces",
                             .adjective = "[apical|large|]",
                             .where = "[on either side|]",
                             .one_side = "",
                             .not_so = "[no pleural line is seen|there is no air in the pleural space|no pleural air]",
                             .normal = "the lungs [reach|extend to] the chest wall[ on both sides|]",
                             .attributes = {"anatomicalfinding|no|pneumothorax"},
                             .excludes = {FINDING_PNEUMOTHORAX, NONE},
                             .regions = {BOTH_LUNGS},
                             .side_regions = LUNG_SIDES,
                             .alone = 1},
    [ABSENT_EDEMA] = {.noun = "[pulmonary|interstitial|alveolar|] edema",
                      .adjective = "[overt|frank|]",
                      .where = "",
                      .not_so = "[no septal lines are seen|there are no septal lines]",
                      .clear_of = "the lungs are",
                      .attributes = {"anatomicalfinding|no|pulmonary edema/hazy opacity"},
                      .excludes = {FINDING_EDEMA, NONE},
                      .regions = {BOTH_LUNGS},
                      .alone = 1},
    [ABSENT_CONGESTION] = {.noun = "[[pulmonary|] vascular|[pulmonary|] venous] congestion",
                           .adjective = "[overt|central|]",
                           .where = "",
                           .not_so = "the pulmonary [vessels are|vasculature is] not [congested|engorged|distended]",
                           .normal = "the pulmonary [vessels are|vasculature is] [normal|unremarkable|of normal "
                                     "calibre]",
                           .attributes = {"anatomicalfinding|no|vascular congestion"},
                           .excludes = {FINDING_EDEMA, FINDING_VASCULAR_CONGESTION, NONE},
                           .regions = {BOTH_LUNGS, "right hilar structures", "left hilar structures"},
                           .alone = 1},
    [ABSENT_PNEUMONIA] = {.noun = "[pneumonia|lobar pneumonia|pulmonary infection]",
                          .article = "a pneumonia",
                          .adjective = "[focal|acute|]",
                          .where = IN_LUNGS,
                          .one_side = IN_LUNG,
                          .not_so = "no infectious process",
                          .clear_of = "the lungs are",
                          .attributes = {"disease|no|pneumonia"},
                          .excludes = {FINDING_PNEUMONIA, FINDING_CONSOLIDATION, FINDING_OPACITY, NONE},
                          .regions = {BOTH_LUNGS},
                          .side_regions = LUNG_SIDES,
                          .alone = 1},
    [ABSENT_LARGE_HEART] = {.noun = "[cardiomegaly|cardiac enlargement|enlargement of the cardiac silhouette]",
                            .adjective = "[significant|]",
                            .where = "",
                            .not_so = "the [heart|cardiac silhouette] is not [big|dilated|increased in size]",
                            .normal = "[normal heart size|the heart size is within normal limits|normal cardiac "
                                      "silhouette|the cardiac [outline|contour] is normal|the cardiothoracic ratio is "
                                      "normal]",
                            .attributes = {"anatomicalfinding|no|enlarged cardiac silhouette"},
                            .excludes = {FINDING_ENLARGED_HEART, NONE},
                            .regions = {"cardiac silhouette"},
                            .alone = 1},
    [ABSENT_WIDENING] = {.noun = "[mediastinal widening|widening of the [upper |]mediastinum]",
                         .adjective = "",
                         .where = "",
                         .not_so = "the [upper |]mediastinum is not [wide|broadened|enlarged]",
                         .normal = "[normal mediastinum|the mediastinal [silhouette|outline] is "
                                   "[normal|unremarkable|preserved]|the mediastinum is [unremarkable|not remarkable]]",
                         .attributes = {"anatomicalfinding|no|mediastinal widening"},
                         .excludes = {FINDING_MEDIASTINAL_WIDENING, NONE},
                         .regions = {"mediastinum", "upper mediastinum"},
                         .alone = 1},
    [ABSENT_LARGE_HILUM] = {.noun = "{side} hilar [enlargement|fullness|prominence]",
                            .adjective = "",
                            .where = "",
                            .one_side = "",
                            .not_so = "the hila are not [prominent|full|bulky]",
                            .normal = "[normal hila|the hila are [normal|unremarkable|within normal limits]|the hilar "
                                      "structures are [normal|unremarkable]]",
                            .attributes = {"anatomicalfinding|no|enlarged hilum"},
                            .excludes = {FINDING_ENLARGED_HILUM, NONE},
                            .regions = {"right hilar structures", "left hilar structures"},
                            .side_regions = {{"right hilar structures"}, {"left hilar structures"}},
                            .alone = 1},
    [ABSENT_FRACTURE] = {.noun = "[bony|rib or clavicle|] fracture",
                         .article = "a [bony|] fracture",
                         .plural = "[bony|] fractures",
                         .adjective = "[acute|displaced|]",
                         .where = "",
                         .not_so = "no [bone|rib or clavicle] is [broken|fractured]",
                         .normal =
                             "[the skeleton is intact|the bony thorax is [intact|unremarkable]|ribs and clavicles "
                             "are [intact|unremarkable]]",
                         .attributes = {"anatomicalfinding|no|rib fracture", "anatomicalfinding|no|clavicle fracture"},
                         .excludes = {FINDING_RIB_FRACTURE, FINDING_CLAVICLE_FRACTURE, NONE},
                         .regions = {"right clavicle", "left clavicle", "spine"},
                         .alone = 1},
    [ABSENT_FREE_AIR] = {.noun = "[free [intraperitoneal|subdiaphragmatic|] air|pneumoperitoneum]",
                         .adjective = "",
                         .where = "[[below|under|beneath] the [diaphragm|hemidiaphragms]|]",
                         .not_so = "no air [collects|lies] [below|under|beneath] the [diaphragm|hemidiaphragms]",
                         .attributes = {"anatomicalfinding|no|sub-diaphragmatic air"},
                         .excludes = {NONE},
                         .regions = {"abdomen", "right hemidiaphragm", "left hemidiaphragm"},
                         .alone = 0.5},
    [ABSENT_DEVIATION] = {.noun = "[tracheal deviation|deviation of the trachea|tracheal shift]",
                          .adjective = "",
                          .where = "",
                          .not_so = "the trachea is not [deviated|displaced|shifted]",
                          .normal = "[midline trachea|central trachea|the trachea [lies|runs] in the midline|the "
                                    "trachea is not remarkable]",
                          .excludes = {NONE},
                          .regions = {"trachea"}},
    [ABSENT_NODULE] = {.noun = "[pulmonary|lung|] [nodule|mass|nodule or mass]",
                       .article = "a [pulmonary|lung|] [nodule|mass|nodule or mass]",
                       .plural = "[pulmonary|lung|] [nodules|masses|nodules or masses]",
                       .adjective = "[suspicious|discrete|]",
                       .where = IN_LUNGS,
                       .one_side = IN_LUNG,
                       .not_so = "nothing nodular [is seen|lies] in the lungs",
                       .clear_of = "the lungs are",
                       .attributes = {"anatomicalfinding|no|mass/nodule (not otherwise specified)",
                                      "anatomicalfinding|no|lung lesion"},
                       .excludes = {FINDING_NODULE, FINDING_MASS, FINDING_CALCIFIED_NODULE, NONE},
                       .regions = {BOTH_LUNGS},
                       .side_regions = LUNG_SIDES,
                       .alone = 1},
    [ABSENT_ATELECTASIS] = {.noun = "[linear|subsegmental|basal|] atelectasis",
                            .adjective = "[significant|]",
                            .where = IN_LUNGS,
                            .one_side = IN_LUNG,
                            .attributes = {"anatomicalfinding|no|atelectasis"},
                            .excludes = {FINDING_ATELECTASIS, FINDING_LOBAR_COLLAPSE, NONE},
                            .regions = {BOTH_LUNGS},
                            .side_regions = LUNG_SIDES,
                            .alone = 1},
    [ABSENT_COLLAPSE] = {.noun = "[lobar|segmental] [collapse|volume loss]",
                         .adjective = "",
                         .where = IN_LUNGS,
                         .one_side = IN_LUNG,
                         .not_so = "no lobe [is|has] collapsed",
                         .normal = "all lobes are [aerated|expanded]",
                         .attributes = {"anatomicalfinding|no|lobar/segmental collapse"},
                         .excludes = {FINDING_LOBAR_COLLAPSE, NONE},
                         .regions = {BOTH_LUNGS},
                         .side_regions = LUNG_SIDES,
                         .alone = 1},
    [ABSENT_SCARRING] = {.noun = "[scarring|fibrosis|parenchymal scarring|fibrotic change]",
                         .adjective = "[chronic|]",
                         .where = IN_LUNGS,
                         .one_side = IN_LUNG,
                         .not_so = "the lungs are not scarred",
                         .clear_of = "the lungs are",
                         .attributes = {"anatomicalfinding|no|pleural/parenchymal scarring"},
                         .excludes = {FINDING_SCARRING, FINDING_PLEURAL_THICKENING, NONE},
                         .regions = {BOTH_LUNGS},
                         .side_regions = LUNG_SIDES,
                         .alone = 0.7},
    [ABSENT_THICKENING] = {.noun = "{side} [pleural thickening|thickening of the pleura]",
                           .adjective = "[apical|]",
                           .where = "",
                           .one_side = "",
                           .not_so = "the pleura is not thickened",
                           .normal = "the pleura is [thin|unremarkable]",
                           .attributes = {"anatomicalfinding|no|pleural/parenchymal scarring"},
                           .excludes = {FINDING_SCARRING, FINDING_PLEURAL_THICKENING, NONE},
                           .regions = {BOTH_LUNGS},
                           .side_regions = LUNG_SIDES,
                           .alone = 0.7},
    [ABSENT_LOW_VOLUMES] = {.noun = "[reduction of the lung volumes|loss of lung volume|lung volume reduction]",
                            .adjective = "",
                            .where = "",
                            .not_so = "[the lung volumes are not [low|reduced]|inspiration is not shallow]",
                            .normal = "[lung volumes are [normal|preserved|adequate]|good inspiration]",
                            .attributes = {"technicalassessment|no|low lung volumes"},
                            .excludes = {FINDING_LOW_VOLUMES, NONE},
                            .regions = {BOTH_LUNGS},
                            .alone = 1},
    [ABSENT_HYPERINFLATION] = {.noun = "[hyperinflation|hyperexpansion|air trapping]",
                               .adjective = "[significant|]",
                               .where = "",
                               .not_so = "[the lungs are not [hyperexpanded|overinflated]|the [domes|hemidiaphragms] "
                                         "are not flattened]",
                               .normal = "the lungs are normally [inflated|aerated]",
                               .attributes = {"anatomicalfinding|no|hyperaeration"},
                               .excludes = {FINDING_HYPERAERATION, NONE},
                               .regions = {BOTH_LUNGS},
                               .alone = 1},
    [ABSENT_RAISED_DOME] = {.noun = "elevation of the {side} [hemidiaphragm|diaphragmatic dome]",
                            .adjective = "",
                            .where = "",
                            .one_side = "",
                            .not_so = "neither hemidiaphragm is [elevated|raised]",
                            .normal = "the hemidiaphragms are [at their normal height|normal in position]",
                            .attributes = {"anatomicalfinding|no|elevated hemidiaphragm"},
                            .excludes = {FINDING_ELEVATED_HEMIDIAPHRAGM, NONE},
                            .regions = {"right hemidiaphragm", "left hemidiaphragm"},
                            .side_regions = {{"right hemidiaphragm"}, {"left hemidiaphragm"}},
                            .alone = 1},
    [ABSENT_HERNIA] = {.noun = "[hiatal|hiatus] hernia",
                       .article = "a [hiatal|hiatus] hernia",
                       .adjective = "[large|]",
                       .where = "",
                       .not_so = "no retrocardiac [shadow|density|air-fluid level]",
                       .attributes = {"anatomicalfinding|no|hernia"},
                       .excludes = {FINDING_HERNIA, NONE},
                       .regions = {"cardiac silhouette", "abdomen"},
                       .alone = 0.7},
    [ABSENT_TORTUOUS_AORTA] = {.noun = "[tortuosity of the [thoracic |]aorta|aortic tortuosity|unfolding of the aorta]",
                               .adjective = "",
                               .where = "",
                               .not_so = "the [thoracic |]aorta is not [tortuous|unfolded|elongated]",
                               .normal = "the [thoracic |]aorta is [normal|unremarkable][ in course|]",
                               .attributes = {"anatomicalfinding|no|tortuous aorta"},
                               .excludes = {FINDING_TORTUOUS_AORTA, NONE},
                               .regions = {"aortic arch", "descending aorta"},
                               .alone = 1},
    [ABSENT_SCOLIOSIS] = {.noun = "[scoliosis|curvature of the spine|thoracic scoliosis]",
                          .adjective = "[significant|]",
                          .where = "",
                          .not_so = "the [thoracic |]spine is not [curved|scoliotic]",
                          .normal = "the [thoracic |]spine is straight",
                          .attributes = {"anatomicalfinding|no|scoliosis"},
                          .excludes = {FINDING_SCOLIOSIS, NONE},
                          .regions = {"spine"},
                          .alone = 1},
    [ABSENT_WORN_SPINE] = {.noun = "degenerative change [of|in] the [thoracic |]spine",
                           .plural = "[degenerative changes [of|in] the [thoracic |]spine|[degenerative |]osteophytes]",
                           .adjective = "[significant|]",
                           .where = "",
                           .not_so = "the [thoracic |]spine is not [degenerated|worn]",
                           .attributes = {"anatomicalfinding|no|spinal degenerative changes"},
                           .excludes = {FINDING_SPINAL_DEGENERATION, NONE},
                           .regions = {"spine"},
                           .alone = 1},
    [ABSENT_GRANULOMA] = {.noun = "[calcified [nodule|granuloma]|granuloma]",
                          .article = "a [calcified [nodule|granuloma]|granuloma]",
                          .plural = "[calcified [nodules|granulomas]|granulomas]",
                          .adjective = "",
                          .where = IN_LUNGS,
                          .one_side = IN_LUNG,
                          .attributes = {"anatomicalfinding|no|calcified nodule"},
                          .excludes = {FINDING_CALCIFIED_NODULE, NONE},
                          .regions = {BOTH_LUNGS},
                          .side_regions = LUNG_SIDES,
                          .alone = 0.7},
    [ABSENT_BLUNTING] = {.noun = "blunting of the {side} costophrenic angle",
                         .adjective = "",
                         .where = "",
                         .one_side = "",
                         .not_so = "the costophrenic angles are not [blunted|obscured]",
                         .normal = "[the |both |]costophrenic angles are [sharp|clear|preserved]",
                         .attributes = {"anatomicalfinding|no|costophrenic angle blunting"},
                         .excludes = {FINDING_EFFUSION, NONE},
                         .regions = {"right costophrenic angle", "left costophrenic angle"},
                         .side_regions = {{"right costophrenic angle"}, {"left costophrenic angle"}},
                         .alone = 1},
    [ABSENT_RIB_FRACTURE] = {.noun = "{side} rib fracture",
                             .article = "a {side} rib fracture",
                             .plural = "{side} rib fractures",
                             .adjective = "[acute|displaced|]",
                             .where = "",
                             .one_side = "",
                             .not_so = "no rib is [broken|fractured]",
                             .normal = "the ribs are unremarkable",
                             .attributes = {"anatomicalfinding|no|rib fracture"},
                             .excludes = {FINDING_RIB_FRACTURE, NONE},
                             .regions = {"right chest wall", "left chest wall", BOTH_LUNGS},
                             .side_regions = {{"right chest wall", "right lung"}, {"left chest wall", "left lung"}},
                             .alone = 1},
    [ABSENT_CLAVICLE_FRACTURE] = {.noun = "{side} [clavicle|clavicular] fracture",
                                  .article = "a {side} [clavicle|clavicular] fracture",
                                  .plural = "{side} clavicle fractures",
                                  .adjective = "[acute|displaced|]",
                                  .where = "",
                                  .one_side = "",
                                  .not_so = "neither clavicle is [broken|fractured]",
                                  .normal = "[both |the ]clavicles are [unremarkable|whole]",
                                  .attributes = {"anatomicalfinding|no|clavicle fracture"},
                                  .excludes = {FINDING_CLAVICLE_FRACTURE, NONE},
                                  .regions = {"right clavicle", "left clavicle"},
                                  .side_regions = {{"right clavicle"}, {"left clavicle"}},
                                  .alone = 1},
};

/* ---- frames ---- */

#define SEEN "[seen|identified|noted|detected|visualised|demonstrated|found|shown]"
#define FILM "[the film|the study|the examination|this film|the radiograph]"

/* {x} the bare noun or nouns, {dx} with an adjective, {ax} with an article, {w} where. */
static const char *const frames[] = {
    "no {dx} {w}.",
    "no [evidence|sign|signs|indication|suggestion] of {x} {w}.",
    "there is no {dx} {w}.",
    "there is no [evidence of|sign of|indication of|radiographic evidence of] {x} {w}.",
    "no {dx} is " SEEN " {w}.",
    "no {x} is [present|evident|apparent|visible] {w}.",
    "{x} is [absent|not present|not evident|not " SEEN "].",
    "[there is|with] absence of {x}.",
    "without [evidence of|signs of|] {x} {w}.",
    "negative for {x}.",
    FILM " [shows|demonstrates|reveals] no {dx} {w}.",
    FILM " does not [show|demonstrate|reveal] {ax} {w}.",
    "[nothing|no finding|there is nothing] to suggest {ax}.",
    "[we see|I see] no {x} {w}.",
    "{x}: [none|absent|not seen|no].",
    "{x} [is|has been] [excluded|ruled out].",
    "free of {x}.",
};

static const char *const plural_frames[] = {
    "no {xs} {w}.",
    "there are no {xs} {w}.",
    "no {xs} are " SEEN " {w}.",
    "{xs} are [absent|not present|not " SEEN "].",
    "without {xs}.",
    FILM " [shows|demonstrates] no {xs} {w}.",
};

/* Only beside an earlier film. */
static const char *const prior_frames[] = {
    "no new {x} {w}.",
    "there is no [new|residual|recurrent|persistent|remaining] {x} {w}.",
    "[interval|complete|] resolution of [the|] {x}.",
    "the {x} has [resolved|cleared|disappeared|gone].",
    "[previous|earlier] {x} is no longer " SEEN ".",
};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

typedef struct denial {
    int count;
    absence_kind kinds[3];
    int side; /* 0 right, 1 left, -1 both */
    bool prior;
} denial;

static const char *first_of(const absence *a, const char *wanted) { return wanted ? wanted : a->noun; }

/* "A", "A or B", "A, B or C"; `form` 0 bare, 1 with an adjective, 2 with an article, 3 plural. */
static void join_nouns(char *out, size_t size, const denial *d, int form) {
    size_t length = 0;
    for (int i = 0; i < d->count; i++) {
        const absence *a = &absences[d->kinds[i]];
        const char *noun = form == 2 ? first_of(a, a->article) : form == 3 ? first_of(a, a->plural) : a->noun;
        const char *joint = i == 0 ? "" : i + 1 < d->count ? ", " : d->count > 2 ? "[,|] or " : " or ";
        int added = snprintf(out + length, size - length, "%s%s %s", joint, form == 1 ? a->adjective : "", noun);
        length = added < 0 || length + (size_t)added >= size ? size - 1 : length + (size_t)added;
    }
}

typedef struct noun_forms {
    char text[4][640];
} noun_forms;

static void expand_frame(report_phrase *phrase, const denial *d, const char *frame, random_state *words) {
    noun_forms forms;
    const absence *a = &absences[d->kinds[0]];
    for (int i = 0; i < 4; i++) join_nouns(forms.text[i], sizeof forms.text[i], d, i);
    const char *where = d->count > 1 ? "" : d->side < 0 ? a->where : a->one_side;
    const text_slot slots[6] = {{"side", d->side < 0 ? ""
                                         : d->side   ? "left"
                                                     : "right"},
                                {"w", where},
                                {"x", forms.text[0]},
                                {"dx", forms.text[1]},
                                {"ax", forms.text[2]},
                                {"xs", forms.text[3]}};
    text_grammar_expand(phrase->text, sizeof phrase->text, frame, slots, 6, words);
}

static const char *draw_any_frame(const denial *d, random_state *words) {
    const absence *a = &absences[d->kinds[0]];
    if (d->prior && random_chance(words, 0.15)) return prior_frames[random_below(words, LENGTH(prior_frames))];
    if (d->count == 1 && a->plural && random_chance(words, 0.25))
        return plural_frames[random_below(words, LENGTH(plural_frames))];
    if (d->count == 1 && d->side < 0 && a->clear_of && random_chance(words, 0.08))
        return "{organ} [clear|free] of {x}.";
    return frames[random_below(words, LENGTH(frames))];
}

/* A side that stands behind the noun must be said, and only some frames have a place for it. */
static const char *draw_frame(const denial *d, random_state *words) {
    bool place = d->count == 1 && d->side >= 0 && *absences[d->kinds[0]].one_side;
    const char *frame;
    do frame = draw_any_frame(d, words);
    while (place && !strstr(frame, "{w}"));
    return frame;
}

static void write_denial(report_phrase *phrase, const denial *d, random_state *words) {
    const absence *a = &absences[d->kinds[0]];
    bool whole = d->count == 1 && d->side < 0;
    char sentence[640];
    if (whole && a->not_so && random_chance(words, 0.15)) {
        snprintf(sentence, sizeof sentence, "%s.", a->not_so);
    } else if (whole && a->normal && random_chance(words, 0.15)) {
        snprintf(sentence, sizeof sentence, "%s.", a->normal);
    } else {
        const char *frame = draw_frame(d, words);
        bool organ = strncmp(frame, "{organ}", 7) == 0;
        snprintf(sentence, sizeof sentence, "%s%s", organ ? a->clear_of : "", organ ? frame + 7 : frame);
    }
    expand_frame(phrase, d, sentence, words);
}

/* ---- other words for what is said anyway ---- */

static const struct {
    int count;
    absence_kind kinds[2];
} said_by_normal[REPORT_NORMAL_COUNT] = {
    {1, {ABSENT_OPACITY}},      {1, {ABSENT_CONSOLIDATION}}, {2, {ABSENT_EFFUSION, ABSENT_PNEUMOTHORAX}},
    {1, {ABSENT_PNEUMOTHORAX}}, {1, {ABSENT_EFFUSION}},      {2, {ABSENT_EDEMA, ABSENT_CONGESTION}},
    {1, {ABSENT_PNEUMONIA}},    {1, {ABSENT_LARGE_HEART}},   {1, {ABSENT_WIDENING}},
    {1, {ABSENT_LARGE_HILUM}},  {1, {ABSENT_FRACTURE}},      {1, {ABSENT_FREE_AIR}},
    {1, {ABSENT_DEVIATION}},    {1, {ABSENT_NODULE}},
};

void report_absence_reword(report_phrase *phrase, int normal, bool prior, random_state *words) {
    denial d = {.count = said_by_normal[normal].count, .side = -1, .prior = prior};
    for (int i = 0; i < d.count; i++) d.kinds[i] = said_by_normal[normal].kinds[i];
    if (!random_chance(words, 0.7)) return;
    if (d.count == 2 && random_chance(words, 0.5)) {
        d.kinds[0] = said_by_normal[normal].kinds[1];
        d.kinds[1] = said_by_normal[normal].kinds[0];
    }
    write_denial(phrase, &d, words);
}

/* ---- more denials ---- */

/* On this side (0 right, 1 left), or anywhere (-1). */
static bool is_there(const absence *a, const finding_list *list, int side) {
    for (int k = 0; k < 12 && a->excludes[k] != FINDING_KIND_COUNT; k++) {
        for (int i = 0; i < list->count; i++) {
            const finding *f = &list->items[i];
            bool other = side >= 0 && f->side == (side ? FINDING_RIGHT : FINDING_LEFT);
            if (f->kind == a->excludes[k] && !other) return true;
        }
    }
    return false;
}

static bool is_said(const report *r, const absence *a) {
    for (int k = 0; k < 3 && a->attributes[k]; k++) {
        int label = report_label_of_denial(a->attributes[k]);
        if (label >= 0 && r->labels[label] != 0) return false;
    }
    return true;
}

static void add_region(report_phrase *phrase, const char *name) {
    for (int i = 0; i < phrase->regions.count; i++)
        if (strcmp(phrase->regions.name[i], name) == 0) return;
    if (phrase->regions.count < FINDING_MAX_REGIONS) phrase->regions.name[phrase->regions.count++] = name;
}

static void add_meaning(report_phrase *phrase, const absence *a, int side) {
    for (int k = 0; k < 3 && a->attributes[k]; k++) {
        bool again = phrase->attribute_count == REPORT_MAX_ATTRIBUTES;
        for (int i = 0; i < phrase->attribute_count; i++) again |= strcmp(phrase->attributes[i], a->attributes[k]) == 0;
        if (!again)
            snprintf(phrase->attributes[phrase->attribute_count++], sizeof phrase->attributes[0], "%s",
                     a->attributes[k]);
    }
    for (int k = 0; k < 6 && side < 0 && a->regions[k]; k++) add_region(phrase, a->regions[k]);
    for (int k = 0; k < 3 && side >= 0 && a->side_regions[side][k]; k++) add_region(phrase, a->side_regions[side][k]);
}

/* Somewhere among the findings, which stand before the impression. */
static report_phrase *insert(report *r, random_state *words) {
    if (r->phrase_count == REPORT_MAX_PHRASES) return NULL;
    int findings = 0;
    while (findings < r->phrase_count && !r->phrases[findings].impression) findings++;
    int at = (int)random_below(words, (uint64_t)findings + 1);
    memmove(&r->phrases[at + 1], &r->phrases[at], (size_t)(r->phrase_count - at) * sizeof *r->phrases);
    r->phrase_count++;
    memset(&r->phrases[at], 0, sizeof *r->phrases);
    return &r->phrases[at];
}

static void add_denial(report *r, const denial *d, random_state *words) {
    report_phrase *phrase = insert(r, words);
    if (!phrase) return;
    write_denial(phrase, d, words);
    for (int i = 0; i < d->count; i++) add_meaning(phrase, &absences[d->kinds[i]], d->side);
    phrase->names_region = d->side >= 0;
}

/* One sentence that denies one to three things; nothing when nothing is left to deny. */
static void add_general(report *r, const finding_list *list, bool prior, random_state *words) {
    denial d = {.side = -1, .prior = prior};
    int wanted = random_chance(words, 0.65) ? 1 : random_chance(words, 0.6) ? 2 : 3;
    for (int tries = 0; tries < 40 && d.count < wanted; tries++) {
        absence_kind kind = (absence_kind)random_below(words, ABSENCE_COUNT);
        const absence *a = &absences[kind];
        bool again = false;
        for (int i = 0; i < d.count; i++) again |= d.kinds[i] == kind;
        if (again || !a->attributes[0] || !random_chance(words, a->alone)) continue;
        if (!is_there(a, list, -1) && is_said(r, a)) d.kinds[d.count++] = kind;
    }
    if (d.count) add_denial(r, &d, words);
}

/* "No right effusion", on a film with a left one. */
static void add_side(report *r, const finding_list *list, bool prior, random_state *words) {
    denial found[2 * ABSENCE_COUNT];
    uint64_t count = 0;
    for (int kind = 0; kind < ABSENCE_COUNT; kind++) {
        const absence *a = &absences[kind];
        if (!a->one_side || !is_there(a, list, -1)) continue;
        for (int side = 0; side < 2; side++) {
            if (is_there(a, list, side)) continue;
            found[count++] = (denial){1, {(absence_kind)kind}, side, prior};
        }
    }
    if (count) add_denial(r, &found[random_below(words, count)], words);
}

void report_absence_add(report *r, const finding_list *list, bool prior, random_state *words) {
    if (random_chance(words, 0.8)) add_general(r, list, prior, words);
    if (random_chance(words, 0.6)) add_general(r, list, prior, words);
    if (random_chance(words, 0.7)) add_side(r, list, prior, words);
}
