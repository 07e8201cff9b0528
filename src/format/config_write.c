/* Configurations back to text: YAML for provenance, the hash, and the list of what can be set; see config.h. */
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "format/config_slots.h"
#include "format/yaml.h"

static void write_number(FILE *stream, double value) {
    char text[NUMBER_TEXT];
    number_format(text, value);
    fputs(text, stream);
}

static void write_list(const config_slot *slot, FILE *stream) {
    const config_ints *ints = slot->value; /* all three lists are a pointer and a count */
    const config_floats *floats = slot->value;
    const config_texts *texts = slot->value;
    fputc('[', stream);
    for (uint32_t i = 0; i < ints->count; i++) {
        if (i) fputs(", ", stream);
        if (slot->field->type == CONFIG_INT_LIST) fprintf(stream, "%lld", (long long)ints->items[i]);
        if (slot->field->type == CONFIG_FLOAT_LIST) write_number(stream, floats->items[i]);
        if (slot->field->type == CONFIG_TEXT_LIST) yaml_put_text(stream, texts->items[i]);
    }
    fputc(']', stream);
}

static void write_value(const config_slot *slot, FILE *stream) {
    char text[NUMBER_TEXT];
    switch (slot->field->type) {
        case CONFIG_INT64: fprintf(stream, "%lld", (long long)*(const int64_t *)slot->value); break;
        case CONFIG_INT: fprintf(stream, "%d", *(const int *)slot->value); break;
        case CONFIG_DOUBLE: write_number(stream, *(const double *)slot->value); break;
        case CONFIG_FLOAT:
            number_format_f32(text, *(const float *)slot->value);
            fputs(text, stream);
            break;
        case CONFIG_BOOL: fputs(*(const bool *)slot->value ? "true" : "false", stream); break;
        case CONFIG_TEXT: yaml_put_text(stream, *(char *const *)slot->value ? *(char *const *)slot->value : ""); break;
        case CONFIG_ENUM: yaml_put_text(stream, slot->field->names[*(const int *)slot->value]); break;
        default: write_list(slot, stream);
    }
}

/* Sections that the key has and the one before it had not, each on its own line. */
static int write_sections(const char *key, const char *before, FILE *stream) {
    size_t same = 0; /* length of the common leading sections, with their dots */
    for (size_t i = 0; key[i] && key[i] == before[i]; i++)
        if (key[i] == '.') same = i + 1;
    int depth = 0;
    for (size_t i = 0; key[i]; i++) {
        if (key[i] != '.') continue;
        size_t start = i;
        while (start > 0 && key[start - 1] != '.') start--;
        if (i >= same) fprintf(stream, "%*s%.*s:\n", 2 * depth, "", (int)(i - start), key + start);
        depth++;
    }
    return depth;
}

/* YAML wants each section in one piece, while tables may come back to one: keys are sorted by where each of their
 * sections first appears, outermost section first, and by their own place last. */
static int compare_places(const void *a, const void *b) {
    const config_slot *x = *(const config_slot *const *)a, *y = *(const config_slot *const *)b;
    return memcmp(x->place, y->place, sizeof x->place);
}

static void find_places(config_slots *all) {
    for (uint32_t i = 0; i < all->count; i++) {
        config_slot *slot = &all->slots[i];
        int level = 0;
        for (const char *dot = strchr(slot->key, '.'); dot && level < CONFIG_MAX_DEPTH - 1;
             dot = strchr(dot + 1, '.')) {
            uint32_t first = 0;
            while (strncmp(all->slots[first].key, slot->key, (size_t)(dot - slot->key) + 1) != 0) first++;
            slot->place[level][0] = (uint8_t)(first >> 8); /* big-endian, so that memcmp compares numbers */
            slot->place[level++][1] = (uint8_t)first;
        }
        slot->place[level][0] = (uint8_t)(i >> 8);
        slot->place[level][1] = (uint8_t)i;
    }
}

static const config_slot **sorted_slots(config_slots *all, int (*compare)(const void *, const void *)) {
    const config_slot **order = malloc((all->count + 1) * sizeof *order);
    if (!order) return NULL;
    for (uint32_t i = 0; i < all->count; i++) order[i] = &all->slots[i];
    qsort(order, all->count, sizeof *order, compare);
    return order;
}

static carina_status write_chosen(const config_part *parts, uint32_t part_count, FILE *stream, config_chooser *chosen,
                                  const void *context, carina_error *error) {
    config_slots all;
    TRY(config_slots_make(&all, parts, part_count, error));
    find_places(&all);
    const config_slot **order = sorted_slots(&all, compare_places);
    const char *before = "";
    for (uint32_t i = 0; order && i < all.count; i++) {
        if (chosen && !chosen(context, order[i]->key)) continue;
        int depth = write_sections(order[i]->key, before, stream);
        const char *dot = strrchr(order[i]->key, '.');
        fprintf(stream, "%*s%s: ", 2 * depth, "", dot ? dot + 1 : order[i]->key);
        write_value(order[i], stream);
        fputc('\n', stream);
        before = order[i]->key;
    }
    carina_status status = order ? CARINA_OK : error_memory(error, "configuration", all.count * sizeof *order);
    free(order);
    config_slots_free(&all);
    return status;
}

carina_status config_write(const config_part *parts, uint32_t part_count, FILE *stream, carina_error *error) {
    return write_chosen(parts, part_count, stream, NULL, NULL, error);
}

carina_status config_dump(char **out, const config_part *parts, uint32_t part_count, carina_error *error) {
    return config_dump_chosen(out, parts, part_count, NULL, NULL, error);
}

carina_status config_dump_chosen(char **out, const config_part *parts, uint32_t part_count, config_chooser *chosen,
                                 const void *context, carina_error *error) {
    *out = NULL;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return error_memory(error, "configuration", 4096);
    carina_status status = write_chosen(parts, part_count, stream, chosen, context, error);
    bool failed = ferror(stream) != 0;
    if (fclose(stream) != 0) failed = true;
    if (status == CARINA_OK && (failed || !text)) status = error_memory(error, "configuration", size);
    if (status != CARINA_OK) {
        free(text);
        return status;
    }
    *out = text;
    return CARINA_OK;
}

static int compare_keys(const void *a, const void *b) {
    return strcmp((*(const config_slot *const *)a)->key, (*(const config_slot *const *)b)->key);
}

uint64_t config_hash(const config_part *parts, uint32_t part_count) {
    config_slots all;
    if (config_slots_make(&all, parts, part_count, NULL) != CARINA_OK) return 0;
    const config_slot **order = sorted_slots(&all, compare_keys);
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    if (order && stream) {
        for (uint32_t i = 0; i < all.count; i++) {
            if (order[i]->field->flags & CONFIG_NOT_HASHED) continue;
            fprintf(stream, "%s=", order[i]->key);
            write_value(order[i], stream);
            fputc('\n', stream);
        }
    }
    if (stream) fclose(stream);
    for (size_t i = 0; text && i < size; i++) hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u;
    free(text);
    free(order);
    config_slots_free(&all);
    return hash;
}

void config_describe(const config_part *parts, uint32_t part_count, FILE *stream) {
    config_slots all;
    if (config_slots_make(&all, parts, part_count, NULL) != CARINA_OK) return;
    for (uint32_t i = 0; i < all.count; i++) {
        const config_field *field = all.slots[i].field;
        fprintf(stream, "  %-28s ", all.slots[i].key);
        if (field->type == CONFIG_ENUM) {
            for (int n = 0; field->names[n]; n++) fprintf(stream, "%s%s", n ? "|" : "", field->names[n]);
        } else {
            fputs(config_type_name(field->type), stream);
        }
        char low[NUMBER_TEXT], high[NUMBER_TEXT];
        bool ranged = field->type != CONFIG_ENUM && field->type != CONFIG_BOOL && field->type != CONFIG_TEXT &&
                      field->type != CONFIG_TEXT_LIST;
        number_format(low, field->minimum);
        number_format(high, field->maximum);
        if (ranged && isfinite(field->minimum) && isfinite(field->maximum)) fprintf(stream, " %s..%s", low, high);
        if (ranged && isfinite(field->minimum) && isinf(field->maximum)) fprintf(stream, " >= %s", low);
        if (ranged && isinf(field->minimum) && isfinite(field->maximum)) fprintf(stream, " <= %s", high);
        if (!field->default_text)
            fputs(", required", stream);
        else if (*field->default_text)
            fprintf(stream, ", default %s", field->default_text);
        fprintf(stream, "\n  %-28s   %s\n", "", field->help);
    }
    config_slots_free(&all);
}
