/* Drawing the findings of one film; see finding.h. The order of draws is fixed: a film's list depends on its own random
 * stream and its patient only. */
#include <math.h>
#include <string.h>

#include "data/phantom/finding.h"

#define FILM_FRAME 1024.0 /* of the priors */

/* Mean lung fields of CheXmask's NIH outlines in the same frame: where the priors' positions lie inside a lung. */
#define LUNG_TOP    138.0
#define LUNG_BOTTOM 843.0
static const double lung_medial[2] = {455, 568}; /* patient's right (image left), left */
static const double lung_lateral[2] = {150, 875};

double finding_quantile(const double percentile[3], double probability) {
    double low = percentile[0], middle = percentile[1], high = percentile[2];
    double value = probability < 0.5 ? low + (middle - low) * (probability - 0.1) / 0.4
                                     : middle + (high - middle) * (probability - 0.5) / 0.4;
    return fmax(value, 0.5 * low);
}

bool finding_has(const finding_list *list, finding_kind kind) {
    for (int i = 0; i < list->count; i++) {
        if (list->items[i].kind == kind) return true;
    }
    return false;
}

static bool has_on_side(const finding_list *list, finding_kind kind, finding_side side) {
    for (int i = 0; i < list->count; i++) {
        if (list->items[i].kind == kind && list->items[i].side == side) return true;
    }
    return false;
}

static double clamp(double value, double low, double high) { return fmin(fmax(value, low), high); }

/* The centre's x: a curve through the three percentiles and through the middle of the film at the share of boxes left
 * of it, so that both sides come out as often as the prior says. */
static double centre_x(const finding_prior *prior, double probability) {
    double position[4] = {0.1, 0.5, 0.9, prior->left_image_half};
    double value[4] = {prior->centre_x[0], prior->centre_x[1], prior->centre_x[2], FILM_FRAME / 2};
    for (int i = 3; i > 0 && position[i] < position[i - 1]; i--) {
        double p = position[i], x = value[i];
        position[i] = position[i - 1], value[i] = value[i - 1];
        position[i - 1] = p, value[i - 1] = x;
    }
    int segment = 0;
    while (segment < 2 && probability > position[segment + 1]) segment++;
    double span = fmax(position[segment + 1] - position[segment], 1e-3);
    double slope = (value[segment + 1] - value[segment]) / span;
    return clamp(value[segment] + slope * (probability - position[segment]), 60, FILM_FRAME - 60);
}

/* Centre, side and size of a lesion from its class's prior. Width and height go together (correlation about 0.7). */
static void place_by_prior(finding *f, const finding_prior *prior, random_state *random) {
    double x = centre_x(prior, random_uniform(random));
    double y = finding_quantile(prior->centre_y, random_uniform(random));
    f->side = x < FILM_FRAME / 2 ? FINDING_RIGHT : FINDING_LEFT;
    int side = f->side == FINDING_LEFT;
    f->u = clamp((x - lung_medial[side]) / (lung_lateral[side] - lung_medial[side]), 0.04, 0.98);
    f->v = clamp((y - LUNG_TOP) / (LUNG_BOTTOM - LUNG_TOP), 0.04, 0.98);
    double common = random_uniform(random);
    double width_chance = random_chance(random, 0.7) ? common : random_uniform(random);
    f->width = finding_quantile(prior->width, width_chance) / FILM_FRAME;
    f->height = finding_quantile(prior->height, common) / FILM_FRAME;
}

/* Severity leans to the middle. */
static double draw_severity(random_state *random) {
    return clamp(0.5 * (random_uniform(random) + random_uniform(random)), 0.05, 1);
}

static finding *append(finding_list *out, finding_kind kind, random_state *random) {
    if (out->count == FINDING_MAX) return NULL;
    finding *f = &out->items[out->count++];
    *f = (finding){.kind = kind, .side = FINDING_MIDLINE, .u = 0.5, .v = 0.5};
    f->severity = draw_severity(random);
    /* Diseases are inferred from pictures, so they are hedged more than what is plainly seen. */
    double hedge = kind == FINDING_PNEUMONIA ? 0.35 : finding_table[kind].form == FINDING_FORM_LESION ? 0.15 : 0.06;
    f->uncertain = random_chance(random, hedge * 1.6 * (1 - f->severity));
    f->told = random_chance(random, 0.96);
    return f;
}

/* How many lesions of one kind: the prior's mean, at least one. */
static int lesion_count(const finding_prior *prior, finding_kind kind, random_state *random) {
    if (!prior) return 1;
    double extra = prior->boxes_per_image - 1;
    int count = 1;
    int most = kind == FINDING_NODULE ? 7 : kind == FINDING_RIB_FRACTURE || kind == FINDING_CALCIFIED_NODULE ? 4 : 2;
    while (count < most && random_chance(random, extra / (extra + 1))) count++;
    return count;
}

static void place_default(finding *f, finding_kind kind, random_state *random) {
    finding_side either = random_chance(random, 0.55) ? FINDING_RIGHT : FINDING_LEFT;
    switch (kind) {
        case FINDING_LOBAR_COLLAPSE:
            f->side = either;
            f->v = random_chance(random, 0.45) ? 0.15 : 0.85; /* an upper or a lower lobe */
            f->u = 0.25;
            break;
        case FINDING_ELEVATED_HEMIDIAPHRAGM:
        case FINDING_CLAVICLE_FRACTURE: f->side = either; break;
        case FINDING_ENLARGED_HILUM:
            f->side = random_chance(random, 0.3) ? FINDING_BOTH : either;
            f->u = 0.15;
            f->v = 0.5;
            break;
        case FINDING_HERNIA:
            f->width = random_range(random, 0.09, 0.2);
            f->height = random_range(random, 0.08, 0.16);
            break;
        default: f->side = finding_table[kind].form == FINDING_FORM_DIFFUSE ? FINDING_BOTH : FINDING_MIDLINE; break;
    }
}

/* Fluid runs to the base of an erect patient whatever the box's centre was; an apical line to the apex. */
static void settle(finding *f, random_state *random) {
    switch (f->kind) {
        case FINDING_EFFUSION:
            f->severity = clamp(f->height / 0.6, 0.05, 1);
            f->v = 1;
            f->u = 1;
            break;
        case FINDING_PNEUMOTHORAX:
            f->severity = clamp(f->height / 0.45, 0.05, 1);
            f->v = 0.05;
            f->u = 0.8;
            break;
        case FINDING_PLEURAL_THICKENING:
            if (random_chance(random, 0.35)) {
                f->v = 0.05; /* an apical cap */
            } else {
                f->u = 0.98;
            }
            break;
        case FINDING_ATELECTASIS:
            f->v = fmax(f->v, 0.55); /* mostly basal plates */
            break;
        default: break;
    }
}

static void add_kind(finding_list *out, finding_kind kind, random_state *random) {
    int row = finding_table[kind].prior;
    bool placed = row >= 0 && (finding_table[kind].form == FINDING_FORM_LESION || kind == FINDING_RIB_FRACTURE);
    const finding_prior *prior = placed ? &finding_priors[row] : NULL;
    int count = lesion_count(prior, kind, random);
    bool told = false;
    for (int i = 0; i < count; i++) {
        finding *f = append(out, kind, random);
        if (!f) return;
        place_default(f, kind, random);
        if (prior) place_by_prior(f, prior, random);
        settle(f, random);
        /* One kind is told or not as a whole; two effusions on one side are one. */
        if (i == 0) told = f->told;
        f->told = told;
        bool pleural = kind == FINDING_EFFUSION || kind == FINDING_PNEUMOTHORAX;
        if (pleural && i > 0) {
            f->side = out->items[out->count - 2].side == FINDING_RIGHT ? FINDING_LEFT : FINDING_RIGHT;
        }
    }
}

/* How much likelier a finding is in this patient than in all. */
static double patient_factor(finding_kind kind, const finding_patient *patient) {
    double old = clamp((patient->age - 40) / 40.0, 0, 1.2);
    switch (kind) {
        case FINDING_TORTUOUS_AORTA:
        case FINDING_SPINAL_DEGENERATION: return 2.0 * old;
        case FINDING_HYPERAERATION:
        case FINDING_CALCIFIED_NODULE:
        case FINDING_PLEURAL_THICKENING:
        case FINDING_SCARRING:
        case FINDING_HERNIA: return 0.4 + 1.2 * old;
        case FINDING_ENLARGED_HEART: return (0.6 + 0.8 * old) * (patient->ap ? 1.3 : 0.8);
        case FINDING_EDEMA:
        case FINDING_VASCULAR_CONGESTION:
        case FINDING_EFFUSION:
        case FINDING_LOW_VOLUMES: return patient->ap ? 1.5 : 0.6;
        default: return 1;
    }
}

static bool contradicts(const finding_list *list, finding_kind kind) {
    if (kind == FINDING_HYPERAERATION) return finding_has(list, FINDING_LOW_VOLUMES);
    if (kind == FINDING_VASCULAR_CONGESTION) return finding_has(list, FINDING_EDEMA);
    return false;
}

/* What one finding brings with it: a failing heart floods both lungs. */
static void add_companions(finding_list *out, random_state *random) {
    bool failing = finding_has(out, FINDING_EDEMA);
    if (failing && !finding_has(out, FINDING_ENLARGED_HEART) && random_chance(random, 0.45)) {
        add_kind(out, FINDING_ENLARGED_HEART, random);
    }
    if (failing && !finding_has(out, FINDING_EFFUSION) && random_chance(random, 0.4)) {
        add_kind(out, FINDING_EFFUSION, random);
    }
    for (int side = FINDING_RIGHT; side <= FINDING_LEFT; side++) {
        bool fluid = has_on_side(out, FINDING_EFFUSION, (finding_side)side);
        if (fluid && !has_on_side(out, FINDING_ATELECTASIS, (finding_side)side) && random_chance(random, 0.12)) {
            finding *f = append(out, FINDING_ATELECTASIS, random);
            if (!f) return;
            place_by_prior(f, &finding_priors[finding_table[FINDING_ATELECTASIS].prior], random);
            f->side = (finding_side)side;
            settle(f, random);
        }
    }
}

/* One kind in one lung is told with one voice; three nodules or more are no matter of doubt. */
static void agree(finding_list *out) {
    int nodules = 0;
    for (int i = 0; i < out->count; i++) nodules += out->items[i].kind == FINDING_NODULE;
    for (int i = 0; i < out->count; i++) {
        finding *f = &out->items[i];
        if (f->kind == FINDING_NODULE && nodules >= 3) f->uncertain = false;
        for (int k = 0; k < i; k++) {
            const finding *g = &out->items[k];
            if (g->kind != f->kind || g->side != f->side) continue;
            f->uncertain = g->uncertain;
            f->told = g->told;
        }
    }
}

void finding_draw(finding_list *out, const finding_patient *patient, random_state *random) {
    memset(out, 0, sizeof *out);
    if (random_chance(random, FINDING_NORMAL_SHARE)) return;
    /* The frequencies are of all films: those that may show something take the normal films' share too. */
    double share = 1 / (1 - FINDING_NORMAL_SHARE);
    while (out->count == 0) {
        for (int kind = 0; kind < FINDING_KIND_COUNT; kind++) {
            double chance = finding_table[kind].frequency * share * patient_factor((finding_kind)kind, patient);
            bool drawn = random_chance(random, fmin(chance, 0.9));
            if (drawn && !contradicts(out, (finding_kind)kind)) add_kind(out, (finding_kind)kind, random);
        }
    }
    add_companions(out, random);
    agree(out);
}
