/* Pose and outlines: where a point of the thorax falls on the film, and a patient's own lung and heart contours.
 *
 * Contours are drawn from the statistics of human outlines (shape_statistics.c), because the silhouettes are what a
 * reader, and a network, goes by; the rest of the anatomy is then hung on them in three dimensions, so that pose moves
 * front and back against each other as on real films. The statistics know only visible lung; the part behind the heart
 * is added here, up to the spine's right edge and the descending aorta's left one.
 */
#include <math.h>

#include "data/phantom/thorax.h"

static double clamp(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

double thorax_scale_at(const thorax *t, double w) {
    return t->scale * (t->source - t->plane) / (t->source - t->plane + t->toward * w);
}

phantom_point thorax_project(const thorax *t, double u, double v, double w) {
    double x = u * t->yaw[0] + w * t->yaw[1], z = w * t->yaw[0] - u * t->yaw[1];
    double y = v * t->pitch[0] - z * t->pitch[1];
    z = z * t->pitch[0] + v * t->pitch[1];
    double m = thorax_scale_at(t, z);
    double px = x * m, py = y * m;
    return (phantom_point){t->centre.x + px * t->roll[0] - py * t->roll[1],
                           t->centre.y + px * t->roll[1] + py * t->roll[0]};
}

double thorax_spine(const thorax *t, double v) {
    double level = -0.45 + 0.9 * t->p->scoliosis_level, near = (v - level) / 0.33, far = (v - level - 0.75) / 0.4;
    double bow = -0.0062 * t->p->scoliosis_degrees; /* Cobb angle to amplitude; convex right is negative u */
    return t->midline + bow * (exp(-near * near) - 0.45 * exp(-far * far));
}

double thorax_vertebra(double number) {
    static const double top[25] = {-0.93,  -0.88,  -0.83,  -0.78,  -0.73,  -0.675, -0.615, -0.555, -0.487,
                                   -0.414, -0.337, -0.256, -0.172, -0.084, 0.008,  0.103,  0.203,  0.308,
                                   0.418,  0.532,  0.65,   0.775,  0.905,  1.035,  1.165};
    double at = clamp(number + 7, 0, 23.999);
    int i = (int)at;
    return top[i] + (at - i) * (top[i + 1] - top[i]);
}

double thorax_wall(const thorax *t, int side, double v) {
    int first = side ? SHAPE_LEFT_LUNG_FIRST : SHAPE_RIGHT_LUNG_FIRST, last = side ? 65 : 21;
    const phantom_point *s = t->shape;
    double sign = side ? 1 : -1;
    if (v <= s[first].y) { /* above the apex the rib cage closes */
        double over = (s[first].y - v) / 0.12;
        return s[first].x - sign * clamp(over, 0, 1) * 0.08;
    }
    for (int i = first; i < last; i++)
        if (v <= s[i + 1].y && s[i + 1].y > s[i].y) {
            double f = clamp((v - s[i].y) / (s[i + 1].y - s[i].y), 0, 1);
            return s[i].x + f * (s[i + 1].x - s[i].x);
        }
    return s[last].x + sign * clamp((v - s[last].y) * 0.04, 0, 0.02);
}

/* Mean and modes, then a little pull towards plausible widths: twelve free modes can together make shapes none of the
 * 150 films has. */
static void sample_shape(thorax *t) {
    const phantom_parameters *p = t->p;
    double top = INFINITY, bottom = -INFINITY, left = INFINITY, right = -INFINITY;
    for (int i = 0; i < SHAPE_POINT_COUNT; i++) {
        double x = (double)shape_statistics_mean[2 * i], y = (double)shape_statistics_mean[2 * i + 1];
        for (int k = 0; k < SHAPE_MODE_COUNT; k++) {
            double c = p->shape[k] * (double)shape_statistics_deviation[k];
            x += c * (double)shape_statistics_mode[k][2 * i];
            y += c * (double)shape_statistics_mode[k][2 * i + 1];
        }
        t->shape[i] = (phantom_point){x, y};
        if (i >= SHAPE_HEART_FIRST) continue;
        top = fmin(top, y), bottom = fmax(bottom, y), left = fmin(left, x), right = fmax(right, x);
    }
    double width = right - left, wanted = clamp(width, 0.86, 1.22), stretch = wanted / width;
    for (int i = 0; i < SHAPE_POINT_COUNT; i++) {
        t->shape[i].x = (t->shape[i].x - (left + right) / 2) * stretch + (left + right) / 2;
        t->shape[i].y = (t->shape[i].y - top) / (bottom - top) - 0.5;
    }
}

/* How far a breath lets the lungs down, and what findings do to domes and heart. */
static void change_organs(thorax *t) {
    const phantom_parameters *p = t->p;
    t->inflation = clamp((0.66 + 0.42 * p->inspiration) * p->lung_volume, 0.42, 1.2);
    phantom_point *s = t->shape;
    double heart_x = 0, heart_y = 0;
    for (int i = SHAPE_HEART_FIRST; i < SHAPE_POINT_COUNT; i++)
        heart_x += s[i].x / SHAPE_HEART_POINTS, heart_y += s[i].y / SHAPE_HEART_POINTS;
    double lying = 1 + 0.3 * clamp(0.9 - t->inflation, 0, 0.4); /* the heart lies down on high domes */
    double flatten = clamp((p->lung_volume - 1.03) * 3, 0, 0.8);
    t->shift = p->mediastinum_shift_mm / t->unit;
    for (int i = 0; i < SHAPE_POINT_COUNT; i++) {
        bool heart = i >= SHAPE_HEART_FIRST;
        int side = i >= SHAPE_LEFT_LUNG_FIRST;
        if (!heart && flatten > 0) { /* bases sink towards the line between their corners */
            int a = side ? 65 : 21, b = side ? 71 : 29;
            if (i > a && i < b) {
                double f = (double)(i - a) / (b - a);
                s[i].y += flatten * (s[a].y + f * (s[b].y + 0.04 - s[a].y) - s[i].y);
            }
        }
        if (heart) {
            s[i].x = heart_x + (s[i].x - heart_x) * p->heart_width * lying + t->shift;
            s[i].y = s[i].y + (s[i].y - (heart_y + 0.23)) * (p->heart_height - 1);
        } else if ((side && i > 71) || (!side && i > 29)) {
            /* the lungs' medial borders follow a wider heart and mediastinum */
            double low = raster_step(-0.1, 0.15, s[i].y),
                   grow = (s[i].x - heart_x) * (p->heart_width * lying - 1) * low;
            double upper = (side ? 0.5 : -0.5) * p->mediastinum_widen_mm / t->unit * (1 - low);
            s[i].x += grow + upper + t->shift;
        }
        double raise = heart ? 0.35 * (p->dome_raise_mm[0] + p->dome_raise_mm[1]) / 2 : p->dome_raise_mm[side];
        s[i].y -= raise / t->unit * raster_step(-0.25, 0.35, s[i].y);
        /* A shallow breath moves the domes up as they are and shortens what lies above them. */
        s[i].y -= (1 - t->inflation) * fmin(1, (s[i].y + 0.5) / 0.72);
    }
    t->midline = (s[39].x + s[40].x + s[41].x + s[89].x + s[90].x + s[91].x) / 6 - t->shift;
    /* A scoliotic spine takes rib cage, lungs and heart along. */
    for (int i = 0; i < SHAPE_POINT_COUNT; i++) s[i].x += 0.75 * (thorax_spine(t, s[i].y) - t->midline);
}

/* Lowest point of the heart's contour above or below u; far down where the heart does not reach. */
static double heart_bottom(const thorax *t, double u) {
    double bottom = -INFINITY;
    for (int i = SHAPE_HEART_FIRST, j = SHAPE_POINT_COUNT - 1; i < SHAPE_POINT_COUNT; j = i++) {
        phantom_point a = t->shape[j], b = t->shape[i];
        if ((a.x > u) == (b.x > u)) continue;
        bottom = fmax(bottom, a.y + (u - a.x) / (b.x - a.x) * (b.y - a.y));
    }
    return bottom > -INFINITY ? bottom : INFINITY;
}

/* Lung behind the heart. From the diaphragm up, beside the spine, to where the visible contour takes over. */
static void close_behind_heart(thorax *t) {
    const phantom_point *s = t->shape;
    double edge = t->vertebra_half;
    for (int side = 0; side < 2; side++) {
        phantom_point *out = t->lung[side];
        int n = 0, first = side ? SHAPE_LEFT_LUNG_FIRST : 0, base = side ? 71 : 29, end = side ? 94 : 44;
        double sign = side ? 1 : -1;
        for (int i = first; i <= base; i++) out[n++] = s[i];
        phantom_point corner = s[base];
        double low = corner.y + 0.02, join = t->carina.v + 0.07;
        low = fmin(low, heart_bottom(t, thorax_spine(t, low) + sign * (edge + 0.02)) - 0.02);
        double target = thorax_spine(t, low) + sign * (edge + (side ? 0.012 : 0.002)) + 0.4 * t->shift;
        if (sign * (corner.x - target) > 0.03)
            for (int k = 1; k < 4; k++) {
                double u = corner.x + (target - corner.x) * k / 4.0, v = corner.y + (low - corner.y) * k / 4.0 - 0.006;
                out[n++] = (phantom_point){u, fmin(v, heart_bottom(t, u) - 0.015)};
            }
        for (int k = 0; k <= 10; k++) {
            double v = low + (join - low) * k / 10.0, rise = 1 - k / 10.0;
            double aorta =
                side ? 0.012 + 0.03 * (1 - rise) + 0.05 * t->p->aorta_tortuosity * sin(3.1 * rise) * rise : 0.002;
            double u = thorax_spine(t, v) + sign * (edge + aorta) + 0.4 * t->shift;
            out[n++] = (phantom_point){u, v};
        }
        for (int i = base + 1; i < end; i++) {
            if (s[i].y > join - 0.02) continue;
            out[n++] = s[i];
        }
        t->lung_points[side] = n;
    }
    for (int i = 0; i < SHAPE_HEART_POINTS; i++) t->heart[i] = s[SHAPE_HEART_FIRST + i];
}

void outlines_build(thorax *t) {
    const phantom_parameters *p = t->p;
    const double degree = 0.017453292519943295;
    t->unit = p->unit_mm;
    t->scale = p->film_scale * t->height;
    t->yaw[0] = cos(p->yaw_degrees * degree), t->yaw[1] = sin(p->yaw_degrees * degree);
    t->pitch[0] = cos(p->pitch_degrees * degree), t->pitch[1] = sin(p->pitch_degrees * degree);
    t->roll[0] = cos(p->roll_degrees * degree), t->roll[1] = sin(p->roll_degrees * degree);
    t->depth = 0.6 * p->depth;
    t->source = p->source_mm / t->unit;
    t->plane = 0.5 * t->depth + (p->ap ? 0.25 : 0.12) + 0.1 * p->fat;
    t->toward = p->ap ? -1 : 1;
    /* Detector near the front (PA): what lies in front is magnified less. */
    t->centre = (phantom_point){p->film_centre.x * t->width, p->film_centre.y * t->height};
    t->vertebra_half = 0.058;
    sample_shape(t);
    change_organs(t);
    /* A technologist centres on the lungs there are, about half way. */
    t->centre.y += 0.25 * (1 - t->inflation) * t->scale;
    mediastinum_place(t);
    close_behind_heart(t);
    t->scene->pixels_per_mm = t->scale / t->unit;
}

void thorax_fill(const thorax *t, uint8_t *mask, const phantom_point *outline, int count, double w) {
    enum { STEPS = 4 };
    phantom_point fine[THORAX_OUTLINE_POINTS * STEPS];
    int n = raster_spline(fine, outline, count, STEPS, true);
    for (int i = 0; i < n; i++) fine[i] = thorax_project(t, fine[i].x, fine[i].y, w);
    raster_fill(mask, t->width, t->height, fine, n, 1);
}

#define MAX_TUBE_NODES 128

void thorax_draw(const thorax *t, float *map, const thorax_space *point, int count, thorax_tube tube) {
    raster_node node[MAX_TUBE_NODES];
    if (count > MAX_TUBE_NODES) count = MAX_TUBE_NODES;
    for (int i = 0; i < count; i++) {
        double f = count > 1 ? (double)i / (count - 1) : 0;
        phantom_point at = thorax_project(t, point[i].u, point[i].v, point[i].w);
        double radius = (tube.radius[0] + f * (tube.radius[1] - tube.radius[0])) * thorax_scale_at(t, point[i].w);
        node[i] = (raster_node){at.x, at.y, radius, tube.thickness[0] + f * (tube.thickness[1] - tube.thickness[0]),
                                tube.shell};
    }
    raster_tube((raster){t->width, t->height, map}, t->work, node, count, tube.gain, RASTER_CAPS);
}
