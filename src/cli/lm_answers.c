/* Answers to standard output; see lm_answers.h. */
#include "cli/lm_answers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cursor.h"
#include "cli/command.h"
#include "cli/standard_output.h"
#include "cli/terminal_text.h"
#include "format/json_writer.h"

/* ---- making ---- */

carina_status lm_answers_make(lm_answers *out, const language_model *model, int count, bool json, int64_t logprobs,
                              carina_error *error) {
    *out = (lm_answers){.model = model,
                        .json = json,
                        .terminal = isatty(STDOUT_FILENO) == 1,
                        .with_probabilities = logprobs >= 0,
                        .alternatives = logprobs > 0 ? (int)logprobs : 0,
                        .count = count};
    out->items = calloc((size_t)count, sizeof *out->items);
    if (!out->items) return error_memory(error, "answers", (uint64_t)count * sizeof *out->items);
    for (int i = 0; i < count; i++) out->items[i] = (lm_answer){.all = out, .index = i};
    return CARINA_OK;
}

static void clear(lm_answer *a) {
    free(a->text);
    free(a->tokens);
    free(a->alternatives);
    free(a->alternative_counts);
    a->text = NULL;
    a->tokens = NULL;
    a->alternatives = NULL;
    a->alternative_counts = NULL;
}

void lm_answers_free(lm_answers *a) {
    for (int i = 0; a->items && i < a->count; i++) clear(&a->items[i]);
    free(a->items);
    *a = (lm_answers){0};
}

/* ---- showing ---- */

static void put_token(json_writer *w, const lm_answers *all, int id, float log_probability) {
    uint64_t size = 0;
    const char *text = bpe_token(all->model->tokenizer, id, &size);
    json_begin_inline(w, true);
    json_field_whole(w, "id", id);
    json_key(w, "token");
    json_put_bytes(w, text ? text : "", size);
    json_key(w, "logprob");
    json_put_f32(w, log_probability);
}

static void put_probabilities(json_writer *w, const lm_answer *a) {
    const lm_answers *all = a->all;
    json_key(w, "logprobs");
    json_begin_array(w);
    for (uint64_t i = 0; i < a->token_count; i++) {
        put_token(w, all, a->tokens[i].id, a->tokens[i].log_probability);
        if (all->alternatives) {
            json_key(w, "top");
            json_begin_array(w);
            for (int k = 0; k < a->alternative_counts[i]; k++) {
                const sampler_choice *c = &a->alternatives[i * (uint64_t)all->alternatives + (uint64_t)k];
                put_token(w, all, c->token, c->log_probability);
                json_end(w);
            }
            json_end(w);
        }
        json_end(w);
    }
    json_end(w);
}

static double tokens_per_second(const generate_result *r) {
    double seconds = r->ended - r->first;
    return r->tokens > 1 && seconds > 0 ? (double)(r->tokens - 1) / seconds : 0;
}

static void print_json(const lm_answer *a) {
    const generate_result *r = &a->result;
    json_writer w = json_writer_make(stdout, JSON_ONE_LINE);
    json_begin_object(&w);
    json_field_whole(&w, "prompt", a->all->first + a->index + 1);
    json_key(&w, "text");
    json_put_bytes(&w, a->text ? a->text : "", a->size);
    json_field_text(&w, "ended", generate_end_name(r->end));
    if (r->end == GENERATE_STOP_STRING) json_field_whole(&w, "stop", r->stop + 1);
    if (r->end == GENERATE_FAILED) json_field_text(&w, "error", r->error.message);
    json_key(&w, "tokens");
    json_begin_array(&w);
    for (uint64_t i = 0; i < a->token_count; i++) json_put_whole(&w, a->tokens[i].id);
    json_end(&w);
    if (a->all->with_probabilities) put_probabilities(&w, a);
    json_field_whole(&w, "prompt_tokens", r->prompt_tokens);
    json_field_whole(&w, "reused_tokens", r->reused);
    json_key(&w, "first_token_s");
    json_put_fixed(&w, r->tokens ? r->first - r->started : 0, 6);
    json_key(&w, "tokens_per_s");
    json_put_fixed(&w, tokens_per_second(r), 3);
    json_end(&w);
}

static void show_text(lm_answer *a) {
    if (a->all->json || a->index != a->all->current) return;
    if (a->shown == 0 && a->all->count > 1) printf("== %d ==\n", a->index + 1);
    if (a->size > a->shown && a->all->terminal)
        terminal_text_write(stdout, a->text + a->shown, a->size - a->shown);
    else if (a->size > a->shown)
        fwrite(a->text + a->shown, 1, (size_t)(a->size - a->shown), stdout);
    a->shown = a->size;
    standard_output_flush();
}

static void note_failure(lm_answer *a) {
    const generate_result *r = &a->result;
    if (r->end != GENERATE_FAILED && r->end != GENERATE_CONTEXT) return;
    a->all->failed = true;
    standard_output_flush();
    fprintf(stderr, "carina: prompt %d: %s\n", a->all->first + a->index + 1,
            r->end == GENERATE_FAILED ? r->error.message
                                      : "the context is full: the answer is not complete; make --context larger or "
                                        "--slide it");
}

static void show_ended(lm_answers *all) {
    while (all->current < all->count && all->items[all->current].result.end != GENERATE_RUNNING) {
        lm_answer *a = &all->items[all->current];
        bool begun = a->size > 0 || a->result.tokens > 0;
        if (all->json) print_json(a);
        if (!all->json && begun) {
            show_text(a);
            putchar('\n');
        }
        standard_output_flush();
        note_failure(a);
        clear(a);
        all->current++;
        if (all->current < all->count && all->items[all->current].size) show_text(&all->items[all->current]);
    }
}

/* ---- receiving ---- */

/* Room for one more; doubles. False: no memory, or nobody reads any more. */
static bool grow(lm_answers *all, void *items, uint64_t room, uint64_t item_bytes) {
    void **memory = items;
    uint64_t bytes;
    void *grown = size_multiply(room, item_bytes, &bytes) ? realloc(*memory, (size_t)bytes) : NULL;
    if (!grown) {
        error_memory(&all->error, "an answer", room);
        return false;
    }
    *memory = grown;
    return true;
}

static bool take_text(void *context, const char *text, uint64_t size) {
    lm_answer *a = context;
    uint64_t room = a->room;
    while (room < a->size + size) room = room ? 2 * room : 256;
    if (room > a->room && !grow(a->all, &a->text, room, 1)) return false;
    a->room = room;
    memcpy(a->text + a->size, text, (size_t)size);
    a->size += size;
    show_text(a);
    return !standard_output_lost();
}

static bool take_token(void *context, const sampler_draw *draw) {
    lm_answer *a = context;
    lm_answers *all = a->all;
    if (!all->json) return !standard_output_lost();
    if (a->token_count == a->token_room) {
        uint64_t room = a->token_room ? 2 * a->token_room : 64, most = (uint64_t)all->alternatives;
        if (!grow(all, &a->tokens, room, sizeof *a->tokens)) return false;
        if (most && !grow(all, &a->alternatives, room * most, sizeof *a->alternatives)) return false;
        if (most && !grow(all, &a->alternative_counts, room, sizeof *a->alternative_counts)) return false;
        a->token_room = room;
    }
    a->tokens[a->token_count] = (lm_token){draw->token, draw->log_probability};
    for (int k = 0; all->alternatives && k < draw->alternative_count; k++)
        a->alternatives[a->token_count * (uint64_t)all->alternatives + (uint64_t)k] = draw->alternatives[k];
    if (all->alternatives) a->alternative_counts[a->token_count] = (uint16_t)draw->alternative_count;
    a->token_count++;
    return !standard_output_lost();
}

static void take_end(void *context, const generate_result *result) {
    lm_answer *a = context;
    a->result = *result;
    show_ended(a->all);
}

void lm_answers_attach(lm_answers *a, int index, generate_request *request) {
    request->sampler.alternatives = a->alternatives;
    request->sampler.no_log_probability = !a->with_probabilities;
    request->on_text = take_text;
    request->on_token = take_token;
    request->on_end = take_end;
    request->context = &a->items[index];
}
