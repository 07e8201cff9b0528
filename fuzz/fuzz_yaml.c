/* YAML reader over any bytes. */
#include <stddef.h>
#include <stdint.h>

#include "format/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    yaml_tree *tree;
    carina_error error;
    if (yaml_parse(&tree, "fuzz", data, size, &error) == CARINA_OK) yaml_free(tree);
    return 0;
}
