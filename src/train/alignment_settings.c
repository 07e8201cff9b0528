/* The table of the alignment's keys; see alignment_settings.h. */
#include "train/alignment_settings.h"

static const char *const loss_names[] = {"soft", "clip", NULL};

#define FIELD(...) CONFIG_FIELD(alignment_settings, __VA_ARGS__)

static const config_field fields[] = {
    FIELD(text_encoder, "", CONFIG_ANY, "folder of a BERT, which stays as it is; empty: train without sentences"),
    FIELD(weight, "1", 1e-6, 1000, "of the contrastive loss beside box and label loss"),
    FIELD(tau, "0.01", 0.001, 10, "temperature of the cosines of regions and sentences"),
    FIELD(target_tau, "0.01", 0.001, 10, "soft: temperature of the cosines among sentences"),
    CONFIG_CHOICE(alignment_settings, loss, "soft", loss_names,
                  "target: how much sentences resemble each other, or the identity"),
    FIELD(projector_width, "512", 1, 65536, "hidden width of the projector"),
    FIELD(findings_weight, "0", 0, 1000, "of telling, in training only, each finding that a region's sentence names"),
    FIELD(patch_findings, "false", CONFIG_ANY, "and from the patches within the region's box"),
    FIELD(masks_weight, "0", 0, 1e6, "of telling, in training only, which findings each patch shows, by their masks"),
};
const config_schema alignment_settings_schema = {fields, sizeof fields / sizeof *fields};
