/* Keys of a configuration that do nothing beside another one: what a ResNet is like beside `model.encoder: vit`, how
 * strongly sentences count where there are none. To set one is a mistake that no run would show, so it is refused; and
 * the resolved configuration leaves them out, so that it can be read again.
 */
#ifndef TRAIN_IDLE_KEYS_H
#define TRAIN_IDLE_KEYS_H

#include "train/train_config.h"

/* Whether the key has no effect with this configuration's values. */
bool idle_keys_has(const train_config *c, const char *key);

/* Refuses such a key where the file or a word sets it to what is not its default. A file may set what a word then makes
 * idle: the word is the later wish. The error names place, key and what makes it idle. */
carina_status idle_keys_check(const train_config *c, const char *path, const char *const *words, int word_count,
                              carina_error *error);

#endif
