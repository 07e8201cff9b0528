/* A reader that walks through JSON text; see json_scan.h. */
#include "format/json_scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

json_scan json_scan_make(const char *name, const void *data, uint64_t size) {
    json_scan s = {.name = name, .data = size ? data : "", .size = size};
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) s.at = 3; /* byte order mark */
    return s;
}

void json_scan_free(json_scan *s) {
    for (int i = 0; i < 2; i++) free(s->buffers[i]);
    *s = (json_scan){0};
}

/* ---- errors ---- */

/* ".model.merges[12]" into out, cut where it is full. */
static void put_place(const json_scan *s, char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < s->depth && used < size; i++) {
        const json_scan_level *l = &s->levels[i];
        int length = 0;
        if (l->index && l->object)
            length = snprintf(out + used, size - used, "%s%.*s", used ? "." : "",
                              l->key_size < 80 ? (int)l->key_size : 80, s->data + l->key_begin);
        else if (l->index)
            length = snprintf(out + used, size - used, "[%llu]", (unsigned long long)l->index - 1);
        used += (size_t)length;
    }
}

carina_status json_scan_fail(const json_scan *s, carina_status status, carina_error *error, const char *format, ...) {
    char place[256], reason[256];
    put_place(s, place, sizeof place);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return error_set(error, status, "%s: %s%s%s", s->name, place, *place ? ": " : "", reason);
}

/* The text breaks the grammar here. */
static carina_status broken(const json_scan *s, carina_error *error, const char *wanted) {
    uint64_t line = 1, end = s->at < s->size ? s->at : s->size;
    for (uint64_t i = 0; i < end; i++) line += s->data[i] == '\n';
    return json_scan_fail(s, CARINA_ERROR_FORMAT, error, "not valid JSON on line %llu: %s%s", (unsigned long long)line,
                          wanted, s->at >= s->size ? ", but the file ends" : "");
}

/* ---- characters ---- */

/* The next character that is no white space, 0 at the end (and for a NUL, which is nowhere valid). */
static char peek(json_scan *s) {
    for (; s->at < s->size; s->at++) {
        char c = s->data[s->at];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return c;
    }
    return 0;
}

static bool take_word(json_scan *s, const char *word) {
    size_t length = strlen(word);
    if (s->size - s->at < length || memcmp(s->data + s->at, word, length) != 0) return false;
    s->at += length;
    return true;
}

json_kind json_scan_kind(json_scan *s) {
    switch (peek(s)) {
        case '{': return JSON_KIND_OBJECT;
        case '[': return JSON_KIND_ARRAY;
        case '"': return JSON_KIND_TEXT;
        case 't':
        case 'f': return JSON_KIND_BOOL;
        case '-': return JSON_KIND_NUMBER;
        default: return peek(s) >= '0' && peek(s) <= '9' ? JSON_KIND_NUMBER : JSON_KIND_NULL;
    }
}

static carina_status expect_kind(json_scan *s, json_kind kind, carina_error *error) {
    char c = peek(s);
    json_kind found = json_scan_kind(s);
    if (c == 0 || (found == JSON_KIND_NULL && c != 'n')) return broken(s, error, "a value is expected");
    if (found == kind) return CARINA_OK;
    return json_scan_fail(s, CARINA_ERROR_FORMAT, error, "%s is expected, not %s", json_kind_name(kind),
                          json_kind_name(found));
}

/* ---- strings ---- */

/* Four hexadecimal digits; -1 when they are none. */
static int32_t hexadecimal(const char *digits) {
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = digits[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

static int put_code(char *out, uint32_t code) {
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[more] | code >> 6 * more);
    for (int i = 1; i <= more; i++) out[i] = (char)(0x80 | (code >> 6 * (more - i) & 0x3f));
    return more + 1;
}

/* The escape at text[0 .. left), behind its backslash: *used bytes of it are read, the character goes to out. Returns
 * its bytes, 0 when it is none (a lone surrogate too). */
static int unescape(const char *text, uint64_t left, char *out, int *used) {
    static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *found = left && text[0] ? strchr(letters, text[0]) : NULL;
    *used = 1;
    if (found) return out[0] = values[found - letters], 1;
    int32_t code = left >= 5 && text[0] == 'u' ? hexadecimal(text + 1) : -1;
    *used = 5;
    if (code >= 0xd800 && code < 0xdc00) {
        int32_t low = left >= 11 && text[5] == '\\' && text[6] == 'u' ? hexadecimal(text + 7) : -1;
        code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : -1;
        *used = 11;
    } else if (code >= 0xdc00 && code < 0xe000) {
        code = -1;
    }
    return code < 0 ? 0 : put_code(out, (uint32_t)code);
}

static carina_status copy_text(json_scan *s, int buffer, uint64_t begin, uint64_t end, const char **out, uint64_t *size,
                               carina_error *error) {
    uint64_t room = end - begin; /* an escape is never shorter than its character */
    if (s->rooms[buffer] < room) {
        char *grown = realloc(s->buffers[buffer], (size_t)room);
        if (!grown) return error_memory(error, s->name, room);
        s->buffers[buffer] = grown;
        s->rooms[buffer] = room;
    }
    char *text = s->buffers[buffer];
    uint64_t used = 0;
    for (s->at = begin; s->at < end;) {
        char c = s->data[s->at++];
        if (c != '\\') {
            text[used++] = c;
            continue;
        }
        int length, count = unescape(s->data + s->at, end - s->at, text + used, &length);
        if (count == 0) return broken(s, error, "an escape is not one of JSON's");
        used += (uint64_t)count;
        s->at += (uint64_t)length;
    }
    *out = text;
    *size = used;
    return CARINA_OK;
}

/* A string, whose quotation mark is next. */
static carina_status read_string(json_scan *s, int buffer, const char **out, uint64_t *size, carina_error *error) {
    uint64_t begin = ++s->at, end = begin;
    bool escapes = false, high = false;
    for (; end < s->size && s->data[end] != '"'; end++) {
        uint8_t c = (uint8_t)s->data[end];
        if (c < 0x20) {
            s->at = end;
            return broken(s, error, "a control character in a string");
        }
        high |= c >= 0x80;
        escapes |= c == '\\';
        if (c == '\\') end++;
    }
    if (end >= s->size) {
        s->at = s->size;
        return broken(s, error, "a string is not closed");
    }
    if (high && !utf8_valid(s->data + begin, end - begin)) return broken(s, error, "a string is not UTF-8");
    *out = s->data + begin;
    *size = end - begin;
    if (escapes) TRY(copy_text(s, buffer, begin, end, out, size, error));
    s->at = end + 1;
    return CARINA_OK;
}

/* ---- containers ---- */

carina_status json_scan_enter(json_scan *s, json_kind kind, carina_error *error) {
    TRY(expect_kind(s, kind, error));
    if (s->depth == JSON_SCAN_MAX_DEPTH)
        return json_scan_fail(s, CARINA_ERROR_LIMIT, error, "nested deeper than %d levels", JSON_SCAN_MAX_DEPTH);
    s->at++;
    s->levels[s->depth++] = (json_scan_level){.object = kind == JSON_KIND_OBJECT};
    return CARINA_OK;
}

static carina_status read_key(json_scan *s, json_scan_level *l, carina_error *error) {
    if (peek(s) != '"') return broken(s, error, "a key is expected");
    uint64_t begin = s->at + 1;
    TRY(read_string(s, 0, &s->key, &s->key_size, error));
    l->key_begin = begin;
    l->key_size = s->at - 1 - begin;
    if (peek(s) != ':') return broken(s, error, "':' is expected");
    s->at++;
    return CARINA_OK;
}

carina_status json_scan_next(json_scan *s, bool *more, carina_error *error) {
    json_scan_level *l = &s->levels[s->depth - 1];
    char c = peek(s), close = l->object ? '}' : ']';
    *more = false;
    if (c == close) {
        s->at++;
        s->depth--;
        return CARINA_OK;
    }
    if (l->index > 0) {
        if (c != ',') return broken(s, error, l->object ? "',' or '}' is expected" : "',' or ']' is expected");
        s->at++;
    }
    if (l->object) TRY(read_key(s, l, error));
    l->index++;
    *more = true;
    return CARINA_OK;
}

bool json_scan_key_is(const json_scan *s, const char *key) {
    size_t length = strlen(key);
    return s->key_size == length && memcmp(s->key, key, length) == 0;
}

/* ---- values ---- */

carina_status json_scan_text(json_scan *s, const char **out, uint64_t *size, carina_error *error) {
    TRY(expect_kind(s, JSON_KIND_TEXT, error));
    return read_string(s, 1, out, size, error);
}

static uint64_t take_digits(json_scan *s) {
    uint64_t begin = s->at;
    while (s->at < s->size && s->data[s->at] >= '0' && s->data[s->at] <= '9') s->at++;
    return s->at - begin;
}

/* A number by the grammar; *whole: it has neither fraction nor exponent. */
static carina_status take_number(json_scan *s, bool *whole, carina_error *error) {
    if (s->data[s->at] == '-') s->at++;
    uint64_t begin = s->at, digits = take_digits(s);
    *whole = true;
    if (digits == 0 || (digits > 1 && s->data[begin] == '0')) return broken(s, error, "a number is malformed");
    if (s->at < s->size && s->data[s->at] == '.') {
        s->at++;
        *whole = false;
        if (take_digits(s) == 0) return broken(s, error, "a number is malformed");
    }
    if (s->at < s->size && (s->data[s->at] | 32) == 'e') {
        s->at++;
        *whole = false;
        if (s->at < s->size && (s->data[s->at] == '+' || s->data[s->at] == '-')) s->at++;
        if (take_digits(s) == 0) return broken(s, error, "a number is malformed");
    }
    return CARINA_OK;
}

carina_status json_scan_whole(json_scan *s, int64_t minimum, int64_t maximum, int64_t *out, carina_error *error) {
    TRY(expect_kind(s, JSON_KIND_NUMBER, error));
    uint64_t begin = s->at;
    bool whole, negative = s->data[begin] == '-';
    TRY(take_number(s, &whole, error));
    int64_t value = 0;
    for (uint64_t i = begin + negative; whole && i < s->at; i++) {
        int digit = s->data[i] - '0';
        whole = !__builtin_mul_overflow(value, 10, &value) &&
                !__builtin_add_overflow(value, negative ? -digit : digit, &value);
    }
    if (!whole || value < minimum || value > maximum)
        return json_scan_fail(s, CARINA_ERROR_FORMAT, error, "%.*s is no whole number from %lld to %lld",
                              s->at - begin < 40 ? (int)(s->at - begin) : 40, s->data + begin, (long long)minimum,
                              (long long)maximum);
    *out = value;
    return CARINA_OK;
}

carina_status json_scan_truth(json_scan *s, bool *out, carina_error *error) {
    TRY(expect_kind(s, JSON_KIND_BOOL, error));
    *out = s->data[s->at] == 't';
    return take_word(s, *out ? "true" : "false") ? CARINA_OK : broken(s, error, "a value is expected");
}

static carina_status skip_container(json_scan *s, json_kind kind, carina_error *error) {
    TRY(json_scan_enter(s, kind, error));
    for (bool more;;) {
        TRY(json_scan_next(s, &more, error));
        if (!more) return CARINA_OK;
        TRY(json_scan_skip(s, NULL, NULL, error)); /* as deep as json_scan_enter lets it */
    }
}

carina_status json_scan_skip(json_scan *s, const char **raw, uint64_t *raw_size, carina_error *error) {
    json_kind kind = json_scan_kind(s);
    uint64_t begin = s->at, size;
    bool flag;
    const char *text;
    switch (kind) {
        case JSON_KIND_OBJECT:
        case JSON_KIND_ARRAY: TRY(skip_container(s, kind, error)); break;
        case JSON_KIND_TEXT: TRY(json_scan_text(s, &text, &size, error)); break;
        case JSON_KIND_NUMBER: TRY(take_number(s, &flag, error)); break;
        case JSON_KIND_BOOL: TRY(json_scan_truth(s, &flag, error)); break;
        case JSON_KIND_NULL:
            if (!take_word(s, "null")) return broken(s, error, "a value is expected");
    }
    if (raw) {
        *raw = s->data + begin;
        *raw_size = s->at - begin;
    }
    return CARINA_OK;
}

carina_status json_scan_end(json_scan *s, carina_error *error) {
    peek(s);
    return s->at == s->size ? CARINA_OK : broken(s, error, "nothing more is expected");
}
