/* The small parts of a tokenizer.json, by their kinds; see bpe_settings.h. */
#include "text/bpe_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "text/bpe.h"

const char *bpe_part_name(bpe_part part) {
    static const char *const names[BPE_PART_COUNT] = {"normalizer", "pre_tokenizer", "post_processor", "decoder"};
    return names[part];
}

void bpe_settings_free(bpe_settings *s) {
    for (int i = 0; i < BPE_PART_COUNT; i++) free(s->parts[i]);
    free(s->unk_token);
    *s = (bpe_settings){0};
}

/* ---- values ---- */

static carina_status unknown_kind(const json_document *d, const json_value *part, const char *type, const char *known,
                                  carina_error *error) {
    return json_fail(d, part, "type", CARINA_ERROR_UNSUPPORTED, error, "\"%.60s\" is not known here (%s)", type, known);
}

static carina_status get_pattern(const json_document *d, const json_value *object, const char *key, uint32_t least,
                                 bpe_pattern *out, carina_error *error) {
    const char *text;
    TRY(json_get_text(d, object, key, &text, error));
    size_t size = strlen(text);
    if (size < least || size > BPE_MAX_PATTERN)
        return json_fail(d, object, key, CARINA_ERROR_LIMIT, error, "%zu bytes; from %u to %d are accepted", size,
                         least, BPE_MAX_PATTERN);
    memcpy(out->text, text, size);
    out->size = (uint32_t)size;
    return CARINA_OK;
}

/* {"pattern": {"String": " "}} */
static carina_status get_string_pattern(const json_document *d, const json_value *object, bpe_pattern *out,
                                        carina_error *error) {
    const json_value *pattern;
    TRY(json_get_object(d, object, "pattern", &pattern, error));
    if (json_has(pattern, "Regex"))
        return json_fail(d, object, "pattern", CARINA_ERROR_UNSUPPORTED, error,
                         "\"Regex\" is not known here (String is)");
    return get_pattern(d, pattern, "String", 1, out, error);
}

/* Room for one more; NULL with an error. */
static bpe_rule *add_rule(const json_document *d, const json_value *at, bpe_rule *rules, int *count,
                          carina_error *error) {
    if (*count < BPE_MAX_RULES) return &rules[(*count)++];
    json_fail(d, at, NULL, CARINA_ERROR_LIMIT, error, "more than %d steps", BPE_MAX_RULES);
    return NULL;
}

static carina_status get_replace(const json_document *d, const json_value *part, bpe_rule *rule, carina_error *error) {
    TRY(get_string_pattern(d, part, &rule->pattern, error));
    return get_pattern(d, part, "content", 0, &rule->content, error);
}

/* ---- the parts ---- */

static carina_status read_normalizer(bpe_settings *s, const json_document *d, const json_value *part,
                                     carina_error *error) {
    const char *type;
    TRY(json_get_text(d, part, "type", &type, error));
    if (strcmp(type, "Replace") == 0) {
        bpe_rule *rule = add_rule(d, part, s->rules, &s->rule_count, error);
        if (!rule) return CARINA_ERROR_LIMIT;
        return get_replace(d, part, rule, error);
    }
    if (strcmp(type, "Prepend") == 0) {
        bpe_rule *rule = add_rule(d, part, s->rules, &s->rule_count, error);
        if (!rule) return CARINA_ERROR_LIMIT;
        rule->prepend = true;
        return get_pattern(d, part, "prepend", 0, &rule->content, error);
    }
    if (strcmp(type, "Sequence") != 0) return unknown_kind(d, part, type, "Replace, Prepend and Sequence are", error);
    const json_value *steps;
    TRY(json_get_array(d, part, "normalizers", &steps, error));
    for (uint64_t i = 0; i < json_count(steps); i++) TRY(read_normalizer(s, d, json_item(steps, i), error));
    return CARINA_OK;
}

static carina_status read_pre_tokenizer(bpe_settings *s, const json_document *d, const json_value *part,
                                        carina_error *error) {
    static const struct {
        const char *name;
        bpe_split split;
    } behaviors[] = {{"Removed", BPE_SPLIT_REMOVED},
                     {"Isolated", BPE_SPLIT_ISOLATED},
                     {"MergedWithPrevious", BPE_SPLIT_PREVIOUS},
                     {"MergedWithNext", BPE_SPLIT_NEXT}};
    const char *type, *behavior;
    bool invert = false;
    TRY(json_get_text(d, part, "type", &type, error));
    if (strcmp(type, "Split") != 0) return unknown_kind(d, part, type, "Split is", error);
    TRY(get_string_pattern(d, part, &s->split_at, error));
    TRY(json_get_text(d, part, "behavior", &behavior, error));
    if (json_has(part, "invert")) TRY(json_get_truth(d, part, "invert", &invert, error));
    if (invert) return json_fail(d, part, "invert", CARINA_ERROR_UNSUPPORTED, error, "true is not known here");
    for (size_t i = 0; i < sizeof behaviors / sizeof *behaviors; i++)
        if (strcmp(behavior, behaviors[i].name) == 0) s->split = behaviors[i].split;
    if (s->split != BPE_SPLIT_NONE) return CARINA_OK;
    return json_fail(d, part, "behavior", CARINA_ERROR_UNSUPPORTED, error, "\"%.60s\" is not known here", behavior);
}

/* The ids of special token `name`, as post_processor.special_tokens has them. */
static carina_status add_specials(const json_document *d, const json_value *part, const char *name, int32_t *ids,
                                  int *count, carina_error *error) {
    const json_value *specials, *special, *list;
    TRY(json_get_object(d, part, "special_tokens", &specials, error));
    TRY(json_get_object(d, specials, name, &special, error));
    TRY(json_get_array(d, special, "ids", &list, error));
    for (uint64_t i = 0; i < json_count(list); i++) {
        int64_t id;
        if (!json_whole(json_item(list, i), &id) || id < 0 || id >= BPE_MAX_TOKENS)
            return json_fail(d, special, "ids", CARINA_ERROR_FORMAT, error, "[%llu] is no id", (unsigned long long)i);
        if (*count == BPE_MAX_SPECIALS)
            return json_fail(d, special, "ids", CARINA_ERROR_LIMIT, error, "more than %d special tokens in a row",
                             BPE_MAX_SPECIALS);
        ids[(*count)++] = (int32_t)id;
    }
    return CARINA_OK;
}

static carina_status read_post_processor(bpe_settings *s, const json_document *d, const json_value *part,
                                         carina_error *error) {
    const char *type, *name;
    const json_value *single, *token;
    bool behind = false;
    TRY(json_get_text(d, part, "type", &type, error));
    if (strcmp(type, "TemplateProcessing") != 0) return unknown_kind(d, part, type, "TemplateProcessing is", error);
    TRY(json_get_array(d, part, "single", &single, error));
    for (uint64_t i = 0; i < json_count(single); i++) {
        const json_value *item = json_item(single, i);
        if (json_has(item, "Sequence")) {
            if (behind) return json_fail(d, item, NULL, CARINA_ERROR_UNSUPPORTED, error, "the text stands there twice");
            behind = true;
            continue;
        }
        TRY(json_get_object(d, item, "SpecialToken", &token, error));
        TRY(json_get_text(d, token, "id", &name, error));
        TRY(add_specials(d, part, name, behind ? s->after : s->before, behind ? &s->after_count : &s->before_count,
                         error));
    }
    if (behind) return CARINA_OK;
    return json_fail(d, part, "single", CARINA_ERROR_FORMAT, error, "there is no place for the text in it");
}

static carina_status read_strip(bpe_settings *s, const json_document *d, const json_value *part, carina_error *error) {
    int64_t start, stop;
    TRY(get_pattern(d, part, "content", 1, &s->strip, error));
    TRY(json_get_whole(d, part, "start", 0, 1000, &start, error));
    TRY(json_get_whole(d, part, "stop", 0, 1000, &stop, error));
    if (stop) return json_fail(d, part, "stop", CARINA_ERROR_UNSUPPORTED, error, "only 0 is known here");
    s->strip_count = (int)start;
    return CARINA_OK;
}

/* *stage: how far the order Replace, ByteFallback, Fuse, Strip has come. */
static carina_status read_decoder(bpe_settings *s, const json_document *d, const json_value *part, int *stage,
                                  carina_error *error) {
    static const char *const order[] = {"Replace", "ByteFallback", "Fuse", "Strip"};
    const char *type;
    const json_value *steps;
    TRY(json_get_text(d, part, "type", &type, error));
    if (strcmp(type, "Sequence") == 0) {
        TRY(json_get_array(d, part, "decoders", &steps, error));
        for (uint64_t i = 0; i < json_count(steps); i++) TRY(read_decoder(s, d, json_item(steps, i), stage, error));
        return CARINA_OK;
    }
    int kind = 0;
    while (kind < 4 && strcmp(type, order[kind]) != 0) kind++;
    if (kind == 4) return unknown_kind(d, part, type, "Replace, ByteFallback, Fuse, Strip and Sequence are", error);
    if (kind < *stage || (kind == 3 && *stage < 2))
        return json_fail(d, part, "type", CARINA_ERROR_UNSUPPORTED, error,
                         "\"%s\" is known only in the order Replace, ByteFallback, Fuse, Strip", type);
    *stage = kind;
    s->decode_bytes |= kind == 1;
    if (kind == 3) return read_strip(s, d, part, error);
    if (kind > 0) return CARINA_OK;
    bpe_rule *rule = add_rule(d, part, s->decode, &s->decode_count, error);
    return rule ? get_replace(d, part, rule, error) : CARINA_ERROR_LIMIT;
}

static carina_status read_part(bpe_settings *s, bpe_part part, const json_document *d, carina_error *error) {
    int stage = 0;
    switch (part) {
        case BPE_PART_NORMALIZER: return read_normalizer(s, d, json_root(d), error);
        case BPE_PART_PRE_TOKENIZER: return read_pre_tokenizer(s, d, json_root(d), error);
        case BPE_PART_POST_PROCESSOR: return read_post_processor(s, d, json_root(d), error);
        case BPE_PART_DECODER: return read_decoder(s, d, json_root(d), &stage, error);
        case BPE_PART_COUNT: break;
    }
    return CARINA_OK;
}

carina_status bpe_settings_parse(bpe_settings *s, const char *name, carina_error *error) {
    for (int i = 0; i < BPE_PART_COUNT; i++) {
        const char *key = bpe_part_name((bpe_part)i);
        if (!s->parts[i] && i == BPE_PART_DECODER)
            return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: decoder: there is none", name);
        if (!s->parts[i]) continue;
        json_document *document;
        char *place;
        if (asprintf(&place, "%s: %s", name, key) < 0) return error_memory(error, name, strlen(name));
        carina_status status = json_parse(&document, place, s->parts[i], strlen(s->parts[i]), NULL, error);
        free(place);
        TRY(status);
        status = read_part(s, (bpe_part)i, document, error);
        json_free(document);
        TRY(status);
    }
    return CARINA_OK;
}
