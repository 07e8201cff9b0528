/* carina data phantom: synthetic films with their truth, in the layouts of the real sets. Only options and words here;
 * the work is data/phantom/writer.c. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "data/phantom/writer.h"

#define TABLE_MAX_BYTES (UINT64_C(1) << 30) /* of the table of splits: 80 bytes a film */

typedef struct data_phantom_values {
    const char *out, *split, *size;
    int64_t count, seed, start, threads;
    bool dicom, masks, healthy, json;
} data_phantom_values;

static const data_phantom_values data_phantom_defaults = {
    .split = "train=0.9,valid=0.05,test=0.05", .size = "512", .count = 100, .seed = 1, .masks = true};

static const option data_phantom_options[] = {
    {"out", 'o', OPTION_FOLDER, "DIR", "folder to write to, made when missing (required)",
     offsetof(data_phantom_values, out), 0, 0},
    {"count", 'n', OPTION_INTEGER, "N", "how many films (default 100)", offsetof(data_phantom_values, count), 1,
     PHANTOM_WRITER_MAX_FILMS},
    {"seed", 's', OPTION_INTEGER, "S", "seed of the set (default 1)", offsetof(data_phantom_values, seed), 0, 1e15},
    {"start", 0, OPTION_INTEGER, "I", "index of the first film (default 0)", offsetof(data_phantom_values, start), 0,
     PHANTOM_WRITER_MAX_FILMS},
    {"size", 0, OPTION_TEXT, "SIDE|WxH", "film size in pixels (default 512)", offsetof(data_phantom_values, size), 0,
     0},
    {"split", 0, OPTION_TEXT, "PART=SHARE,...",
     "shares of patients, of what they add up to (default train=0.9,valid=0.05,test=0.05)",
     offsetof(data_phantom_values, split), 0, 0},
    {"dicom", 0, OPTION_FLAG, NULL, "write each film as DICOM too", offsetof(data_phantom_values, dicom), 0, 0},
    {"masks", 0, OPTION_FLAG, NULL, "write masks (default; --no-masks leaves them out)",
     offsetof(data_phantom_values, masks), 0, 0},
    {"healthy", 0, OPTION_FLAG, NULL, "films without findings", offsetof(data_phantom_values, healthy), 0, 0},
    OPTION_THREADS(data_phantom_values, threads),
    OPTION_JSON(data_phantom_values, json),
    {0},
};

/* "512" or "512x620"; false when it is neither. */
static bool parse_size(const char *text, int *width, int *height) {
    char *end;
    long w = strtol(text, &end, 10), h = w;
    if (end == text) return false;
    if (*end == 'x') {
        const char *second = end + 1;
        h = strtol(second, &end, 10);
        if (end == second) return false;
    }
    if (*end || w < PHANTOM_MIN_SIDE || h < PHANTOM_MIN_SIDE || w > PHANTOM_MAX_SIDE || h > PHANTOM_MAX_SIDE)
        return false;
    *width = (int)w;
    *height = (int)h;
    return true;
}

/* "train=0.9,test=0.1": parts that are not named get nothing. */
static bool parse_split(const char *text, double split[3]) {
    static const char *const names[3] = {"train=", "valid=", "test="};
    bool given[3] = {false, false, false};
    memset(split, 0, 3 * sizeof *split);
    while (*text) {
        int part = 0;
        while (part < 3 && strncmp(text, names[part], strlen(names[part])) != 0) part++;
        if (part == 3 || given[part]) return false;
        given[part] = true;
        char *end;
        text += strlen(names[part]);
        split[part] = strtod(text, &end);
        if (end == text || !(split[part] >= 0 && split[part] <= 1e6) || (*end && *end != ',')) return false;
        text = *end ? end + 1 : end;
    }
    return split[0] + split[1] + split[2] > 0;
}

static carina_status exists_in(bool *out, const char *folder, const char *name, carina_error *error) {
    char *path = path_join(folder, name);
    if (!path) return error_memory(error, name, strlen(folder));
    *out = file_exists(path);
    free(path);
    return CARINA_OK;
}

/* A phantom set says that it is one before it has anything else; the tables of a set of patients are not written over.
 */
static carina_status check_folder(const char *folder, carina_error *error) {
    static const char *const tables[] = {"README", "mimic-cxr-2.0.0-split.csv", "mimic-cxr-2.0.0-metadata.csv",
                                         "mimic-cxr-2.0.0-chexpert.csv", "silver_dataset/splits/train.csv"};
    bool there = false;
    TRY(file_check_folder(folder, error));
    TRY(exists_in(&there, folder, "phantom.json", error));
    for (size_t i = 0; !there && i < sizeof tables / sizeof *tables; i++) {
        bool foreign = false;
        TRY(exists_in(&foreign, folder, tables[i], error));
        if (foreign)
            return error_set(error, CARINA_ERROR_ARGUMENT,
                             "%s: holds %s, but no phantom.json: no set of this command; choose another folder", folder,
                             tables[i]);
    }
    return CARINA_OK;
}

/* The tables name the films of the last run alone: a smaller count would hide the others. (Sets of earlier versions do
 * not say in phantom.json how many films they have.) */
static carina_status check_count(const char *folder, int64_t count, carina_error *error) {
    char *path = path_join(folder, "mimic-cxr-2.0.0-split.csv");
    if (!path) return error_memory(error, folder, strlen(folder));
    uint8_t *text = NULL;
    uint64_t size = 0;
    carina_status status = file_exists(path) ? file_read(path, TABLE_MAX_BYTES, &text, &size, error) : CARINA_OK;
    free(path);
    int64_t there = -1; /* the first line names the columns */
    for (uint64_t i = 0; i < size; i++) there += text[i] == '\n';
    free(text);
    if (status == CARINA_OK && there > count)
        return error_set(
            error, CARINA_ERROR_ARGUMENT,
            "%s: holds %lld films, and --count %lld would leave the others out of its tables; give --count "
            "%lld or more, or choose another folder",
            folder, (long long)there, (long long)count, (long long)there);
    return status;
}

static carina_status make_set(const data_phantom_values *v, phantom_writer_options *o, phantom_writer_result *result,
                              carina_error *error) {
    TRY(check_folder(v->out, error));
    TRY(check_count(v->out, v->count, error));
    TRY(thread_pool_create(&o->pool, (int)v->threads, error));
    progress_catch_interrupts();
    o->progress = progress_start("phantoms", "films", 0, o->count);
    carina_status status = phantom_writer_run(o, result, error);
    progress_finish(o->progress);
    thread_pool_free(o->pool);
    return status;
}

static int run(const void *values, int count, char *const *arguments) {
    (void)count, (void)arguments;
    const data_phantom_values *v = values;
    phantom_writer_options o = {.folder = v->out,
                                .seed = (uint64_t)v->seed,
                                .start = (uint64_t)v->start,
                                .count = (uint64_t)v->count,
                                .dicom = v->dicom,
                                .masks = v->masks,
                                .healthy = v->healthy};
    if (!v->out) return command_usage("data phantom: --out DIR is missing: the folder to write to");
    if (!parse_size(v->size, &o.width, &o.height)) {
        return command_usage("data phantom: --size %s: give one side or WxH, each %d to %d pixels", v->size,
                             PHANTOM_MIN_SIDE, PHANTOM_MAX_SIDE);
    }
    if (!parse_split(v->split, o.split)) {
        return command_usage("data phantom: --split %s: give shares as train=0.9,valid=0.05,test=0.05", v->split);
    }
    phantom_writer_result result;
    carina_error error;
    double began = clock_seconds();
    if (make_set(v, &o, &result, &error) != CARINA_OK) return command_fail(&error);
    double seconds = clock_seconds() - began;
    unsigned long long made = result.rendered, found = result.found;
    if (v->json) {
        printf("{\"films\": %lld, \"rendered\": %llu, \"found\": %llu, \"seconds\": %.3f}\n", (long long)v->count, made,
               found, seconds);
    } else {
        printf("%lld synthetic films in %s (%llu made now in %.1f s, %llu already there)\n", (long long)v->count,
               v->out, made, seconds, found);
    }
    return COMMAND_OK;
}

const command command_data_phantom = {
    .name = "data phantom",
    .summary = "write synthetic chest films with all their truth",
    .arguments = "",
    .description =
        "Computes synthetic frontal chest films and writes them, with region boxes, masks, labels, reports and scene\n"
        "graphs, in the layouts of Chest ImaGenome and MIMIC-CXR-JPG: what trains on those sets trains on these.\n"
        "Film i depends on the seed, i and the size alone. An interrupted run goes on where it stopped when the same\n"
        "command is given again; a larger --count adds films, a smaller one is refused.\n",
    .examples =
        "carina data phantom --out runs/phantoms --count 20000 --seed 1 --size 512\n"
        "carina data phantom --out runs/test --count 500 --seed 77 --split test=1\n"
        "carina data phantom --out demo --count 4 --size 1024x1200 --dicom\n",
    .options = data_phantom_options,
    .defaults = &data_phantom_defaults,
    .values_size = sizeof(data_phantom_values),
    .least = 0,
    .most = 0,
    .run = run,
};
