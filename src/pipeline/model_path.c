/* The search for models; see model_path.h. */
#include "pipeline/model_path.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/nearest.h"

#define SUFFIX     ".safetensors"
#define IN_FOLDER  "model" SUFFIX
#define MAX_MODELS 256

void model_folders_free(model_folders *folders) {
    for (int i = 0; i < folders->count; i++) free(folders->path[i]);
    folders->count = 0;
}

/* Two ways to one folder: "models" and the models folder beside the program, when that is where we stand. */
static bool same_folder(const char *a, const char *b) {
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* Takes text[0 .. length - 1] in unless it is empty or there already. Returns false when out of memory. */
static bool add_folder(model_folders *folders, const char *text, size_t length) {
    while (length > 1 && text[length - 1] == '/') length--;
    if (!length || folders->count == MODEL_PATH_MAX_FOLDERS) return true;
    char *copy = strndup(text, length);
    if (!copy) return false;
    for (int i = 0; i < folders->count; i++) {
        if (strcmp(folders->path[i], copy) != 0 && !same_folder(folders->path[i], copy)) continue;
        free(copy);
        return true;
    }
    folders->path[folders->count++] = copy;
    return true;
}

/* The folder this code was loaded from: of libcarina.so, or of the program that holds it. False: cannot tell. */
static bool own_folder(char out[PATH_MAX]) {
    static const char marker = 0;
    Dl_info info;
    char path[PATH_MAX];
    bool shared = dladdr(&marker, &info) && info.dli_fname && strstr(info.dli_fname, ".so");
    if (!realpath(shared ? info.dli_fname : "/proc/self/exe", path)) return false;
    char *slash = strrchr(path, '/');
    if (!slash) return false;
    *slash = 0;
    memcpy(out, path, strlen(path) + 1);
    return true;
}

/* Climbs from bin/, lib/ or lib/x86_64-linux-gnu/ to the share folder beside, and from build/ to the source tree. */
static bool add_own_folders(model_folders *folders) {
    char folder[PATH_MAX], candidate[PATH_MAX + 32];
    if (!own_folder(folder)) return true;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(folder, '/');
        if (!slash || slash == folder) break;
        *slash = 0;
        snprintf(candidate, sizeof candidate, "%s/share/carina/models", folder);
        if (file_is_folder(candidate) && !add_folder(folders, candidate, strlen(candidate))) return false;
        snprintf(candidate, sizeof candidate, "%s/models", folder);
        char marker[PATH_MAX + 32];
        snprintf(marker, sizeof marker, "%s/src/LAYERS", folder);
        if (file_exists(marker) && !add_folder(folders, candidate, strlen(candidate))) return false;
    }
    return true;
}

carina_status model_folders_list(model_folders *out, carina_error *error) {
    memset(out, 0, sizeof *out);
    bool fits = true;
    for (const char *at = getenv("CARINA_MODELS"); at && *at && fits;) {
        size_t length = strcspn(at, ":");
        fits = add_folder(out, at, length);
        at += length + (at[length] == ':');
    }
    fits = fits && add_folder(out, "models", strlen("models"));
    fits = fits && add_own_folders(out);
    fits = fits && add_folder(out, CARINA_MODELS_FOLDER, strlen(CARINA_MODELS_FOLDER));
    if (fits) return CARINA_OK;
    model_folders_free(out);
    return error_memory(error, "the list of model folders", PATH_MAX);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The model that entry `name` of a folder stands for: its name without suffix into model, its path into path. */
static bool entry_is_model(const char *folder, const char *name, char model[NAME_MAX + 1], char path[PATH_MAX]) {
    size_t length = strlen(name), suffix = strlen(SUFFIX);
    if (name[0] == '.' || length > NAME_MAX) return false;
    if (length > suffix && strcmp(name + length - suffix, SUFFIX) == 0) {
        snprintf(model, NAME_MAX + 1, "%.*s", (int)(length - suffix), name);
        return snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX && file_exists(path);
    }
    memcpy(model, name, length + 1);
    return snprintf(path, PATH_MAX, "%s/%s/" IN_FOLDER, folder, name) < PATH_MAX && file_exists(path);
}

static void visit_folder(const char *folder, model_path_visit *visit, void *context) {
    DIR *listing = opendir(folder);
    if (!listing) return; /* not there, or not ours to read: nothing to find in it */
    char *names[MAX_MODELS];
    int count = 0;
    for (struct dirent *entry; count < MAX_MODELS && (entry = readdir(listing));) {
        char model[NAME_MAX + 1], path[PATH_MAX];
        if (!entry_is_model(folder, entry->d_name, model, path)) continue;
        names[count] = strdup(entry->d_name);
        if (names[count]) count++;
    }
    closedir(listing);
    qsort(names, (size_t)count, sizeof names[0], compare_names);
    for (int i = 0; i < count; i++) {
        char model[NAME_MAX + 1], path[PATH_MAX];
        if (entry_is_model(folder, names[i], model, path)) visit(context, model, path);
        free(names[i]);
    }
}

carina_status model_path_each(model_path_visit *visit, void *context, carina_error *error) {
    model_folders folders;
    TRY(model_folders_list(&folders, error));
    for (int i = 0; i < folders.count; i++) visit_folder(folders.path[i], visit, context);
    model_folders_free(&folders);
    return CARINA_OK;
}

typedef struct name_list {
    char *names[MAX_MODELS];
    int count;
} name_list;

static void collect_name(void *context, const char *name, const char *path) {
    (void)path;
    name_list *list = context;
    if (list->count < MAX_MODELS && (list->names[list->count] = strdup(name))) list->count++;
}

static void list_searched(char out[256], const model_folders *folders) {
    size_t used = 0;
    *out = 0;
    for (int i = 0; i < folders->count && used < 256; i++)
        used += (size_t)snprintf(out + used, 256 - used, "%s%s", i ? ", " : "", folders->path[i]);
}

static carina_status not_found(const char *name, const model_folders *folders, carina_error *error) {
    char searched[256];
    list_searched(searched, folders);
    name_list list = {.count = 0};
    carina_error ignored;
    model_path_each(collect_name, &list, &ignored);
    const char *near = nearest_word(name, (const char *const *)list.names, list.count);
    bool here = *name && file_exists(name); /* without a '/' it was not meant by its name alone */
    carina_status status =
        error_set(error, CARINA_ERROR_IO, "no model '%s'%s%s%s in %s; %s%s%s", name, near ? " (did you mean '" : "",
                  near ? near : "", near ? "'?)" : "", searched, here ? "to name the one here write ./" : "name a file",
                  here ? name : "", here ? "" : ", or set CARINA_MODELS to the folder that has it");
    while (list.count > 0) free(list.names[--list.count]);
    return status;
}

/* A path is taken as it is; a folder stands for the model in it. */
static carina_status from_path(char **out, const char *path, carina_error *error) {
    *out = file_is_folder(path) ? path_join(path, IN_FOLDER) : strdup(path);
    return *out ? CARINA_OK : error_memory(error, "the path of a model", strlen(path));
}

carina_status model_path_find(char **out, const char *name, carina_error *error) {
    *out = NULL;
    if (!name) name = MODEL_PATH_DEFAULT;
    size_t length = strlen(name), suffix = strlen(SUFFIX);
    if (strchr(name, '/') || (length > suffix && strcmp(name + length - suffix, SUFFIX) == 0))
        return from_path(out, name, error);
    model_folders folders;
    TRY(model_folders_list(&folders, error));
    for (int i = 0; i < folders.count && !*out; i++) {
        char path[PATH_MAX];
        bool found = snprintf(path, sizeof path, "%s/%s" SUFFIX, folders.path[i], name) < PATH_MAX && file_exists(path);
        found = found || (snprintf(path, sizeof path, "%s/%s/" IN_FOLDER, folders.path[i], name) < PATH_MAX &&
                          file_exists(path));
        if (found) *out = strdup(path);
    }
    carina_status status = *out ? CARINA_OK : not_found(name, &folders, error);
    model_folders_free(&folders);
    return status;
}

carina_status model_path_find_encoder(char **out, const char *name, carina_error *error) {
    *out = NULL;
    if (strchr(name, '/') || file_is_folder(name)) {
        *out = strdup(name);
        return *out ? CARINA_OK : error_memory(error, "the path of a text encoder", strlen(name));
    }
    model_folders folders;
    char searched[256];
    TRY(model_folders_list(&folders, error));
    for (int i = 0; i < folders.count && !*out; i++) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s/%s/vocab.txt", folders.path[i], name) < PATH_MAX && file_exists(path))
            *out = path_join(folders.path[i], name);
    }
    list_searched(searched, &folders);
    model_folders_free(&folders);
    if (*out) return CARINA_OK;
    return error_set(
        error, CARINA_ERROR_IO,
        "no text encoder '%s' in %s; name a folder that has a vocab.txt, or set CARINA_MODELS to the folder "
        "that it is in",
        name, searched);
}
