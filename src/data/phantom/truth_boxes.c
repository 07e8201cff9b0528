/* The 36 truth boxes, from the projected organs.
 *
 * Rules: what each region encloses is written beside its line below; lungs, heart and zones come from the masks, so
 * that boxes and masks agree; midline structures from their projected outlines. Conventions that readers of real films
 * keep: the trachea's box is as wide as its air column and ends at the carina, the heart's begins where its borders
 * leave the hila, the clavicles go from the sternal to the acromial end or the film's edge.
 */
#include <math.h>
#include <string.h>

#include "data/phantom/thorax.h"

enum {
    ABDOMEN,
    ARCH,
    LEFT_APEX,
    RIGHT_APEX,
    HEART,
    DESCENDING,
    LEFT_HILUM,
    RIGHT_HILUM,
    LEFT_CLAVICLE,
    LEFT_DIAPHRAGM,
    LEFT_LOWER,
    LEFT_LUNG,
    LEFT_MID,
    LEFT_UPPER,
    MEDIASTINUM,
    ATRIUM,
    RIGHT_HEART,
    RIGHT_CLAVICLE,
    RIGHT_DIAPHRAGM,
    RIGHT_LOWER,
    RIGHT_LUNG,
    RIGHT_MID,
    RIGHT_UPPER,
    CARINA,
    LEFT_HEART,
    LEFT_ABDOMEN,
    RIGHT_ABDOMEN,
    UPPER_MEDIASTINUM,
    SVC,
    TRACHEA,
    SPINE,
    CAVOATRIAL,
    LEFT_CARDIOPHRENIC,
    LEFT_COSTOPHRENIC,
    RIGHT_CARDIOPHRENIC,
    RIGHT_COSTOPHRENIC
};

/* The bounding box of a mask between two rows; false when empty. */
static bool mask_box(box *out, const uint8_t *mask, int width, double top, double bottom) {
    int x1 = width, x2 = -1, y1 = -1, y2 = -1;
    for (int y = (int)top; y < (int)bottom; y++) {
        const uint8_t *row = mask + (size_t)y * (size_t)width;
        const uint8_t *hit = memchr(row, 1, (size_t)width);
        if (!hit) continue;
        int first = (int)(hit - row), last = width - 1;
        while (!row[last]) last--;
        if (first < x1) x1 = first;
        if (last > x2) x2 = last;
        if (y1 < 0) y1 = y;
        y2 = y;
    }
    if (y1 < 0) return false;
    *out = (box){(float)x1, (float)y1, (float)(x2 + 1), (float)(y2 + 1)};
    return true;
}

static double clamp(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

static void put(phantom_scene *s, int region, double x1, double y1, double x2, double y2) {
    s->boxes[region] = (box){(float)x1, (float)y1, (float)x2, (float)y2};
    s->present[region] = true;
}

/* Lung seen through an opacity is lung; lung under fluid is not: rows at the base that are mostly hidden are cut off.
 */
static double visible_bottom(const phantom_scene *s, int side, box lung) {
    int y = (int)lung.y2 - 1;
    for (; y > (int)((lung.y1 + lung.y2) / 2); y--) {
        int all = 0, seen = 0;
        for (int x = (int)lung.x1; x < (int)lung.x2; x++) {
            size_t at = (size_t)y * (size_t)s->width + (size_t)x;
            all += s->lung_mask[side][at];
            seen += s->lung_mask[side][at] && s->hidden[at] < 0.5f;
        }
        if (seen * 4 > all) break;
    }
    return y + 1;
}

static void lung_boxes(thorax *t, int side) {
    phantom_scene *s = t->scene;
    const phantom_landmarks *mark = &s->landmarks;
    static const int region[2][8] = {
        {RIGHT_LUNG, RIGHT_APEX, RIGHT_UPPER, RIGHT_MID, RIGHT_LOWER, RIGHT_HILUM, RIGHT_COSTOPHRENIC, RIGHT_DIAPHRAGM},
        {LEFT_LUNG, LEFT_APEX, LEFT_UPPER, LEFT_MID, LEFT_LOWER, LEFT_HILUM, LEFT_COSTOPHRENIC, LEFT_DIAPHRAGM}};
    const int *is = region[side];
    box lung, zone;
    if (!mask_box(&lung, s->lung_mask[side], s->width, 0, s->height)) return;
    double bottom = visible_bottom(s, side, lung), upper = clamp(mark->hilum_upper[side], lung.y1, bottom);
    double lower = clamp(mark->hilum_lower[side], lung.y1, bottom);
    put(s, is[0], lung.x1, lung.y1, lung.x2, bottom);
    /* Apical zone: above the lower edge of the clavicle's medial third. */
    const phantom_line *bone = &s->clavicle[side];
    double edge = -1e9;
    for (int i = 0; i <= bone->point_count / 3; i++) edge = fmax(edge, bone->point[i].y + bone->half_width);
    edge = clamp(edge, lung.y1 + 0.08 * (bottom - lung.y1), lung.y1 + 0.35 * (bottom - lung.y1));
    if (mask_box(&zone, s->lung_mask[side], s->width, lung.y1, edge)) put(s, is[1], zone.x1, zone.y1, zone.x2, zone.y2);
    if (mask_box(&zone, s->lung_mask[side], s->width, lung.y1, upper))
        put(s, is[2], zone.x1, zone.y1, zone.x2, zone.y2);
    if (mask_box(&zone, s->lung_mask[side], s->width, upper, lower)) put(s, is[3], zone.x1, zone.y1, zone.x2, zone.y2);
    if (mask_box(&zone, s->lung_mask[side], s->width, lower, bottom)) put(s, is[4], zone.x1, zone.y1, zone.x2, zone.y2);
    /* Hilum: beside the mediastinum, a third of the lung's width. */
    double whole = lung.x2 - lung.x1, sign = side ? 1 : -1;
    double inner = mark->hilum[side].x - sign * 0.075 * t->scale, outer = inner + sign * 0.34 * whole;
    put(s, is[5], fmin(inner, outer), mark->hilum_upper[side], fmax(inner, outer), mark->hilum_lower[side]);
    /* Costophrenic corner: a quarter of the lung's width each way. */
    phantom_point corner = mark->costophrenic[side];
    double reach = 0.25 * whole;
    put(s, is[6], side ? corner.x - 0.88 * reach : corner.x - 0.12 * reach, corner.y - 0.8 * reach,
        side ? corner.x + 0.12 * reach : corner.x + 0.88 * reach, corner.y + 0.2 * reach);
    phantom_point medial = mark->cardiophrenic[side];
    put(s, is[7], fmin(corner.x, medial.x), mark->dome_top[side].y, fmax(corner.x, medial.x),
        corner.y + 0.008 * t->scale);
}

static void heart_boxes(thorax *t) {
    phantom_scene *s = t->scene;
    const phantom_landmarks *mark = &s->landmarks;
    box whole;
    if (!mask_box(&whole, s->heart_mask, s->width, 0, s->height)) return;
    /* The contour closes over the great vessels' roots; the silhouette begins where its borders leave the hila. */
    phantom_point right = thorax_project(t, t->heart[5].x, t->heart[5].y, 0.1),
                  left = thorax_project(t, t->heart[12].x, t->heart[12].y, 0.1);
    double top = fmin(whole.y2 - 1, fmax(whole.y1, 0.5 * (right.y + left.y)));
    double middle = clamp(mark->midline_x, whole.x1 + 1, whole.x2 - 1);
    put(s, HEART, whole.x1, top, whole.x2, whole.y2);
    put(s, RIGHT_HEART, whole.x1, top, middle, whole.y2);
    put(s, LEFT_HEART, middle, top, whole.x2, whole.y2);
    double lower = fmax(mark->cardiophrenic[0].y, mark->cavoatrial.y + 1);
    put(s, ATRIUM, whole.x1, mark->cavoatrial.y, middle, fmin(lower + 0.02 * t->scale, whole.y2));
    double small = 0.055 * t->scale;
    put(s, CAVOATRIAL, mark->cavoatrial.x - small, mark->cavoatrial.y - small, mark->cavoatrial.x + small,
        mark->cavoatrial.y + small);
    double corner = 0.075 * t->scale;
    for (int side = 0; side < 2; side++) {
        phantom_point c = mark->cardiophrenic[side];
        put(s, side ? LEFT_CARDIOPHRENIC : RIGHT_CARDIOPHRENIC, c.x - corner, c.y - corner, c.x + corner, c.y + corner);
    }
}

static void middle_boxes(thorax *t) {
    phantom_scene *s = t->scene;
    const phantom_landmarks *mark = &s->landmarks;
    const phantom_point *o = t->shape;
    box a = t->trachea_box, k = t->arch_box, c = t->carina_box;
    put(s, TRACHEA, a.x1, a.y1, a.x2, a.y2);
    put(s, ARCH, k.x1, k.y1, k.x2, k.y2);
    put(s, CARINA, c.x1, c.y1, c.x2, c.y2);
    double m = t->scale;
    double x1 = 1e9, x2 = -1e9, y1 = 1e9;
    for (int i = -4; i <= 60; i++) { /* spine: axis plus the bodies' width, as far as the film goes */
        double v = -0.7 + i * 0.03;
        phantom_point at = thorax_project(t, thorax_spine(t, v), v, -0.4 * t->depth);
        if (at.y < 0 || at.y > t->height) continue;
        x1 = fmin(x1, at.x - 1.02 * t->vertebra_half * m), x2 = fmax(x2, at.x + 1.02 * t->vertebra_half * m);
    }
    put(s, SPINE, x1, 0, x2, t->height);
    /* Mediastinum: between the lungs' visible medial borders, heart included. */
    double ux1 = 1e9, ux2 = -1e9, wx1 = 1e9, wx2 = -1e9;
    for (int i = 30; i < 44; i++) {
        phantom_point at = thorax_project(t, o[i].x, o[i].y, 0);
        wx1 = fmin(wx1, at.x);
        if (o[i].y > -0.42 * t->inflation && at.y < mark->carina.y) ux1 = fmin(ux1, at.x);
    }
    for (int i = 72; i < 93; i++) {
        phantom_point at = thorax_project(t, o[i].x, o[i].y, 0);
        wx2 = fmax(wx2, at.x);
        if (o[i].y > -0.42 * t->inflation && at.y < mark->carina.y) ux2 = fmax(ux2, at.x);
    }
    ux1 = fmin(ux1, mark->carina.x - 0.06 * m), ux2 = fmax(ux2, (double)k.x2);
    box heart = s->boxes[HEART];
    if (s->present[HEART]) wx1 = fmin(wx1, (double)heart.x1), wx2 = fmax(wx2, (double)heart.x2);
    wx1 = fmin(wx1, ux1), wx2 = fmax(wx2, ux2);
    y1 = fmin(mark->apex[0].y, mark->apex[1].y);
    double bottom = s->present[HEART] ? (double)heart.y2 : mark->cardiophrenic[1].y;
    put(s, MEDIASTINUM, wx1, y1, wx2, bottom);
    put(s, UPPER_MEDIASTINUM, ux1, y1, ux2, fmax(mark->carina.y, (double)k.y2));
    double clavicle = s->clavicle[0].point_count ? s->clavicle[0].point[0].y : y1;
    put(s, SVC, ux1, clavicle, fmax((double)a.x1 + 0.4 * (double)(a.x2 - a.x1), ux1 + 0.05 * m), mark->cavoatrial.y);
    /* Descending aorta: stripe left of the spine, from the arch to the diaphragm. */
    double right = -1e9, left = 1e9;
    for (int i = 0; i <= 10; i++) {
        double v = t->carina.v + i * 0.045 * t->inflation;
        double bow = t->vertebra_half + 0.012 + 0.03 * i / 10.0 + 0.05 * t->p->aorta_tortuosity * sin(3.1 * i / 10.0);
        phantom_point at = thorax_project(t, thorax_spine(t, v) + bow + 0.4 * t->shift, v, -0.2);
        right = fmax(right, at.x), left = fmin(left, at.x - 0.085 * m);
    }
    put(s, DESCENDING, left, 0.5 * (double)(k.y1 + k.y2), fmax(right, (double)k.x2 - 0.02 * m),
        fmax(mark->dome_top[1].y, mark->cardiophrenic[1].y));
    /* Abdomen: below the domes, the body's width. */
    double dome = fmin(mark->dome_top[0].y, mark->dome_top[1].y);
    box body;
    if (dome < s->height - 2 && mask_box(&body, s->body_mask, s->width, fmax(dome, 0), s->height)) {
        double side_x[2];
        for (int side = 0; side < 2; side++) {
            double sign = side ? 1 : -1;
            phantom_point at = thorax_project(t, t->midline + sign * (t->wall[side] + 0.05 * t->p->fat), 0.45, 0);
            side_x[side] = at.x;
        }
        double bx1 = fmax((double)body.x1, side_x[0]), bx2 = fmin((double)body.x2, side_x[1]);
        put(s, ABDOMEN, bx1, dome, bx2, s->height);
        put(s, RIGHT_ABDOMEN, bx1, mark->dome_top[0].y, mark->midline_x, s->height);
        put(s, LEFT_ABDOMEN, mark->midline_x, mark->dome_top[1].y, bx2, s->height);
    }
}

static void landmarks(thorax *t) {
    phantom_landmarks *mark = &t->scene->landmarks;
    const phantom_point *o = t->shape;
    for (int side = 0; side < 2; side++) {
        int base = side ? SHAPE_LEFT_LUNG_FIRST : 0, corner = side ? 65 : 21, end = side ? 71 : 29;
        double top = 1e9;
        for (int i = corner + 1; i <= end; i++) {
            phantom_point at = thorax_project(t, o[i].x, o[i].y, 0);
            if (at.y < top) top = at.y, mark->dome_top[side] = at;
        }
        mark->apex[side] = thorax_project(t, o[base].x, o[base].y, 0);
        mark->costophrenic[side] = thorax_project(t, o[corner].x, o[corner].y, -0.02);
        mark->cardiophrenic[side] = thorax_project(t, o[end].x, o[end].y, 0);
    }
    mark->midline_x = thorax_project(t, thorax_spine(t, 0.15), 0.15, 0).x;
    double x = 0, y = 0;
    for (int i = 0; i < SHAPE_HEART_POINTS; i++)
        x += t->heart[i].x / SHAPE_HEART_POINTS, y += t->heart[i].y / SHAPE_HEART_POINTS;
    mark->heart_centre = thorax_project(t, x, y, 0.13);
    /* Right border: where the great vein's stripe turns into the atrium's bulge. */
    mark->cavoatrial =
        thorax_project(t, o[34].x * 0.5 + t->heart[4].x * 0.5, t->heart[5].y * 0.6 + o[34].y * 0.4, 0.05);
}

/* Clips to film and field; what is mostly outside is not there. */
static void clip(thorax *t, box field) {
    phantom_scene *s = t->scene;
    for (int i = 0; i < PHANTOM_REGION_COUNT; i++) {
        if (!s->present[i]) continue;
        box b = s->boxes[i];
        double area = (double)(b.x2 - b.x1) * (double)(b.y2 - b.y1);
        b.x1 = fmaxf(b.x1, field.x1), b.y1 = fmaxf(b.y1, field.y1);
        b.x2 = fminf(b.x2, field.x2), b.y2 = fminf(b.y2, field.y2);
        double left = b.x2 > b.x1 && b.y2 > b.y1 ? (double)(b.x2 - b.x1) * (double)(b.y2 - b.y1) : 0;
        s->present[i] = area > 0 && left > 0.15 * area && b.x2 - b.x1 > 2 && b.y2 - b.y1 > 2;
        s->boxes[i] = s->present[i] ? b : (box){0};
    }
}

void truth_boxes_build(thorax *t) {
    phantom_scene *s = t->scene;
    memset(s->present, 0, sizeof s->present);
    landmarks(t);
    for (int side = 0; side < 2; side++) lung_boxes(t, side);
    heart_boxes(t);
    for (int side = 0; side < 2; side++) {
        box b = t->clavicle_box[side];
        put(s, side ? LEFT_CLAVICLE : RIGHT_CLAVICLE, b.x1, b.y1, b.x2, b.y2);
    }
    middle_boxes(t);
    box field;
    if (!mask_box(&field, s->field_mask, s->width, 0, s->height)) field = (box){0};
    clip(t, field);
}
