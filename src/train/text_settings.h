/* The keys of a training configuration that only the text task has (task: text); see text_task.h for what they do. */
#ifndef TRAIN_TEXT_SETTINGS_H
#define TRAIN_TEXT_SETTINGS_H

#include "format/config.h"
#include "model/bert.h"

typedef struct text_settings {
    int width, heads, layers, ffn_width, positions;
    double dropout;
    int vocabulary_size, min_frequency;
    bool reports;       /* read the reports of the sets' films too */
    config_texts texts; /* plain files, one sentence a line */
    double mask_share, single_share;
    int64_t similarity_from;
    int pairs, pair_tokens;
    int masked_rows; /* rows of masked words beside the pairs; 0: training.batch_size */
    double opposed, tau, target_tau, masked_weight, region_weight;
    int output_type; /* 0 f32, 1 bf16 */
} text_settings;

extern const config_schema text_settings_schema;

/* All but the vocabulary's size, which the corpus decides. */
bert_config text_settings_model(const text_settings *s);

#endif
