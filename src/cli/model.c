/* `carina model info` and `carina model import`: what a model file holds, and making one from another. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "atlas/atlas_file.h"
#include "base/file.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/model_report.h"
#include "cli/output.h"
#include "format/json_writer.h"
#include "format/tensor_read.h"
#include "model/apm_infer.h"
#include "model/gemma3_source.h"
#include "model/model_file.h"
#include "pipeline/calibration.h"
#include "pipeline/model_path.h"

/* ---- info ---- */

typedef struct info_values {
    bool json;
} info_values;

static const info_values info_defaults = {0};

static const option info_options[] = {OPTION_JSON(info_values, json), {0}};

/* A file's own words may hold terminal escapes. */
static void put_text(const char *text) {
    for (; *text; text++) {
        bool control = (unsigned char)*text < 0x20 || *text == 0x7f;
        putchar(control && *text != '\n' && *text != '\t' ? '?' : *text);
    }
}

static void print_indented(const char *text) {
    while (*text) {
        size_t length = strcspn(text, "\n");
        printf("  %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static void print_calibration(const calibration *c) {
    fputs(!c->fitted ? "calibrated  no" : *c->fitted_on ? "calibrated  on " : "calibrated  yes", stdout);
    if (c->fitted) put_text(c->fitted_on);
    putchar('\n');
}

static void print_info(const char *path, const model_file *m, const calibration *c) {
    const char *model = model_file_note_text(m, "model"), *version = model_file_note_text(m, "carina_version");
    const char *commit = model_file_note_text(m, "commit");
    printf("%s\nweights   %lld\nregions   %s (%d)\nmade by   Carina %s, commit %s\n", path,
           (long long)parameters_total(m->model->parameters), m->regions->name, m->regions->region_count,
           version ? version : "?", commit ? commit : "?");
    printf("model\n");
    print_indented(model ? model : "");
    static const char *const shown[] = {"training_step",        "validation_iou",
                                        "data_fingerprint",     "text_encoder_fingerprint",
                                        MODEL_FILE_MIRROR_MEAN, "imported_from"};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (model_file_note_text(m, shown[i])) {
            printf("%s  ", shown[i]);
            put_text(model_file_note_text(m, shown[i]));
            putchar('\n');
        }
    print_calibration(c);
    if (c->sentences.fitted) {
        printf("sentences calibrated  temperature %.5g, prior exponent %.4g%s", (double)c->sentences.temperature,
               (double)c->sentences.prior_exponent, *c->sentences.fitted_on ? ", on " : "");
        put_text(c->sentences.fitted_on);
        putchar('\n');
    }
    if (model_file_note_text(m, "card")) {
        putchar('\n');
        put_text(model_file_note_text(m, "card"));
    }
}

static void print_info_json(const char *path, const model_file *m, const calibration *c) {
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "file", path);
    json_field_whole(&w, "weights", parameters_total(m->model->parameters));
    json_field_text(&w, "region_set", m->regions->name);
    json_field_whole(&w, "region_count", m->regions->region_count);
    json_field_truth(&w, "calibrated", c->fitted);
    json_field_truth(&w, "sentences_calibrated", c->sentences.fitted);
    json_key(&w, "metadata");
    json_begin_object(&w);
    for (uint64_t i = 0; i < m->note_count; i++) json_field_text(&w, m->notes[i].key, m->notes[i].value);
    json_end(&w);
    json_end(&w);
}

static carina_status print_model(const char *path, bool json, carina_error *error) {
    model_file m;
    TRY(model_file_load(&m, path, error));
    calibration *c = calloc(1, sizeof *c);
    carina_status status = c ? calibration_read(c, &m, path, error) : error_memory(error, "a calibration", sizeof *c);
    if (status == CARINA_OK) {
        if (json)
            print_info_json(path, &m, c);
        else
            print_info(path, &m, c);
    }
    free(c);
    model_file_free(&m);
    return status;
}

static int run_language_info(const char *path, bool json) {
    model_report report;
    model_kind kind;
    carina_error error = {0};
    carina_status status = model_kind_find(&kind, path, &error);
    if (status == CARINA_OK && kind != MODEL_KIND_LANGUAGE)
        status = error_set(&error, CARINA_ERROR_UNSUPPORTED, "%s: a %s; `carina model verify` reads it", path,
                           model_kind_name(kind));
    if (status == CARINA_OK) status = model_look(&report, path, &error);
    if (status != CARINA_OK) return command_fail(&error);
    model_report_print(path, &report, json);
    return COMMAND_OK;
}

static int run_info(const void *values, int count, char *const *arguments) {
    const info_values *v = values;
    carina_error error = {0};
    char *path;
    if (count && model_is_path(arguments[0])) return run_language_info(arguments[0], v->json);
    if (model_path_find(&path, count ? arguments[0] : NULL, &error) != CARINA_OK) return command_fail(&error);
    carina_status status = print_model(path, v->json, &error);
    free(path);
    return status == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

const command command_model_info = {
    .name = "model info",
    .summary = "show what a model is and where it comes from",
    .arguments = "[NAME|PATH]",
    .description =
        "Prints a model's configuration, region set, provenance and card, and whether it is calibrated. Of a language\n"
        "model (Hugging Face folder or .gguf file) it prints sizes and how the weights are stored.\n",
    .examples =
        "carina model info\ncarina model info runs/default-model/best.safetensors --json\n"
        "carina model info medgemma-q4.gguf\n",
    .options = info_options,
    .defaults = &info_defaults,
    .values_size = sizeof info_defaults,
    .least = 0,
    .most = 1,
    .run = run_info,
};

/* ---- import ---- */

typedef struct import_values {
    const char *out, *atlas, *card;
    int64_t image_size, heads, feature_heads;
    int dtype;
    bool mirror_mean, box_mean;
} import_values;

static const import_values import_defaults = {0}; /* 0: not given */

/* What the published model has, for what a foreign checkpoint does not tell. */
#define FOREIGN_ATLAS         "anatomix36"
#define FOREIGN_IMAGE_SIZE    1024
#define FOREIGN_HEADS         4
#define FOREIGN_FEATURE_HEADS 2

static const option import_options[] = {
    {"out", 'o', OPTION_FILE, "FILE", "model file to write (required)", offsetof(import_values, out), 0, 0},
    {"dtype", 0, OPTION_CHOICE, "f32|bf16", "type of the stored kernels and matrices", offsetof(import_values, dtype),
     0, 0},
    {"card", 0, OPTION_FILE, "FILE", "text to keep in the file as the model's card", offsetof(import_values, card), 0,
     0},
    {"mirror-mean", 0, OPTION_FLAG, NULL, "have films read together with their mirror images, at twice the time",
     offsetof(import_values, mirror_mean), 0, 0},
    {"box-mean", 0, OPTION_FLAG, NULL, "have boxes be the mean of the last two decoder layers'",
     offsetof(import_values, box_mean), 0, 0},
    {"atlas", 0, OPTION_TEXT, "NAME|FILE", "region set of a foreign checkpoint", offsetof(import_values, atlas), 0, 0},
    {"image-size", 0, OPTION_INTEGER, "PIXELS", "of a foreign checkpoint", offsetof(import_values, image_size), 32,
     4096},
    {"heads", 0, OPTION_INTEGER, "N", "attention heads of a foreign checkpoint", offsetof(import_values, heads), 1, 64},
    {"feature-heads", 0, OPTION_INTEGER, "N", "heads of its feature extraction", offsetof(import_values, feature_heads),
     1, 64},
    {0},
};

/* *own: a model file of Carina. What else Carina writes is refused: a checkpoint has weights by the same names, but not
 * the shape of the network. */
static carina_status tell_kind(bool *own, const char *path, carina_error *error) {
    tensor_file file = {0};
    carina_status status = CARINA_OK;
    *own = false;
    if (tensor_read(&file, path, NULL) != CARINA_OK) return CARINA_OK; /* whoever reads it will say why */
    const char *format = tensor_file_metadata(&file, "format");
    *own = model_file_is_format(format);
    if (format && !*own && strncmp(format, "carina-", 7) == 0)
        status = error_set(error, CARINA_ERROR_FORMAT, "%s: format %.40s is no model%s", path,
                           utf8_is_line(format) ? format : "?",
                           strncmp(format, "carina-checkpoint-", 18) == 0
                               ? "; those of a run are best.safetensors and last.safetensors"
                               : "");
    tensor_file_free(&file);
    return status;
}

/* A model file of Carina knows its regions and shape: options that would be passed over are refused. */
static carina_status load_own(model_file *out, const char *path, const import_values *v, carina_error *error) {
    const char *given = v->atlas           ? "atlas"
                        : v->image_size    ? "image-size"
                        : v->heads         ? "heads"
                        : v->feature_heads ? "feature-heads"
                                           : NULL;
    if (given)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "%s: a model file of Carina, which has its own; --%s is for foreign checkpoints", path, given);
    return model_file_load(out, path, error);
}

static carina_status load_foreign(model_file *out, const char *path, const import_values *v, carina_error *error) {
    const char *region_set = v->atlas ? v->atlas : FOREIGN_ATLAS;
    const atlas *regions = atlas_builtin(region_set);
    atlas *loaded = NULL;
    apm_config config = {0};
    tensor_file weights = {0};
    int size = v->image_size ? (int)v->image_size : FOREIGN_IMAGE_SIZE;
    apm_infer_options infer = {.heads = v->heads ? (int)v->heads : FOREIGN_HEADS,
                               .feature_heads = v->feature_heads ? (int)v->feature_heads : FOREIGN_FEATURE_HEADS,
                               .norm = RESNET_FROZEN,
                               .image_height = size,
                               .image_width = size};
    carina_status status = tensor_read(&weights, path, error);
    if (status == CARINA_OK && !regions) status = atlas_load(&loaded, region_set, error);
    if (loaded) regions = loaded;
    if (status == CARINA_OK) status = apm_infer_config(&config, &weights, path, &infer, error);
    if (status == CARINA_OK &&
        (config.region_count != regions->region_count || config.label_count != ATLAS_LABEL_COUNT))
        status = error_set(error, CARINA_ERROR_MISMATCH,
                           "%s: made for %d regions and %d labels, region set %s has %d and there are %d labels; give "
                           "its set with --atlas",
                           path, config.region_count, config.label_count, regions->name, regions->region_count,
                           ATLAS_LABEL_COUNT);
    if (status == CARINA_OK) status = apm_create_empty(&out->model, &config, error);
    if (status == CARINA_OK) status = model_file_copy_weights(out->model, &weights, path, error);
    if (status == CARINA_OK) status = model_file_check_weights(out->model, path, error);
    if (status == CARINA_OK)
        status = model_file_read_projector(&out->projector, &weights, path, config.feature_size, error);
    if (status == CARINA_OK) status = model_file_copy_regions(&out->regions, regions, error);
    atlas_free(loaded);
    tensor_file_free(&weights);
    return status;
}

/* Notes of the source go along, but not those that every model file writes anew, nor those that are replaced. */
static int collect_notes(model_file_note *notes, const model_file *m, const char *source, const char *card,
                         bool mirror_mean) {
    static const char *const written[] = {"format", "carina_version", "commit",
                                          "model",  "regions",        "text_encoder_fingerprint"};
    int count = 0;
    for (uint64_t i = 0; i < m->note_count; i++) {
        const char *key = m->notes[i].key;
        bool skip = (card && strcmp(key, "card") == 0) || (mirror_mean && strcmp(key, MODEL_FILE_MIRROR_MEAN) == 0);
        for (size_t k = 0; k < sizeof written / sizeof written[0]; k++) skip |= strcmp(key, written[k]) == 0;
        if (!skip) notes[count++] = (model_file_note){key, m->notes[i].value};
    }
    if (!m->note_count) notes[count++] = (model_file_note){"imported_from", source};
    if (card) notes[count++] = (model_file_note){"card", card};
    if (mirror_mean) notes[count++] = (model_file_note){MODEL_FILE_MIRROR_MEAN, "true"};
    return count;
}

static carina_status import(const char *path, const import_values *v, carina_error *error) {
    model_file m = {0};
    uint8_t *card = NULL;
    uint64_t size;
    bool own;
    TRY(tell_kind(&own, path, error));
    carina_status status = v->card ? file_read(v->card, 1 << 20, &card, &size, error) : CARINA_OK;
    if (status == CARINA_OK) status = own ? load_own(&m, path, v, error) : load_foreign(&m, path, v, error);
    if (status == CARINA_OK && v->box_mean && m.model->config.decoder_layers < 2)
        status = error_set(error, CARINA_ERROR_ARGUMENT, "%s: has one decoder layer; --box-mean is for two", path);
    if (status == CARINA_OK && v->box_mean) m.model->config.box_mean = true;
    model_file_note *notes = calloc((size_t)m.note_count + 3, sizeof *notes);
    if (status == CARINA_OK && !notes) status = error_memory(error, path, m.note_count * sizeof *notes);
    if (status == CARINA_OK) {
        int count = collect_notes(notes, &m, path_name(path), (const char *)card, v->mirror_mean);
        status = model_file_save(v->out, m.model, m.projector, m.regions, v->dtype ? MODEL_FILE_BF16 : MODEL_FILE_F32,
                                 notes, count, error);
    }
    free(notes);
    free(card);
    model_file_free(&m);
    return status;
}

static int run_import(const void *values, int count, char *const *arguments) {
    (void)count;
    const import_values *v = values;
    carina_error error = {0};
    if (!v->out) return command_usage("model import: --out FILE is missing");
    const output_file file = {.option = "--out", .path = v->out, .kind = OUTPUT_MODEL};
    const output_reading reading = {.paths = (const char *const[]){arguments[0], v->card, v->atlas}, .path_count = 3};
    if (output_check(&file, 1, &reading, &error) != CARINA_OK) return command_fail(&error);
    if (import(arguments[0], v, &error) != CARINA_OK) return command_fail(&error);
    printf("%s\n", v->out);
    return COMMAND_OK;
}

const command command_model_import = {
    .name = "model import",
    .summary = "make a model file from an AnatomiX checkpoint or from another model file",
    .arguments = "SOURCE",
    .description =
        "SOURCE is an AnatomiX checkpoint (.pth or .safetensors; read as data, nothing in it is executed) or a model\n"
        "file of Carina, which is written again, in bf16 or with a card if wanted. What a checkpoint's shapes do not\n"
        "tell (heads, image size) is the published model's unless given.\n",
    .examples =
        "carina model import anatomix.pth --out models/anatomix.safetensors\n"
        "carina model import runs/default-model/best.safetensors --dtype bf16 --card models/apm-small.md \\\n"
        "    --out models/apm-small.safetensors\n",
    .options = import_options,
    .defaults = &import_defaults,
    .values_size = sizeof import_defaults,
    .least = 1,
    .most = 1,
    .run = run_import,
};
