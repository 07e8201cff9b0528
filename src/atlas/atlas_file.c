/* A region set from its YAML tree; see atlas_file.h. The strings stay in the tree, which the set keeps. */
#include "atlas/atlas_file.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/nearest.h"
#include "base/utf8.h"
#include "format/yaml.h"

typedef struct loaded_atlas {
    atlas set; /* first: atlas_free gets its address */
    yaml_tree *tree;
    const char **findings; /* the finding lists of all regions, one behind the other */
    atlas_region regions[];
} loaded_atlas;

static const char *const set_keys[] = {"name", "regions"};
static const char *const region_keys[] = {"name", "display", "concept", "partner", "parent", "colour", "findings"};
#define KEY_COUNT(keys) ((int)(sizeof(keys) / sizeof((keys)[0])))

static carina_status check_keys(const char *file, const yaml_value *mapping, const char *const *keys, int count,
                                carina_error *error) {
    if (mapping->kind != YAML_MAPPING)
        return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: expected a mapping, found a %s", file, mapping->line,
                         yaml_kind_name(mapping->kind));
    for (uint32_t i = 0; i < mapping->count; i++) {
        bool known = false;
        for (int k = 0; k < count; k++) known = known || strcmp(keys[k], mapping->keys[i]) == 0;
        if (known) continue;
        const char *near = nearest_word(mapping->keys[i], keys, count);
        return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: unknown key '%s'%s%s%s", file, mapping->key_lines[i],
                         mapping->keys[i], near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    }
    return CARINA_OK;
}

/* The text of a key that must be a non-empty scalar; NULL in *out when it is absent and not required. */
static carina_status read_text(const char **out, const char *file, const yaml_value *mapping, const char *key,
                               bool required, carina_error *error) {
    const yaml_value *value = yaml_get(mapping, key);
    *out = NULL;
    if (!value && !required) return CARINA_OK;
    if (!value) return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: '%s' is missing", file, mapping->line, key);
    if (value->kind != YAML_SCALAR || yaml_is_null(value) || !value->text[0])
        return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: '%s' must be a text", file, value->line, key);
    if (!utf8_is_line(value->text))
        return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: '%s' has a control character or is no UTF-8", file,
                         value->line, key);
    *out = value->text;
    return CARINA_OK;
}

static carina_status read_colour(unsigned *out, const char *file, const yaml_value *region, carina_error *error) {
    const char *text;
    TRY(read_text(&text, file, region, "colour", true, error));
    char *end;
    unsigned long value = strtoul(text, &end, 16);
    if (strlen(text) != 6 || *end || strspn(text, "0123456789abcdefABCDEF") != 6)
        return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: colour '%s' must be six hexadecimal digits, RRGGBB", file,
                         region->line, text);
    *out = (unsigned)value;
    return CARINA_OK;
}

static carina_status read_findings(loaded_atlas *a, atlas_region *region, int *used, const char *file,
                                   const yaml_value *mapping, carina_error *error) {
    const yaml_value *list = yaml_get(mapping, "findings");
    region->findings = a->findings + *used;
    if (!list) return CARINA_OK;
    if (list->kind != YAML_SEQUENCE)
        return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: 'findings' must be a list", file, list->line);
    for (uint32_t i = 0; i < list->count; i++) {
        const yaml_value *item = list->children[i];
        if (item->kind != YAML_SCALAR || yaml_is_null(item))
            return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: a finding must be a text", file, item->line);
        if (!utf8_is_line(item->text))
            return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: a finding has a control character or is no UTF-8",
                             file, item->line);
        a->findings[(*used)++] = item->text;
    }
    region->finding_count = (int)list->count;
    return CARINA_OK;
}

/* Everything but partner and parent, which name other regions. */
static carina_status read_region(loaded_atlas *a, int index, int *used, const char *file, const yaml_value *mapping,
                                 carina_error *error) {
    atlas_region *region = &a->regions[index];
    TRY(check_keys(file, mapping, region_keys, KEY_COUNT(region_keys), error));
    TRY(read_text(&region->name, file, mapping, "name", true, error));
    TRY(read_text(&region->display_name, file, mapping, "display", false, error));
    TRY(read_text(&region->concept_name, file, mapping, "concept", false, error));
    if (!region->display_name) region->display_name = region->name;
    if (!region->concept_name) region->concept_name = region->display_name;
    TRY(read_colour(&region->colour, file, mapping, error));
    for (int i = 0; i < index; i++) {
        if (strcasecmp(a->regions[i].name, region->name) == 0)
            return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: region '%s' occurs twice", file, mapping->line,
                             region->name);
    }
    return read_findings(a, region, used, file, mapping, error);
}

static carina_status find_named(int *out, const loaded_atlas *a, const char *file, const yaml_value *mapping,
                                const char *key, int absent, carina_error *error) {
    const char *name, *names[ATLAS_MAX_REGIONS];
    TRY(read_text(&name, file, mapping, key, false, error));
    *out = name ? atlas_find(&a->set, name) : absent;
    if (!name || *out >= 0) return CARINA_OK;
    for (int i = 0; i < a->set.region_count; i++) names[i] = a->regions[i].name;
    const char *near = nearest_word(name, names, a->set.region_count);
    return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: %s '%s' is no region of this set%s%s%s", file, mapping->line,
                     key, name, near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static carina_status link_regions(loaded_atlas *a, const char *file, const yaml_value *list, carina_error *error) {
    int count = a->set.region_count;
    for (int i = 0; i < count; i++) {
        TRY(find_named(&a->regions[i].partner, a, file, list->children[i], "partner", i, error));
        TRY(find_named(&a->regions[i].parent, a, file, list->children[i], "parent", -1, error));
    }
    for (int i = 0; i < count; i++) {
        const atlas_region *partner = &a->regions[a->regions[i].partner];
        if (partner->partner != i)
            return error_set(error, CARINA_ERROR_FORMAT,
                             "%s:%d: '%s' has the partner '%s', which does not name it back", file,
                             list->children[i]->line, a->regions[i].name, partner->name);
        int steps = 0;
        for (int at = i; at >= 0; at = a->regions[at].parent) {
            if (steps++ > count)
                return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: the parents of '%s' form a circle", file,
                                 list->children[i]->line, a->regions[i].name);
        }
    }
    return CARINA_OK;
}

static carina_status read_set(loaded_atlas *a, const char *file, const yaml_value *list, carina_error *error) {
    const yaml_value *root = yaml_root(a->tree);
    TRY(read_text(&a->set.name, file, root, "name", true, error));
    uint64_t findings = 1;
    for (uint32_t i = 0; i < list->count; i++) {
        const yaml_value *words = yaml_get(list->children[i], "findings");
        if (words) findings += words->count;
    }
    a->findings = calloc(findings, sizeof *a->findings);
    if (!a->findings) return error_memory(error, "the findings of a region set", findings * sizeof *a->findings);
    int used = 0;
    for (int i = 0; i < a->set.region_count; i++) TRY(read_region(a, i, &used, file, list->children[i], error));
    return link_regions(a, file, list, error);
}

/* Takes the tree over, whatever the result. */
static carina_status from_tree(atlas **out, yaml_tree *tree, carina_error *error) {
    const char *file = yaml_name(tree);
    const yaml_value *root = yaml_root(tree), *list = yaml_get(root, "regions");
    carina_status status = check_keys(file, root, set_keys, KEY_COUNT(set_keys), error);
    if (status == CARINA_OK && (!list || list->kind != YAML_SEQUENCE || !list->count))
        status = error_set(error, CARINA_ERROR_FORMAT, "%s: 'regions' must be a list of regions", file);
    if (status == CARINA_OK && list->count > ATLAS_MAX_REGIONS)
        status = error_set(error, CARINA_ERROR_LIMIT, "%s: %u regions; at most %d are possible", file, list->count,
                           ATLAS_MAX_REGIONS);
    if (status != CARINA_OK) {
        yaml_free(tree);
        return status;
    }
    loaded_atlas *a = calloc(1, sizeof *a + list->count * sizeof a->regions[0]);
    if (!a) {
        yaml_free(tree);
        return error_memory(error, "a region set", sizeof *a + list->count * sizeof a->regions[0]);
    }
    a->tree = tree;
    a->set.region_count = (int)list->count;
    a->set.regions = a->regions;
    status = read_set(a, file, list, error);
    if (status == CARINA_OK)
        *out = &a->set;
    else
        atlas_free(&a->set);
    return status;
}

carina_status atlas_load(atlas **out, const char *path, carina_error *error) {
    yaml_tree *tree;
    *out = NULL;
    TRY(yaml_read(&tree, path, error));
    return from_tree(out, tree, error);
}

carina_status atlas_parse(atlas **out, const char *name, const void *data, uint64_t size, carina_error *error) {
    yaml_tree *tree;
    *out = NULL;
    TRY(yaml_parse(&tree, name, data, size, error));
    return from_tree(out, tree, error);
}

void atlas_free(atlas *set) {
    if (!set) return;
    loaded_atlas *a = (loaded_atlas *)set;
    yaml_free(a->tree);
    free(a->findings);
    free(a);
}
