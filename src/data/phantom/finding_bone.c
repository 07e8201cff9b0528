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

/* which: the film's so-and-so-many-eth fracture, in the order of the list. */
void finding_paint_fracture(const finding *f, int which, phantom_scene *scene, float *cover, random_state *random) {
    bool healing = random_chance(random, 0.4);
    if (which >= scene->parameters.fracture_count) return;
    const phantom_fracture *fracture = &scene->parameters.fractures[which];
    const phantom_line *line =
        fracture->clavicle ? &scene->clavicle[fracture->side] : &scene->rib[fracture->side][fracture->rib - 1];
    if (line->point_count < 2) return;
    phantom_point centre = along_line(line, fracture->position);
    double mm = scene->pixels_per_mm, r = fmax(9 * mm, 1.6 * line->half_width);
    for (int y = (int)fmax(centre.y - r, 0); y < centre.y + r && y < scene->height; y++) {
        for (int x = (int)fmax(centre.x - r, 0); x < centre.x + r && x < scene->width; x++) {
            size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
            double d = hypot(x + 0.5 - centre.x, y + 0.5 - centre.y) / r;
            if (d >= 1) continue;
            /* callus: a cloudy cuff of new bone */
            if (healing) scene->extra_bone[i] += (float)(1.2 * f->severity * paint_step(0.75, 0.2, d));
            paint_raise(&cover[i], 1);
        }
    }
}
