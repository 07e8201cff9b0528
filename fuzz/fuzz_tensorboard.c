/* The scan of an event file that is to be continued, over any bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "format/tensorboard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t all = tensorboard_kept_size(data, size, UINT64_MAX);
    if (all > size || tensorboard_kept_size(data, size, 3) > all) abort();
    return 0;
}
