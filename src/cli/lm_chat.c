/* carina lm chat: a conversation with a language model, on a terminal or line by line from a pipe. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/lm_answers.h"
#include "cli/lm_options.h"
#include "cli/output.h"
#include "cli/standard_output.h"
#include "cli/text_lines.h"
#include "model/gemma3_session_file.h"
#include "pipeline/conversation_file.h"
#include "pipeline/language_model_files.h"

typedef struct lm_chat_values {
    lm_values lm;
    const char *system, *template_file, *session;
    bool json;
} lm_chat_values;

static const lm_chat_values defaults = {.lm = LM_DEFAULTS};
static const option options[] = {
    LM_MODEL_OPTIONS(lm_chat_values),
    {"system", 0, OPTION_TEXT, "TEXT", "what the model is told before the conversation",
     offsetof(lm_chat_values, system), 0, 0},
    {"template", 0, OPTION_FILE, "FILE", "chat template, Jinja (default: the model's own, else Gemma's)",
     offsetof(lm_chat_values, template_file), 0, 0},
    {"session", 0, OPTION_FILE, "FILE", "go on with the conversation in this file, and keep it there at the end",
     offsetof(lm_chat_values, session), 0, 0},
    LM_TEXT_OPTIONS(lm_chat_values),
    {"context", 'c', OPTION_INTEGER, "N",
     "tokens of the whole conversation (default 8192, or what the model was trained for)",
     offsetof(lm_chat_values, lm.context), 2, 1 << 24},
    {"json", 0, OPTION_FLAG, NULL, "print one JSON object a line for each answer", offsetof(lm_chat_values, json), 0,
     0},
    {0},
};

typedef struct chat_run {
    const lm_chat_values *v;
    lm_engine engine;
    chat_template *template_of;
    generator *generator;
    conversation *talk;
    uint64_t fingerprint; /* of the model, with --session */
    char *system;         /* what a new conversation begins with; NULL: nothing */
    text_lines lines;
    char *turn; /* the user's, of one line or several */
    size_t turn_size;
    int turns;
    bool terminal, failed;
} chat_run;

/* ---- opening ---- */

static carina_status read_template_file(chat_template **out, const char *path, carina_error *error) {
    uint8_t *data;
    uint64_t size;
    TRY(file_read(path, 1 << 20, &data, &size, error));
    carina_status status = chat_template_parse(out, path, data, size, error);
    free(data);
    return status;
}

static carina_status open_template(chat_run *r, carina_error *error) {
    if (r->v->template_file) return read_template_file(&r->template_of, r->v->template_file, error);
    TRY(language_model_read_template(&r->template_of, r->v->lm.model, r->v->lm.tokenizer, error));
    return r->template_of ? CARINA_OK : chat_template_gemma(&r->template_of, error);
}

/* What the system's words are in the conversation that was read: --system may not say others. */
static carina_status take_system(chat_run *r, carina_error *error) {
    const chat_message *first = conversation_messages(r->talk);
    const char *found = conversation_count(r->talk) && strcmp(first->role, "system") == 0 ? first->content : NULL;
    if (r->v->system && (!found || strcmp(found, r->v->system) != 0))
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: its conversation began with %s; leave --system out",
                         r->v->session, found ? "another --system" : "no --system");
    if (!found) return CARINA_OK;
    free(r->system);
    r->system = strdup(found);
    return r->system ? CARINA_OK : error_memory(error, "a message", strlen(found));
}

static carina_status open_session(chat_run *r, carina_error *error) {
    const char *path = r->v->session;
    int64_t known;
    r->fingerprint = gemma3_fingerprint(r->engine.model->model);
    if (!file_exists(path)) return CARINA_OK;
    TRY(conversation_file_read(r->talk, path, r->fingerprint, r->engine.adapter, &known, error));
    TRY(take_system(r, error));
    fprintf(stderr, "%s: %d messages, %lld tokens known\n", path, conversation_count(r->talk), (long long)known);
    return CARINA_OK;
}

static int64_t default_context(const lm_engine *e) {
    int64_t longest = e->model->model->config.positions;
    return longest < 8192 ? longest : 8192;
}

static carina_status set_up(chat_run *r, carina_error *error) {
    const output_file session = {.option = "--session", .path = r->v->session, .kind = OUTPUT_SESSION};
    generator_options o = generator_defaults();
    /* Nothing but a session is replaced: no file that this command reads is one. */
    if (r->v->session) TRY(output_check(&session, 1, &(output_reading){0}, error));
    if (r->v->system && !(r->system = strdup(r->v->system)))
        return error_memory(error, "a message", strlen(r->v->system));
    TRY(lm_engine_open(&r->engine, &r->v->lm, error));
    TRY(open_template(r, error));
    o.pool = r->engine.pool;
    o.goes_on = lm_goes_on;
    o.context = r->v->lm.context ? r->v->lm.context : default_context(&r->engine);
    lm_warn(&r->engine, o.context);
    o.sequences = 1;
    o.kept = 1;
    TRY(generator_create(&r->generator, r->engine.model, &o, error));
    TRY(conversation_create(&r->talk, r->engine.model, r->generator, r->template_of, error));
    TRY(conversation_reset(r->talk, r->system, error));
    return r->v->session ? open_session(r, error) : CARINA_OK;
}

static void tear_down(chat_run *r) {
    conversation_free(r->talk);
    generator_free(r->generator);
    chat_template_free(r->template_of);
    lm_engine_close(&r->engine);
    text_lines_free(&r->lines);
    free(r->system);
    free(r->turn);
}

/* ---- turns ---- */

/* A turn that did not come about; the conversation goes on. */
static void complain(chat_run *r, const carina_error *error) {
    command_fail(error);
    r->failed = true;
}

static carina_status answer(chat_run *r, carina_error *error) {
    generate_request request = lm_request(&r->engine, &r->v->lm);
    generate_result result;
    carina_error own = {0};
    lm_answers answers;
    TRY(lm_answers_make(&answers, r->engine.model, 1, r->v->json, -1, error));
    answers.first = r->turns++;
    lm_answers_attach(&answers, 0, &request);
    carina_status status = conversation_answer(r->talk, r->turn, &request, &result, &own);
    r->failed |= answers.failed;
    if (status != CARINA_OK) complain(r, &own);
    if (result.end == GENERATE_CANCELLED && !standard_output_lost()) fputs("stopped\n", stderr);
    if (status == CARINA_OK && answers.error.message[0]) complain(r, &answers.error);
    lm_answers_free(&answers);
    if (progress_interrupted() && !progress_forget_interrupt())
        return error_set(error, CARINA_ERROR_CANCELLED, "interrupted");
    return CARINA_OK;
}

/* The folder that a file is in; the chat template is looked for beside a tokenizer.json. NULL: no memory, or no file.
 * Malloc'ed. */
static char *folder_of(const char *path) {
    char *folder = path ? strdup(path) : NULL, *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) {
        slash[slash == folder] = 0;
        return folder;
    }
    free(folder);
    return path ? strdup(".") : NULL;
}

static void save(chat_run *r, const char *path) {
    const output_file file = {.option = "/save", .path = path, .kind = OUTPUT_CONVERSATION};
    const lm_chat_values *v = r->v;
    char *beside = folder_of(v->lm.tokenizer);
    const char *const reading[] = {v->lm.tokenizer, v->template_file, v->lm.model, v->lm.adapter, beside, v->session};
    const output_reading read = {.paths = reading, .path_count = sizeof reading / sizeof *reading};
    carina_error error = {0};
    carina_status status = output_check(&file, 1, &read, &error);
    free(beside);
    if (status != CARINA_OK || conversation_save(r->talk, path, &error) != CARINA_OK)
        complain(r, &error);
    else
        fprintf(stderr, "%s: %d messages\n", path, conversation_count(r->talk));
}

static void save_session(chat_run *r) {
    carina_error error = {0};
    if (conversation_file_write(r->talk, r->v->session, r->fingerprint, &error) != CARINA_OK)
        complain(r, &error);
    else
        fprintf(stderr, "%s: %d messages\n", r->v->session, conversation_count(r->talk));
}

/* A line that begins with a stroke. False: the conversation is over. */
static bool obey(chat_run *r, const char *line, carina_error *error) {
    if (strcmp(line, "/quit") == 0) return false;
    if (strcmp(line, "/reset") == 0) {
        if (conversation_reset(r->talk, r->system, error) != CARINA_OK) complain(r, error);
    } else if (strncmp(line, "/save ", 6) == 0 && line[6]) {
        save(r, line + 6);
    } else {
        error_set(error, CARINA_ERROR_ARGUMENT, "'%.40s': /reset, /save FILE and /quit are known", line);
        complain(r, error);
    }
    return true;
}

/* The next turn into r->turn; a line that ends with a backslash goes on with the next. *more false: the input has
 * ended. An interrupt takes back what was begun, and gives an empty turn unless a whole line has come behind it. */
static carina_status next_turn(chat_run *r, bool *more, carina_error *error) {
    r->turn_size = 0;
    for (bool goes_on = true; goes_on;) {
        if (r->terminal) fputs(r->turn_size ? "... " : "> ", stderr);
        carina_status status = text_lines_next(&r->lines, more, error);
        if (progress_interrupted()) {
            bool line = status == CARINA_OK && *more;
            r->turn_size = 0;
            if (!progress_forget_interrupt()) return error_set(error, CARINA_ERROR_CANCELLED, "interrupted");
            if (!line) {
                clearerr(stdin);
                *more = true;
                if (r->terminal) fputs("\n/quit ends the conversation\n", stderr);
                return CARINA_OK;
            }
        }
        TRY(status);
        if (!*more) return CARINA_OK;
        uint64_t size = r->lines.size;
        goes_on = size && r->lines.line[size - 1] == '\\';
        if (r->turn_size + size > TEXT_LINES_MAX)
            return error_set(error, CARINA_ERROR_LIMIT, "a turn of more than %u bytes", TEXT_LINES_MAX);
        char *grown = realloc(r->turn, r->turn_size + (size_t)size + 1);
        if (!grown) return error_memory(error, "a turn", r->turn_size + size);
        r->turn = grown;
        if (size) memcpy(r->turn + r->turn_size, r->lines.line, (size_t)size);
        r->turn_size += (size_t)size;
        if (goes_on) r->turn[r->turn_size - 1] = '\n';
        r->turn[r->turn_size] = 0;
    }
    return CARINA_OK;
}

static carina_status talk(chat_run *r, carina_error *error) {
    carina_error own = {0};
    for (bool more = true;;) {
        TRY(next_turn(r, &more, error));
        if (!more) break;
        if (r->turn_size == 0) continue;
        if (memchr(r->turn, 0, r->turn_size)) {
            error_set(&own, CARINA_ERROR_FORMAT, "a turn with a NUL in it");
            complain(r, &own);
        } else if (r->turn[0] == '/') {
            if (!obey(r, r->turn, &own)) break;
        } else {
            TRY(answer(r, error));
            if (standard_output_lost()) break; /* the program's end says so */
        }
    }
    if (r->terminal) fputc('\n', stderr);
    return CARINA_OK;
}

static int run(const void *values, int count, char *const *arguments) {
    (void)count, (void)arguments;
    chat_run r = {.v = values, .lines = {.stream = stdin}, .terminal = isatty(STDIN_FILENO) == 1};
    carina_error error = {0};
    if (!r.v->lm.model) return command_usage("lm chat: --model is required");
    carina_status status = set_up(&r, &error);
    progress_catch_requests();
    if (status == CARINA_OK && r.terminal) fputs("/reset, /save FILE, /quit; Ctrl-C stops an answer\n", stderr);
    if (status == CARINA_OK) {
        status = talk(&r, &error);
        if (r.v->session) save_session(&r); /* of an interrupted one too */
    }
    bool failed = r.failed;
    tear_down(&r);
    if (status != CARINA_OK) return command_fail(&error);
    return failed ? COMMAND_FAILED : COMMAND_OK;
}

const command command_lm_chat = {
    .name = "lm chat",
    .summary = "talk with a language model",
    .arguments = "",
    .description =
        "Each line is a turn, and its answer is printed as it comes. A line that ends with a backslash goes on with "
        "the "
        "next.\n"
        "The conversation is written as the model's own chat template has it (chat_template.jinja,\n"
        "tokenizer_config.json, or in the GGUF file); what was read in earlier turns is not read again. Ctrl-C stops "
        "an answer, which then\n"
        "counts as far as it came (while a long turn is read, after the present chunk of it).\n"
        "\n"
        "    /reset      begin a new conversation\n"
        "    /save FILE  write it as JSON: messages with role and content; replaces no other JSON\n"
        "    /quit       the end, as is the end of the input\n"
        "\n"
        "With --session the conversation goes on in a later run where it ended: the file keeps its messages and what\n"
        "the model has read of them (keys and values, some megabytes to gigabytes), and is replaced at the end, also\n"
        "after an interrupt. It fits the model, its precision and the adapter that it was made with; with another\n"
        "--context its messages are read again.\n"
        "\n"
        "Lines can come from a pipe too. --json prints an object a line for each answer, as lm generate does; prompt "
        "is\n"
        "the turn's number. A turn that could not be answered is no part of the conversation, and makes the exit "
        "status "
        "1.\n",
    .examples =
        "carina lm chat -m medgemma-4b -w q4\n"
        "carina lm chat -m medgemma-q4.gguf --session talk.session\n"
        "printf 'What is a carina?\\nWhere is it?\\n' | carina lm chat -m gemma.gguf --tokenizer tokenizer.json "
        "--json\n",
    .options = options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 0,
    .most = 0,
    .run = run,
};
