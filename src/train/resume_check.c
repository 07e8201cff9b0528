/* A checkpoint's configuration held against the present one, key by key; see resume_check.h. */
#include "train/resume_check.h"

#include <stdlib.h>
#include <string.h>

#include "format/yaml.h"

/* A key's whole name, or the beginning of several when it ends in a dot. */
static const char *const fixed[] = {"task",
                                    "atlas",
                                    "model.",
                                    "vocabulary.",
                                    "data.context",
                                    "data.packed",
                                    "training.batch_size",
                                    "optimizer.type",
                                    "alignment.patch_findings"};
/* May be another number, but not begin or cease to be 0: layers are there or not. */
static const char *const switched[] = {"alignment.findings_weight", "alignment.masks_weight"};
/* Begins a run, and has no meaning afterwards. */
static const char *const passed[] = {"start", "model.encoder_weights"};

static bool is_among(const char *key, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(names[i]);
        bool whole = names[i][length - 1] != '.';
        if (strncmp(key, names[i], length) == 0 && (!whole || !key[length])) return true;
    }
    return false;
}
#define IS_AMONG(key, names) is_among(key, names, sizeof(names) / sizeof *(names))

/* ---- values as text ---- */

/* A scalar as it is, a list as "[a, b]"; malloc'ed, NULL when out of memory. */
static char *text_of(const yaml_value *value) {
    if (value->kind == YAML_SCALAR) return strdup(value->text);
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return NULL;
    fputc('[', stream);
    for (uint32_t i = 0; i < value->count; i++) {
        const char *item = value->children[i]->text;
        fprintf(stream, "%s%s", i ? ", " : "", item ? item : "");
    }
    fputc(']', stream);
    if (fclose(stream) == 0) return text;
    free(text);
    return NULL;
}

/* What stands at "a.b.c"; NULL: nothing, or a section. */
static const yaml_value *find(const yaml_value *root, const char *key) {
    char part[128];
    while (root) {
        size_t length = strcspn(key, ".");
        snprintf(part, sizeof part, "%.*s", (int)length, key);
        root = yaml_get(root, part);
        if (!key[length]) return root && root->kind != YAML_MAPPING ? root : NULL;
        key += length + 1;
    }
    return NULL;
}

/* ---- the comparison ---- */

typedef struct comparison {
    resume_changes *out;
    const train_config *config;
    const yaml_value *now;
    const char *path;
    carina_error *error;
} comparison;

static const char *shown(const char *text) { return *text ? text : "nothing"; }

static carina_status add_line(comparison *c, const char *key, const char *now, const char *was) {
    char **grown = realloc(c->out->lines, (c->out->count + 1) * sizeof *grown);
    if (grown) c->out->lines = grown;
    if (!grown || asprintf(&grown[c->out->count], "resumed with %s %s, was %s", key, shown(now), shown(was)) < 0)
        return error_memory(c->error, key, strlen(now) + strlen(was));
    c->out->count++;
    return CARINA_OK;
}

static carina_status compare_texts(comparison *c, const char *key, const char *now, const char *was) {
    if (strcmp(now, was) == 0) return CARINA_OK;
    bool switches = IS_AMONG(key, switched) && (strcmp(now, "0") == 0) != (strcmp(was, "0") == 0);
    if (switches || IS_AMONG(key, fixed))
        return error_set(c->error, CARINA_ERROR_MISMATCH,
                         "%s: made with %s: %s, which is %s now; restore it, or begin anew with --overwrite", c->path,
                         key, shown(was), shown(now));
    return add_line(c, key, now, was);
}

static carina_status compare(comparison *c, const char *key, const yaml_value *was) {
    const yaml_value *now = find(c->now, key);
    if (!now || IS_AMONG(key, passed) || !train_config_changes_results(c->config, key)) return CARINA_OK;
    char *texts[] = {text_of(now), text_of(was)};
    carina_status status = texts[0] && texts[1] ? compare_texts(c, key, texts[0], texts[1])
                                                : error_memory(c->error, "configuration", strlen(key));
    free(texts[0]);
    free(texts[1]);
    return status;
}

/* All keys below `section`; recursion is bounded by YAML_MAX_DEPTH. */
static carina_status walk(comparison *c, const char *section, const yaml_value *mapping) {
    for (uint32_t i = 0; i < mapping->count; i++) {
        const yaml_value *value = mapping->children[i];
        char *key;
        if (asprintf(&key, "%s%s%s", section, *section ? "." : "", mapping->keys[i]) < 0)
            return error_memory(c->error, "configuration", strlen(section));
        carina_status status = value->kind == YAML_MAPPING ? walk(c, key, value) : compare(c, key, value);
        free(key);
        TRY(status);
    }
    return CARINA_OK;
}

carina_status resume_check(resume_changes *out, const char *made, const train_config *now, const char *path,
                           carina_error *error) {
    yaml_tree *old, *present;
    *out = (resume_changes){0};
    if (yaml_parse(&old, "configuration", made, strlen(made), error) != CARINA_OK)
        return error_prefix(error, "%s: metadata configuration", path);
    carina_status status = yaml_parse(&present, "configuration", now->text, strlen(now->text), error);
    if (status == CARINA_OK) {
        comparison c = {out, now, yaml_root(present), path, error};
        status = walk(&c, "", yaml_root(old));
        yaml_free(present);
    }
    yaml_free(old);
    if (status != CARINA_OK) resume_changes_free(out);
    return status;
}

void resume_changes_free(resume_changes *changes) {
    for (uint32_t i = 0; i < changes->count; i++) free(changes->lines[i]);
    free(changes->lines);
    *changes = (resume_changes){0};
}
