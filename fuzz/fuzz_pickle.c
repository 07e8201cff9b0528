/* Pickle reader over any bytes. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "format/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool accept_most(const char *global) { return strncmp(global, "os.", 3) != 0; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    pickle_tree tree;
    carina_error error;
    if (pickle_parse(&tree, "fuzz", data, size, accept_most, &error) == CARINA_OK) pickle_free(&tree);
    return 0;
}
