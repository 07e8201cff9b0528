/* Where a broken bone is on the film; see finding_film.h. The break itself is built into the bone by the phantom. */
#include <math.h>
#include <stddef.h>

#include "data/phantom/finding_film.h"
#include "data/phantom/finding_paint.h"

static phantom_point along_line(const phantom_line *line, double position) {
    double at = position * (line->point_count - 1);
    int i = (int)at;
    if (i >= line->point_count - 1) i = line->point_count - 2;
    double t = at - i;
    const phantom_point *a = &line->point[i], *b = &line->point[i + 1];
    return (phantom_point){a->x + t * (b->x - a->x), a->y + t * (b->y - a->y)};
}

/* The cleft between a bone's parts (skeleton.c builds it): dark, between edges that are driven together or new bone. */
typedef struct cleft {
    phantom_point middle;
    double along_x, along_y; /* the bone's direction */
    double half_width;       /* pixels */
} cleft;

static cleft find_cleft(const phantom_line *line, double position) {
    int last = line->point_count - 1;
    int at = (int)(fmin(fmax(position, 0.05), 0.95) * last);
    const phantom_point *p = line->point, a = p[at], b = p[at + 1], c = p[at + 2 <= last ? at + 2 : last];
    double dx = c.x - b.x, dy = c.y - b.y, length = fmax(hypot(dx, dy), 1e-9);
    phantom_point begins = {b.x - 0.4 * dx, b.y - 0.4 * dy};
    return (cleft){{0.5 * (a.x + begins.x), 0.5 * (a.y + begins.y)}, dx / length, dy / length, line->half_width};
}

static void paint_cleft(const cleft *c, double severity, phantom_scene *scene, size_t i, double x, double y) {
    double mm = scene->pixels_per_mm, along = (x * c->along_x + y * c->along_y) / mm;
    double across = fabs(y * c->along_x - x * c->along_y);
    double inside = paint_step(1.15 * c->half_width + mm, 0.75 * c->half_width, across);
    double gap = along / 0.9, edge = (fabs(along) - 3.2) / 1.1;
    scene->extra[i] -= (float)((10 + 6 * severity) * paint_through(scene, i) * inside * exp(-0.5 * gap * gap));
    scene->extra_bone[i] +=
        (float)((2.5 + 2.5 * severity) * paint_through(scene, i) * inside * exp(-0.5 * edge * edge));
}

/* which: the film's so-and-so-many-eth fracture, in the order of the list. */
void finding_paint_fracture(const finding *f, int which, phantom_scene *scene, float *cover, random_state *random) {
    bool healing = random_chance(random, 0.4);
    if (which >= scene->parameters.fracture_count) return;
    const phantom_fracture *fracture = &scene->parameters.fractures[which];
    const phantom_line *line =
        fracture->clavicle ? &scene->clavicle[fracture->side] : &scene->rib[fracture->side][fracture->rib - 1];
    if (line->point_count < 2) return;
    phantom_point centre = along_line(line, fracture->position);
    cleft gap = find_cleft(line, fracture->position);
    double mm = scene->pixels_per_mm, r = fmax(9 * mm, 1.6 * line->half_width);
    for (int y = (int)fmax(centre.y - r, 0); y < centre.y + r && y < scene->height; y++) {
        for (int x = (int)fmax(centre.x - r, 0); x < centre.x + r && x < scene->width; x++) {
            size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
            double d = hypot(x + 0.5 - centre.x, y + 0.5 - centre.y) / r;
            if (d >= 1) continue;
            /* callus: a cloudy cuff of new bone */
            if (healing) scene->extra_bone[i] += (float)((2 + 3 * f->severity) * paint_step(0.75, 0.2, d));
            if (!fracture->clavicle)
                paint_cleft(&gap, f->severity, scene, i, x + 0.5 - gap.middle.x, y + 0.5 - gap.middle.y);
            paint_raise(&cover[i], 1);
        }
    }
}
