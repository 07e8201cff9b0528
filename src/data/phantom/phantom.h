/* The phantom: synthetic frontal chest films with every box and mask known.
 *
 * One film is made in five steps, each a pure function of (seed, index, options):
 *   1. parameters.c draws a patient, a pose and an exposure                       -> phantom_parameters
 *   2. hooks.alter may change organ parameters (enlarged heart, raised dome ...)
 *   3. the anatomy files build the thorax and project it: path lengths in mm per
 *      pixel of every material, outlines, landmarks, truth boxes                  -> phantom_scene
 *   4. hooks.add may add attenuation, veils, masks, or take vessels away
 *   5. imaging_chain.c turns path lengths into a film (Beer-Lambert, scatter,
 *      noise, blur, display curve, collimation, burnt-in text)                    -> phantom_result
 *
 * Frames. Film pixels as in image/image.h: x to the right (the patient's left), y down, pixel column x covers
 * [x, x + 1). Thorax millimetres: x to the patient's left, y to the feet, z to the front; origin in the middle of the
 * bounding box of deeply inflated lungs; the height of that box is the body's unit of length. Side 0 is the patient's
 * right (image left), side 1 the left. Path lengths are along the ray.
 *
 * Nothing here is global: several films may be made by several threads at once.
 */
#ifndef DATA_PHANTOM_PHANTOM_H
#define DATA_PHANTOM_PHANTOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/random.h"
#include "image/image.h"

#define PHANTOM_REGION_COUNT  36 /* the regions of atlas_anatomix36(), same order */
#define PHANTOM_MODE_COUNT    12
#define PHANTOM_MAX_FRACTURES 8
#define PHANTOM_MAX_DEVICES   24
#define PHANTOM_MAX_LESIONS   64
#define PHANTOM_MIN_SIDE      64 /* pixels of a film's side */
#define PHANTOM_MAX_SIDE      4096

typedef enum phantom_side { PHANTOM_RIGHT = 0, PHANTOM_LEFT = 1 } phantom_side;

typedef struct phantom_point {
    double x, y;
} phantom_point;

/* A break to be built into a bone: the parts are shifted and bent at `position`. */
typedef struct phantom_fracture {
    bool clavicle;          /* else a rib */
    int side;               /* phantom_side */
    int rib;                /* 1 .. 12; ignored for a clavicle */
    double position;        /* 0 at the spine (clavicle: sternal end) .. 1 at the front (acromial end) */
    double displacement_mm; /* step across the break, 0 .. 10 */
    double angle_degrees;   /* bend at the break */
    bool mended;            /* the bone keeps its course but is whole: what the break itself shows (phantom_probe) */
} phantom_fracture;

/* Everything that is drawn before the thorax is built. hooks.alter may change any of it; the neutral value of each
 * organ change is given. */
typedef struct phantom_parameters {
    uint64_t seed, index;

    /* patient */
    char sex;       /* 'M' or 'F' */
    int age;        /* years, 0 .. 95 */
    double fat;     /* 0 cachectic .. 0.5 usual .. 1 very obese */
    double breast;  /* 0 none .. 1 very large */
    double muscle;  /* 0 .. 1 */
    double bone;    /* mineral content, 1 usual, 0.5 osteoporotic */
    double unit_mm; /* height of the deeply inflated lungs: 270 a man, 245 a woman, 110 an infant */
    double depth;   /* chest depth, 1 usual; > 1 barrel chest */

    /* view and pose */
    bool ap;                                         /* else PA */
    bool supine;                                     /* AP only: bedside film, else erect */
    double yaw_degrees, pitch_degrees, roll_degrees; /* about the body axis; lordotic > 0; in the film's plane */
    double source_mm;                                /* focus to detector */
    double film_scale;                               /* unit as a fraction of the film's height, before pose */
    phantom_point film_centre;                       /* where the lungs' centre falls, fraction of the film */
    double arms;                                     /* 0 at the sides .. 1 raised or turned out of the film */
    double scapula_clear;                            /* 0 over the lungs .. 1 rotated clear */
    double clavicle_rise;                            /* lateral end above (> 0) or below the medial end, degrees */
    double head;                                     /* 0 no chin on the film .. 1 chin over the apices */

    /* shape */
    double shape[PHANTOM_MODE_COUNT]; /* standard deviations along the modes of human outlines */
    double inspiration;               /* 0 expiration .. 1 deep; neutral 0.6 */

    /* organ changes (for findings) */
    double lung_volume;          /* 1; < 1 low volumes, > 1 hyperinflation (flat domes) */
    double dome_raise_mm[2];     /* 0; elevated hemidiaphragm */
    double heart_width;          /* 1; factor */
    double heart_height;         /* 1; factor */
    double mediastinum_widen_mm; /* 0; upper mediastinum, both sides together */
    double mediastinum_shift_mm; /* 0; heart, trachea and vessels towards the patient's left */
    double trachea_shift_mm;     /* 0; trachea alone */
    double aorta_tortuosity;     /* 0 young .. 1 tortuous, unfolded */
    double aorta_calcification;  /* 0 .. 1, rim of the knob */
    double hilum_size[2];        /* 1; factor */
    double vessel_prominence;    /* 1; width and density of lung vessels */
    double vessel_cephalization; /* 0; 1 upper-zone vessels as wide as lower-zone ones */
    double vessel_blur;          /* 0; 1 indistinct (edema) */
    double interstitial;         /* 0.1 usual; 1 heavy reticular marking */
    double emphysema;            /* 0; 1 few vessels, dark lungs */
    double scoliosis_degrees;    /* 0; convex to the patient's right > 0 */
    double scoliosis_level;      /* 0 top .. 1 bottom of the thoracic spine, where the curve peaks */
    double degeneration;         /* 0 .. 1, osteophytes, narrow disc spaces */
    double stomach_gas;          /* 0 none .. 1 large bubble */
    double bowel_gas;            /* 0 none .. 1 much */
    int fracture_count;
    phantom_fracture fractures[PHANTOM_MAX_FRACTURES];

    /* devices to be drawn: a wish, some draw several objects (see phantom_device) */
    bool ett, enteric_tube, central_line[2], picc[2], swan_ganz, port[2], chest_tube[2], pacemaker, sternal_wires,
        surgical_clips, valve, ecg_leads, pads;

    /* exposure and picture making */
    double scatter;                 /* scatter to primary ratio behind the mediastinum, 0.5 .. 6 */
    double dose;                    /* relative quanta; 1 usual, 0.1 noisy */
    double blur_mm;                 /* detector and focus */
    double equalization;            /* 0 none .. 1 strong local contrast processing */
    double window_low, window_high; /* quantiles of the anatomy that become black and white */
    double curve;                   /* gamma of the display curve, 1 linear */
    double toe;                     /* S shape, 0 linear .. 1 */
} phantom_parameters;

/* A device as drawn. */
typedef struct phantom_device {
    const char *name;  /* static: "endotracheal tube", "enteric tube", "central venous line", "picc", "swan-ganz
                          catheter",  "port", "chest tube", "pacemaker", "sternal wires", "surgical clips", "prosthetic
                          valve",  "ecg leads", "pads" */
    int side;          /* phantom_side it enters from, or -1 */
    int end_region;    /* index of the region its tip lies in, or -1 (not a line or tube) */
    phantom_point tip; /* film pixels */
    box extent;        /* film pixels, clipped */
    uint8_t *mask;     /* [height, width] 0 or 1 where its metal is, owned; NULL unless asked for */
} phantom_device;

/* A finding as drawn: filled by hooks.add. */
typedef struct phantom_lesion {
    char name[48];
    int region;    /* index of the region it belongs to, or -1 */
    box extent;    /* film pixels: bounding box of the mask */
    uint8_t *mask; /* [height, width] 0 or 1, owned */
} phantom_lesion;

/* A bone's centre line on the film, so that findings can be put on it. */
#define PHANTOM_LINE_POINTS 48
typedef struct phantom_line {
    int point_count;                          /* 0: not built */
    phantom_point point[PHANTOM_LINE_POINTS]; /* from the spine (sternal end) on */
    double half_width;                        /* pixels */
} phantom_line;

/* Landmarks in film pixels; they may lie outside the film. */
typedef struct phantom_landmarks {
    phantom_point carina;
    phantom_point apex[2];          /* highest lung point */
    phantom_point costophrenic[2];  /* lateral corner of lung and dome */
    phantom_point cardiophrenic[2]; /* corner of heart border and dome */
    phantom_point dome_top[2];
    phantom_point hilum[2]; /* centre */
    phantom_point arch;     /* centre of the knob */
    phantom_point cavoatrial;
    phantom_point heart_centre;
    double hilum_upper[2], hilum_lower[2]; /* y of the poles */
    double midline_x;                      /* of the heart's level */
} phantom_landmarks;

/* The projected thorax. Maps are [height, width] f32, row by row, in mm along the ray, owned by the scene. */
typedef struct phantom_scene {
    int width, height;
    double pixels_per_mm; /* at the thorax's middle plane, magnification included */
    phantom_parameters parameters;

    float *soft;    /* soft tissue of body wall, neck, arms, breasts, abdomen and mediastinum, as if lungs were solid */
    float *air[2];  /* gas in each lung (path through lung times the share of gas), to be taken off `soft` */
    float *gas;     /* other gas: trachea, stomach, bowel, air around the body is simply absence of `soft` */
    float *heart;   /* heart and great vessels: part of `soft`; for reading only */
    float *vessels; /* lung vessels and interstitium, added to `soft` */
    float *bone;    /* mineral-equivalent cortical bone */
    float *metal;   /* steel-equivalent, devices */

    /* findings write here */
    float *extra; /* 0; mm of water-equivalent added (negative: taken away), limited so that no total falls below 0 */
    float *extra_bone;  /* 0; calcification: mm of cortical bone */
    float *vessel_keep; /* 1; factor on `vessels` (0 inside a pneumothorax) */
    float *hidden;      /* 0 .. 1; how far lung is hidden here (fluid, dense consolidation): at 0.5 and above the pixel
                           no longer counts as visible lung for the lungs' boxes' lower edge */

    uint8_t *lung_mask[2]; /* 0 or 1, inside the collimated field: the whole lung field, behind the heart to the spine's
                              edge included */
    uint8_t *heart_mask;
    uint8_t *body_mask;  /* patient on this pixel */
    uint8_t *field_mask; /* inside the collimated field */

    phantom_landmarks landmarks;
    phantom_line rib[2][12];
    phantom_line clavicle[2];
    box boxes[PHANTOM_REGION_COUNT]; /* truth boxes, film pixels, clipped to the collimated field */
    bool present[PHANTOM_REGION_COUNT];

    int device_count;
    phantom_device devices[PHANTOM_MAX_DEVICES];
    int lesion_count;
    phantom_lesion lesions[PHANTOM_MAX_LESIONS];
} phantom_scene;

/* What findings do to a film. Both may be NULL. They must be deterministic in (parameters->seed, parameters->index). */
typedef struct phantom_hooks {
    void *context;
    carina_status (*alter)(void *context, phantom_parameters *parameters, carina_error *error);
    carina_status (*add)(void *context, phantom_scene *scene, carina_error *error);
} phantom_hooks;

/* For measuring what one device adds to a film: everything is drawn from the same numbers, but its metal goes here. */
typedef struct phantom_probe {
    int device;   /* index into scene.devices */
    float *metal; /* [height, width], 0 before; borrowed */
} phantom_probe;

typedef struct phantom_options {
    int width, height;          /* film pixels; 0: 512 */
    bool no_devices;            /* parameters drawn without devices */
    bool no_text;               /* no markers or text burnt in */
    bool no_collimation;        /* no borders */
    bool device_masks;          /* each device has a mask */
    const phantom_hooks *hooks; /* NULL: healthy anatomy in all its variation */
    const phantom_probe *probe; /* NULL: every device is on the film */
} phantom_options;

/* A finished film. All of it is owned by the result. */
typedef struct phantom_result {
    image film;
    phantom_scene
        scene; /* boxes, masks, lesions, devices, landmarks, parameters; the path-length maps are freed (NULL) */
} phantom_result;

/* Makes film `index` of the set `seed`. On failure *out is empty. options may be NULL. */
carina_status phantom_render(uint64_t seed, uint64_t index, const phantom_options *options, phantom_result *out,
                             carina_error *error);
void phantom_result_free(phantom_result *result); /* accepts NULL and an empty result */

/* For hooks.add: hands over a mask [height, width] (taken over in every case, freed on failure). Its extent is
 * computed; an empty mask is refused. */
carina_status phantom_scene_add_lesion(phantom_scene *scene, const char *name, int region, uint8_t *mask,
                                       carina_error *error);

#endif
