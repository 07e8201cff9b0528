/* Data sets on the command line: words of the form TYPE=PATH, such as nih_boxes=FOLDER. */
#ifndef CLI_DATA_WORD_H
#define CLI_DATA_WORD_H

#include "data/dataset.h"

/* Fills type and annotations of *out, the rest is zero. *type is malloc'ed, annotations lie in the word. */
carina_status data_word_parse(dataset_config *out, char **type, const char *word, carina_error *error);

#endif
