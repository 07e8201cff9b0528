/* Grammars from options; see lm_grammar.h. */
#include "cli/lm_grammar.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/grammar_answers.h"
#include "text/grammar_schema.h"

enum { ANY, BOX, BOXES, TEXT_BOXES, YES_NO, LABEL, LABELS }; /* LM_GRAMMAR_ANSWERS */

const char *lm_grammar_check(const lm_grammar_values *v) {
    bool labels = v->answers == LABEL || v->answers == LABELS;
    if ((v->grammar != NULL) + (v->schema != NULL) + (v->answers != ANY) > 1)
        return "--grammar, --json-schema and --answers exclude each other";
    if (labels && v->labels.count == 0) return "--answers label and labels want --label TEXT for each of them";
    if (!labels && v->labels.count) return "--label is of --answers label or labels";
    return NULL;
}

static carina_status answers_text(char **out, const lm_grammar_values *v, carina_error *error) {
    const grammar_answers_box_options one = {.reference = GRAMMAR_REFERENCE_ALLOWED, .most = 1},
                                      several = {.reference = GRAMMAR_REFERENCE_ALLOWED,
                                                 .most = GRAMMAR_ANSWERS_MAX_BOXES},
                                      in_text = {.reference = GRAMMAR_REFERENCE_ALLOWED, .in_text = true};
    switch (v->answers) {
        case BOX: return grammar_answers_boxes(out, &one, error);
        case BOXES: return grammar_answers_boxes(out, &several, error);
        case TEXT_BOXES: return grammar_answers_boxes(out, &in_text, error);
        case YES_NO: return grammar_answers_yes_no(out, error);
        case LABEL: return grammar_answers_label(out, v->labels.items, v->labels.count, error);
        default: return grammar_answers_labels(out, v->labels.items, v->labels.count, NULL, error);
    }
}

static carina_status schema_text(char **out, const char *path, carina_error *error) {
    uint8_t *json;
    uint64_t size;
    TRY(file_read(path, GRAMMAR_SCHEMA_MAX_BYTES, &json, &size, error));
    carina_status status = grammar_schema_text(out, path, json, size, error);
    free(json);
    return status;
}

static carina_status parse(grammar **out, const char *name, char *text, carina_error *error) {
    carina_status status = grammar_parse(out, name, text, strlen(text), error);
    free(text);
    return status;
}

carina_status lm_grammar_make(grammar **out, const lm_grammar_values *v, carina_error *error) {
    char *text;
    uint8_t *bytes;
    uint64_t size;
    *out = NULL;
    if (v->grammar) {
        TRY(file_read(v->grammar, GRAMMAR_MAX_BYTES, &bytes, &size, error));
        carina_status status = grammar_parse(out, v->grammar, bytes, size, error);
        free(bytes);
        return status;
    }
    if (v->schema) {
        TRY(schema_text(&text, v->schema, error));
        return parse(out, v->schema, text, error);
    }
    if (v->answers == ANY) return CARINA_OK;
    TRY(answers_text(&text, v, error));
    return parse(out, "--answers", text, error);
}
