/* DICOM reader and DICOMDIR reader: any bytes give a film, a list, or an error; then the grey levels of what came. */
#include <stddef.h>

#include "image/film.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!dicom_recognise(data, size)) return 0;
    carina_error error;
    film f;
    film_options options = {.frame = size % 3 == 0 ? 2 : 0};
    if (film_load_memory(&f, data, size, &options, &error) == CARINA_OK) {
        size_t count = (size_t)f.picture.width * (size_t)f.picture.height;
        for (size_t i = 0; i < count; i++)
            if (!(f.picture.value[i] >= 0 && f.picture.value[i] <= 1)) __builtin_trap();
    }
    film_free(&f);
    char **paths;
    int count;
    if (dicom_directory_load(&paths, &count, data, size, &error) == CARINA_OK) dicom_directory_free(paths, count);
    return 0;
}
