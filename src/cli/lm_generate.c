/* carina lm generate: prompts in, a language model's answers out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/lm_answers.h"
#include "cli/lm_grammar.h"
#include "cli/lm_options.h"
#include "cli/text_lines.h"
#include "cli/text_whole.h"

#define MAX_PROMPTS 100000
#define MAX_CONTEXT (1 << 24)

typedef struct lm_generate_values {
    lm_values lm;
    lm_grammar_values held;
    option_list prompts;
    const char *prompt_file;
    int64_t batch, logprobs;
    bool raw, json;
} lm_generate_values;

static const lm_generate_values defaults = {.lm = LM_DEFAULTS, .batch = 8, .logprobs = -1};
static const option options[] = {
    LM_MODEL_OPTIONS(lm_generate_values),
    {"prompt", 'p', OPTION_LIST, "TEXT", "what is to be continued; -: standard input; may be given again",
     offsetof(lm_generate_values, prompts), 0, 0},
    {"prompts", 'f', OPTION_FILE, "FILE", "a prompt a line", offsetof(lm_generate_values, prompt_file), 0, 0},
    {"raw", 0, OPTION_FLAG, NULL, "put nothing in front of prompts (no <bos>)", offsetof(lm_generate_values, raw), 0,
     0},
    LM_TEXT_OPTIONS(lm_generate_values),
    {"context", 'c', OPTION_INTEGER, "N", "tokens of a prompt and its answer (default: what is needed)",
     offsetof(lm_generate_values, lm.context), 2, MAX_CONTEXT},
    LM_GRAMMAR_OPTIONS(lm_generate_values),
    {"batch", 'b', OPTION_INTEGER, "N", "prompts at once (default 8)", offsetof(lm_generate_values, batch), 1,
     GENERATE_MAX_SEQUENCES},
    {"logprobs", 0, OPTION_INTEGER, "N", "in JSON: each token's log-probability, and the N likeliest's",
     offsetof(lm_generate_values, logprobs), 0, SAMPLER_MAX_ALTERNATIVES},
    {"json", 0, OPTION_FLAG, NULL, "print one JSON object a line for each prompt", offsetof(lm_generate_values, json),
     0, 0},
    {0},
};

/* ---- prompts ---- */

typedef struct prompt {
    generate_row *rows; /* owned */
    int64_t count;
} prompt;

typedef struct generate_run {
    const lm_generate_values *v;
    lm_engine engine;
    grammar *held;
    prompt *prompts;
    int count, room;
    generator *generator;
    generate_request *requests;
    generate_result *results;
    lm_answers answers;
} generate_run;

static carina_status add_prompt(generate_run *r, const char *text, uint64_t size, carina_error *error) {
    if (size == 0) return error_set(error, CARINA_ERROR_ARGUMENT, "an empty prompt");
    if (r->count == MAX_PROMPTS) return error_set(error, CARINA_ERROR_LIMIT, "more than %d prompts", MAX_PROMPTS);
    if (r->count == r->room) {
        int room = r->room ? 2 * r->room : 16;
        prompt *grown = realloc(r->prompts, (size_t)room * sizeof *grown);
        if (!grown) return error_memory(error, "prompts", (uint64_t)room * sizeof *grown);
        r->prompts = grown;
        r->room = room;
    }
    prompt *p = &r->prompts[r->count];
    TRY(generate_encode(r->engine.encoder, text, size, !r->v->raw, &p->rows, &p->count, error));
    r->count++;
    return CARINA_OK;
}

/* All of it is one prompt, but for the line break at its end. */
static carina_status add_standard_input(generate_run *r, carina_error *error) {
    char *text;
    uint64_t size;
    TRY(text_whole_read_stream(&text, &size, stdin, "standard input", BPE_MAX_TEXT, error));
    if (size && text[size - 1] == '\n') size--;
    carina_status status = add_prompt(r, text, size, error);
    free(text);
    return status == CARINA_OK ? status : error_prefix(error, "standard input");
}

static carina_status add_file(generate_run *r, const char *path, carina_error *error) {
    FILE *stream = fopen(path, "r");
    if (!stream) return error_errno(error, "%s: cannot open", path);
    text_lines lines = {.stream = stream, .name = path};
    carina_status status = CARINA_OK;
    for (bool more = true; status == CARINA_OK;) {
        status = text_lines_next(&lines, &more, error);
        if (status != CARINA_OK || !more) break;
        if (add_prompt(r, lines.line, lines.size, error) != CARINA_OK)
            status = error_prefix(error, "%s: line %llu", path, (unsigned long long)lines.number);
    }
    text_lines_free(&lines);
    fclose(stream);
    return status;
}

static carina_status read_prompts(generate_run *r, carina_error *error) {
    const lm_generate_values *v = r->v;
    for (int i = 0; i < v->prompts.count; i++) {
        const char *text = v->prompts.items[i];
        if (strcmp(text, "-") == 0)
            TRY(add_standard_input(r, error));
        else if (add_prompt(r, text, strlen(text), error) != CARINA_OK)
            return error_prefix(error, "--prompt");
    }
    if (v->prompt_file) TRY(add_file(r, v->prompt_file, error));
    return r->count ? CARINA_OK : error_set(error, CARINA_ERROR_ARGUMENT, "%s: no prompt", v->prompt_file);
}

/* ---- answers ---- */

static int64_t longest_prompt(const generate_run *r) {
    int64_t longest = 0;
    for (int i = 0; i < r->count; i++)
        if (r->prompts[i].count > longest) longest = r->prompts[i].count;
    return longest;
}

static int64_t needed_context(const generate_run *r) {
    int64_t longest = longest_prompt(r) + r->v->lm.max_tokens;
    return longest < 2 ? 2 : longest > MAX_CONTEXT ? MAX_CONTEXT : longest;
}

static carina_status set_up(generate_run *r, carina_error *error) {
    generator_options o = generator_defaults();
    o.pool = r->engine.pool;
    o.goes_on = lm_goes_on;
    o.context = r->v->lm.context ? r->v->lm.context : needed_context(r);
    lm_warn(&r->engine, r->v->lm.context ? r->v->lm.context : longest_prompt(r)); /* answers mostly end before -n */
    o.sequences = r->count < r->v->batch ? r->count : (int)r->v->batch;
    r->requests = calloc((size_t)r->count, sizeof *r->requests);
    r->results = calloc((size_t)r->count, sizeof *r->results);
    if (!r->requests || !r->results) return error_memory(error, "prompts", (uint64_t)r->count * sizeof *r->requests);
    TRY(lm_answers_make(&r->answers, r->engine.model, r->count, r->v->json, r->v->logprobs, error));
    for (int i = 0; i < r->count; i++) {
        generate_request *q = &r->requests[i];
        *q = lm_request(&r->engine, &r->v->lm);
        q->prompt = r->prompts[i].rows;
        q->prompt_count = r->prompts[i].count;
        q->grammar = r->held;
        lm_answers_attach(&r->answers, i, q);
    }
    return generator_create(&r->generator, r->engine.model, &o, error);
}

static carina_status generate(generate_run *r, carina_error *error) {
    TRY(lm_grammar_make(&r->held, &r->v->held, error));
    TRY(lm_engine_open(&r->engine, &r->v->lm, error));
    TRY(read_prompts(r, error));
    TRY(set_up(r, error));
    TRY(generator_run(r->generator, r->requests, r->count, r->results, error));
    if (progress_interrupted()) return error_set(error, CARINA_ERROR_CANCELLED, "interrupted");
    if (r->answers.error.message[0]) {
        *error = r->answers.error;
        return error->status;
    }
    return CARINA_OK;
}

static void tear_down(generate_run *r) {
    generator_free(r->generator);
    lm_answers_free(&r->answers);
    for (int i = 0; i < r->count; i++) free(r->prompts[i].rows);
    free(r->prompts);
    free(r->requests);
    free(r->results);
    grammar_free(r->held);
    lm_engine_close(&r->engine);
}

static int run(const void *values, int count, char *const *arguments) {
    (void)count, (void)arguments;
    generate_run r = {.v = values};
    carina_error error = {0};
    const char *wrong = lm_grammar_check(&r.v->held);
    if (!r.v->lm.model) return command_usage("lm generate: --model is required");
    if (!r.v->prompts.count && !r.v->prompt_file)
        return command_usage("lm generate: --prompt or --prompts is required");
    if (wrong) return command_usage("lm generate: %s", wrong);
    if (r.v->logprobs >= 0 && !r.v->json) return command_usage("lm generate: --logprobs wants --json");
    progress_catch_interrupts();
    carina_status status = generate(&r, &error);
    bool failed = r.answers.failed;
    tear_down(&r);
    if (status != CARINA_OK) return command_fail(&error);
    return failed ? COMMAND_FAILED : COMMAND_OK;
}

const command command_lm_generate = {
    .name = "lm generate",
    .summary = "continue prompts with a language model",
    .arguments = "",
    .description =
        "Reads a Gemma 3 and prints what it continues each prompt with, as it comes. Prompts are taken as they are, "
        "with\n"
        "<bos> in front; a model that was taught turns wants them written out, or carina lm chat. Several prompts are\n"
        "answered at once and printed in their order, each behind a line \"== N ==\"; what they begin with in common "
        "is\n"
        "read once. An answer is the same alone and in a batch, and for any number of threads.\n"
        "\n"
        "Answers can be held to a grammar, a JSON schema, or one of these forms: box, boxes and text-boxes\n"
        "(<box>(x1,y1),(x2,y2)</box>: one, several, among text), yes-no, label and labels (of those given by "
        "--label).\n"
        "\n"
        "--json prints an object a line:\n"
        "\n"
        "    prompt         its number, from 1\n"
        "    text           the answer\n"
        "    ended          end, stop, max_tokens, context, cancelled or failed\n"
        "    stop           after stop: the number of the --stop that ended it, from 1\n"
        "    error          after failed: why\n"
        "    tokens         ids of all that was drawn\n"
        "    logprobs       with --logprobs: of each token {id, token, logprob, top}; top: the N likeliest as\n"
        "                   {id, token, logprob}, the likeliest first; none with --logprobs 0\n"
        "    prompt_tokens, reused_tokens       the prompt's, and of them those that were not read again\n"
        "    first_token_s, tokens_per_s        seconds to the first token, then tokens a second\n"
        "\n"
        "Log-probabilities are the model's own, before temperature and grammar; token is the piece as the tokenizer\n"
        "writes it.\n"
        "\n"
        "An answer that the context cuts off, and a prompt that cannot be answered, make the exit status 1.\n",
    .examples =
        "carina lm generate -m gemma-3-1b -w q8 -p 'The heart is' -n 20\n"
        "carina lm generate -m gemma.gguf -f questions.txt --answers yes-no --json\n"
        "carina lm generate -m gemma-3-1b -w q8 --lora adapter -p 'The heart is'\n"
        "cat report.txt | carina lm generate -m gemma-3-1b -p - --temperature 0.7 --top-p 0.95 --seed 1\n",
    .options = options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 0,
    .most = 0,
    .run = run,
};
