/* JPEG 2000 reader: any bytes give samples within their precision or an error. */
#include <stddef.h>
#include <stdlib.h>

#include "format/jpeg2000.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    jpeg2000_samples samples;
    carina_error error;
    if (jpeg2000_decode(&samples, data, size, 0, 0, &error) == CARINA_OK &&
        (samples.bits < 1 || samples.bits > 16 || !samples.sample))
        __builtin_trap();
    free(samples.sample);
    return 0;
}
