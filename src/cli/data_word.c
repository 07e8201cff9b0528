/* TYPE=PATH words; see data_word.h. */
#include "cli/data_word.h"

#include <string.h>

carina_status data_word_parse(dataset_config *out, char **type, const char *word, carina_error *error) {
    const char *equals = strchr(word, '=');
    *type = NULL;
    if (!equals || equals == word || !equals[1])
        return error_set(error, CARINA_ERROR_ARGUMENT, "\"%s\": expected TYPE=PATH, such as nih_boxes=FOLDER", word);
    *type = strndup(word, (size_t)(equals - word));
    if (!*type) return error_memory(error, word, strlen(word));
    *out = (dataset_config){.type = *type, .annotations = equals + 1};
    return CARINA_OK;
}
