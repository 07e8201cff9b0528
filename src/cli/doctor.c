/* `carina doctor`: what this machine can do, what was found, and what is missing. */
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/build.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/memory_speed.h"
#include "base/threads.h"
#include "cli/command.h"
#include "format/json_writer.h"
#include "model/model_file.h"
#include "pipeline/model_path.h"

typedef struct doctor_values {
    bool json;
} doctor_values;

static const option doctor_options[] = {OPTION_JSON(doctor_values, json), {0}};
static const doctor_values doctor_defaults = {false};

#define MAX_MODELS   64
#define MAX_PROBLEMS 16

typedef struct found_model {
    char *name, *path;
} found_model;

typedef struct findings {
    cpu_features cpu;
    const char *cap;                       /* CARINA_MAX_ISA, NULL when not set */
    double memory_total, memory_available; /* bytes, 0 unknown */
    double disk_free;                      /* bytes in the current folder */
    char font[256];                        /* "" none */
    model_folders folders;
    found_model models[MAX_MODELS];
    int model_count;
    bool default_model;
    char problems[MAX_PROBLEMS][512];
    int problem_count;
} findings;

static void add_problem(findings *f, const char *text) {
    if (f->problem_count < MAX_PROBLEMS) snprintf(f->problems[f->problem_count++], sizeof f->problems[0], "%s", text);
}

/* A container's limit is smaller than the machine's memory. */
static double read_memory_limit(void) {
    FILE *file = fopen("/sys/fs/cgroup/memory.max", "r");
    if (!file) return 0;
    char line[64] = "";
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    return read ? strtod(line, NULL) : 0; /* "max" reads as 0 */
}

static void find_font(findings *f) {
    static const char *const files[] = {
        "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
        "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
        "/usr/share/fonts/TTF/DejaVuSans.ttf",
        "/usr/local/share/fonts/DejaVuSans.ttf",
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0] && !f->font[0]; i++) {
        if (file_exists(files[i])) snprintf(f->font, sizeof f->font, "%s", files[i]);
    }
    if (!f->font[0]) add_problem(f, "no DejaVu font: names in pictures get another font; install fonts-dejavu-core");
}

/* A name that several folders have is one model: the one that --model NAME takes. */
static void take_model(void *context, const char *name, const char *path) {
    findings *f = context;
    if (f->model_count == MAX_MODELS) return;
    for (int i = 0; i < f->model_count; i++)
        if (strcmp(f->models[i].name, name) == 0) return;
    found_model *m = &f->models[f->model_count];
    m->name = strdup(name);
    if (model_path_find(&m->path, name, NULL) != CARINA_OK) m->path = strdup(path);
    if (m->name && m->path) f->model_count++;
    if (strcmp(name, MODEL_PATH_DEFAULT) == 0) f->default_model = true;
}

static void check_default_model(findings *f) {
    char *path;
    model_file model;
    carina_error error;
    if (model_path_find(&path, MODEL_PATH_DEFAULT, NULL) != CARINA_OK) return;
    if (model_file_load(&model, path, &error) == CARINA_OK)
        model_file_free(&model);
    else
        add_problem(f, error.message);
    free(path);
}

static carina_status examine(findings *f, carina_error *error) {
    memset(f, 0, sizeof *f);
    f->cpu = cpu_detect();
    f->cap = getenv("CARINA_MAX_ISA");
    f->memory_total = (double)memory_total();
    f->memory_available = (double)memory_available();
    double limit = read_memory_limit();
    if (limit > 0 && limit < f->memory_total) f->memory_total = limit;
    if (f->memory_total > 0 && f->memory_total < 2e9)
        add_problem(f, "less than 2 GB of memory: models of full size will not fit");
    struct statvfs disk;
    if (statvfs(".", &disk) == 0) f->disk_free = (double)disk.f_bavail * (double)disk.f_frsize;
    if (cpu_level_of(&f->cpu) < CPU_AVX2)
        add_problem(f, "the processor lacks AVX2, FMA or F16C: everything works, at a fraction of the speed");
    if (f->cpu.amx_tile && !f->cpu.amx_allowed)
        add_problem(f, "the processor has AMX, but the operating system does not allow it (Linux 5.16 or newer does)");
    find_font(f);
    TRY(model_folders_list(&f->folders, error));
    TRY(model_path_each(take_model, f, error));
    if (!f->default_model)
        add_problem(
            f, "the default model " MODEL_PATH_DEFAULT " is in none of the folders: set CARINA_MODELS to where it is");
    else
        check_default_model(f);
    return CARINA_OK;
}

static void release(findings *f) {
    model_folders_free(&f->folders);
    for (int i = 0; i < f->model_count; i++) {
        free(f->models[i].name);
        free(f->models[i].path);
    }
}

/* The processor's features by name, for both kinds of output. */
typedef struct feature {
    const char *name;
    bool present;
} feature;

#define FEATURE_COUNT 16
static void list_features(const cpu_features *c, feature out[FEATURE_COUNT]) {
    const feature all[FEATURE_COUNT] = {
        {"sse2", c->sse2},
        {"sse4.1", c->sse4_1},
        {"avx", c->avx},
        {"avx2", c->avx2},
        {"fma", c->fma},
        {"f16c", c->f16c},
        {"avx512f", c->avx512f},
        {"avx512bw", c->avx512bw},
        {"avx512dq", c->avx512dq},
        {"avx512vl", c->avx512vl},
        {"avx512_vnni", c->avx512_vnni},
        {"avx512_bf16", c->avx512_bf16},
        {"avx512_fp16", c->avx512_fp16},
        {"amx_tile", c->amx_tile},
        {"amx_int8", c->amx_int8},
        {"amx_bf16", c->amx_bf16},
    };
    memcpy(out, all, sizeof all);
}

typedef struct loaded_library {
    const char *pattern;
    char path[256];
} loaded_library;

static int match_library(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    loaded_library *wanted = context;
    if (!info->dlpi_name || !strstr(path_name(info->dlpi_name), wanted->pattern)) return 0;
    snprintf(wanted->path, sizeof wanted->path, "%s", info->dlpi_name);
    return 1;
}

/* The file that was loaded for a library ("libdnnl.so.2"), or "". */
static void find_loaded(const char *library, char out[256]) {
    static const char *const patterns[][2] = {
        {"oneDNN", "libdnnl."},
        {"DCMTK", "libdcmdata."},
        {"OpenJPEG", "libopenjp2."},
        {"libpng", "libpng"},
        {"libturbojpeg", "libturbojpeg."},
        {"jansson", "libjansson."},
        {"libyaml", "libyaml-"},
        {"cairo", "libcairo."},
        {"zlib", "libz."},
        {"SQLite", "libsqlite3."},
    };
    loaded_library wanted = {NULL, ""};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        if (strcmp(patterns[i][0], library) == 0) wanted.pattern = patterns[i][1];
    }
    if (wanted.pattern) dl_iterate_phdr(match_library, &wanted);
    memcpy(out, wanted.path, sizeof wanted.path);
}

static void print_text(const findings *f) {
    feature features[FEATURE_COUNT];
    list_features(&f->cpu, features);
    printf("carina %s (commit %s, %s, %s)\n", build_version(), build_commit(), build_type(), build_compiler());
    printf("\nprocessor   %s\n            ", f->cpu.name[0] ? f->cpu.name : "unknown");
    for (int i = 0; i < FEATURE_COUNT; i++) {
        if (features[i].present) printf("%s ", features[i].name);
    }
    printf("\nkernels     %s", cpu_level_name(cpu_level_effective()));
    if (f->cap) printf(" (this machine: %s; CARINA_MAX_ISA=%s)", cpu_level_name(cpu_level_of(&f->cpu)), f->cap);
    printf("\nthreads     %d of %ld processors\n", thread_available_count(), sysconf(_SC_NPROCESSORS_ONLN));
    printf("memory      %.1f GB, %.1f GB available\n", 1e-9 * f->memory_total, 1e-9 * f->memory_available);
    printf("disk        %.1f GB free in the current folder\n", 1e-9 * f->disk_free);
    printf("font        %s\n\nlibraries\n", f->font[0] ? f->font : "none");
    for (int i = 0; build_library_at(i); i++) {
        char path[256];
        find_loaded(build_library_at(i)->name, path);
        printf("  %-14s%-10s%s\n", build_library_at(i)->name, build_library_at(i)->version, path);
    }
    printf("\nmodels\n");
    for (int i = 0; i < f->model_count; i++) {
        bool is_default = strcmp(f->models[i].name, MODEL_PATH_DEFAULT) == 0;
        printf("  %-14s%s%s\n", f->models[i].name, f->models[i].path, is_default ? " (default)" : "");
    }
    if (!f->model_count) printf("  none\n");
    printf("  searched:");
    for (int i = 0; i < f->folders.count; i++) printf(" %s", f->folders.path[i]);
    printf("\n\n");
    for (int i = 0; i < f->problem_count; i++) printf("missing: %s\n", f->problems[i]);
    if (!f->problem_count) printf("Nothing is missing.\n");
}

static void print_json(const findings *f) {
    feature features[FEATURE_COUNT];
    list_features(&f->cpu, features);
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "version", build_version());
    json_field_text(&w, "commit", build_commit());
    json_field_text(&w, "processor", f->cpu.name);
    json_key(&w, "features");
    json_begin_inline(&w, false);
    for (int i = 0; i < FEATURE_COUNT; i++) {
        if (features[i].present) json_put_text(&w, features[i].name);
    }
    json_end(&w);
    json_field_text(&w, "isa_machine", cpu_level_name(cpu_level_of(&f->cpu)));
    json_field_text(&w, "isa_used", cpu_level_name(cpu_level_effective()));
    json_field_whole(&w, "threads", thread_available_count());
    json_field_number(&w, "memory_bytes", f->memory_total);
    json_field_number(&w, "memory_available_bytes", f->memory_available);
    json_field_number(&w, "disk_free_bytes", f->disk_free);
    json_field_text(&w, "font", f->font[0] ? f->font : NULL);
    json_key(&w, "libraries");
    json_begin_object(&w);
    for (int i = 0; build_library_at(i); i++)
        json_field_text(&w, build_library_at(i)->name, build_library_at(i)->version);
    json_end(&w);
    json_key(&w, "models");
    json_begin_array(&w);
    for (int i = 0; i < f->model_count; i++) {
        json_begin_inline(&w, true);
        json_field_text(&w, "name", f->models[i].name);
        json_field_text(&w, "path", f->models[i].path);
        json_end(&w);
    }
    json_end(&w);
    json_key(&w, "model_folders");
    json_begin_array(&w);
    for (int i = 0; i < f->folders.count; i++) json_put_text(&w, f->folders.path[i]);
    json_end(&w);
    json_key(&w, "missing");
    json_begin_array(&w);
    for (int i = 0; i < f->problem_count; i++) json_put_text(&w, f->problems[i]);
    json_end(&w);
    json_end(&w);
}

static int run(const void *values, int count, char *const *arguments) {
    (void)count, (void)arguments;
    const doctor_values *v = values;
    findings f;
    carina_error error;
    if (examine(&f, &error) != CARINA_OK) {
        release(&f);
        return command_fail(&error);
    }
    if (v->json)
        print_json(&f);
    else
        print_text(&f);
    int status = f.problem_count ? COMMAND_FAILED : COMMAND_OK;
    release(&f);
    return status;
}

const command command_doctor = {
    .name = "doctor",
    .summary = "say what this machine can do and what is missing",
    .arguments = "",
    .description =
        "Looks at the processor and the kernels that Carina will use on it, memory, disk, libraries, fonts\n"
        "and models. Exit status 1 when something is missing, or the default model is damaged.\n",
    .examples = "carina doctor\ncarina doctor --json\nCARINA_MAX_ISA=avx2 carina doctor\n",
    .options = doctor_options,
    .defaults = &doctor_defaults,
    .values_size = sizeof(doctor_values),
    .least = 0,
    .most = 0,
    .run = run,
};
