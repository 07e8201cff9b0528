/* Draws a patient, a pose and an exposure; see parameters.h.
 *
 * The spreads are wider than any one department's: a network trained on the films must find real films inside the
 * variation, not at its edge. Frequencies (bedside films, devices, children) follow what public sets of frontal films
 * show by eye; they are no fit to any annotation.
 */
#include "data/phantom/parameters.h"

#include <math.h>

random_state parameters_stream(const phantom_parameters *parameters, int part) {
    return random_stream(parameters->seed * 0x9e3779b97f4a7c15u + (uint64_t)part * 0xd6e8feb86659fd93u,
                         parameters->index);
}

double parameters_normal(random_state *random, double mean, double deviation, double limit) {
    double draw = random_normal(random);
    return mean + deviation * (draw < -limit ? -limit : draw > limit ? limit : draw);
}

static double clamp(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

static void draw_patient(phantom_parameters *p) {
    random_state random = parameters_stream(p, STREAM_PATIENT), *r = &random;
    p->sex = random_chance(r, 0.54) ? 'M' : 'F';
    bool child = random_chance(r, 0.06);
    p->age = child ? 1 + (int)random_below(r, 15) : (int)clamp(parameters_normal(r, 52, 18, 2.4), 17, 95);
    double grown = p->age >= 17 ? 1 : p->age / 17.0;
    double adult = p->sex == 'M' ? 272 : 246;
    p->unit_mm = (105 + (adult - 105) * pow(grown, 0.85)) * parameters_normal(r, 1, 0.055, 2.5);
    p->depth = parameters_normal(r, 1, 0.1, 2.5);
    p->fat = clamp(parameters_normal(r, child ? 0.32 : 0.48, child ? 0.12 : 0.22, 2.5), 0, 1);
    p->muscle = clamp(parameters_normal(r, p->sex == 'M' ? 0.6 : 0.4, 0.18, 2), 0, 1);
    p->breast = p->sex == 'F' && p->age > 12 ? clamp(parameters_normal(r, 0.25 + 0.45 * p->fat, 0.22, 2.5), 0, 1) : 0;
    if (p->sex == 'M' && p->fat > 0.7) p->breast = 0.25 * random_uniform(r);
    p->bone = clamp(parameters_normal(r, 1.05 - (p->age > 55 ? 0.005 * (p->age - 55) : 0), 0.18, 2.5), 0.45, 1.6);
    if (child) p->bone *= 0.8;
    double old = clamp((p->age - 35) / 45.0, 0, 1);
    p->aorta_tortuosity = clamp(old * old * 0.8 + parameters_normal(r, 0.08, 0.14, 2.5), 0, 1);
    p->aorta_calcification = random_chance(r, 0.35 * old) ? random_uniform(r) : 0;
    p->degeneration = clamp(old * 0.7 + parameters_normal(r, 0, 0.15, 2), 0, 1);
    p->interstitial = clamp(parameters_normal(r, 0.14 + 0.1 * old, 0.08, 2.5), 0.02, 0.6);
    p->scoliosis_degrees = parameters_normal(r, 0, 3, 2);
    p->scoliosis_degrees += random_chance(r, 0.08) ? parameters_normal(r, 0, 14, 2) : 0;
    p->scoliosis_level = random_range(r, 0.2, 0.9);
    p->stomach_gas = random_chance(r, 0.62) ? random_uniform(r) : 0;
    p->bowel_gas = random_chance(r, 0.35) ? random_uniform(r) : 0;
}

static void draw_pose(phantom_parameters *p) {
    random_state random = parameters_stream(p, STREAM_POSE), *r = &random;
    bool child = p->age < 14;
    p->ap = random_chance(r, child ? 0.7 : 0.45);
    p->supine = p->ap && random_chance(r, 0.6);
    double loose = p->ap ? 1 : 0.45;
    p->yaw_degrees = parameters_normal(r, 0, 6.5 * loose, 2.4);
    p->pitch_degrees = parameters_normal(r, p->ap ? 7 : 1, p->ap ? 7 : 4, 2.3);
    p->roll_degrees = parameters_normal(r, 0, 3.6 * loose, 2.2);
    p->roll_degrees += random_chance(r, 0.03) ? random_range(r, -14, 14) : 0;
    p->source_mm = p->ap ? random_range(r, 950, 1350) : random_range(r, 1700, 2000);
    p->film_scale = random_chance(r, 0.12) ? random_range(r, 0.45, 1.05)
                    : p->ap                ? parameters_normal(r, 0.78, 0.1, 2.3)
                                           : parameters_normal(r, 0.785, 0.075, 2.3);
    if (child) p->film_scale = random_range(r, 0.42, 0.9);
    p->film_centre.x = parameters_normal(r, 0.5, p->ap ? 0.045 : 0.03, 2.5);
    p->film_centre.y = parameters_normal(r, p->ap ? 0.5 : 0.49, p->ap ? 0.065 : 0.045, 2.4);
    if (random_chance(r, 0.06)) { /* part of the chest is off the film */
        p->film_centre.x += random_range(r, -0.12, 0.12);
        p->film_centre.y += random_range(r, -0.14, 0.14);
    }
    p->arms = p->ap ? clamp(parameters_normal(r, 0.25, 0.3, 2), 0, 1) : clamp(parameters_normal(r, 0.6, 0.3, 2), 0, 1);
    p->scapula_clear = clamp(parameters_normal(r, p->ap ? 0.25 : 0.65, 0.25, 2), 0, 1);
    p->clavicle_rise = parameters_normal(r, p->ap ? 18 : 17, 8, 2.4);
    p->head = random_chance(r, p->ap ? 0.3 : 0.1) ? random_uniform(r) : 0;
    p->inspiration = clamp(parameters_normal(r, p->ap ? 0.38 : 0.68, 0.2, 2.4), 0, 1);
    if (child) p->inspiration = clamp(p->inspiration - 0.1, 0, 1);
}

static void draw_organs(phantom_parameters *p) {
    random_state random = parameters_stream(p, STREAM_SHAPE), *r = &random;
    for (int k = 0; k < PHANTOM_MODE_COUNT; k++) p->shape[k] = parameters_normal(r, 0, 1.05, 2.3);
    p->lung_volume = parameters_normal(r, 1, 0.03, 2);
    p->heart_width = parameters_normal(r, 1, 0.06, 2.2) * (p->age < 6 ? 1.12 : 1);
    p->heart_height = parameters_normal(r, 1, 0.05, 2);
    p->mediastinum_widen_mm = parameters_normal(r, p->ap ? 3 : 0, 4, 2);
    p->dome_raise_mm[0] = parameters_normal(r, 0, 6, 2);
    p->dome_raise_mm[1] = parameters_normal(r, 0, 6, 2);
    p->mediastinum_shift_mm = parameters_normal(r, 0, 2, 2);
    p->trachea_shift_mm = parameters_normal(r, 0, 2, 2);
    p->hilum_size[0] = clamp(parameters_normal(r, 1, 0.15, 2), 0.6, 1.5);
    p->hilum_size[1] = clamp(parameters_normal(r, 1, 0.15, 2), 0.6, 1.5);
    p->vessel_prominence = clamp(parameters_normal(r, p->ap ? 1.1 : 1, 0.2, 2), 0.5, 1.6);
    p->vessel_cephalization = p->supine ? random_range(r, 0.2, 0.8) : random_range(r, 0, 0.25);
    p->vessel_blur = random_chance(r, 0.2) ? random_range(r, 0, 0.5) : 0;
}

static void draw_devices(phantom_parameters *p) {
    random_state random = parameters_stream(p, STREAM_DEVICE_CHOICE), *r = &random;
    bool ward = p->ap && random_chance(r, 0.6), intensive = ward && p->supine && random_chance(r, 0.55);
    p->ett = random_chance(r, intensive ? 0.6 : 0.005);
    p->enteric_tube = random_chance(r, intensive ? 0.6 : ward ? 0.15 : 0.01);
    int side = random_chance(r, 0.7) ? PHANTOM_RIGHT : PHANTOM_LEFT;
    p->central_line[side] = random_chance(r, intensive ? 0.5 : ward ? 0.25 : 0.03);
    int arm = (int)random_below(r, 2);
    p->picc[arm] = random_chance(r, ward ? 0.22 : 0.03);
    p->swan_ganz = random_chance(r, intensive ? 0.1 : 0);
    int port_side = random_chance(r, 0.75) ? PHANTOM_RIGHT : PHANTOM_LEFT;
    p->port[port_side] = random_chance(r, p->age > 30 ? 0.06 : 0.02);
    int tube_side = (int)random_below(r, 2);
    p->chest_tube[tube_side] = random_chance(r, intensive ? 0.18 : ward ? 0.08 : 0.01);
    p->pacemaker = random_chance(r, p->age > 60 ? 0.07 : 0.005);
    p->sternal_wires = random_chance(r, p->age > 50 ? 0.1 : 0.01);
    p->surgical_clips = random_chance(r, 0.07);
    p->valve = p->sternal_wires && random_chance(r, 0.25);
    p->ecg_leads = random_chance(r, ward ? 0.7 : p->ap ? 0.3 : 0.02);
    p->pads = random_chance(r, intensive ? 0.08 : 0);
}

static void draw_exposure(phantom_parameters *p) {
    random_state random = parameters_stream(p, STREAM_EXPOSURE), *r = &random;
    p->scatter = p->ap ? random_range(r, 0.8, 3.4) : random_range(r, 0.4, 2.2);
    p->scatter *= 0.8 + 0.5 * p->fat;
    p->dose = exp(random_range(r, log(0.25), log(5)));
    p->blur_mm = random_range(r, 0.15, 0.75);
    p->equalization = random_chance(r, 0.25) ? 0 : random_range(r, 0.05, 0.5);
    p->window_low = random_range(r, 0, 0.03);
    p->window_high = random_chance(r, 0.3) ? random_range(r, 0.78, 0.95) : random_range(r, 0.95, 1);
    p->curve = exp(parameters_normal(r, 0.1, 0.25, 2.2));
    p->toe = random_chance(r, 0.4) ? 0 : random_uniform(r);
}

void parameters_draw(phantom_parameters *out, uint64_t seed, uint64_t index, const phantom_options *options) {
    *out = (phantom_parameters){.seed = seed, .index = index};
    draw_patient(out);
    draw_pose(out);
    draw_organs(out);
    if (!options || !options->no_devices) draw_devices(out);
    draw_exposure(out);
}
