/* The keys "alignment." of the locate task: learning to say what a region shows, by sentences (train/alignment.h). */
#ifndef TRAIN_ALIGNMENT_SETTINGS_H
#define TRAIN_ALIGNMENT_SETTINGS_H

#include "format/config.h"

typedef enum alignment_loss { ALIGNMENT_SOFT, ALIGNMENT_CLIP } alignment_loss;

typedef struct alignment_settings {
    char *text_encoder; /* a Hugging Face BERT's folder; "": no alignment, the other keys count for nothing */
    double weight, tau, target_tau;
    int loss; /* alignment_loss */
    int projector_width;
    double findings_weight; /* of a classifier of findings beside the alignment (train/finding_head.h); 0: none */
    bool patch_findings;    /* which also tells them from the patches in a region's box */
    double masks_weight;    /* and of telling which findings each patch shows, by the data set's masks; 0: not told */
} alignment_settings;

extern const config_schema alignment_settings_schema;

#endif
