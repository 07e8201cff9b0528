/* The thorax under construction: what the anatomy files share (internal to src/data/phantom).
 *
 * Coordinates are in units of the deeply inflated lungs' height: u to the patient's left (image right), v down, w to
 * the front; origin in the middle of that lung field. thorax_project takes them to film pixels: yaw about the body
 * axis, pitch (lordotic > 0 lifts what lies in front), roll in the film's plane, then cone magnification relative to
 * the plane w = 0.
 *
 * Order of building: outlines -> body -> skeleton -> mediastinum -> vessels -> devices -> truth boxes.
 */
#ifndef DATA_PHANTOM_THORAX_H
#define DATA_PHANTOM_THORAX_H

#include "data/phantom/parameters.h"
#include "data/phantom/phantom.h"
#include "data/phantom/raster.h"
#include "data/phantom/shape_statistics.h"

#define THORAX_OUTLINE_POINTS 96 /* most points of a lung's full outline before refinement */

typedef struct thorax_space {
    double u, v, w;
} thorax_space;

typedef struct thorax {
    phantom_scene *scene;
    const phantom_parameters *p;
    const phantom_probe *probe; /* or NULL */
    int width, height;
    size_t pixels;
    float *work, *distance, *line; /* [height, width] (work is kept 0), [height, width], distance transform's lines */

    /* projection */
    double unit;                      /* mm */
    double scale;                     /* pixels per unit at w = 0 */
    double yaw[2], pitch[2], roll[2]; /* cosine, sine */
    double source;                    /* units, focus to detector */
    double plane;                     /* units, w = 0 to detector */
    double toward;                    /* +1: the front faces the detector (PA), -1: the back (AP) */
    phantom_point centre;             /* film pixels of the origin */

    /* outlines in units */
    double inflation;                             /* lungs' height in units */
    phantom_point shape[SHAPE_POINT_COUNT];       /* sampled outlines after all organ changes */
    phantom_point lung[2][THORAX_OUTLINE_POINTS]; /* full field: behind the heart to the spine's edge */
    int lung_points[2];
    phantom_point heart[SHAPE_HEART_POINTS];
    double midline; /* u of the neutral midline */
    double shift;   /* u added to heart and mediastinum */
    double depth;   /* inner chest depth at the base */
    double wall[2]; /* from the midline to the skin at the side, at the level of the domes */

    /* mediastinum in units */
    double trachea_radius, trachea_top;
    thorax_space carina;
    double arch_u, arch_v, arch_radius; /* knob */
    double vertebra_half;               /* half width of the bodies at mid level */

    /* film pixels, for the truth boxes */
    box trachea_box, arch_box, carina_box;
    box clavicle_box[2];

    /* devices.c, while it draws with masks */
    float *metal_before;    /* [height, width] before the device that is being drawn; NULL: without masks */
    phantom_device *masked; /* that device, or NULL */
    bool mask_failed;       /* no memory for one of them */
} thorax;

phantom_point thorax_project(const thorax *t, double u, double v, double w);
/* Magnification of a length at depth w, pixels per unit. */
double thorax_scale_at(const thorax *t, double w);
/* u of the spine's axis at v, scoliosis included. */
double thorax_spine(const thorax *t, double v);
/* v of the top of thoracic vertebra `number` (1 .. 12; 0 .. -6 cervical C7 .. C1; 13 .. 17 lumbar). */
double thorax_vertebra(double number);
/* u of a lung's outer contour at v (the chest's inner wall), continued above and below the lung. */
double thorax_wall(const thorax *t, int side, double v);

/* outlines.c: projection, sampled outlines; body.c: air, heart, soft tissue; the rest as named. */
void outlines_build(thorax *t);
void body_build(thorax *t);
void skeleton_build(thorax *t);
void mediastinum_place(thorax *t); /* decides where trachea and arch lie; before body_build */
void mediastinum_build(thorax *t);
void vessels_build(thorax *t);
carina_status devices_build(thorax *t, bool masks, carina_error *error);
void truth_boxes_build(thorax *t);

/* Fills a mask with a refined closed outline at depth w. */
void thorax_fill(const thorax *t, uint8_t *mask, const phantom_point *outline, int count, double w);

/* Draws a tube through points of the thorax onto a map; widths in units, thickness in mm. radius and thickness vary
 * linearly from the first to the second value. */
typedef struct thorax_tube {
    double radius[2], thickness[2], shell;
    double gain;
} thorax_tube;
void thorax_draw(const thorax *t, float *map, const thorax_space *point, int count, thorax_tube tube);

#endif
