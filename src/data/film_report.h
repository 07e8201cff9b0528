/* The report of a film as MIMIC-CXR keeps it, FOLDER/files/pXX/pPATIENT/sSTUDY.txt; phantoms' too. */
#ifndef DATA_FILM_REPORT_H
#define DATA_FILM_REPORT_H

#include "data/scene_graph.h"

/* *out is malloc'ed, *size bytes and a NUL; NULL, and no error, for a film without one. At most REPORT_MAX_BYTES. */
carina_status film_report_read(char **out, uint64_t *size, const char *folder, const scene_graph *scene,
                               carina_error *error);

/* Lines joined to paragraphs, in place: white space becomes one blank, empty lines one line break. Returns the new
 * length; a NUL follows. */
uint64_t film_report_tidy(char *text, uint64_t size);

#endif
