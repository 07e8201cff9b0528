/* What `carina lm generate` holds answers to: --grammar, --json-schema or --answers. */
#ifndef CLI_LM_GRAMMAR_H
#define CLI_LM_GRAMMAR_H

#include "cli/options.h"
#include "text/grammar.h"

typedef struct lm_grammar_values {
    const char *grammar, *schema; /* files */
    int answers;
    option_list labels;
} lm_grammar_values;

#define LM_GRAMMAR_ANSWERS "any|box|boxes|text-boxes|yes-no|label|labels"

/* Entries of an option table whose structure has a member `held` of this type. */
#define LM_GRAMMAR_OPTIONS(type)                                                                                   \
    {"grammar", 0, OPTION_FILE, "FILE", "answers are what this grammar (GBNF) says", offsetof(type, held.grammar), \
     0,         0},                                                                                                \
        {"json-schema",                                                                                            \
         0,                                                                                                        \
         OPTION_FILE,                                                                                              \
         "FILE",                                                                                                   \
         "answers are JSON that this schema accepts",                                                              \
         offsetof(type, held.schema),                                                                              \
         0,                                                                                                        \
         0},                                                                                                       \
        {"answers", 0, OPTION_CHOICE, LM_GRAMMAR_ANSWERS, "answers of a known form", offsetof(type, held.answers), \
         0,         0},                                                                                            \
    {                                                                                                              \
        "label", 0, OPTION_LIST, "TEXT", "a label of --answers label or labels; to be given again",                \
            offsetof(type, held.labels), 0, 0                                                                      \
    }

/* NULL, or what makes no sense together: a usage error. */
const char *lm_grammar_check(const lm_grammar_values *v);
/* *out: NULL when answers are free. */
carina_status lm_grammar_make(grammar **out, const lm_grammar_values *v, carina_error *error);

#endif
