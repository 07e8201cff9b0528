/* What findings do to the organs themselves; see finding_film.h. */
#include <math.h>

#include "data/phantom/finding_film.h"

static double mix(double low, double high, double share) { return low + (high - low) * share; }

/* The widest that still passes for normal. */
static void hold_normal(phantom_parameters *p) {
    p->lung_volume = fmin(fmax(p->lung_volume, 0.9), 1.1);
    p->heart_width = fmin(p->heart_width, 1.1);
    p->heart_height = fmin(p->heart_height, 1.1);
    p->mediastinum_widen_mm = fmin(p->mediastinum_widen_mm, 8);
    p->aorta_tortuosity = fmin(p->aorta_tortuosity, 0.5);
    p->emphysema = fmin(p->emphysema, 0.15);
    p->scoliosis_degrees = fmin(fmax(p->scoliosis_degrees, -7), 7);
    p->degeneration = fmin(p->degeneration, 0.35);
    p->interstitial = fmin(p->interstitial, 0.35);
    p->vessel_blur = fmin(p->vessel_blur, 0.25);
    p->vessel_prominence = fmin(p->vessel_prominence, 1.2);
    if (!p->supine) p->vessel_cephalization = fmin(p->vessel_cephalization, 0.3);
    for (int side = 0; side < 2; side++) {
        p->dome_raise_mm[side] = fmin(p->dome_raise_mm[side], 8);
        p->hilum_size[side] = fmin(p->hilum_size[side], 1.15);
    }
    p->fracture_count = 0;
}

static void add_fracture(const finding *f, phantom_parameters *p, random_state *random) {
    if (p->fracture_count == PHANTOM_MAX_FRACTURES) return;
    phantom_fracture *fracture = &p->fractures[p->fracture_count++];
    bool clavicle = f->kind == FINDING_CLAVICLE_FRACTURE;
    *fracture = (phantom_fracture){.clavicle = clavicle, .side = f->side == FINDING_LEFT};
    /* Ribs 3 to 9, where lung lies behind them; the lateral arc breaks most, a clavicle in its middle third. */
    int rib = 3 + (int)floor(f->v * 6.4);
    fracture->rib = rib < 3 ? 3 : rib > 9 ? 9 : rib;
    fracture->position = clavicle ? random_range(random, 0.35, 0.65) : mix(0.2, 0.65, f->u);
    fracture->displacement_mm = mix(clavicle ? 4 : 3, clavicle ? 10 : 9, f->severity);
    fracture->angle_degrees = random_range(random, -1, 1) * mix(8, 30, f->severity);
}

/* A lobe that gives way pulls heart and trachea to itself, fluid or air in the pleura pushes them off. */
static void shift_mediastinum(const finding *f, double towards_mm, phantom_parameters *p) {
    double direction = f->side == FINDING_LEFT ? 1 : -1;
    p->mediastinum_shift_mm += direction * towards_mm;
    p->trachea_shift_mm += direction * 0.5 * towards_mm;
}

static void alter_one(const finding *f, phantom_parameters *p, random_state *random) {
    double severity = f->severity;
    int first = f->side == FINDING_LEFT ? 1 : 0, last = f->side == FINDING_RIGHT ? 0 : 1;
    switch (f->kind) {
        case FINDING_EDEMA:
            p->vessel_blur = mix(0.5, 1, severity);
            p->vessel_prominence = mix(1.2, 1.6, severity);
            p->vessel_cephalization = mix(0.4, 1, severity);
            p->interstitial = mix(0.3, 0.45, severity);
            break;
        case FINDING_VASCULAR_CONGESTION:
            p->vessel_prominence = mix(1.25, 1.6, severity);
            p->vessel_cephalization = mix(0.4, 0.9, severity);
            for (int side = 0; side < 2; side++) p->hilum_size[side] = fmax(p->hilum_size[side], 1.15);
            break;
        case FINDING_LOBAR_COLLAPSE:
            shift_mediastinum(f, mix(4, 16, severity), p);
            if (f->v > 0.5) p->dome_raise_mm[first] += mix(5, 22, severity);
            break;
        case FINDING_EFFUSION:
            if (severity > 0.65) shift_mediastinum(f, -mix(0, 14, severity), p);
            break;
        case FINDING_PNEUMOTHORAX:
            if (severity > 0.6) shift_mediastinum(f, -mix(0, 12, severity), p);
            break;
        case FINDING_LOW_VOLUMES:
            p->lung_volume = mix(0.9, 0.75, severity);
            p->inspiration = mix(0.3, 0.05, severity);
            break;
        case FINDING_HYPERAERATION:
            p->lung_volume = mix(1.12, 1.35, severity);
            p->inspiration = mix(0.8, 1, severity);
            p->emphysema = mix(0.3, 1, severity);
            break;
        case FINDING_ELEVATED_HEMIDIAPHRAGM: p->dome_raise_mm[first] = mix(18, 55, severity); break;
        case FINDING_ENLARGED_HEART:
            p->heart_width = mix(1.2, 1.6, severity);
            p->heart_height = mix(1.02, 1.25, severity * random_uniform(random));
            break;
        case FINDING_MEDIASTINAL_WIDENING: p->mediastinum_widen_mm = mix(16, 48, severity); break;
        case FINDING_ENLARGED_HILUM:
            for (int side = first; side <= last; side++) p->hilum_size[side] = mix(1.35, 2, severity);
            break;
        case FINDING_TORTUOUS_AORTA:
            p->aorta_tortuosity = mix(0.65, 1, severity);
            if (random_chance(random, 0.5)) p->aorta_calcification = mix(0.3, 1, random_uniform(random));
            break;
        case FINDING_RIB_FRACTURE:
        case FINDING_CLAVICLE_FRACTURE: add_fracture(f, p, random); break;
        case FINDING_SCOLIOSIS:
            p->scoliosis_degrees = mix(12, 40, severity) * (random_chance(random, 0.75) ? 1 : -1);
            p->scoliosis_level = random_range(random, 0.3, 0.8);
            break;
        case FINDING_SPINAL_DEGENERATION: p->degeneration = mix(0.6, 1, severity); break;
        default: break;
    }
}

void finding_alter(const finding_list *list, phantom_parameters *p, random_state *random) {
    hold_normal(p);
    for (int i = 0; i < list->count; i++) {
        const finding *f = &list->items[i];
        alter_one(f, p, random);
        /* Air and much fluid in the pleura are often drained. */
        bool pleural = f->kind == FINDING_PNEUMOTHORAX || (f->kind == FINDING_EFFUSION && f->severity > 0.5);
        bool drained = random_chance(random, 0.35);
        if (pleural && drained && f->side <= FINDING_LEFT) p->chest_tube[f->side == FINDING_LEFT] = true;
    }
}
