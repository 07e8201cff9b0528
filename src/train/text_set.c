/* Opening sets that have texts; see text_set.h. */
#include "train/text_set.h"

#include <string.h>

carina_status text_set_open(dataset **out, const char **folder, const train_config *config,
                            const train_config_set *keys, const char *key, carina_error *error) {
    dataset_config wanted = train_config_dataset(keys);
    *out = NULL;
    if (!wanted.type) return CARINA_OK;
    if (strcmp(wanted.type, "chest_imagenome") != 0)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: %s.type: %s has no sentences; chest_imagenome has",
                         config->path, key, wanted.type);
    *folder = wanted.images ? wanted.images : wanted.annotations;
    wanted.sentences = true;
    carina_status status = dataset_open(out, &wanted, config->regions, error);
    return status == CARINA_OK ? CARINA_OK : error_prefix(error, "%s: %s", config->path, key);
}
