/* Messages as values of a template; see chat_template.h. Where templates come from is chat_template_file.c's. */
#include "text/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "text/chat_template_internal.h"
#include "text/jinja.h"

/* Gemma knows two roles, so a system message goes in front of the first user's. White space round a message, or round
 * each part of one, is taken off. */
static const char gemma[] =
    "{{- bos_token -}}\n"
    "{%- set opening = '' -%}\n"
    "{%- if messages and messages[0].role == 'system' -%}\n"
    "  {%- if messages[0].content is string -%}{%- set opening = messages[0].content ~ '\\n\\n' -%}\n"
    "  {%- else -%}{%- set opening = messages[0].content | map(attribute='text') | join ~ '\\n\\n' -%}{%- endif -%}\n"
    "  {%- set messages = messages[1:] -%}\n"
    "{%- endif -%}\n"
    "{%- for message in messages -%}\n"
    "  {%- if message.role not in ['user', 'assistant'] -%}\n"
    "    {{- raise_exception('the role ' ~ message.role ~ ' is none of user, assistant, and system at the beginning') "
    "-}}\n"
    "  {%- elif (message.role == 'user') != (loop.index0 % 2 == 0) -%}\n"
    "    {{- raise_exception('user and assistant must take turns, the user first') -}}\n"
    "  {%- endif -%}\n"
    "  {{- '<start_of_turn>' ~ ('model' if message.role == 'assistant' else 'user') ~ '\\n' -}}\n"
    "  {{- opening if loop.first -}}\n"
    "  {%- if message.content is string -%}{{- message.content | trim -}}\n"
    "  {%- else -%}\n"
    "    {%- for part in message.content -%}\n"
    "      {{- '<start_of_image>' if part.type == 'image' else part.text | trim -}}\n"
    "    {%- endfor -%}\n"
    "  {%- endif -%}\n"
    "  {{- '<end_of_turn>\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}\n";

carina_status chat_template_gemma(chat_template **out, carina_error *error) {
    return chat_template_parse(out, "Gemma's chat template", gemma, sizeof gemma - 1, error);
}

carina_status chat_template_parse(chat_template **out, const char *name, const void *data, uint64_t size,
                                  carina_error *error) {
    chat_template *t = calloc(1, sizeof *t);
    if (!t) return error_memory(error, name, sizeof *t);
    carina_status status = jinja_parse(&t->tree, name, data, size, error);
    if (status == CARINA_OK) {
        t->source = strndup(size ? data : "", (size_t)size);
        if (!t->source) status = error_memory(error, name, size);
    }
    if (status == CARINA_OK)
        *out = t;
    else
        chat_template_free(t);
    return status;
}

void chat_template_free(chat_template *t) {
    if (!t) return;
    jinja_free(t->tree);
    free(t->source);
    free(t->bos);
    free(t->eos);
    free(t);
}

const char *chat_template_bos(const chat_template *t) { return t->bos; }
const char *chat_template_eos(const chat_template *t) { return t->eos; }
const char *chat_template_source(const chat_template *t) { return t->source; }

static carina_status put_text(jinja_run *r, jinja_value *dict, const char *key, const char *text) {
    jinja_value value;
    TRY(jinja_run_text(r, text, &value));
    return jinja_run_put(r, dict, key, value);
}

static carina_status make_part(jinja_run *r, const chat_part *part, jinja_value *out) {
    TRY(jinja_run_dict(r, out));
    TRY(put_text(r, out, "type", part->kind == CHAT_IMAGE ? "image" : "text"));
    return part->kind == CHAT_IMAGE ? CARINA_OK : put_text(r, out, "text", part->text);
}

static carina_status make_message(jinja_run *r, const chat_message *message, jinja_value *out) {
    jinja_value parts;
    TRY(jinja_run_dict(r, out));
    TRY(put_text(r, out, "role", message->role));
    if (message->content) return put_text(r, out, "content", message->content);
    TRY(jinja_run_list(r, (uint64_t)message->part_count, &parts));
    for (int i = 0; i < message->part_count; i++)
        TRY(make_part(r, &message->parts[i], jinja_run_item(&parts, (uint64_t)i)));
    return jinja_run_put(r, out, "content", parts);
}

static carina_status set_text(jinja_run *r, const char *name, const char *text) {
    jinja_value value;
    if (!text) return CARINA_OK;
    TRY(jinja_run_text(r, text, &value));
    return jinja_run_set(r, name, value);
}

static carina_status run(jinja_run *r, const chat_template *t, const chat_message *messages, int count,
                         const chat_options *options, char **text, uint64_t *size) {
    jinja_value list, none = {.kind = JINJA_NONE}, prompt = {.kind = JINJA_TRUTH};
    prompt.truth = options->add_generation_prompt;
    TRY(jinja_run_list(r, (uint64_t)count, &list));
    for (int i = 0; i < count; i++) TRY(make_message(r, &messages[i], jinja_run_item(&list, (uint64_t)i)));
    TRY(jinja_run_set(r, "messages", list));
    TRY(jinja_run_set(r, "add_generation_prompt", prompt));
    TRY(jinja_run_set(r, "tools", none));
    TRY(jinja_run_set(r, "documents", none));
    TRY(set_text(r, "bos_token", options->bos ? options->bos : t->bos));
    TRY(set_text(r, "eos_token", options->eos ? options->eos : t->eos));
    return jinja_run_render(r, text, size);
}

carina_status chat_template_render(const chat_template *t, const chat_message *messages, int count,
                                   const chat_options *options, char **text, uint64_t *size, carina_error *error) {
    if (count > CHAT_MAX_MESSAGES)
        return error_set(error, CARINA_ERROR_LIMIT, "a conversation of %d messages, at most %d", count,
                         CHAT_MAX_MESSAGES);
    jinja_run *r;
    TRY(jinja_run_create(&r, t->tree, error));
    carina_status status = run(r, t, messages, count, options, text, size);
    jinja_run_free(r);
    return status;
}
