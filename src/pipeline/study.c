/* Opening one film and listing many; see study.h. */
#include "pipeline/study.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/file.h"

#define MAX_DEPTH  64
#define MAX_NOTES  1000
#define HEAD_BYTES 65536 /* of a file, to tell what it is */

carina_status study_open(study *out, const char *path, const film_options *options, carina_error *error) {
    *out = (study){0};
    TRY(film_load(&out->film, path, options, error));
    out->path = strdup(path);
    if (!out->path) {
        study_close(out);
        return error_memory(error, path, strlen(path) + 1);
    }
    out->transform =
        letterbox_make(out->film.file_width, out->film.file_height, out->film.picture.width, out->film.picture.height);
    return CARINA_OK;
}

carina_status study_check_size(const study *s, carina_error *error) {
    const image *picture = &s->film.picture;
    if (picture->width >= STUDY_MIN_SIDE && picture->height >= STUDY_MIN_SIDE) return CARINA_OK;
    return error_set(error, CARINA_ERROR_LIMIT,
                     "%s%s%d x %d pixels: too few to find anything in; a film has at least %d on its shorter side",
                     s->path ? s->path : "", s->path ? ": " : "", picture->width, picture->height, STUDY_MIN_SIDE);
}

void study_close(study *s) {
    if (!s) return;
    film_free(&s->film);
    free(s->path);
    *s = (study){0};
}

/* ---- listing ---- */

static carina_status append(char ***texts, int *count, int *capacity, char *text, carina_error *error) {
    if (text && *count == *capacity) {
        int wanted = *capacity ? 2 * *capacity : 16;
        char **larger = realloc(*texts, (size_t)wanted * sizeof *larger);
        if (larger) {
            *texts = larger;
            *capacity = wanted;
        }
    }
    if (!text || *count == *capacity) {
        free(text);
        return error_memory(error, "list of films", (unsigned long long)*count * sizeof(char *));
    }
    (*texts)[(*count)++] = text;
    return CARINA_OK;
}

/* Takes the path over. */
static carina_status add_path(study_list *list, char *path, carina_error *error) {
    if (list->count >= STUDY_MAX_FILMS) {
        free(path);
        return error_set(error, CARINA_ERROR_LIMIT, "more than %d films", STUDY_MAX_FILMS);
    }
    return append(&list->path, &list->count, &list->path_capacity, path, error);
}

/* A note that finds no memory is lost, and no more than MAX_NOTES are kept: notes are for reading. */
static void add_note(study_list *list, const char *path, const char *reason) {
    if (list->note_count >= MAX_NOTES) return;
    char *text = NULL;
    if (asprintf(&text, "%s: skipped, %s", path, reason) < 0) return;
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    carina_error ignored;
    append(&list->note, &list->note_count, &list->note_capacity, text, &ignored);
}

/* DICOM objects that hold no film, by SOP class (PS3.4 B.5): told from the file header, without reading the file. */
static const char *why_no_film(const uint8_t *data, uint64_t size) {
    if (size == 0) return "empty";
    film_kind kind = film_recognise(data, size);
    if (kind == FILM_UNKNOWN) return "neither a DICOM nor a PNG nor a JPEG file";
    if (kind == FILM_DICOM_DIRECTORY) return "a DICOMDIR (the films beside it are listed themselves)";
    static const struct {
        const char *class_prefix, *reason;
    } others[] = {
        {"1.2.840.10008.5.1.4.1.1.88.", "a DICOM report, not an image"},
        {"1.2.840.10008.5.1.4.1.1.11.", "a DICOM presentation state, not an image"},
        {"1.2.840.10008.5.1.4.1.1.104.", "a DICOM document, not an image"},
        {"1.2.840.10008.5.1.4.1.1.9.", "a DICOM waveform, not an image"},
        {"1.2.840.10008.5.1.4.1.1.66", "DICOM raw data or a segmentation, not an image"},
        {"1.2.840.10008.5.1.4.1.1.481.", "a DICOM radiotherapy object, not a film"},
    };
    char class_uid[DICOM_CODE];
    if (kind == FILM_DICOM && dicom_media_class(class_uid, data, size))
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            if (strncmp(class_uid, others[i].class_prefix, strlen(others[i].class_prefix)) == 0)
                return others[i].reason;
    return NULL;
}

/* Whoever calls a file so says that it is a film. */
static bool named_as_film(const char *path) {
    static const char *const endings[] = {".dcm", ".dicom", ".png", ".jpg", ".jpeg"};
    const char *dot = strrchr(path_name(path), '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0) return true;
    return false;
}

/* Takes the path over. Its first bytes tell what it is. What cannot be read may be a film, and what is named as one but
 * holds something else is a film that went wrong: both are listed, and opening them says what is the matter. */
static carina_status list_file(study_list *list, char *path, carina_error *error) {
    uint8_t *start;
    uint64_t size;
    if (file_read_start(path, HEAD_BYTES, &start, &size, NULL) != CARINA_OK) return add_path(list, path, error);
    const char *why = why_no_film(start, size);
    bool damaged = why && film_recognise(start, size) == FILM_UNKNOWN && named_as_film(path);
    free(start);
    if (!why || damaged) return add_path(list, path, error);
    add_note(list, path, why);
    free(path);
    return CARINA_OK;
}

static carina_status list_folder(study_list *list, const char *folder, int depth, carina_error *error);

static carina_status list_entry(study_list *list, char *path, int depth, carina_error *error) {
    struct stat info, target;
    carina_status status = CARINA_OK;
    bool link = lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
    if (stat(path, &target) != 0) {
        return add_path(list, path, error); /* opening it will say why */
    } else if (S_ISDIR(target.st_mode) && link) {
        add_note(list, path, "a link to a folder");
    } else if (S_ISDIR(target.st_mode)) {
        status = list_folder(list, path, depth + 1, error);
    } else if (S_ISREG(target.st_mode)) {
        return list_file(list, path, error);
    } else {
        add_note(list, path, "not a regular file");
    }
    free(path);
    return status;
}

static carina_status list_folder(study_list *list, const char *folder, int depth, carina_error *error) {
    DIR *stream = depth > MAX_DEPTH ? NULL : opendir(folder);
    if (!stream) {
        if (depth == 0) return error_errno(error, "%s: cannot open folder", folder);
        add_note(list, folder, depth > MAX_DEPTH ? "folders too deep" : strerror(errno));
        list->unread_count++;
        return CARINA_OK;
    }
    carina_status status = CARINA_OK;
    for (struct dirent *entry; status == CARINA_OK && (entry = readdir(stream));) {
        if (entry->d_name[0] == '.') continue;
        char *path = path_join(folder, entry->d_name);
        status = path ? list_entry(list, path, depth, error) : error_memory(error, folder, 0);
    }
    closedir(stream);
    return status;
}

static int compare_texts(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Media are often copied in lower case, or mounted with a version at each name's end: try what the record says first.
 */
static char *find_record_file(const char *folder, const char *record) {
    char *path = path_join(folder, record);
    if (!path || file_exists(path)) return path;
    size_t start = strlen(path) - strlen(record);
    for (char *c = path + start; *c; c++) *c = (char)tolower((unsigned char)*c);
    if (file_exists(path)) return path;
    free(path);
    return path_join(folder, record);
}

static carina_status list_directory_file(study_list *list, const char *path, const uint8_t *data, uint64_t size,
                                         carina_error *error) {
    char **records;
    int count, before = list->count;
    carina_status status = dicom_directory_load(&records, &count, data, size, error);
    if (status != CARINA_OK) {
        error_prefix(error, "%s", path);
        return status;
    }
    char *folder = strdup(path);
    if (folder) {
        char *slash = strrchr(folder, '/');
        strcpy(slash ? slash + (slash == folder) : folder, slash ? "" : ".");
    }
    for (int i = 0; folder && status == CARINA_OK && i < count; i++) {
        char *file = find_record_file(folder, records[i]);
        if (file && !file_exists(file)) {
            add_note(list, file, "named in the DICOMDIR but not there");
            list->unread_count++;
            free(file);
        } else {
            status = file ? add_path(list, file, error) : error_memory(error, path, 0);
        }
    }
    if (!folder) status = error_memory(error, path, 0);
    free(folder);
    dicom_directory_free(records, count);
    if (status == CARINA_OK && list->count == before)
        status = error_set(error, CARINA_ERROR_FORMAT, "%s: the DICOMDIR names no film that is there", path);
    return status;
}

carina_status study_list_add(study_list *list, const char *path, carina_error *error) {
    if (file_is_folder(path)) {
        int before = list->count, notes_before = list->note_count;
        TRY(list_folder(list, path, 0, error));
        if (list->note_count > notes_before)
            qsort(list->note + notes_before, (size_t)(list->note_count - notes_before), sizeof *list->note,
                  compare_texts);
        if (list->count == before) return error_set(error, CARINA_ERROR_FORMAT, "%s: no film in this folder", path);
        qsort(list->path + before, (size_t)(list->count - before), sizeof *list->path, compare_texts);
        return CARINA_OK;
    }
    uint8_t *bytes;
    uint64_t size;
    TRY(file_read_start(path, HEAD_BYTES, &bytes, &size, error));
    bool is_directory = film_recognise(bytes, size) == FILM_DICOM_DIRECTORY;
    free(bytes);
    if (!is_directory) return add_path(list, strdup(path), error);
    TRY(file_read(path, DICOM_MAX_FILE_BYTES, &bytes, &size, error));
    carina_status status = list_directory_file(list, path, bytes, size, error);
    free(bytes);
    return status;
}

void study_list_free(study_list *list) {
    for (int i = 0; i < list->count; i++) free(list->path[i]);
    for (int i = 0; i < list->note_count; i++) free(list->note[i]);
    free(list->path);
    free(list->note);
    *list = (study_list){0};
}
