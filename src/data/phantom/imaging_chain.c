/* From path lengths to a film: what a digital radiography room and its processing do.
 *
 *   A = sum of mu_i * path_i                        Beer-Lambert, effective energy of a chest exposure
 *   I = exp(-A) + scatter                           scatter: blurred primary, stronger where the patient is thick
 *   I = I exp(-mu_metal * metal)                    devices
 *   I = blur(I), then quantum noise ~ sqrt(I / dose)
 *   E = -log(I)                                     computed radiography is linear in log exposure
 *   E = E - k * (blur(E) - mean)                    local contrast processing (frequency bands are compressed)
 *   film = curve((E - low) / (high - low))          window from quantiles of the patient, gamma, S shape
 *
 * and outside the collimated field a shutter, black or white.
 */
#include "data/phantom/imaging_chain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/phantom/lettering.h"

static const float MU_SOFT = 0.0190f; /* per mm, water at about 70 keV */
static const float MU_BONE = 0.0560f; /* cortical bone */
static const float MU_METAL = 0.55f;  /* steel, hardened beam */

static double clamp(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

void imaging_chain_field(imaging_field *out, phantom_scene *scene, const phantom_options *options) {
    random_state random = parameters_stream(&scene->parameters, STREAM_BORDER), *r = &random;
    double w = scene->width, h = scene->height;
    *out = (imaging_field){w / 2, h / 2, w, h, 0, 1, 0, false};
    memset(scene->field_mask, 1, (size_t)scene->width * (size_t)scene->height);
    double kind = random_uniform(r);
    if ((options && options->no_collimation) || kind < 0.5) return;
    out->shown = true;
    double trim[4] = {0, 0, 0, 0};
    for (int i = 0; i < 4; i++) trim[i] = random_chance(r, 0.55) ? random_range(r, 0, kind > 0.9 ? 0.11 : 0.05) : -0.03;
    out->half_width = w * (1 - trim[0] - trim[1]) / 2, out->half_height = h * (1 - trim[2] - trim[3]) / 2;
    out->centre_x = w * (0.5 + (trim[0] - trim[1]) / 2), out->centre_y = h * (0.5 + (trim[2] - trim[3]) / 2);
    out->angle = random_chance(r, 0.5) ? parameters_normal(r, 0, 0.02, 2) : 0;
    out->penumbra = random_chance(r, 0.5) ? random_range(r, 0.5, 2) : random_range(r, 2, 12) * h / 512;
    out->outside = random_chance(r, 0.72) ? random_range(r, 0, 0.06) : random_range(r, 0.85, 1);
    double c = cos(out->angle), s = sin(out->angle);
    for (int y = 0; y < scene->height; y++)
        for (int x = 0; x < scene->width; x++) {
            double px = x + 0.5 - out->centre_x, py = y + 0.5 - out->centre_y;
            double u = fabs(px * c + py * s), v = fabs(py * c - px * s);
            scene->field_mask[(size_t)y * (size_t)scene->width + (size_t)x] =
                u <= out->half_width && v <= out->half_height;
        }
}

static void attenuation(float *out, const phantom_scene *s, size_t pixels) {
    for (size_t i = 0; i < pixels; i++) {
        float soft = s->soft[i] - s->air[0][i] - s->air[1][i] + s->vessels[i] * s->vessel_keep[i];
        float gas = s->gas[i];
        soft = soft - gas + s->extra[i];
        if (soft < 0) soft = 0;
        float bone = s->bone[i] + s->extra_bone[i];
        if (bone < 0) bone = 0;
        out[i] = MU_SOFT * soft + (MU_BONE - MU_SOFT) * bone;
    }
}

static int compare_float(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

#define SAMPLE_LIMIT 8192

/* Quantiles of the patient inside the field. */
static void quantiles(const float *value, const phantom_scene *s, double low, double high, float *at_low,
                      float *at_high) {
    size_t pixels = (size_t)s->width * (size_t)s->height, step = pixels / SAMPLE_LIMIT + 1, count = 0;
    float sample[SAMPLE_LIMIT + 1];
    for (size_t i = step / 2; i < pixels && count < SAMPLE_LIMIT; i += step)
        if (s->body_mask[i] && s->field_mask[i]) sample[count++] = value[i];
    if (count < 16)
        for (size_t i = 0; i < pixels && count < SAMPLE_LIMIT; i += step) sample[count++] = value[i];
    qsort(sample, count, sizeof *sample, compare_float);
    *at_low = sample[(size_t)(low * (double)(count - 1))];
    *at_high = sample[(size_t)(high * (double)(count - 1))];
}

static void expose(float *film, const phantom_scene *s, float *work[3], random_state *r) {
    const phantom_parameters *p = &s->parameters;
    size_t pixels = (size_t)s->width * (size_t)s->height;
    float *primary = work[0], *scatter = work[1], *scratch = work[2];
    attenuation(primary, s, pixels);
    for (size_t i = 0; i < pixels; i++) {
        float a = primary[i];
        primary[i] = expf(-a);
        /* Scatter is made in tissue and partly absorbed there: grows with thickness, then levels off. */
        scatter[i] = primary[i] * (0.05f + 0.32f * a) * (s->body_mask[i] ? 1.0f : 0.15f);
    }
    raster_blur(scatter, scratch, s->width, s->height, 34 * s->pixels_per_mm);
    /* A finer part keeps edges from standing in a flat fog. */
    float amount = (float)(p->scatter * 0.8);
    for (size_t i = 0; i < pixels; i++) {
        primary[i] += amount * scatter[i];
        /* A device shades all of it. This scatter has neither angle nor grid; laid over steel it would drown behind a
         * thick patient what grids keep visible on real films. */
        float metal = s->metal[i] > 8 ? 8 : s->metal[i];
        if (metal > 0) primary[i] *= expf(-MU_METAL * metal);
    }
    raster_blur(primary, scratch, s->width, s->height, fmax(p->blur_mm * s->pixels_per_mm, 0.35));
    /* Quanta per film pixel behind 20 cm of water are a few thousand at the usual dose. */
    double quanta = 1.8e5 * p->dose * pow(512.0 / s->height, 2);
    double read_noise = 0.0006;
    for (size_t i = 0; i < pixels; i++) {
        double signal = primary[i] > 1e-5f ? (double)primary[i] : 1e-5;
        double sum = 0; /* sum of four uniforms: near enough to normal, a fifth of the time */
        uint64_t bits = random_u64(r);
        for (int k = 0; k < 4; k++, bits >>= 16) sum += (double)(bits & 0xffff);
        double unit = (sum / 65536.0 - 2.0) * 1.7320508;
        signal += unit * (sqrt(signal / quanta) + read_noise * signal);
        film[i] = -logf(signal > 1e-6 ? (float)signal : 1e-6f);
    }
    /* The reader's screen has a point spread of its own: noise is not white. */
    if (random_chance(r, 0.5)) raster_blur(film, scratch, s->width, s->height, random_range(r, 0.3, 0.7));
}

static void process(float *film, const phantom_scene *s, float *work[3], random_state *r) {
    const phantom_parameters *p = &s->parameters;
    size_t pixels = (size_t)s->width * (size_t)s->height;
    float low, high;
    if (p->equalization > 0) {
        float *slow = work[0];
        quantiles(film, s, 0.02, 0.98, &low, &high);
        for (size_t i = 0; i < pixels; i++) slow[i] = film[i] < low ? low : film[i]; /* bare film must not pull */
        raster_blur(slow, work[2], s->width, s->height, random_range(r, 0.05, 0.16) * s->height);
        float k = (float)p->equalization, middle = (low + high) / 2;
        for (size_t i = 0; i < pixels; i++) film[i] -= k * (slow[i] - middle);
    }
    if (random_chance(r, 0.5)) { /* edge enhancement */
        float *fine = work[0], k = (float)random_range(r, 0.1, 0.6);
        memcpy(fine, film, pixels * sizeof *fine);
        raster_blur(fine, work[2], s->width, s->height, random_range(r, 1.5, 6) * s->height / 512);
        for (size_t i = 0; i < pixels; i++) film[i] += k * (film[i] - fine[i]);
    }
    quantiles(film, s, p->window_low, p->window_high, &low, &high);
    double floor_level = random_chance(r, 0.75) ? random_range(r, 0.02, 0.25) : random_range(r, 0.2, 0.42);
    double top_level = random_chance(r, 0.75) ? random_range(r, 0.69, 0.9) : random_range(r, 0.84, 0.94);
    float range = high - low > 0.05f ? high - low : 0.05f;
    double bare = random_range(r, 0.0, 0.12); /* direct exposure */
    if (bare > floor_level) bare = floor_level;
    double shoulder = random_range(r, 0.2, 1.9);
    double fall = random_range(r, 0.3, 1.2);
    for (size_t i = 0; i < pixels; i++) {
        double x = (double)((film[i] - low) / range);
        if (x < 0) { /* below the patient's range the curve runs into its toe */
            film[i] = (float)(bare + (floor_level - bare) * exp(x / fall * 1.5));
            continue;
        }
        if (x > 1.06) x = 1.06 + (x - 1.06) * 0.5;
        double g = pow(x > 1.5 ? 1.5 : x, p->curve);
        g = (1 - exp(-shoulder * g)) / (1 - exp(-shoulder)); /* the film's shoulder: bone and abdomen crowd together */
        double bend = clamp(g, 0, 1);
        g += p->toe * 0.6 * (bend * bend * (3 - 2 * bend) - bend);
        film[i] = (float)clamp(floor_level + (top_level - floor_level) * g, 0, 1);
    }
}

static void shutter(image *film, const imaging_field *f) {
    if (!f->shown) return;
    double c = cos(f->angle), s = sin(f->angle);
    for (int y = 0; y < film->height; y++)
        for (int x = 0; x < film->width; x++) {
            double px = x + 0.5 - f->centre_x, py = y + 0.5 - f->centre_y;
            double u = f->half_width - fabs(px * c + py * s), v = f->half_height - fabs(py * c - px * s);
            double keep = raster_step(-0.5 * f->penumbra, 0.5 * f->penumbra, fmin(u, v));
            float *cell = film->value + (size_t)y * (size_t)film->width + x;
            *cell = (float)(f->outside + keep * ((double)*cell - f->outside));
        }
}

void imaging_chain_run(image *film, const phantom_scene *scene, const imaging_field *field,
                       const phantom_options *options, float *work[3]) {
    random_state random = parameters_stream(&scene->parameters, STREAM_IMAGING), *r = &random;
    bool text = !options || !options->no_text, over = random_chance(r, 0.5);
    expose(film->value, scene, work, r);
    process(film->value, scene, work, r);
    if (text && !over) lettering_draw(film, scene);
    shutter(film, field);
    if (text && over) lettering_draw(film, scene);
    /* Stored with 8 bits, as public sets are. */
    size_t pixels = (size_t)film->width * (size_t)film->height;
    for (size_t i = 0; i < pixels; i++) film->value[i] = (float)floor((double)film->value[i] * 255 + 0.5) / 255.0f;
}
