/* Augmentation: one bilinear warp, then passes over the square that are each a few operations a pixel; see augment.h.
 * The grey-level passes live in augment_tone.c. */
#include "image/augment.h"

#include <math.h>

#include "image/augment_tone.h"
#include "image/box.h"

augment_options augment_none(void) { return (augment_options){0}; }

augment_options augment_reference(void) {
    return (augment_options){.rotation = 15, .translation = 0.1f, .scale = 0.1f, .flip_probability = 0.3f};
}

uint64_t augment_scratch_bytes(int size) { return 2 * (uint64_t)size * (uint64_t)size * sizeof(float); }

/* out = matrix * in + shift, in normalised coordinates of the square. */
typedef struct affine {
    double xx, xy, yx, yy, x, y;
} affine;

/* Film to augmented film: flip, stretch and scale, rotate, all about the centre, then move. */
static affine draw_affine(const augment_options *o, random_state *random) {
    double angle = random_range(random, -1, 1) * (double)o->rotation * M_PI / 180;
    double move_x = random_range(random, -1, 1) * (double)o->translation;
    double move_y = random_range(random, -1, 1) * (double)o->translation;
    double scale = 1 + random_range(random, -1, 1) * (double)o->scale;
    double stretch = sqrt(1 + random_range(random, -1, 1) * (double)o->stretch);
    bool flip = random_chance(random, (double)o->flip_probability);
    double width = scale * stretch * (flip ? -1 : 1), height = scale / stretch;
    affine a = {
        .xx = cos(angle) * width, .xy = -sin(angle) * height, .yx = sin(angle) * width, .yy = cos(angle) * height};
    a.x = 0.5 + move_x - 0.5 * (a.xx + a.xy);
    a.y = 0.5 + move_y - 0.5 * (a.yx + a.yy);
    return a;
}

static affine invert(affine a) {
    double determinant = a.xx * a.yy - a.xy * a.yx;
    affine inverse = {
        .xx = a.yy / determinant, .xy = -a.xy / determinant, .yx = -a.yx / determinant, .yy = a.xx / determinant};
    inverse.x = -(inverse.xx * a.x + inverse.xy * a.y);
    inverse.y = -(inverse.yx * a.x + inverse.yy * a.y);
    return inverse;
}

/* The inscribed ellipse's image; see the header. */
static void map_box(const affine *a, float b[4]) {
    double cx = (double)b[0], cy = (double)b[1], half_width = (double)b[2] / 2, half_height = (double)b[3] / 2;
    b[0] = (float)(a->xx * cx + a->xy * cy + a->x);
    b[1] = (float)(a->yx * cx + a->yy * cy + a->y);
    b[2] = (float)(2 * hypot(a->xx * half_width, a->xy * half_height));
    b[3] = (float)(2 * hypot(a->yx * half_width, a->yy * half_height));
}

/* Pixels beyond the film are 0, as the letterbox's padding. */
static float sample_or_zero(const uint8_t *source, int side, int x, int y) {
    return x >= 0 && y >= 0 && x < side && y < side ? (float)source[(int64_t)y * side + x] : 0;
}

static void warp(float *out, int size, const uint8_t *source, int side, const affine *inverse) {
    /* Pixel centres: source column u = side * (xx * (x + 1/2) / size + ...) - 1/2. Steps are computed once a row. */
    double ratio = (double)side / size;
    double step_x = inverse->xx * ratio, step_y = inverse->yx * ratio;
    for (int y = 0; y < size; y++) {
        double u = side * (inverse->xx * 0.5 / size + inverse->xy * (y + 0.5) / size + inverse->x) - 0.5;
        double v = side * (inverse->yx * 0.5 / size + inverse->yy * (y + 0.5) / size + inverse->y) - 0.5;
        float *row = out + (int64_t)y * size;
        for (int x = 0; x < size; x++) {
            double su = u + x * step_x, sv = v + x * step_y;
            if (!(su > -1 && sv > -1 && su < side && sv < side)) {
                row[x] = 0;
                continue;
            }
            int left = (int)(su + 1) - 1, top = (int)(sv + 1) - 1; /* floor for values above -1 */
            float fx = (float)(su - left), fy = (float)(sv - top), a, b, c, d;
            if (left >= 0 && top >= 0 && left + 1 < side && top + 1 < side) {
                const uint8_t *corner = source + (int64_t)top * side + left;
                a = (float)corner[0], b = (float)corner[1];
                c = (float)corner[side], d = (float)corner[side + 1];
            } else {
                a = sample_or_zero(source, side, left, top), b = sample_or_zero(source, side, left + 1, top);
                c = sample_or_zero(source, side, left, top + 1), d = sample_or_zero(source, side, left + 1, top + 1);
            }
            float upper = a + (b - a) * fx, lower = c + (d - c) * fx;
            row[x] = (upper + (lower - upper) * fy) * (1.0f / 255);
        }
    }
}

static void copy(float *out, const uint8_t *source, int size) {
    for (int64_t i = 0; i < (int64_t)size * size; i++) out[i] = (float)source[i] * (1.0f / 255);
}

/* What stays visible: the square less random strips. */
static box draw_crop(const augment_options *o, random_state *random) {
    float cut[4];
    for (int i = 0; i < 4; i++)
        cut[i] = random_chance(random, 0.5) ? (float)random_range(random, 0, (double)o->crop) : 0;
    return (box){cut[0], cut[1], 1 - cut[2], 1 - cut[3]};
}

static void clip_boxes(float *boxes, float *present, int count, box frame) {
    for (int i = 0; i < count; i++) {
        if (present[i] <= 0) continue;
        box whole = box_from_normalised(boxes + 4 * i, 1, 1);
        box left = box_intersection(whole, frame);
        if (box_area(left) * 4 < box_area(whole) || box_area(left) <= 0) {
            present[i] = 0;
            for (int k = 0; k < 4; k++) boxes[4 * i + k] = 0;
        } else if (left.x1 != whole.x1 || left.y1 != whole.y1 || left.x2 != whole.x2 || left.y2 != whole.y2) {
            box_to_normalised(left, 1, 1, boxes + 4 * i);
        }
    }
}

/* Collimated edges are mostly black, sometimes the bright rim of a digitised film. */
static void paint_outside(float *out, int size, box frame, float value) {
    float side = (float)size;
    for (int y = 0; y < size; y++) {
        bool row_hidden = (float)y + 0.5f < frame.y1 * side || (float)y + 0.5f > frame.y2 * side;
        for (int x = 0; x < size; x++)
            if (row_hidden || (float)x + 0.5f < frame.x1 * side || (float)x + 0.5f > frame.x2 * side)
                out[(int64_t)y * size + x] = value;
    }
}

bool augment_map_back(const augment_map *m, double x, double y, double *u, double *v) {
    *u = m->xx * x + m->xy * y + m->x;
    *v = m->yx * x + m->yy * y + m->y;
    bool painted =
        x < (double)m->frame.x1 || x > (double)m->frame.x2 || y < (double)m->frame.y1 || y > (double)m->frame.y2;
    return !painted && *u >= 0 && *u < 1 && *v >= 0 && *v < 1;
}

augment_map augment_apply(float *out, int size, const uint8_t *source, int source_size, float *boxes, float *present,
                          int count, const augment_options *o, random_state *random, void *scratch) {
    bool moves = o->rotation > 0 || o->translation > 0 || o->scale > 0 || o->stretch > 0 || o->flip_probability > 0;
    affine a = {.xx = 1, .yy = 1};
    if (moves) {
        a = draw_affine(o, random);
        for (int i = 0; i < count; i++)
            if (present[i] > 0) map_box(&a, boxes + 4 * i);
    }
    affine inverse = invert(a);
    if (moves || source_size != size) {
        warp(out, size, source, source_size, &inverse);
    } else {
        copy(out, source, size);
    }
    augment_tone(out, size, o, random, scratch);
    box frame = {0, 0, 1, 1};
    if (o->crop > 0) {
        frame = draw_crop(o, random);
        bool bright = random_chance(random, 0.15);
        paint_outside(out, size, frame, bright ? (float)random_range(random, 0.7, 1) : 0);
    }
    clip_boxes(boxes, present, count, frame);
    return (augment_map){inverse.xx, inverse.xy, inverse.yx, inverse.yy, inverse.x, inverse.y, frame};
}
