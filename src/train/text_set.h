/* The data sets of a training configuration that have texts: chest_imagenome, with scene graphs and reports. */
#ifndef TRAIN_TEXT_SET_H
#define TRAIN_TEXT_SET_H

#include "train/train_config.h"

/* What stands under `key` ("data.train2"); *out NULL: no set is wanted there. *folder, borrowed from keys: where the
 * reports are. Errors name file and key. */
carina_status text_set_open(dataset **out, const char **folder, const train_config *config,
                            const train_config_set *keys, const char *key, carina_error *error);

#endif
