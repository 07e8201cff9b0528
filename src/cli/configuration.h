/* The arguments of commands that take a training configuration: CONFIG.yaml [KEY=VALUE...]. */
#ifndef CLI_CONFIGURATION_H
#define CLI_CONFIGURATION_H

#include "train/train_config.h"

/* COMMAND_OK; else what is wrong has been said: COMMAND_USAGE where the key that is named was set by a word,
 * COMMAND_FAILED where by the file. On success free with train_config_free. */
int configuration_read(train_config *out, const char *name, int count, char *const *arguments);

#endif
