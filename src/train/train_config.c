/* The keys of a training configuration; see train_config.h. */
#include "train/train_config.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "atlas/atlas_file.h"
#include "base/file.h"
#include "base/nearest.h"
#include "format/config.h"
#include "format/yaml.h"
#include "model/apm_schema.h"
#include "train/idle_keys.h"

static const char *const type_names[] = {"f32", "bf16", NULL};
static const char *const schedule_names[] = {"constant", "step", "linear", "cosine", NULL};
static const char *const label_names[] = {"0", "1", "mask", NULL};

#define KEY(member, key, ...)             CONFIG_KEY(train_config, member, key, __VA_ARGS__)
#define CHOICE(member, key, ...)          CONFIG_CHOICE_KEY(train_config, member, key, __VA_ARGS__)
#define AUGMENT(member, text, high, help) KEY(augment.member, "augment." #member, text, 0, high, help, 0)

static const char *const task_names[] = {"locate", "text", "language", NULL};

/* Of every task. */
static const config_field fields[] = {
    CHOICE(task, "task", "locate", task_names,
           "what is trained: boxes and labels of films, a text encoder, or a language model", 0),
    KEY(name, "name", NULL, CONFIG_ANY, "the run's name: its folder is RUNS/NAME", CONFIG_NOT_HASHED),
    KEY(runs, "runs", "runs", CONFIG_ANY, "folder of the runs", CONFIG_NOT_HASHED),
    KEY(atlas, "atlas", "anatomix36", CONFIG_ANY, "region set: a built-in one's name or a YAML file", 0),
    KEY(seed, "seed", "1", 0, 0x1p53, "of weights, data order, augmentation and dropout", 0),

    KEY(steps, "training.steps", "10000", 1, 1e9, "optimizer steps", 0),
    KEY(minutes, "training.minutes", "0", 0, 1e6, "stop after so much training; 0: no limit", 0),
    KEY(batch_size, "training.batch_size", "16", 1, 4096, "films, or rows of text, in a batch", 0),
    KEY(accumulate, "training.accumulate", "1", 1, 4096, "batches that make one step", 0),
    CHOICE(type, "training.dtype", "f32", type_names, "type of activations", 0),
    KEY(validate_every, "training.validate_every", "500", 0, 1e9, "steps; 0: only at the end", 0),
    KEY(save_every, "training.save_every", "500", 0, 1e9, "steps; 0: only at the end", CONFIG_NOT_HASHED),
    KEY(save_seconds, "training.save_seconds", "600", 0, 1e9, "save at least this often; 0: never for that",
        CONFIG_NOT_HASHED),
    KEY(log_every, "training.log_every", "20", 1, 1e9, "steps averaged in one line of metrics.jsonl", 0),

    CHOICE(optimizer_kind, "optimizer.type", "adamw", optimizer_kind_names,
           "adamw, or muon for matrices and adamw for the rest", 0),
    KEY(momentum, "optimizer.momentum", "0.95", 0, 0.99999, "muon: of the matrices' gradients", 0),
    KEY(rate, "optimizer.rate", "1e-4", 0, 10, "peak learning rate", 0),
    CHOICE(schedule_kind, "optimizer.schedule", "cosine", schedule_names, "how the rate falls after the warm-up", 0),
    KEY(warmup_steps, "optimizer.warmup_steps", "0", 0, 1e9, "of linear rise to the peak", 0),
    KEY(final_fraction, "optimizer.final_fraction", "0.01", 0, 1, "linear, cosine: of the peak, at the end", 0),
    KEY(step_every, "optimizer.step_every", "0", 0, 1e9, "step: interval; 0: never", 0),
    KEY(step_factor, "optimizer.step_factor", "0.1", 0, 1, "step: the rate is multiplied by this", 0),
    KEY(backbone_factor, "optimizer.backbone_factor", "1", 0, 100, "of the rate for the image encoder", 0),
    KEY(weight_decay, "optimizer.weight_decay", "1e-4", 0, 10, "decoupled; on matrices and kernels", 0),
    KEY(beta1, "optimizer.beta1", "0.9", 0, 0.99999, "of the first moment", 0),
    KEY(beta2, "optimizer.beta2", "0.999", 0, 0.999999, "of the second moment", 0),
    KEY(epsilon, "optimizer.epsilon", "1e-8", 1e-20, 1, "added to the root of the second moment", 0),
    KEY(clip_norm, "optimizer.clip_norm", "0.1", 0, 1e6, "largest gradient norm; 0: any", 0),
    KEY(ema_decay, "optimizer.ema_decay", "0", 0, 0.999999, "of the averaged weights; 0: none", 0),
};
const config_schema train_config_schema = {fields, sizeof fields / sizeof *fields};

static const config_field locate_fields[] = {
    KEY(start, "start", "", CONFIG_ANY, "model, checkpoint or .pth whose weights begin the run", 0),
    KEY(encoder_weights, "model.encoder_weights", "", CONFIG_ANY,
        "vit: folder or file of a Hugging Face DINOv3 whose weights begin the image encoder", 0),

    KEY(cache, "data.cache", "true", CONFIG_ANY, "keep letterboxed films in memory", CONFIG_NOT_HASHED),
    KEY(cache_size, "data.cache_size", "0", 0, 4096, "side of kept films in pixels; 0: model.image_size", 0),
    KEY(loader_threads, "data.threads", "1", 1, 64, "threads that prepare films", CONFIG_NOT_HASHED),

    KEY(box_loss.l1_weight, "loss.box_l1", "5", 0, 1000, "of |b - t| within the box loss", 0),
    KEY(box_loss.giou_weight, "loss.box_giou", "2", 0, 1000, "of 1 - GIoU within the box loss", 0),
    KEY(auxiliary, "loss.auxiliary", "true", CONFIG_ANY, "box loss on every decoder layer, summed", 0),
    KEY(label_weight, "loss.labels", "2", 0, 1000, "weight of the image labels' cross-entropy", 0),
    CHOICE(uncertain, "loss.uncertain", "0", label_names, "target of a label marked uncertain", 0),
    CHOICE(not_mentioned, "loss.not_mentioned", "0", label_names, "target of a label that is not mentioned", 0),

    AUGMENT(rotation, "15", 45, "degrees, +-"),
    AUGMENT(translation, "0.1", 0.5, "fraction of the side, +-"),
    AUGMENT(scale, "0.1", 0.5, "size 1 +- this"),
    AUGMENT(stretch, "0", 0.5, "ratio of width to height 1 +- this"),
    AUGMENT(flip_probability, "0.3", 1, "left-right; box i stays organ i"),
    AUGMENT(crop, "0", 0.4, "fraction cut off at a side, at most"),
    AUGMENT(equalize_probability, "0", 1, "histogram equalisation"),
    AUGMENT(local_contrast, "0", 4, "differences from the local mean grow by up to this"),
    AUGMENT(gamma, "0", 2, "exponent exp(+- this)"),
    AUGMENT(window, "0", 0.45, "ends of the grey window move by up to this"),
    AUGMENT(curve, "0", 1, "S-shaped tone curve, blended by up to this"),
    AUGMENT(bias_field, "0", 1, "smooth field 1 +- this"),
    AUGMENT(blur, "0", 3, "Gaussian deviation in pixels, at most"),
    AUGMENT(sharpen, "0", 4, "unsharp mask, at most"),
    AUGMENT(noise, "0", 0.5, "deviation of noise, at most"),
    AUGMENT(blocks, "0", 0.5, "rounding within 8 x 8 blocks, at most"),
    AUGMENT(cutout, "0", 0.5, "sides of painted-over rectangles, at most"),
};
static const config_schema locate_schema = {locate_fields, sizeof locate_fields / sizeof *locate_fields};

/* Beside what language_settings.c has. */
static const config_field language_fields[] = {
    KEY(start, "start", "", CONFIG_ANY, "folder of a Gemma 3 whose weights begin the run", 0),
};
static const config_schema language_schema = {language_fields, sizeof language_fields / sizeof *language_fields};

static const config_field set_fields[] = {
    CONFIG_FIELD(train_config_set, type, "", CONFIG_ANY, "chest_imagenome, nih_boxes, ...; empty: no such set"),
    CONFIG_FIELD(train_config_set, annotations, "", CONFIG_ANY, "folder of the annotations"),
    CONFIG_FIELD(train_config_set, images, "", CONFIG_ANY, "folder of the films; empty: the annotations'"),
    CONFIG_FIELD(train_config_set, split, "", CONFIG_ANY, "train, valid, test or all; empty: train"),
    CONFIG_FIELD(train_config_set, limit, "0", 0, 1e15, "only the first so many films; 0: all"),
    CONFIG_FIELD(train_config_set, keep_avoided, "false", CONFIG_ANY, "keep the films of images_to_avoid.csv"),
    CONFIG_FIELD(train_config_set, own_split_only, "false", CONFIG_ANY, "do not ask that MIMIC-CXR's split agrees"),
};
static const config_schema set_schema = {set_fields, sizeof set_fields / sizeof *set_fields};

#define PART_COUNT (4 + TRAIN_CONFIG_TRAIN_SETS + 2)

const char *const train_config_train_keys[TRAIN_CONFIG_TRAIN_SETS] = {"data.train", "data.train2", "data.train3",
                                                                      "data.train4"};

/* The parts that c->task has; returns their number. */
static uint32_t list_parts(config_part parts[PART_COUNT], train_config *c) {
    uint32_t count = 0;
    parts[count++] = (config_part){"", &train_config_schema, c};
    if (c->task == TRAIN_CONFIG_TEXT) {
        parts[count++] = (config_part){"", &text_settings_schema, &c->text_task};
    } else if (c->task == TRAIN_CONFIG_LANGUAGE) {
        parts[count++] = (config_part){"", &language_schema, c};
        parts[count++] = (config_part){"", &language_settings_schema, &c->language};
    } else {
        parts[count++] = (config_part){"", &locate_schema, c};
        parts[count++] = (config_part){"model", &apm_schema, &c->model};
        parts[count++] = (config_part){"alignment", &alignment_settings_schema, &c->alignment};
    }
    for (int i = 0; i < TRAIN_CONFIG_TRAIN_SETS; i++)
        parts[count++] = (config_part){train_config_train_keys[i], &set_schema, &c->train_sets[i]};
    parts[count++] = (config_part){"data.validation", &set_schema, &c->validation_set};
    if (c->task == TRAIN_CONFIG_LOCATE) parts[count++] = (config_part){"data.monitor", &set_schema, &c->monitor_set};
    return count;
}

static int task_named(const char *name) {
    for (int task = 0; task_names[task]; task++)
        if (strcmp(name, task_names[task]) == 0) return task;
    return TRAIN_CONFIG_LOCATE;
}

/* Which tables to read with must be known before they are read. What is wrong with the file or the name is left for
 * config_load to say. */
static int find_task(const char *path, const char *const *words, int word_count) {
    int task = TRAIN_CONFIG_LOCATE;
    yaml_tree *tree = NULL;
    if (yaml_read(&tree, path, NULL) == CARINA_OK) {
        const yaml_value *value = yaml_get(yaml_root(tree), "task");
        if (value && value->text) task = task_named(value->text);
        yaml_free(tree);
    }
    for (int i = 0; i < word_count; i++)
        if (strncmp(words[i], "task=", 5) == 0) task = task_named(words[i] + 5);
    return task;
}

/* ---- what a range cannot say ---- */

typedef struct source {
    const char *path;
    const char *const *words;
    int word_count;
} source;

static bool is_word(const source *from, const char *key) {
    size_t length = strlen(key);
    for (int i = 0; i < from->word_count; i++)
        if (strncmp(from->words[i], key, length) == 0 && from->words[i][length] == '=') return true;
    return false;
}

/* The file, or CONFIG_COMMAND_LINE for what was set there. */
static const char *place_of(const source *from, const char *key) {
    return is_word(from, key) ? CONFIG_COMMAND_LINE : from->path;
}

/* "file.yaml: model.heads: ..." */
static carina_status refuse(const source *from, const char *key, carina_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static carina_status refuse(const source *from, const char *key, carina_error *error, const char *format, ...) {
    char reason[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return error_set(error, is_word(from, key) ? CARINA_ERROR_ARGUMENT : CARINA_ERROR_FORMAT, "%s: %s: %s",
                     place_of(from, key), key, reason);
}

static carina_status find_regions(train_config *c, const source *from, carina_error *error) {
    c->regions = atlas_builtin(c->atlas);
    if (c->regions) return CARINA_OK;
    if (*c->atlas && file_exists(c->atlas)) {
        if (atlas_load(&c->own_regions, c->atlas, error) != CARINA_OK)
            return error_prefix(error, "%s: atlas", place_of(from, "atlas"));
        c->regions = c->own_regions;
        return CARINA_OK;
    }
    const char *known[16];
    int count = 0;
    for (; count < 16 && atlas_builtin_at(count); count++) known[count] = atlas_builtin_at(count)->name;
    const char *near = nearest_word(c->atlas, known, count);
    return refuse(from, "atlas", error, "'%.200s' is neither a region set that is built in (%s%s) nor a YAML file",
                  c->atlas, near ? "did you mean " : "such as ", near ? near : known[0]);
}

static carina_status check_width(const apm_config *m, const source *from, carina_error *error) {
    if (m->model_width % 4) return refuse(from, "model.model_width", error, "%d is not divisible by 4", m->model_width);
    if (m->model_width % m->heads)
        return refuse(from, "model.heads", error, "%d heads do not divide model.model_width %d", m->heads,
                      m->model_width);
    if (m->model_width % m->feature_heads)
        return refuse(from, "model.feature_heads", error, "%d heads do not divide model.model_width %d",
                      m->feature_heads, m->model_width);
    return CARINA_OK;
}

static carina_status check_vit(const apm_config *m, const source *from, carina_error *error) {
    const vit_config *v = &m->vit;
    if (v->width % (4 * v->heads))
        return refuse(from, "model.vit_heads", error, "4 x %d heads do not divide model.vit_width %d", v->heads,
                      v->width);
    if (m->image_height % v->patch)
        return refuse(from, "model.image_size", error, "%d pixels are no whole patches of model.vit_patch %d",
                      m->image_height, v->patch);
    return CARINA_OK;
}

static carina_status check_encoder_weights(const train_config *c, const source *from, carina_error *error) {
    if (!*c->encoder_weights) return CARINA_OK;
    if (c->model.encoder != APM_VIT)
        return refuse(from, "model.encoder_weights", error, "DINOv3's weights want model.encoder: vit");
    if (*c->start)
        return refuse(from, "model.encoder_weights", error,
                      "the weights of \"start\" have an encoder; give one of them");
    return CARINA_OK;
}

static carina_status check_model(const apm_config *m, const source *from, carina_error *error) {
    int depth = m->backbone.depth;
    double channels = 64 * m->backbone.width;
    if (m->encoder == APM_VIT) TRY(check_vit(m, from, error));
    if (depth != 18 && depth != 34 && depth != 50)
        return refuse(from, "model.resnet_depth", error, "must be 18, 34 or 50, not %d", depth);
    if (channels != floor(channels))
        return refuse(from, "model.resnet_width", error,
                      "%g of 64 channels is no whole number; give a multiple of 1/64 such as %g", m->backbone.width,
                      fmax(1, round(channels)) / 64);
    return check_width(m, from, error);
}

static carina_status check_text(const text_settings *t, const source *from, carina_error *error) {
    if (t->width % t->heads)
        return refuse(from, "model.heads", error, "%d heads do not divide model.width %d", t->heads, t->width);
    if (t->pair_tokens > t->positions)
        return refuse(from, "similarity.tokens", error, "%d tokens, but model.positions is %d", t->pair_tokens,
                      t->positions);
    return CARINA_OK;
}

static carina_status check_language(const language_settings *s, const source *from, carina_error *error) {
    if (!*s->tokenizer)
        return refuse(from, "tokenizer", error, "no tokenizer.json is given; `carina tokenizer train` makes one");
    if (s->heads % s->key_heads)
        return refuse(from, "model.key_heads", error, "%d heads of keys do not divide model.heads %d", s->key_heads,
                      s->heads);
    if (s->head_width % 2)
        return refuse(from, "model.head_width", error, "%d is odd; positions turn values in pairs", s->head_width);
    return CARINA_OK;
}

static carina_status check_set(const train_config_set *set, const char *prefix, const source *from,
                               carina_error *error) {
    char key[64];
    carina_error reason;
    if (!*set->type) return CARINA_OK;
    snprintf(key, sizeof key, "%s.type", prefix);
    if (dataset_check_type(set->type, &reason) != CARINA_OK) return refuse(from, key, error, "%s", reason.message);
    snprintf(key, sizeof key, "%s.annotations", prefix);
    if (!*set->annotations) return refuse(from, key, error, "no folder is given");
    snprintf(key, sizeof key, "%s.split", prefix);
    if (*set->split && dataset_check_split(set->split, &reason) != CARINA_OK)
        return refuse(from, key, error, "%s", reason.message);
    return CARINA_OK;
}

/* Alignment needs films that say something of their regions. */
static carina_status check_alignment(const train_config *c, const source *from, carina_error *error) {
    bool any = !*c->alignment.text_encoder;
    for (int i = 0; i < TRAIN_CONFIG_TRAIN_SETS; i++) any |= dataset_has_sentences(c->train_sets[i].type);
    if (any) return CARINA_OK;
    return refuse(
        from, "alignment.text_encoder", error,
        "no training set says anything of its regions (chest_imagenome does); leave it empty to train without "
        "sentences");
}

static carina_status check_sets(const train_config *c, const source *from, carina_error *error) {
    if (!*c->train_sets[0].type && c->task == TRAIN_CONFIG_TEXT && c->text_task.texts.count == 0)
        return refuse(from, "data.train.type", error, "no sentences to train on; give a data set or data.texts");
    if (!*c->train_sets[0].type && c->task == TRAIN_CONFIG_LANGUAGE && c->language.texts.count == 0)
        return refuse(from, "data.texts", error, "nothing to train on; give text files, or a data set as data.train");
    if (!*c->train_sets[0].type && c->task == TRAIN_CONFIG_LOCATE)
        return refuse(from, "data.train.type", error, "no data set to train on; give chest_imagenome or another type");
    for (int i = 0; i < TRAIN_CONFIG_TRAIN_SETS; i++)
        TRY(check_set(&c->train_sets[i], train_config_train_keys[i], from, error));
    TRY(check_set(&c->validation_set, "data.validation", from, error));
    return c->task == TRAIN_CONFIG_LOCATE ? check_set(&c->monitor_set, "data.monitor", from, error) : CARINA_OK;
}

static bool has_effect(const void *config, const char *key) { return !idle_keys_has(config, key); }

static bool has_control_characters(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) return true;
    return false;
}

static carina_status finish(train_config *c, const source *from, carina_error *error) {
    if (has_control_characters(c->name) || has_control_characters(c->runs))
        return refuse(from, has_control_characters(c->name) ? "name" : "runs", error,
                      "a folder's name has no line breaks or other control characters");
    if (!*c->name || strchr(c->name, '/') || c->name[0] == '.')
        return refuse(from, "name", error, "\"%.200s\": a run's name has no '/' and does not begin with '.'", c->name);
    if (!*c->runs) return refuse(from, "runs", error, "no folder is given");
    c->path = strdup(from->path);
    if (!c->path) return error_memory(error, from->path, strlen(from->path));
    TRY(check_sets(c, from, error));
    TRY(find_regions(c, from, error));
    if (c->task == TRAIN_CONFIG_LOCATE) {
        TRY(check_model(&c->model, from, error));
        TRY(check_encoder_weights(c, from, error));
        TRY(check_alignment(c, from, error));
        apm_schema_finish(&c->model, c->regions->region_count, ATLAS_LABEL_COUNT);
    } else if (c->task == TRAIN_CONFIG_TEXT) {
        TRY(check_text(&c->text_task, from, error));
    } else {
        TRY(check_language(&c->language, from, error));
    }
    TRY(idle_keys_check(c, from->path, from->words, from->word_count, error));
    config_part parts[PART_COUNT];
    uint32_t count = list_parts(parts, c);
    return config_dump_chosen(&c->text, parts, count, has_effect, c, error);
}

carina_status train_config_read(train_config *out, const char *path, const char *const *words, int word_count,
                                carina_error *error) {
    config_part parts[PART_COUNT];
    const source from = {path, words, word_count};
    memset(out, 0, sizeof *out);
    out->task = find_task(path, words, word_count);
    uint32_t count = list_parts(parts, out);
    TRY(config_load(parts, count, path, words, (uint32_t)word_count, error));
    carina_status status = finish(out, &from, error);
    if (status != CARINA_OK) train_config_free(out);
    return status;
}

void train_config_free(train_config *c) {
    if (!c) return;
    config_part parts[PART_COUNT];
    config_free(parts, list_parts(parts, c));
    atlas_free(c->own_regions);
    free(c->text);
    free(c->path);
    memset(c, 0, sizeof *c);
}

void train_config_describe(FILE *stream) {
    for (int task = 0; task_names[task]; task++) {
        config_part parts[PART_COUNT];
        train_config none = {.task = task};
        fprintf(stream, "%stask: %s\n", task ? "\n" : "", task_names[task]);
        config_describe(parts, list_parts(parts, &none), stream);
    }
}

bool train_config_changes_results(const train_config *c, const char *key) {
    config_part parts[PART_COUNT];
    train_config none = {.task = c->task};
    uint32_t count = list_parts(parts, &none);
    for (uint32_t p = 0; p < count; p++) {
        size_t length = strlen(parts[p].prefix);
        if (strncmp(key, parts[p].prefix, length) != 0 || (length && key[length] != '.')) continue;
        for (uint32_t i = 0; i < parts[p].schema->count; i++) {
            const config_field *field = &parts[p].schema->fields[i];
            if (strcmp(key + length + (length > 0), field->key) == 0) return !(field->flags & CONFIG_NOT_HASHED);
        }
    }
    return false;
}

schedule train_config_schedule(const train_config *c) {
    return (schedule){.kind = (schedule_kind)c->schedule_kind,
                      .rate = c->rate,
                      .final_fraction = c->final_fraction,
                      .warmup_steps = (uint64_t)c->warmup_steps,
                      .total_steps = (uint64_t)c->steps,
                      .step_every = (uint64_t)c->step_every,
                      .step_factor = c->step_factor};
}

optimizer_options train_config_optimizer(const train_config *c) {
    optimizer_options o = {.kind = (optimizer_kind)c->optimizer_kind,
                           .momentum = c->momentum,
                           .beta1 = c->beta1,
                           .beta2 = c->beta2,
                           .epsilon = c->epsilon,
                           .clip_norm = c->clip_norm,
                           .ema_decay = c->ema_decay};
    for (int i = 0; i < OPTIMIZER_MAX_GROUPS; i++) o.groups[i] = (optimizer_group){1, c->weight_decay};
    o.groups[1].rate_factor = c->backbone_factor; /* parameters.h: group 1 is the image encoder */
    return o;
}

static const char *given(const char *text) { return text && *text ? text : NULL; }

dataset_config train_config_dataset(const train_config_set *set) {
    return (dataset_config){.type = given(set->type),
                            .annotations = given(set->annotations),
                            .images = given(set->images),
                            .split = given(set->split),
                            .limit = (uint64_t)set->limit,
                            .keep_avoided = set->keep_avoided,
                            .own_split_only = set->own_split_only};
}
