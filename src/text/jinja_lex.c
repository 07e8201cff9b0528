/* A template's text to tokens, all at once; what Jinja does about white space is done here.
 *
 * A sign at a tag decides what becomes of white space beside it: `-` takes it all away, `+` leaves it. Without one a
 * block or a comment (not {{ }}) takes the blanks between the line's beginning and itself (lstrip_blocks), and the line
 * break right behind itself (trim_blocks). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_internal.h"
#include "text/unicode.h"

typedef struct lexer {
    jinja_source *source;
    uint32_t at;
    bool line_begins; /* what was read last ended with a line break, or nothing was */
    uint8_t open[JINJA_MAX_DEPTH];
    int open_count;
    carina_error *error;
} lexer;

carina_status jinja_fail_at(const jinja_source *s, uint32_t offset, carina_status status, carina_error *error,
                            const char *format, ...) {
    int line = 1, column = 1;
    for (uint32_t i = 0; i < offset && i < s->size; i++) {
        if (s->text[i] == '\n') {
            line++;
            column = 1;
        } else if ((s->text[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    char what[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return error_set(error, status, "%s:%d:%d: %s", s->name, line, column, what);
}

__attribute__((format(printf, 4, 5))) static carina_status fail(const lexer *l, uint32_t offset, carina_status status,
                                                                const char *format, ...) {
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return jinja_fail_at(l->source, offset, status, l->error, "%s", what);
}

/* ---- characters ---- */

static bool is_space(uint32_t c) { /* bidirectional type WS, B or S, or category Zs */
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

uint64_t jinja_space_before(jinja_text text) {
    uint64_t at = 0;
    uint32_t code;
    while (at < text.size) {
        int size = unicode_decode(text.data + at, text.size - at, &code);
        if (!is_space(code)) break;
        at += (uint64_t)size;
    }
    return at;
}

uint64_t jinja_space_behind(jinja_text text) {
    uint64_t end = text.size;
    uint32_t code;
    while (end > 0) {
        uint64_t begin = end - 1;
        while (begin > 0 && ((uint8_t)text.data[begin] & 0xc0) == 0x80) begin--;
        unicode_decode(text.data + begin, end - begin, &code);
        if (!is_space(code)) break;
        end = begin;
    }
    return text.size - end;
}

bool jinja_text_is(jinja_text text, const char *wanted) {
    return strlen(wanted) == text.size && memcmp(text.data, wanted, text.size) == 0;
}

static bool is_letter(int c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(int c) { return c >= '0' && c <= '9'; }

static int byte_at(const lexer *l, uint32_t offset) {
    return offset < l->source->size ? (uint8_t)l->source->text[offset] : -1;
}

static bool is_at(const lexer *l, uint32_t offset, const char *wanted) {
    size_t size = strlen(wanted);
    return offset <= l->source->size && l->source->size - offset >= size &&
           memcmp(l->source->text + offset, wanted, size) == 0;
}

static jinja_text text_between(const lexer *l, uint32_t begin, uint32_t end) {
    return (jinja_text){l->source->text + begin, end - begin};
}

static void skip_space(lexer *l) { l->at += (uint32_t)jinja_space_before(text_between(l, l->at, l->source->size)); }

static carina_status put(lexer *l, jinja_token token) {
    jinja_source *s = l->source;
    if (s->count == s->room) {
        uint32_t room = 2 * s->room + 64; /* fewer tokens than twice the text's bytes */
        jinja_token *larger = realloc(s->tokens, room * sizeof *larger);
        if (!larger) return error_memory(l->error, "a template", room * sizeof *larger);
        s->tokens = larger;
        s->room = room;
    }
    s->tokens[s->count++] = token;
    return CARINA_OK;
}

/* ---- inside a tag ---- */

static carina_status lex_code(lexer *l, int digits, uint32_t *out) {
    uint32_t code = 0;
    for (int i = 0; i < digits; i++) {
        int c = byte_at(l, l->at);
        int digit = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return fail(l, l->at, CARINA_ERROR_FORMAT, "expected a hexadecimal digit");
        code = code << 4 | (uint32_t)digit;
        l->at++;
    }
    if (code == 0 || (code >= 0xd800 && code <= 0xdfff))
        return fail(l, l->at, CARINA_ERROR_UNSUPPORTED, "the code %X is not supported in a text", (unsigned)code);
    *out = code;
    return CARINA_OK;
}

/* The backslash is taken. What an escape stands for is never longer than it. */
static carina_status lex_escape(lexer *l) {
    static const char names[] = "nrt\\'\"", values[] = "\n\r\t\\'\"";
    int c = byte_at(l, l->at);
    const char *found = c > 0 ? strchr(names, c) : NULL;
    char *end = l->source->literals + l->source->literal_size;
    if (found) {
        l->at++;
        *end = values[found - names];
        l->source->literal_size++;
        return CARINA_OK;
    }
    if (c != 'x' && c != 'u')
        return fail(l, l->at, CARINA_ERROR_UNSUPPORTED,
                    "only n, r, t, \\, ', \", x and u are supported after a backslash");
    l->at++;
    uint32_t code = 0;
    TRY(lex_code(l, c == 'x' ? 2 : 4, &code));
    l->source->literal_size += (uint32_t)unicode_encode(code, end);
    return CARINA_OK;
}

static carina_status lex_text(lexer *l) {
    jinja_source *s = l->source;
    uint32_t begin = l->at, first = s->literal_size;
    int quote = byte_at(l, l->at++);
    for (int c; (c = byte_at(l, l->at)) != quote;) {
        if (c < 0) return fail(l, begin, CARINA_ERROR_FORMAT, "this text has no end");
        l->at++;
        if (c == '\\')
            TRY(lex_escape(l));
        else
            s->literals[s->literal_size++] = (char)c;
    }
    l->at++;
    jinja_text text = {s->literals + first, s->literal_size - first};
    return put(l, (jinja_token){.kind = JINJA_TOKEN_TEXT, .offset = begin, .text = text});
}

static carina_status lex_whole(lexer *l) {
    uint32_t begin = l->at;
    int64_t value = 0;
    for (; is_digit(byte_at(l, l->at)); l->at++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, byte_at(l, l->at) - '0', &value))
            return fail(l, begin, CARINA_ERROR_LIMIT, "this number is too large");
    if (byte_at(l, l->at) == '.' && is_digit(byte_at(l, l->at + 1)))
        return fail(l, begin, CARINA_ERROR_UNSUPPORTED, "fractions are not supported");
    if (is_letter(byte_at(l, l->at)) || (byte_at(l, begin) == '0' && l->at - begin > 1))
        return fail(l, begin, CARINA_ERROR_UNSUPPORTED, "only decimal numbers without leading zeros are supported");
    return put(l, (jinja_token){.kind = JINJA_TOKEN_WHOLE, .offset = begin, .whole = value});
}

static carina_status lex_bracket(lexer *l, int c) {
    static const char opening[] = "([{", closing[] = ")]}";
    const char *found = strchr(opening, c);
    if (found) {
        if (l->open_count == JINJA_MAX_DEPTH)
            return fail(l, l->at, CARINA_ERROR_LIMIT, "more than %d brackets within each other", JINJA_MAX_DEPTH);
        l->open[l->open_count++] = (uint8_t)closing[found - opening];
    } else if (strchr(closing, c)) {
        if (l->open_count == 0) return fail(l, l->at, CARINA_ERROR_FORMAT, "'%c' closes nothing", c);
        if (l->open[--l->open_count] != c)
            return fail(l, l->at, CARINA_ERROR_FORMAT, "expected '%c', found '%c'", l->open[l->open_count], c);
    }
    return CARINA_OK;
}

static carina_status lex_sign(lexer *l) {
    static const char doubles[][3] = {"==", "!=", ">=", "<=", "//", "**"};
    uint32_t begin = l->at;
    int c = byte_at(l, begin), sign = 0;
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
        if (is_at(l, begin, doubles[i])) sign = JINJA_SIGN_2(doubles[i][0], doubles[i][1]);
    if (!sign && c > 0 && strchr("+-/*%~[](){}<>=.:|,;", c)) sign = c;
    if (!sign) {
        uint32_t code;
        const char *text = l->source->text + begin;
        int size = unicode_decode(text, l->source->size - begin, &code);
        if (code < 0x20 || code == 0x7f)
            return fail(l, begin, CARINA_ERROR_FORMAT, "U+%04X has no meaning here", (unsigned)code);
        return fail(l, begin, CARINA_ERROR_FORMAT, "'%.*s' has no meaning here", size, text);
    }
    TRY(lex_bracket(l, sign));
    l->at += sign > 255 ? 2 : 1;
    return put(l, (jinja_token){.kind = JINJA_TOKEN_SIGN, .offset = begin, .sign = sign});
}

static carina_status lex_name(lexer *l) {
    uint32_t begin = l->at;
    while (is_letter(byte_at(l, l->at)) || is_digit(byte_at(l, l->at))) l->at++;
    return put(l, (jinja_token){.kind = JINJA_TOKEN_NAME, .offset = begin, .text = text_between(l, begin, l->at)});
}

/* ---- tags ---- */

/* Goes past `end` with its sign and what it takes with it; false when it is not here. */
static bool take_end(lexer *l, const char *end, bool block) {
    int sign = byte_at(l, l->at);
    bool minus = sign == '-' && is_at(l, l->at + 1, end), plus = block && sign == '+' && is_at(l, l->at + 1, end);
    if (!minus && !plus && !is_at(l, l->at, end)) return false;
    l->at += minus || plus ? 3 : 2;
    if (minus) skip_space(l);
    if (block && !minus && !plus && byte_at(l, l->at) == '\n') l->at++;
    l->line_begins = byte_at(l, l->at - 1) == '\n';
    return true;
}

static carina_status lex_tag(lexer *l, uint32_t begin, bool block) {
    TRY(put(l, (jinja_token){.kind = block ? JINJA_TOKEN_BLOCK_BEGIN : JINJA_TOKEN_PRINT_BEGIN, .offset = begin}));
    l->open_count = 0;
    for (;;) {
        uint32_t end = l->at;
        if (l->open_count == 0 && take_end(l, block ? "%}" : "}}", block))
            return put(l, (jinja_token){.kind = block ? JINJA_TOKEN_BLOCK_END : JINJA_TOKEN_PRINT_END, .offset = end});
        skip_space(l);
        if (l->at != end) continue;
        int c = byte_at(l, l->at);
        if (c < 0) return fail(l, begin, CARINA_ERROR_FORMAT, "this tag has no end");
        TRY(is_letter(c)            ? lex_name(l)
            : is_digit(c)           ? lex_whole(l)
            : c == '\'' || c == '"' ? lex_text(l)
                                    : lex_sign(l));
    }
}

static carina_status skip_comment(lexer *l, uint32_t begin) {
    for (; l->at < l->source->size; l->at++)
        if (take_end(l, "#}", true)) return CARINA_OK;
    return fail(l, begin, CARINA_ERROR_FORMAT, "this comment has no end");
}

/* The text in front of a tag, without the white space that the tag takes. */
static carina_status put_data(lexer *l, uint32_t end, int sign, bool print) {
    jinja_text text = text_between(l, l->at, end);
    if (sign == '-') {
        text.size -= jinja_space_behind(text);
    } else if (sign != '+' && !print) {
        uint64_t line = text.size;
        while (line > 0 && text.data[line - 1] != '\n') line--;
        bool begins = line > 0 || l->line_begins;
        jinja_text rest = {text.data + line, text.size - line};
        if (begins && jinja_space_before(rest) == rest.size) text.size = line;
    }
    if (text.size == 0) return CARINA_OK;
    return put(l, (jinja_token){.kind = JINJA_TOKEN_DATA, .offset = l->at, .text = text});
}

static uint32_t find_tag(const lexer *l) {
    for (uint32_t at = l->at; at < l->source->size; at++) {
        int next = byte_at(l, at + 1);
        if (byte_at(l, at) == '{' && (next == '{' || next == '%' || next == '#')) return at;
    }
    return l->source->size;
}

carina_status jinja_lex(jinja_source *s, carina_error *error) {
    lexer l = {.source = s, .line_begins = true, .error = error};
    while (l.at < s->size) {
        uint32_t tag = find_tag(&l);
        if (tag == s->size) {
            TRY(put_data(&l, tag, '+', true));
            break;
        }
        int kind = byte_at(&l, tag + 1), sign = byte_at(&l, tag + 2);
        TRY(put_data(&l, tag, sign, kind == '{'));
        l.at = tag + (sign == '-' || sign == '+' ? 3 : 2);
        l.line_begins = false;
        TRY(kind == '#' ? skip_comment(&l, tag) : lex_tag(&l, tag, kind == '%'));
    }
    return put(&l, (jinja_token){.kind = JINJA_TOKEN_END, .offset = s->size});
}
