/* From logits to text, for one sequence; see generate_sequence.h. */
#include "pipeline/generate_sequence.h"

#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "pipeline/prefix_cache.h"

/* ---- making ---- */

static bool emit(void *context, const char *text, uint64_t size) {
    generate_sequence *s = context;
    if (s->on_text && !s->silent) s->silent = !s->on_text(s->receiver, text, size);
    return !s->silent;
}

static carina_status check_row(const generate_sequence *s, const generate_row *row, int64_t at, carina_error *error) {
    if (row->vector && row->id == -1) return CARINA_OK;
    if (row->vector)
        return error_set(error, CARINA_ERROR_ARGUMENT, "the prompt's row %lld is a token and a vector", (long long)at);
    if (language_model_knows(s->model, row->id)) return CARINA_OK;
    uint64_t size = 0;
    const char *text = row->id >= 0 && row->id < bpe_count(s->model->tokenizer)
                           ? bpe_token(s->model->tokenizer, row->id, &size)
                           : NULL;
    return error_set(error, CARINA_ERROR_ARGUMENT, "the prompt's token %d%s%.*s%s is none of the model's", row->id,
                     text ? " (" : "", (int)(size < 40 ? size : 40), text ? text : "", text ? ")" : "");
}

static carina_status take_prompt(generate_sequence *s, const generate_request *r, carina_error *error) {
    if (r->prompt_count < 1) return error_set(error, CARINA_ERROR_ARGUMENT, "the prompt is empty");
    if (r->keep < 0 && r->prompt_count > s->context)
        return error_set(error, CARINA_ERROR_LIMIT,
                         "the prompt has %lld tokens, the context has room for %lld; make it larger or shorten the "
                         "prompt",
                         (long long)r->prompt_count, (long long)s->context);
    size_t room = (size_t)(r->prompt_count > s->context ? r->prompt_count : s->context) + 1;
    s->rows = malloc(room * sizeof *s->rows);
    s->keys = malloc(room * sizeof *s->keys);
    if (!s->rows || !s->keys) return error_memory(error, "a prompt", room * sizeof *s->rows);
    for (int64_t i = 0; i < r->prompt_count; i++) {
        const generate_row *row = &r->prompt[i];
        TRY(check_row(s, row, i, error));
        s->rows[i] = *row;
        s->keys[i] =
            row->vector ? prefix_key_of_vector(row->vector, s->model->model->config.width) : prefix_key_of_id(row->id);
    }
    s->count = s->result.prompt_tokens = r->prompt_count;
    return CARINA_OK;
}

static carina_status take_ends(generate_sequence *s, const generate_request *r, carina_error *error) {
    const int *ends = r->ends ? r->ends : s->model->ends;
    s->end_count = r->ends ? r->end_count : s->model->table.end_count;
    if (r->ends && r->grammar)
        return error_set(error, CARINA_ERROR_ARGUMENT, "under a grammar an answer ends with the model's own tokens");
    if (s->end_count < 0 || s->end_count > LANGUAGE_MODEL_MAX_ENDS)
        return error_set(error, CARINA_ERROR_LIMIT, "%d end tokens: at most %d", s->end_count, LANGUAGE_MODEL_MAX_ENDS);
    if (s->end_count) memcpy(s->ends, ends, (size_t)s->end_count * sizeof *ends);
    return CARINA_OK;
}

static carina_status make_grammar(generate_sequence *s, const generate_request *r, carina_error *error) {
    const token_trie *trie;
    if (!r->grammar) return CARINA_OK;
    TRY(language_model_trie(s->model, &trie, error));
    return grammar_matcher_make(&s->matcher, r->grammar, trie, error);
}

static carina_status accept_prompt(generate_sequence *s, carina_error *error) {
    for (int64_t i = 0; i < s->count; i++)
        if (!s->rows[i].vector) TRY(sampler_accept_prompt(s->sampler, &s->rows[i].id, 1, error));
    return CARINA_OK;
}

/* Drops the oldest rows behind the kept ones, down to half of the room for them. What the session has seen of the kept
 * ones stays if it still can. */
static void slide(generate_sequence *s) {
    int64_t keep = s->keep, rest = (s->context - keep) / 2, from = s->count - rest;
    memmove(s->rows + keep, s->rows + from, (size_t)rest * sizeof *s->rows);
    memmove(s->keys + keep, s->keys + from, (size_t)rest * sizeof *s->keys);
    s->count = keep + rest;
    if (s->session && s->fed > keep && !gemma3_session_rewind(s->session, keep)) {
        gemma3_session_free(s->session);
        s->session = NULL;
    }
    s->fed = s->session ? gemma3_session_length(s->session) : 0;
    s->reads_whole = false;
}

static carina_status make(generate_sequence *s, const generate_request *r, carina_error *error) {
    if (r->max_tokens < 1)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%lld tokens at most: 1 is the least", (long long)r->max_tokens);
    if (r->keep < -1 || r->keep > s->context - 2)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "%lld tokens to keep of a sliding context of %lld: 0 to %lld are possible", (long long)r->keep,
                         (long long)s->context, (long long)s->context - 2);
    if (r->adapter) TRY(lora_check(r->adapter, &s->model->model->config, error));
    TRY(take_prompt(s, r, error));
    TRY(take_ends(s, r, error));
    TRY(sampler_make(&s->sampler, s->model->model->config.vocabulary, &r->sampler, error));
    TRY(accept_prompt(s, error));
    TRY(stop_text_make(&s->stop, r->stops, r->stop_count, emit, s, error));
    TRY(make_grammar(s, r, error));
    if (s->count > s->context) slide(s);
    return CARINA_OK;
}

carina_status generate_sequence_make(generate_sequence *out, language_model *model, const generate_request *request,
                                     int64_t context, carina_error *error) {
    *out = (generate_sequence){.used = true,
                               .context = context,
                               .model = model,
                               .adapter = request->adapter,
                               .max_tokens = request->max_tokens,
                               .keep = request->keep,
                               .on_text = request->on_text,
                               .on_token = request->on_token,
                               .on_end = request->on_end,
                               .receiver = request->context};
    out->result.started = clock_seconds();
    out->result.stop = -1;
    carina_status status = make(out, request, error);
    if (status != CARINA_OK) generate_sequence_free(out);
    return status;
}

void generate_sequence_free(generate_sequence *s) {
    free(s->rows);
    free(s->keys);
    gemma3_session_free(s->session);
    sampler_free(s->sampler);
    stop_text_free(s->stop);
    grammar_matcher_free(s->matcher);
    *s = (generate_sequence){0};
}

/* ---- going on ---- */

bool generate_sequence_runs(const generate_sequence *s) { return s->used && s->result.end == GENERATE_RUNNING; }

void generate_sequence_end(generate_sequence *s, generate_end end) {
    if (!generate_sequence_runs(s)) return;
    s->result.end = end;
    if (end != GENERATE_STOP_STRING && !s->silent) stop_text_finish(s->stop, NULL);
    s->result.ended = clock_seconds();
    if (s->on_end) s->on_end(s->receiver, &s->result);
}

void generate_sequence_fail(generate_sequence *s, const carina_error *error) {
    s->result.error = *error;
    generate_sequence_end(s, GENERATE_FAILED);
}

static bool is_end(const generate_sequence *s, int token) {
    for (int i = 0; i < s->end_count; i++)
        if (s->ends[i] == token) return true;
    return false;
}

static carina_status choose(generate_sequence *s, const float *logits, sampler_draw *draw, carina_error *error) {
    const uint64_t *mask = s->model->known;
    if (s->matcher) TRY(grammar_matcher_mask(s->matcher, &mask, error));
    TRY(sampler_next(draw, s->sampler, logits, mask, error));
    if (s->matcher) TRY(grammar_matcher_accept(s->matcher, draw->token, error));
    return sampler_accept(s->sampler, draw->token, error);
}

/* The token's text, and whether it ends the sequence. */
static carina_status take(generate_sequence *s, int token, carina_error *error) {
    if (is_end(s, token)) {
        generate_sequence_end(s, GENERATE_END_TOKEN);
        return CARINA_OK;
    }
    const token_text *text = &s->model->table.texts[token];
    carina_status status = text->size ? stop_text_push(s->stop, text->bytes, text->size, error) : CARINA_OK;
    if (status == CARINA_ERROR_CANCELLED) {
        generate_sequence_end(s, GENERATE_CANCELLED);
        return CARINA_OK;
    }
    TRY(status);
    s->result.stop = stop_text_found(s->stop);
    if (s->result.stop >= 0)
        generate_sequence_end(s, GENERATE_STOP_STRING);
    else if (s->result.tokens == s->max_tokens)
        generate_sequence_end(s, GENERATE_MAX_TOKENS);
    return CARINA_OK;
}

static void add_row(generate_sequence *s, int token) {
    s->rows[s->count] = (generate_row){.id = token};
    s->keys[s->count++] = prefix_key_of_id(token);
    if (s->count <= s->context) return;
    if (s->keep >= 0)
        slide(s);
    else
        generate_sequence_end(s, GENERATE_CONTEXT);
}

void generate_sequence_draw(generate_sequence *s, const float *logits) {
    sampler_draw draw;
    carina_error error = {0};
    if (choose(s, logits, &draw, &error) != CARINA_OK) {
        generate_sequence_fail(s, &error);
        return;
    }
    if (s->result.tokens++ == 0) s->result.first = clock_seconds();
    if (s->on_token && !s->on_token(s->receiver, &draw)) {
        s->silent = true;
        generate_sequence_end(s, GENERATE_CANCELLED);
        return;
    }
    if (take(s, draw.token, &error) != CARINA_OK)
        generate_sequence_fail(s, &error);
    else if (generate_sequence_runs(s))
        add_row(s, draw.token);
}
