/* Operators on values: + - * // % ~, comparisons, in, items and slices, as Python has them. */
#include <string.h>

#include "base/utf8.h"
#include "text/jinja_internal.h"

/* ---- arithmetic ---- */

static const char *sign_text(int sign, char out[3]) {
    int i = 0;
    if (sign > 255) out[i++] = (char)(sign >> 8);
    out[i++] = (char)sign;
    out[i] = 0;
    return out;
}

static carina_status unfit(jinja_run *r, int sign, const jinja_value *a, const jinja_value *b) {
    char text[3];
    const jinja_value *u = a->kind == JINJA_UNDEFINED ? a : b;
    if (u->kind == JINJA_UNDEFINED)
        return jinja_run_fail(r, CARINA_ERROR_FORMAT, "'%.*s' is undefined",
                              (int)(u->text.size < 60 ? u->text.size : 60), u->text.data);
    return jinja_run_fail(r, CARINA_ERROR_FORMAT, "'%s' does not go between %s and %s", sign_text(sign, text),
                          jinja_kind_name(a->kind), jinja_kind_name(b->kind));
}

static carina_status arithmetic(jinja_run *r, int sign, int64_t x, int64_t y, jinja_value *out) {
    int64_t z = 0;
    bool overflow = false;
    if (sign == '+') overflow = __builtin_add_overflow(x, y, &z);
    if (sign == '-') overflow = __builtin_sub_overflow(x, y, &z);
    if (sign == '*') overflow = __builtin_mul_overflow(x, y, &z);
    if (sign == '%' || sign == JINJA_SIGN_2('/', '/')) {
        if (y == 0) return jinja_run_fail(r, CARINA_ERROR_FORMAT, "division by zero");
        if (y == -1) {
            overflow = sign != '%' && __builtin_sub_overflow((int64_t)0, x, &z);
        } else { /* rounds down, and what is left has the divisor's sign */
            int64_t rest = x % y;
            bool down = rest != 0 && (rest < 0) != (y < 0);
            z = sign == '%' ? rest + (down ? y : 0) : x / y - down;
        }
    }
    if (overflow) return jinja_run_fail(r, CARINA_ERROR_LIMIT, "a number becomes too large");
    *out = jinja_whole_value(z);
    return CARINA_OK;
}

static carina_status join_lists(jinja_run *r, const jinja_list *a, const jinja_list *b, jinja_value *out) {
    TRY(jinja_make_list(r, a->count + b->count, JINJA_LIST, out));
    if (a->count) memcpy(out->list->items, a->items, a->count * sizeof *a->items);
    if (b->count) memcpy(out->list->items + a->count, b->items, b->count * sizeof *b->items);
    return CARINA_OK;
}

static carina_status concatenate(jinja_run *r, const jinja_value *a, const jinja_value *b, jinja_value *out) {
    jinja_text x, y;
    TRY(jinja_to_text(r, a, &x));
    TRY(jinja_to_text(r, b, &y));
    return jinja_join_texts(r, x, y, out);
}

/* ---- comparing ---- */

static int order_texts(jinja_text a, jinja_text b) { /* UTF-8 in the order of its bytes is in the order of its codes */
    uint64_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.data, b.data, size) : 0;
    return order ? order : a.size < b.size ? -1 : a.size > b.size;
}

static carina_status compare(jinja_run *r, int sign, const jinja_value *a, const jinja_value *b, jinja_value *out) {
    int64_t x, y;
    int order;
    if (a->kind == JINJA_TEXT && b->kind == JINJA_TEXT) {
        order = order_texts(a->text, b->text);
        TRY(jinja_spend(r, a->text.size / 64));
    } else if (jinja_as_whole(a, &x) && jinja_as_whole(b, &y)) {
        order = x < y ? -1 : x > y;
    } else if (a->kind == JINJA_LIST && b->kind == JINJA_LIST) {
        return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "an order of lists is not supported");
    } else {
        return unfit(r, sign, a, b);
    }
    *out = jinja_truth_value(sign == '<'                      ? order < 0
                             : sign == '>'                    ? order > 0
                             : sign == JINJA_SIGN_2('<', '=') ? order <= 0
                                                              : order >= 0);
    return CARINA_OK;
}

carina_status jinja_binary(jinja_run *r, int sign, const jinja_value *a, const jinja_value *b, jinja_value *out) {
    int64_t x, y;
    bool is_equal = false, lists = a->kind == JINJA_LIST && b->kind == JINJA_LIST;
    switch (sign) {
        case '~': return concatenate(r, a, b, out);
        case JINJA_SIGN_2('=', '='):
        case JINJA_SIGN_2('!', '='):
            TRY(jinja_equal(r, a, b, &is_equal));
            *out = jinja_truth_value(is_equal == (sign == JINJA_SIGN_2('=', '=')));
            return CARINA_OK;
        case '<':
        case '>':
        case JINJA_SIGN_2('<', '='):
        case JINJA_SIGN_2('>', '='): return compare(r, sign, a, b, out);
        default: break;
    }
    if (jinja_as_whole(a, &x) && jinja_as_whole(b, &y)) return arithmetic(r, sign, x, y, out);
    if (sign == '+' && a->kind == JINJA_TEXT && b->kind == JINJA_TEXT)
        return jinja_join_texts(r, a->text, b->text, out);
    if (sign == '+' && lists) return join_lists(r, a->list, b->list, out);
    bool many = a->kind == JINJA_TEXT || a->kind == JINJA_LIST || b->kind == JINJA_TEXT || b->kind == JINJA_LIST;
    if (many && a->kind != JINJA_UNDEFINED && (sign == '*' || sign == '%'))
        return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "'%c' of texts and lists is not supported", sign);
    return unfit(r, sign, a, b);
}

carina_status jinja_contains(jinja_run *r, const jinja_value *item, const jinja_value *in, bool *out) {
    *out = false;
    if (in->kind == JINJA_TEXT && item->kind == JINJA_TEXT) {
        TRY(jinja_spend(r, in->text.size / 64));
        *out = item->text.size == 0 ||
               (in->text.size && memmem(in->text.data, in->text.size, item->text.data, item->text.size));
        return CARINA_OK;
    }
    if (in->kind == JINJA_DICT && (item->kind == JINJA_TEXT || item->kind == JINJA_WHOLE || item->kind == JINJA_TRUTH ||
                                   item->kind == JINJA_NONE || item->kind == JINJA_UNDEFINED)) {
        const jinja_value *found = NULL;
        if (item->kind == JINJA_TEXT) TRY(jinja_dict_get(r, in->dict, item->text, &found));
        *out = found != NULL;
        return CARINA_OK;
    }
    if (in->kind == JINJA_LIST) {
        for (uint64_t i = 0; i < in->list->count && !*out; i++) TRY(jinja_equal(r, item, &in->list->items[i], out));
        return CARINA_OK;
    }
    if (in->kind == JINJA_UNDEFINED) return CARINA_OK; /* of nothing */
    return jinja_run_fail(r, CARINA_ERROR_FORMAT, "%s cannot be in %s", jinja_kind_name(item->kind),
                          jinja_kind_name(in->kind));
}

/* ---- items ---- */

static carina_status character_at(jinja_run *r, jinja_text text, int64_t index, jinja_value *out) {
    TRY(jinja_spend(r, text.size / 64));
    int64_t count = (int64_t)jinja_character_count(text);
    if (index < 0) index += count;
    if (index < 0 || index >= count) return CARINA_OK;
    uint64_t at = 0;
    for (; index > 0; index--) at += (uint64_t)utf8_character(text.data + at, text.size - at);
    *out = jinja_text_value(text.data + at, (uint64_t)utf8_character(text.data + at, text.size - at));
    return CARINA_OK;
}

static jinja_value loop_item(const jinja_loop *loop, jinja_text name) {
    int64_t index = (int64_t)loop->index, count = (int64_t)loop->items->count;
    if (jinja_text_is(name, "index")) return jinja_whole_value(index + 1);
    if (jinja_text_is(name, "index0")) return jinja_whole_value(index);
    if (jinja_text_is(name, "revindex")) return jinja_whole_value(count - index);
    if (jinja_text_is(name, "revindex0")) return jinja_whole_value(count - index - 1);
    if (jinja_text_is(name, "length")) return jinja_whole_value(count);
    if (jinja_text_is(name, "first")) return jinja_truth_value(index == 0);
    if (jinja_text_is(name, "last")) return jinja_truth_value(index == count - 1);
    if (jinja_text_is(name, "previtem") && index > 0) return loop->items->items[index - 1];
    if (jinja_text_is(name, "nextitem") && index + 1 < count) return loop->items->items[index + 1];
    return jinja_undefined_value(name);
}

/* What is not there is undefined; only of what is undefined itself nothing may be asked. */
carina_status jinja_item(jinja_run *r, const jinja_value *of, const jinja_value *key, jinja_value *out) {
    int64_t index;
    *out = jinja_undefined_value(key->kind == JINJA_TEXT ? key->text : (jinja_text){"an item", 7});
    if (of->kind == JINJA_UNDEFINED)
        return jinja_run_fail(r, CARINA_ERROR_FORMAT, "'%.*s' is undefined, and is asked for an item",
                              (int)(of->text.size < 60 ? of->text.size : 60), of->text.data);
    if (key->kind == JINJA_TEXT && (of->kind == JINJA_DICT || of->kind == JINJA_NAMESPACE)) {
        const jinja_value *found;
        TRY(jinja_dict_get(r, of->dict, key->text, &found));
        if (found) *out = *found;
    } else if (key->kind == JINJA_TEXT && of->kind == JINJA_LOOP) {
        *out = loop_item(of->loop, key->text);
    } else if (jinja_as_whole(key, &index) && of->kind == JINJA_LIST) {
        int64_t count = (int64_t)of->list->count;
        if (index < 0) index += count;
        if (index >= 0 && index < count) *out = of->list->items[index];
    } else if (jinja_as_whole(key, &index) && of->kind == JINJA_TEXT) {
        return character_at(r, of->text, index, out);
    }
    return CARINA_OK;
}

/* ---- slices ---- */

/* Python's rules: bounds count from the end when negative, and are pulled into [low, high]. */
static carina_status bound(jinja_run *r, const jinja_value *v, int64_t count, int64_t low, int64_t high,
                           int64_t standard, int64_t *out) {
    *out = standard;
    if (v->kind == JINJA_NONE) return CARINA_OK;
    if (!jinja_as_whole(v, out))
        return jinja_run_fail(r, CARINA_ERROR_FORMAT, "%s as a slice's bound", jinja_kind_name(v->kind));
    if (*out < 0) *out += count;
    *out = *out < low ? low : *out > high ? high : *out;
    return CARINA_OK;
}

static uint64_t offset_of(jinja_text text, int64_t character) {
    uint64_t at = 0;
    for (; character > 0; character--) at += (uint64_t)utf8_character(text.data + at, text.size - at);
    return at;
}

carina_status jinja_slice(jinja_run *r, const jinja_value *of, const jinja_value bounds[3], jinja_value *out) {
    int64_t begin, end, step = 1, count;
    if (of->kind != JINJA_LIST && of->kind != JINJA_TEXT)
        return jinja_run_fail(r, of->kind == JINJA_UNDEFINED ? CARINA_ERROR_FORMAT : CARINA_ERROR_UNSUPPORTED,
                              "%s has no slices", jinja_kind_name(of->kind));
    if (bounds[2].kind != JINJA_NONE && !jinja_as_whole(&bounds[2], &step)) step = 0;
    if (step == 0) return jinja_run_fail(r, CARINA_ERROR_FORMAT, "a slice's step must be a number that is not 0");
    if (of->kind == JINJA_TEXT) TRY(jinja_spend(r, of->text.size / 16));
    count = of->kind == JINJA_LIST ? (int64_t)of->list->count : (int64_t)jinja_character_count(of->text);
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? count - 1 : count;
    TRY(bound(r, &bounds[0], count, low, high, step < 0 ? high : low, &begin));
    TRY(bound(r, &bounds[1], count, low, high, step < 0 ? low : high, &end));
    int64_t span = step < 0 ? begin - end : end - begin;
    uint64_t size = step < 0 ? 0 - (uint64_t)step : (uint64_t)step;
    uint64_t items = span > 0 ? ((uint64_t)span - 1) / size + 1 : 0;
    if (of->kind == JINJA_TEXT) {
        if (step != 1) return jinja_run_fail(r, CARINA_ERROR_UNSUPPORTED, "a step in a text's slice is not supported");
        uint64_t first = offset_of(of->text, begin), last = items ? offset_of(of->text, end) : first;
        *out = jinja_text_value(of->text.data + first, last - first);
        return CARINA_OK;
    }
    TRY(jinja_make_list(r, items, JINJA_LIST, out));
    for (uint64_t i = 0; i < items; i++)
        out->list->items[i] = of->list->items[step < 0 ? (uint64_t)begin - i * size : (uint64_t)begin + i * size];
    return CARINA_OK;
}
