/* Cutting reports into sentences; see report_sentences.h. */
#include "data/report_sentences.h"

#include <string.h>

typedef struct splitter {
    char text[REPORT_SENTENCE_MAX + 1];
    uint32_t length;
    bool gap; /* white space since the last character */
    report_sentence_each *each;
    void *context;
} splitter;

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80; }
static bool is_blank(char c) { return (unsigned char)c <= ' ' || c == 0x7f; }

static bool is_sentence(const splitter *s) {
    for (uint32_t i = 1; i < s->length; i++)
        if (is_letter(s->text[i - 1]) && is_letter(s->text[i])) return true;
    return false;
}

static bool finish(splitter *s) {
    bool wanted = is_sentence(s);
    s->text[s->length] = 0;
    s->length = 0;
    s->gap = false;
    return !wanted || s->each(s->context, s->text);
}

/* "1." begins an entry of a list: it is dropped, and ends nothing. */
static bool is_number(const splitter *s) {
    for (uint32_t i = 0; i + 1 < s->length; i++)
        if (s->text[i] < '0' || s->text[i] > '9') return false;
    return s->length > 1;
}

static bool put(splitter *s, char c) {
    if (is_blank(c)) {
        char last = s->length ? s->text[s->length - 1] : 0;
        s->gap = true;
        if (last != '.' && last != '!' && last != '?') return true;
        if (!is_number(s)) return finish(s);
        s->length = 0;
        return true;
    }
    if (s->length + 2 > REPORT_SENTENCE_MAX && !finish(s)) return false;
    if (s->gap && s->length) s->text[s->length++] = ' ';
    s->gap = false;
    s->text[s->length++] = c;
    return true;
}

/* Bytes of a heading at the line's start, its colon counted; the whole line when it is capitals alone; 0: none. */
static uint64_t heading_length(const char *line, uint64_t size) {
    bool letters = false;
    for (uint64_t i = 0; i < size; i++) {
        char c = line[i];
        if (c == ':') return letters ? i + 1 : 0;
        if ((c >= 'a' && c <= 'z') || c == '.' || (unsigned char)c >= 0x80) return 0;
        letters |= is_letter(c);
    }
    return letters ? size : 0;
}

static bool put_line(splitter *s, const char *line, uint64_t size) {
    while (size > 0 && is_blank(*line)) line++, size--;
    uint64_t heading = heading_length(line, size);
    if ((heading || size == 0) && !finish(s)) return false;
    for (uint64_t i = heading; i < size; i++)
        if (!put(s, line[i])) return false;
    return put(s, ' ');
}

bool report_sentences(const char *text, uint64_t size, report_sentence_each *each, void *context) {
    splitter s = {.each = each, .context = context};
    while (size > 0) {
        const char *end = memchr(text, '\n', (size_t)size);
        uint64_t length = end ? (uint64_t)(end - text) : size;
        if (!put_line(&s, text, length)) return false;
        uint64_t used = end ? length + 1 : length;
        text += used;
        size -= used;
    }
    return finish(&s);
}
