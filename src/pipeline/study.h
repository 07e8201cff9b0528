/* The first stage: from what a user names (files, folders, DICOMDIRs) to films, and from a film to its pixels.
 *
 *     study_list_add  -> paths of films, with notes on what was left out
 *     study_open      -> one film as a radiologist sees it, with the map from the network's square to the file's pixels
 */
#ifndef PIPELINE_STUDY_H
#define PIPELINE_STUDY_H

#include "image/film.h"
#include "image/letterbox.h"

typedef struct study {
    char *path; /* as given, owned */
    film film;  /* owned */
    letterbox_transform transform;
} study;

/* options may be NULL. On error *out is empty; the message is one line that begins with the path. */
carina_status study_open(study *out, const char *path, const film_options *options, carina_error *error);
void study_close(study *s); /* accepts NULL and an empty study */

/* Fewer pixels (square ones) on a side than this are an icon, not a film: boxes would be guesses. LIMIT, with the path.
 */
#define STUDY_MIN_SIDE 64
carina_status study_check_size(const study *s, carina_error *error);

#define STUDY_MAX_FILMS 1000000

typedef struct study_list {
    char **path; /* owned, in order: as added, and sorted within one folder */
    int count;
    char **note; /* owned: one line for each file or folder left out, with the reason */
    int note_count;
    int unread_count; /* of the notes: folders that could not be read, films of a DICOMDIR that are not there */
    int path_capacity, note_capacity;
} study_list;

/* A file is added as it is, whatever it holds (study_open will say); a DICOMDIR adds the files of its image records, in
 * its order; a folder adds, sorted by path, what looks like a film in it and in the folders below, by content or by the
 * end of its name, and what cannot be read: study_open will say why. Links to folders are not followed, names that
 * begin with '.' are passed over. *list starts as {0}; on error it keeps what it had.
 * IO for what cannot be read, FORMAT for a folder or DICOMDIR without any film. */
carina_status study_list_add(study_list *list, const char *path, carina_error *error);
void study_list_free(study_list *list);

#endif
