/* Reading a film's pixels for a data set: PNG or JPEG, one channel, grey levels of the file scaled to [0, 1]. */
#ifndef DATA_FILM_FILE_H
#define DATA_FILM_FILE_H

#include "image/image.h"

/* The format is told by content, not by name. Colour becomes luminance. */
carina_status film_file_read(image *out, const char *path, carina_error *error);

#endif
