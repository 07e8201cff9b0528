/* What can be wrong in a phantom: the catalogue of findings, and drawing a film's own list of them. (Lines, tubes and
 * other devices are drawn by the phantom itself; finding_truth.c reads them off the scene.)
 *
 * The names are Chest ImaGenome's attribute words (formats: `category|yes|name`), so that a phantom's scene graph reads
 * like a real one. How often a finding occurs, where and how large, follows ChestX-Det (finding_priors.c) where that
 * set has the class; the rest are set so that every one of the 14 CheXpert labels and the 20 fine-grained classes
 * occur.
 *
 * The way of a finding: finding_draw -> list -> finding_apply.c changes the body and adds lesions to it -> rendering
 * gives each lesion's mask -> finding_truth.c says which regions carry it -> report.c words it.
 */
#ifndef DATA_PHANTOM_FINDING_H
#define DATA_PHANTOM_FINDING_H

#include <stdbool.h>

#include "base/random.h"

typedef enum finding_kind {
    FINDING_OPACITY,
    FINDING_CONSOLIDATION,
    FINDING_PNEUMONIA,
    FINDING_EDEMA,
    FINDING_VASCULAR_CONGESTION,
    FINDING_NODULE,
    FINDING_CALCIFIED_NODULE,
    FINDING_MASS,
    FINDING_ATELECTASIS,
    FINDING_LOBAR_COLLAPSE,
    FINDING_EFFUSION,
    FINDING_PNEUMOTHORAX,
    FINDING_SCARRING,
    FINDING_PLEURAL_THICKENING,
    FINDING_LOW_VOLUMES,
    FINDING_HYPERAERATION,
    FINDING_ELEVATED_HEMIDIAPHRAGM,
    FINDING_HERNIA,
    FINDING_ENLARGED_HEART,
    FINDING_MEDIASTINAL_WIDENING,
    FINDING_ENLARGED_HILUM,
    FINDING_TORTUOUS_AORTA,
    FINDING_RIB_FRACTURE,
    FINDING_CLAVICLE_FRACTURE,
    FINDING_SCOLIOSIS,
    FINDING_SPINAL_DEGENERATION,
    FINDING_KIND_COUNT
} finding_kind;

typedef enum finding_side { FINDING_RIGHT, FINDING_LEFT, FINDING_BOTH, FINDING_MIDLINE } finding_side;

/* What a finding is in the body, which decides how it is shown and where it is told. */
typedef enum finding_form {
    FINDING_FORM_LESION,  /* something with a place and an outline in one lung or pleura */
    FINDING_FORM_DIFFUSE, /* both lungs */
    FINDING_FORM_SHAPE,   /* an organ's own size, place or course */
    FINDING_FORM_BONE     /* a break or wear of a bone */
} finding_form;

typedef struct finding_entry {
    const char *name;       /* one word for file names and tests: "lobar_collapse" */
    const char *category;   /* "anatomicalfinding", "disease", "technicalassessment" */
    const char *attribute;  /* Chest ImaGenome name: "lobar/segmental collapse" */
    const char *implied[3]; /* names of the anatomical findings it is a kind of or comes with; NULL ends */
    int label;              /* index of the CheXpert class it makes positive, or -1 */
    int fine_class;         /* index into finding_fine_class_names, or -1 */
    finding_form form;
    int prior;        /* row of finding_priors, or -1 */
    double frequency; /* share of all films that show it (before one finding brings another) */
} finding_entry;

extern const finding_entry finding_table[FINDING_KIND_COUNT];

#define FINDING_FINE_CLASS_COUNT 20
extern const char *const finding_fine_class_names[FINDING_FINE_CLASS_COUNT];

/* ChestX-Det's statistics of one class, coordinates in its 1024 frame. */
typedef struct finding_prior {
    const char *name;
    double boxes_per_image;
    double centre_x[3], centre_y[3], width[3], height[3]; /* 10th, 50th, 90th percentile */
    double left_image_half;                               /* share of boxes left of the middle: the patient's right */
} finding_prior;

#define FINDING_PRIOR_COUNT 13
extern const finding_prior finding_priors[FINDING_PRIOR_COUNT];

typedef struct finding {
    finding_kind kind;
    finding_side side;
    double u, v;          /* a lesion's centre in its lung: u 0 medial .. 1 lateral, v 0 apex .. 1 base */
    double width, height; /* of a lesion on the film, in widths of an average film (1024 frame / 1024) */
    double severity;      /* 0 barely visible .. 1 extreme */
    bool uncertain;       /* the report hedges ("may represent") */
    bool told;            /* the report mentions it; a few findings are missed, as in life */
} finding;

#define FINDING_MAX 24
typedef struct finding_list {
    int count;
    finding items[FINDING_MAX];
} finding_list;

typedef struct finding_patient {
    int age;  /* years */
    char sex; /* 'M', 'F' */
    bool ap;  /* a bedside film: sicker */
} finding_patient;

#define FINDING_NORMAL_SHARE 0.37 /* of films show nothing but perhaps devices */

/* Draws one film's findings. Equal state and patient give an equal list. */
void finding_draw(finding_list *out, const finding_patient *patient, random_state *random);

bool finding_has(const finding_list *list, finding_kind kind);

/* The value at `probability` of the distribution with these three percentiles, drawn out linearly on both ends but
 * never below half of the lowest. */
double finding_quantile(const double percentile[3], double probability);

#endif
