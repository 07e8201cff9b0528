/* A strict subset of Jinja 3: the language in which Hugging Face tokenizers write down how a conversation becomes text.
 *
 * What is here means what it means in Python's jinja2, with the settings of Hugging Face's library (trim_blocks and
 * lstrip_blocks on, undefined names allowed, no escaping of HTML); everything else is an error with line and column.
 *   statements   if/elif/else, for (one name or two, filtered with `if`, with else), set of a name or of a namespace's
 *                attribute, comments, {%- -%} {%+ +%}
 *   expressions  texts, whole numbers, true, false, none, lists, dictionaries with texts as keys; and, or, not,
 *                x if y else z, == != < <= > >=, in, + - * // % ~, x.name, x[i], x[i:j:k], is TEST, | FILTER
 *   loop         first, last, index, index0, revindex, revindex0, length, previtem, nextitem
 *   functions    raise_exception(text), namespace(name=value, ...)
 *   filters, tests, methods: the tables in text/jinja_filters.c
 * Refused, because Python has an answer that nobody's template wants: fractions, lists printed as Python shows them,
 * cases of letters beyond ASCII, generators used as if they were lists (`| list` makes one).
 *
 * Facts: https://jinja.palletsprojects.com/en/3.1.x/templates, and what tools/make_chat_template_fixture.py measured.
 * A template comes from outside: its size, its depth, the steps it takes and the memory it uses are bounded below.
 */
#ifndef TEXT_JINJA_H
#define TEXT_JINJA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define JINJA_MAX_BYTES  (256u << 10)
#define JINJA_MAX_DEPTH  128         /* of blocks and of expressions */
#define JINJA_MAX_STEPS  (1u << 22)  /* expressions evaluated, iterations, stretches of 64 bytes looked at */
#define JINJA_MAX_MEMORY (64u << 20) /* bytes of values made while it runs; texts that come in are not copied */
#define JINJA_MAX_OUTPUT (16u << 20) /* bytes */

/* A parsed template; constant, may be shared by threads. */
typedef struct jinja jinja;

/* name is for messages ("name:line:column: ..."). data is copied. Not UTF-8, not the language: CARINA_ERROR_FORMAT; of
 * the language but not of the subset: CARINA_ERROR_UNSUPPORTED. */
carina_status jinja_parse(jinja **out, const char *name, const void *data, uint64_t size, carina_error *error);
void jinja_free(jinja *t); /* accepts NULL */

/* ---- values ---- */

typedef enum jinja_kind {
    JINJA_UNDEFINED, /* what a name stands for that nobody has set; `text` is that name */
    JINJA_NONE,
    JINJA_TRUTH,
    JINJA_WHOLE,
    JINJA_TEXT,
    JINJA_LIST,
    JINJA_STREAM, /* a list that may only be gone through: Python's generators and views */
    JINJA_DICT,
    JINJA_NAMESPACE,
    JINJA_LOOP
} jinja_kind;

typedef struct jinja_text {
    const char *data; /* UTF-8, borrowed, not NUL-terminated */
    uint64_t size;
} jinja_text;

typedef struct jinja_value {
    jinja_kind kind;
    union {
        bool truth;
        int64_t whole;
        jinja_text text;
        struct jinja_list *list;
        struct jinja_dict *dict; /* also of a namespace */
        struct jinja_loop *loop;
    };
} jinja_value;

/* ---- a run ---- */

/* One rendering: the values that the template sees, and all that it makes. */
typedef struct jinja_run jinja_run;

/* error is kept by the run, for all calls. */
carina_status jinja_run_create(jinja_run **out, const jinja *t, carina_error *error);
void jinja_run_free(jinja_run *r); /* accepts NULL; every value of the run goes with it */

/* Building values. Texts must outlive the run, unless they are not UTF-8: then a mended copy is kept. */
carina_status jinja_run_text(jinja_run *r, const char *text, jinja_value *out);
carina_status jinja_run_list(jinja_run *r, uint64_t count, jinja_value *out); /* of none */
jinja_value *jinja_run_item(jinja_value *list, uint64_t index);
carina_status jinja_run_dict(jinja_run *r, jinja_value *out);
carina_status jinja_run_put(jinja_run *r, jinja_value *dict, const char *key, jinja_value value);

/* A name that the template sees. */
carina_status jinja_run_set(jinja_run *r, const char *name, jinja_value value);

/* Once for each run. *text is malloc'ed UTF-8, NUL-terminated; size without the NUL. What the template raises by
 * raise_exception is CARINA_ERROR_ARGUMENT with its words. */
carina_status jinja_run_render(jinja_run *r, char **text, uint64_t *size);

#endif
