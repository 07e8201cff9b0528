/* What `carina train CONFIG.yaml [key=value ...]` is told, as one structure; the keys, with defaults and ranges, are
 * the tables of train_config.c, model/apm_schema.c, alignment_settings.c, text_settings.c and language_settings.c. Each
 * task has its own: `task` chooses. The resolved configuration is written beside the run, into checkpoints and into the
 * model.
 */
#ifndef TRAIN_TRAIN_CONFIG_H
#define TRAIN_TRAIN_CONFIG_H

#include <stdio.h>

#include "data/dataset.h"
#include "model/apm.h"
#include "tensor/ops.h"
#include "train/alignment_settings.h"
#include "train/language_settings.h"
#include "train/loader.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/text_settings.h"

#define TRAIN_CONFIG_TRAIN_SETS 4

/* A data set's keys as read; "" where not given. */
typedef struct train_config_set {
    char *type, *annotations, *images, *split;
    int64_t limit;
    bool keep_avoided, own_split_only;
} train_config_set;

typedef enum train_config_task { TRAIN_CONFIG_LOCATE, TRAIN_CONFIG_TEXT, TRAIN_CONFIG_LANGUAGE } train_config_task;

typedef struct train_config {
    int task;              /* train_config_task; what follows is of both, unless it says otherwise */
    char *path;            /* the file that it was read from, for messages */
    char *name;            /* of the run: runs/NAME */
    char *runs;            /* folder of the runs */
    char *start;           /* locate: a file, language: a folder, whose weights begin the run; "": random. text: NULL */
    char *encoder_weights; /* locate (NULL otherwise): DINOv3 whose weights begin the image encoder; "": random */
    char *atlas;
    int64_t seed;
    apm_config model;             /* locate */
    alignment_settings alignment; /* locate */
    text_settings text_task;      /* text */
    language_settings language;   /* language */

    train_config_set train_sets[TRAIN_CONFIG_TRAIN_SETS], validation_set, monitor_set;
    bool cache;
    int cache_size, loader_threads;

    int batch_size, accumulate; /* accumulate: batches whose gradients are added for one step */
    int type;                   /* tensor_type of activations */
    double label_weight;
    box_loss_options box_loss;
    bool auxiliary;
    int uncertain, not_mentioned; /* targets of such labels: 0, 1, or 2 for "masked" */
    augment_options augment;

    int64_t steps, warmup_steps, step_every;
    int schedule_kind, optimizer_kind;
    double rate, final_fraction, step_factor, backbone_factor, weight_decay;
    double momentum, beta1, beta2, epsilon, clip_norm, ema_decay;

    int64_t validate_every, save_every, log_every; /* steps; 0: only at the end */
    double save_seconds;                           /* and at least this often */
    double minutes;                                /* of training over all sessions, then stop; 0: no limit */

    const atlas *regions; /* of `atlas` */
    atlas *own_regions;   /* the same when it came from a file */
    char *text;           /* the resolved configuration as YAML: every key that has an effect */
} train_config;

/* The keys of the training sets: "data.train", "data.train2", ... */
extern const char *const train_config_train_keys[TRAIN_CONFIG_TRAIN_SETS];

/* words: "key.path=value", in order. Unknown keys are errors that name the nearest known one; every error begins with
 * the file (or CONFIG_COMMAND_LINE) and the full key. */
carina_status train_config_read(train_config *out, const char *path, const char *const *words, int word_count,
                                carina_error *error);
void train_config_free(train_config *c);  /* accepts NULL and an empty one */
void train_config_describe(FILE *stream); /* all keys, one a line */

extern const config_schema train_config_schema; /* the keys of every task */

/* false for a key that changes no result: names, folders, threads, how often is saved; and for an unknown one. */
bool train_config_changes_results(const train_config *c, const char *key);

schedule train_config_schedule(const train_config *c);
optimizer_options train_config_optimizer(const train_config *c);
/* The data set that `set` stands for; borrows its texts. type NULL: none wanted. */
dataset_config train_config_dataset(const train_config_set *set);

#endif
