/* Reading PEFT's LoRA folders; see lora_file.h. */
#include "model/lora_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/safetensors.h"
#include "model/gemma3_file.h"

/* ---- adapter_config.json ---- */

typedef struct facts {
    const json_document *document;
    const json_value *root;
    double alpha;
    int64_t rank;
    bool stabilised;
    const json_value *targets; /* a list, or NULL */
    bool all_linear;           /* "all-linear" */
    bool partly;               /* some layers or modules are left out */
} facts;

/* Absent, null, false, empty: nothing is asked for. */
static bool is_off(const json_value *value) {
    bool truth = false;
    const char *text = json_text(value);
    switch (json_kind_of(value)) {
        case JSON_KIND_NULL: return true;
        case JSON_KIND_BOOL: return json_truth(value, &truth) && !truth;
        case JSON_KIND_TEXT: return !*text;
        case JSON_KIND_ARRAY:
        case JSON_KIND_OBJECT: return json_count(value) == 0;
        default: return false;
    }
}

static carina_status refuse_features(const facts *d, carina_error *error) {
    static const char *const refused[][2] = {
        {"use_dora", "DoRA"},
        {"lora_bias", "biases"},
        {"modules_to_save", "layers saved whole"},
        {"trainable_token_indices", "changed rows of the embeddings"},
        {"target_parameters", "adapters of bare parameters"},
        {"layer_replication", "repeated layers"},
        {"fan_in_fan_out", "transposed weights (Gemma 3 has none)"},
        {"use_qalora", "QALoRA"},
        {"alora_invocation_tokens", "adapters that begin at a token"},
        {"arrow_config", "routed adapters"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!is_off(json_find(d->root, refused[i][0])))
            return json_fail(d->document, d->root, refused[i][0], CARINA_ERROR_UNSUPPORTED, error,
                             "%s: not supported here", refused[i][1]);
    const char *bias = json_text(json_find(d->root, "bias"));
    if (json_has(d->root, "bias") && (!bias || strcmp(bias, "none") != 0))
        return json_fail(d->document, d->root, "bias", CARINA_ERROR_UNSUPPORTED, error,
                         "\"%.40s\": only none is supported here", bias ? bias : "..");
    return CARINA_OK;
}

/* These begin with a part of the base model's weights, which is then missing there. */
static carina_status check_initial(const facts *d, carina_error *error) {
    static const char *const moved[] = {"pissa", "olora", "corda", "loftq"};
    const char *initial = json_text(json_find(d->root, "init_lora_weights"));
    for (size_t i = 0; initial && i < sizeof moved / sizeof *moved; i++)
        if (strncmp(initial, moved[i], strlen(moved[i])) == 0)
            return json_fail(d->document, d->root, "init_lora_weights", CARINA_ERROR_UNSUPPORTED, error,
                             "\"%.40s\" belongs to changed base weights; save the adapter converted to plain LoRA",
                             initial);
    return CARINA_OK;
}

static carina_status take_targets(facts *d, carina_error *error) {
    const json_value *targets = json_find(d->root, "target_modules");
    const char *text = json_text(targets);
    d->partly = !is_off(json_find(d->root, "layers_to_transform")) || !is_off(json_find(d->root, "exclude_modules"));
    if (text) {
        d->all_linear = strcmp(text, "all-linear") == 0;
        return CARINA_OK;
    }
    TRY(json_get_array(d->document, d->root, "target_modules", &targets, error));
    for (uint64_t i = 0; i < json_count(targets); i++)
        if (!json_text(json_item(targets, i)))
            return json_fail(d->document, d->root, "target_modules", CARINA_ERROR_FORMAT, error,
                             "modules' names are wanted");
    d->targets = targets;
    return CARINA_OK;
}

static carina_status take_description(facts *d, carina_error *error) {
    const char *kind;
    if (json_kind_of(d->root) != JSON_KIND_OBJECT)
        return json_fail(d->document, d->root, NULL, CARINA_ERROR_FORMAT, error, "an object is wanted");
    TRY(json_get_text(d->document, d->root, "peft_type", &kind, error));
    if (strcmp(kind, "LORA") != 0)
        return json_fail(d->document, d->root, "peft_type", CARINA_ERROR_UNSUPPORTED, error,
                         "\"%.40s\", known here is LORA", kind);
    TRY(refuse_features(d, error));
    TRY(check_initial(d, error));
    TRY(json_get_whole(d->document, d->root, "r", 1, LOW_RANK_MOST, &d->rank, error));
    TRY(json_get_number(d->document, d->root, "lora_alpha", &d->alpha, error));
    if (json_has(d->root, "use_rslora")) TRY(json_get_truth(d->document, d->root, "use_rslora", &d->stabilised, error));
    return take_targets(d, error);
}

/* ---- patterns ---- */

/* Whether the module is called so or ends in it behind a dot. false with *odd: the pattern is an expression. */
static bool fits(const char *pattern, const char *module, bool *odd) {
    char plain[200];
    size_t size = 0;
    bool whole = *pattern == '^';
    *odd = false;
    for (const char *p = pattern + whole; *p; p++) {
        if (*p == '\\' && p[1] == '.') p++;
        if (strchr("\\^$*+?()[]{}|", *p) || size + 1 >= sizeof plain) {
            *odd = true;
            return false;
        }
        plain[size++] = *p;
    }
    plain[size] = 0;
    size_t length = strlen(module);
    if (size > length || strcmp(module + length - size, plain) != 0) return false;
    return size == length || (!whole && module[length - size - 1] == '.');
}

/* The first pattern that fits the module, or `otherwise`. */
static carina_status look_up(const facts *d, const char *key, const char *module, double otherwise, double *out,
                             carina_error *error) {
    const json_value *patterns, *value;
    const char *pattern;
    *out = otherwise;
    if (!json_has(d->root, key)) return CARINA_OK;
    TRY(json_get_object(d->document, d->root, key, &patterns, error));
    for (void *position = NULL; json_next(patterns, &position, &pattern, &value);) {
        bool odd, found = fits(pattern, module, &odd);
        if (odd)
            return json_fail(d->document, d->root, key, CARINA_ERROR_UNSUPPORTED, error,
                             "\"%.60s\" is an expression; names of modules or their ends are known here", pattern);
        if (found) return json_get_number(d->document, patterns, pattern, out, error);
    }
    return CARINA_OK;
}

static bool is_target(const facts *d, const char *module, const char *plain) {
    for (uint64_t i = 0; i < json_count(d->targets); i++) {
        const char *target = json_text(json_item(d->targets, i));
        size_t size = strlen(target);
        for (int k = 0; k < 2; k++) {
            const char *name = k ? plain : module;
            size_t length = strlen(name);
            if (size > length || strcmp(name + length - size, target) != 0) continue;
            if (size == length || name[length - size - 1] == '.') return true;
        }
    }
    return false;
}

/* ---- tensors ---- */

#define PREFIX "base_model.model."

typedef struct pair {
    const named_tensor *down, *up;
    char module[160]; /* as the adapter calls it */
} pair;

typedef struct reading {
    facts facts;
    const tensor_file *weights;
    const char *path;
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int slot_count;
    pair pairs[GEMMA3_MAX_SLOTS];
    lora_shape shapes[GEMMA3_MAX_SLOTS];
} reading;

static carina_status refuse_tensor(const reading *r, const named_tensor *t, const char *why, carina_error *error) {
    return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: tensor %s: %s", r->path, t->name, why);
}

/* "base_model.model.MODULE.lora_A.weight" -> MODULE and whether it is A. */
static carina_status split_name(const reading *r, const named_tensor *t, char module[160], bool *down,
                                carina_error *error) {
    static const char *const ends[] = {".lora_B.weight", ".lora_A.weight"};
    size_t length = strlen(t->name);
    if (strncmp(t->name, PREFIX, strlen(PREFIX)) == 0)
        for (int i = 0; i < 2; i++) {
            size_t end = strlen(ends[i]), size = length - strlen(PREFIX) - end;
            if (length <= strlen(PREFIX) + end || strcmp(t->name + length - end, ends[i]) != 0 || size >= 150) continue;
            memcpy(module, t->name + strlen(PREFIX), size);
            module[size] = 0;
            *down = i == 1;
            return CARINA_OK;
        }
    if (strstr(t->name, "lora_embedding")) return refuse_tensor(r, t, "an adapter of embeddings", error);
    if (strstr(t->name, "lora_magnitude_vector")) return refuse_tensor(r, t, "DoRA is not supported here", error);
    return refuse_tensor(r, t, "neither lora_A.weight nor lora_B.weight of a module", error);
}

static carina_status find_slot(const reading *r, const named_tensor *t, const char *plain, int *out,
                               carina_error *error) {
    char name[170];
    snprintf(name, sizeof name, "%s.weight", plain);
    for (int i = 0; i < r->slot_count; i++) {
        if (strcmp(r->slots[i].name, name) != 0) continue;
        if (strncmp(name, "model.layers.", 13) != 0) return refuse_tensor(r, t, "an adapter of embeddings", error);
        *out = i;
        return CARINA_OK;
    }
    if (strcmp(plain, "lm_head") == 0) return refuse_tensor(r, t, "an adapter of the output head", error);
    return error_set(error, CARINA_ERROR_MISMATCH, "%s: tensor %s: the model (%d layers) has no such matrix", r->path,
                     t->name, (r->slot_count - 1) / 7);
}

static carina_status sort_tensor(reading *r, const named_tensor *t, carina_error *error) {
    char module[160], buffer[160];
    bool down = false;
    int slot = 0;
    TRY(split_name(r, t, module, &down, error));
    const char *plain = gemma3_plain_name(module, buffer);
    if (!plain) return CARINA_OK; /* of the vision part */
    TRY(find_slot(r, t, plain, &slot, error));
    if (r->facts.targets && !is_target(&r->facts, module, plain))
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: tensor %s: target_modules does not name its module",
                         r->path, t->name);
    pair *p = &r->pairs[slot];
    const named_tensor **place = down ? &p->down : &p->up;
    if (*place)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: %s and %s are of the same matrix", r->path, (*place)->name,
                         t->name);
    *place = t;
    memcpy(p->module, module, sizeof module);
    return CARINA_OK;
}

/* A matrix that target_modules names and the file lacks would silently stay as it is. */
static carina_status check_missing(const reading *r, int slot, carina_error *error) {
    const facts *d = &r->facts;
    char plain[80];
    snprintf(plain, sizeof plain, "%.*s", (int)(strlen(r->slots[slot].name) - strlen(".weight")), r->slots[slot].name);
    bool layer = strncmp(plain, "model.layers.", 13) == 0;
    if (d->partly || !layer || !(d->all_linear || (d->targets && is_target(d, plain, plain)))) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MISMATCH, "%s: target_modules names %s, but there are no tensors for it",
                     r->path, plain);
}

static carina_status measure_slot(reading *r, int slot, carina_error *error) {
    const pair *p = &r->pairs[slot];
    const facts *d = &r->facts;
    const gemma3_slot *s = &r->slots[slot];
    double rank, alpha;
    if (!p->down && !p->up) return check_missing(r, slot, error);
    if (!p->down || !p->up)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: %s has no lora_%c beside it", r->path,
                         p->down ? p->down->name : p->up->name, p->down ? 'B' : 'A');
    TRY(look_up(d, "rank_pattern", p->module, (double)d->rank, &rank, error));
    TRY(look_up(d, "alpha_pattern", p->module, d->alpha, &alpha, error));
    if (!(rank >= 1 && rank <= LOW_RANK_MOST && rank == floor(rank)))
        return json_fail(d->document, d->root, "rank_pattern", CARINA_ERROR_FORMAT, error, "%g is no rank of 1 to %d",
                         rank, LOW_RANK_MOST);
    double scale = alpha / (d->stabilised ? sqrt(rank) : rank);
    if (!(fabs(scale) < 1e9))
        return json_fail(d->document, d->root, "lora_alpha", CARINA_ERROR_FORMAT, error, "%g is no factor", alpha);
    uint64_t down[2] = {(uint64_t)rank, (uint64_t)s->inputs}, up[2] = {(uint64_t)s->outputs, (uint64_t)rank};
    TRY(named_tensor_check_shape(p->down, r->path, 2, down, "the model", error));
    TRY(named_tensor_check_shape(p->up, r->path, 2, up, "the model", error));
    r->shapes[slot] = (lora_shape){(int64_t)rank, (float)scale};
    return CARINA_OK;
}

static carina_status copy(parameter *p, const named_tensor *t, const char *path, carina_error *error) {
    carina_status status = named_tensor_check_finite(t, error);
    if (status == CARINA_OK) status = named_tensor_to_f32(t, p->value, (uint64_t)p->count, error);
    return status == CARINA_OK ? status : error_prefix(error, "%s", path);
}

static carina_status fill(lora *l, const reading *r, carina_error *error) {
    for (int i = 0; i < r->slot_count; i++) {
        if (!r->shapes[i].rank) continue;
        TRY(copy(l->parts[i].down, r->pairs[i].down, r->path, error));
        TRY(copy(l->parts[i].up, r->pairs[i].up, r->path, error));
    }
    lora_changed(l);
    return CARINA_OK;
}

static carina_status read_all(reading *r, lora **out, const gemma3_config *config, carina_error *error) {
    bool any = false;
    TRY(take_description(&r->facts, error));
    for (uint64_t i = 0; i < r->weights->count; i++) TRY(sort_tensor(r, &r->weights->tensors[i], error));
    for (int i = 0; i < r->slot_count; i++) {
        TRY(measure_slot(r, i, error));
        any |= r->shapes[i].rank > 0;
    }
    if (!any)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: holds no adapter of the language model's matrices",
                         r->path);
    TRY(lora_create_empty(out, config, r->shapes, error));
    carina_status status = fill(*out, r, error);
    if (status == CARINA_OK) return CARINA_OK;
    lora_free(*out);
    *out = NULL;
    return status;
}

carina_status lora_from_parts(lora **out, const gemma3_config *config, const json_document *description,
                              const tensor_file *weights, const char *path, carina_error *error) {
    *out = NULL;
    TRY(gemma3_config_check(config, error));
    reading *r = calloc(1, sizeof *r);
    if (!r) return error_memory(error, path, sizeof *r);
    gemma3 *shape = calloc(1, sizeof *shape);
    carina_status status = shape ? CARINA_OK : error_memory(error, path, sizeof *shape);
    if (status == CARINA_OK) {
        shape->config = *config;
        r->facts.document = description;
        r->facts.root = json_root(description);
        r->weights = weights;
        r->path = path;
        r->slot_count = gemma3_slots(shape, r->slots);
        status = read_all(r, out, config, error);
    }
    free(shape);
    free(r);
    return status;
}

carina_status lora_load(lora **out, const char *folder, const gemma3_config *config, carina_error *error) {
    json_document *description = NULL;
    tensor_file weights = {0};
    char *described = path_join(folder, "adapter_config.json"), *path = path_join(folder, "adapter_model.safetensors");
    *out = NULL;
    carina_status status = described && path ? CARINA_OK : error_memory(error, folder, 4096);
    if (status == CARINA_OK) status = json_read(&description, described, NULL, error);
    if (status == CARINA_OK) status = safetensors_read(&weights, path, error);
    if (status == CARINA_OK) status = lora_from_parts(out, config, description, &weights, path, error);
    tensor_file_free(&weights);
    json_free(description);
    free(path);
    free(described);
    return status;
}
