/* The table of keys without effect; see idle_keys.h. */
#include "train/idle_keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "format/yaml.h"
#include "model/apm_schema.h"

static bool locates(const train_config *c) { return c->task == TRAIN_CONFIG_LOCATE; }
static bool has_vit(const train_config *c) { return locates(c) && c->model.encoder == APM_VIT; }
static bool has_resnet(const train_config *c) { return locates(c) && c->model.encoder != APM_VIT; }
static bool has_no_sentences(const train_config *c) { return locates(c) && !*c->alignment.text_encoder; }
static bool has_no_finding_head(const train_config *c) {
    return locates(c) && *c->alignment.text_encoder && c->alignment.findings_weight <= 0;
}
static bool has_one_layer(const train_config *c) { return locates(c) && c->model.decoder_layers < 2; }
static bool has_no_muon(const train_config *c) { return c->optimizer_kind != OPTIMIZER_MUON; }

/* The keys BEGINNING* are idle when `idle` says so; what decides is `decider`, which never is. They stand in `schema`,
 * whose keys begin with SECTION. */
typedef struct idle_rule {
    const char *section, *beginning, *decider;
    bool (*idle)(const train_config *c);
    const config_schema *schema;
    const char *why;
} idle_rule;

static const idle_rule rules[] = {
    {"model.", "model.resnet_", "model.encoder", has_vit, &apm_schema, "model.encoder is vit"},
    {"model.", "model.vit_", "model.encoder", has_resnet, &apm_schema, "model.encoder is not vit"},
    {"model.", "model.box_", "model.decoder_layers", has_one_layer, &apm_schema, "model.decoder_layers is 1"},
    {"", "optimizer.momentum", "optimizer.type", has_no_muon, &train_config_schema, "optimizer.type is not muon"},
    {"alignment.", "alignment.", "alignment.text_encoder", has_no_sentences, &alignment_settings_schema,
     "without alignment.text_encoder there is no alignment"},
    {"alignment.", "alignment.patch_findings", "alignment.findings_weight", has_no_finding_head,
     &alignment_settings_schema, "alignment.findings_weight is 0"},
    {"alignment.", "alignment.masks_weight", "alignment.findings_weight", has_no_finding_head,
     &alignment_settings_schema, "alignment.findings_weight is 0"},
};
#define RULE_COUNT (sizeof rules / sizeof *rules)

static bool applies(const idle_rule *rule, const train_config *c, const char *key) {
    return strncmp(key, rule->beginning, strlen(rule->beginning)) == 0 && strcmp(key, rule->decider) != 0 &&
           rule->idle(c);
}

bool idle_keys_has(const train_config *c, const char *key) {
    for (size_t i = 0; i < RULE_COUNT; i++)
        if (applies(&rules[i], c, key)) return true;
    return false;
}

/* ---- where a key was set ---- */

typedef struct sources {
    const char *path;
    const yaml_value *file;
    const char *const *words;
    int word_count;
} sources;

/* What stands behind "key=" in the last such word; NULL: there is none. */
static const char *word_value(const sources *from, const char *key) {
    size_t length = strlen(key);
    for (int i = from->word_count - 1; i >= 0; i--)
        if (strncmp(from->words[i], key, length) == 0 && from->words[i][length] == '=')
            return from->words[i] + length + 1;
    return NULL;
}

/* "a.b" may be a section and a key, or one key with a dot. */
static const char *file_value(const yaml_value *mapping, const char *key) {
    const yaml_value *value = yaml_get(mapping, key);
    if (value) return value->text;
    for (uint32_t i = 0; i < mapping->count; i++) {
        size_t length = strlen(mapping->keys[i]);
        if (mapping->children[i]->kind != YAML_MAPPING || strncmp(key, mapping->keys[i], length) != 0) continue;
        const char *text = key[length] == '.' ? file_value(mapping->children[i], key + length + 1) : NULL;
        if (text) return text;
    }
    return NULL;
}

static bool same_value(const char *a, const char *b) {
    double x, y;
    return strcmp(a, b) == 0 || (number_parse(a, &x) && number_parse(b, &y) && x == y);
}

static carina_status check_key(const idle_rule *rule, const config_field *field, const sources *from,
                               carina_error *error) {
    char key[128];
    snprintf(key, sizeof key, "%s%s", rule->section, field->key);
    const char *word = word_value(from, key), *text = word ? word : file_value(from->file, key);
    if (!text || same_value(text, field->default_text)) return CARINA_OK;
    if (!word && word_value(from, rule->decider)) return CARINA_OK;
    return error_set(error, word ? CARINA_ERROR_ARGUMENT : CARINA_ERROR_FORMAT,
                     "%s: %s: has no effect: %s; leave it out", word ? CONFIG_COMMAND_LINE : from->path, key,
                     rule->why);
}

static carina_status check_rule(const idle_rule *rule, const train_config *c, const sources *from,
                                carina_error *error) {
    for (uint32_t i = 0; i < rule->schema->count; i++) {
        char key[128];
        const config_field *field = &rule->schema->fields[i];
        snprintf(key, sizeof key, "%s%s", rule->section, field->key);
        if (applies(rule, c, key)) TRY(check_key(rule, field, from, error));
    }
    return CARINA_OK;
}

carina_status idle_keys_check(const train_config *c, const char *path, const char *const *words, int word_count,
                              carina_error *error) {
    yaml_tree *tree;
    TRY(yaml_read(&tree, path, error));
    const sources from = {path, yaml_root(tree), words, word_count};
    carina_status status = CARINA_OK;
    for (size_t i = 0; i < RULE_COUNT && status == CARINA_OK; i++) status = check_rule(&rules[i], c, &from, error);
    yaml_free(tree);
    return status;
}
