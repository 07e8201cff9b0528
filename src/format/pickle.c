/* The pickle machine without the machine: opcodes of "pickletools" build a tree; see pickle.h.
 *
 * No recursion: depth costs nothing here. Every value costs at least one byte of input and the number of values is
 * limited, so memory is bounded by the input's size.
 */
#include "format/pickle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

#define BLOCK_VALUES 1024
#define MAX_GLOBAL   256

typedef struct pickle_block {
    struct pickle_block *next;
    uint32_t used;
    pickle_value values[BLOCK_VALUES];
    char *names[BLOCK_VALUES]; /* joined "module.name" of globals, owned */
} pickle_block;

typedef struct machine {
    const char *name;
    cursor c;
    uint64_t at; /* offset of the current opcode */
    pickle_tree *tree;
    uint32_t value_count;
    pickle_accepts *accepts;
    pickle_value **stack;
    uint32_t depth, stack_capacity;
    uint32_t *marks;
    uint32_t mark_count, mark_capacity;
    pickle_value **memo; /* NULL where nothing was put */
    uint32_t memo_capacity, memo_next;
    carina_error *error;
} machine;

static carina_status fail(machine *m, carina_status status, const char *what) {
    return error_set(m->error, status, "%s: pickle: %s at offset %llu", m->name, what, (unsigned long long)m->at);
}
static carina_status malformed(machine *m, const char *what) { return fail(m, CARINA_ERROR_FORMAT, what); }

/* Room for `wanted` elements in a growing array. */
static carina_status reserve(machine *m, void **array, uint32_t *capacity, uint64_t wanted, size_t element_size) {
    if (wanted <= *capacity) return CARINA_OK;
    uint64_t larger = *capacity ? *capacity * 2ull : 16;
    if (larger < wanted) larger = wanted;
    if (larger > UINT32_MAX / 2) return fail(m, CARINA_ERROR_LIMIT, "too large");
    void *grown = realloc(*array, (size_t)larger * element_size);
    if (!grown) return error_memory(m->error, m->name, larger * element_size);
    memset((char *)grown + *capacity * element_size, 0, (size_t)(larger - *capacity) * element_size);
    *array = grown;
    *capacity = (uint32_t)larger;
    return CARINA_OK;
}

static carina_status new_value(machine *m, pickle_kind kind, pickle_value **out) {
    if (++m->value_count > PICKLE_MAX_VALUES) return fail(m, CARINA_ERROR_LIMIT, "too many values");
    if (!m->tree->blocks || m->tree->blocks->used == BLOCK_VALUES) {
        pickle_block *block = calloc(1, sizeof *block);
        if (!block) return error_memory(m->error, m->name, sizeof *block);
        block->next = m->tree->blocks;
        m->tree->blocks = block;
    }
    pickle_value *value = &m->tree->blocks->values[m->tree->blocks->used++];
    value->kind = kind;
    value->offset = m->at;
    *out = value;
    return CARINA_OK;
}

static carina_status push(machine *m, pickle_value *value) {
    TRY(reserve(m, (void **)&m->stack, &m->stack_capacity, m->depth + 1ull, sizeof *m->stack));
    m->stack[m->depth++] = value;
    return CARINA_OK;
}

/* The stack must not be popped below the innermost mark. */
static uint32_t floor_of(const machine *m) { return m->mark_count ? m->marks[m->mark_count - 1] : 0; }

static carina_status pop(machine *m, pickle_value **out) {
    if (m->depth <= floor_of(m)) return malformed(m, "stack is empty");
    *out = m->stack[--m->depth];
    return CARINA_OK;
}

static carina_status top(machine *m, pickle_value **out) {
    if (m->depth <= floor_of(m)) return malformed(m, "stack is empty");
    *out = m->stack[m->depth - 1];
    return CARINA_OK;
}

static carina_status push_new(machine *m, pickle_kind kind, pickle_value **out) {
    TRY(new_value(m, kind, out));
    return push(m, *out);
}

static carina_status push_whole(machine *m, pickle_kind kind, int64_t whole) {
    pickle_value *value = NULL;
    TRY(push_new(m, kind, &value));
    value->whole = whole;
    return CARINA_OK;
}

static carina_status push_text(machine *m, pickle_kind kind, uint64_t size) {
    const uint8_t *bytes = cursor_take(&m->c, size);
    if (!bytes) return malformed(m, "text is cut off");
    pickle_value *value = NULL;
    TRY(push_new(m, kind, &value));
    value->text = (const char *)bytes;
    value->text_size = size;
    return CARINA_OK;
}

/* LONG1, LONG4: little-endian two's complement of any size. */
static carina_status push_long(machine *m, uint64_t size) {
    const uint8_t *bytes = cursor_take(&m->c, size);
    if (!bytes) return malformed(m, "integer is cut off");
    if (size > 8) {
        m->c.offset -= size;
        return push_text(m, PICKLE_BIG_WHOLE, size);
    }
    uint64_t bits = size && bytes[size - 1] & 0x80 ? UINT64_MAX : 0;
    for (uint64_t i = size; i-- > 0;) bits = bits << 8 | bytes[i];
    int64_t whole;
    memcpy(&whole, &bits, sizeof whole);
    return push_whole(m, PICKLE_WHOLE, whole);
}

/* Moves the topmost `count` values into a collection's items. */
static carina_status move_items(machine *m, pickle_value *into, uint32_t count) {
    TRY(reserve(m, (void **)&into->items, &into->capacity, (uint64_t)into->count + count, sizeof *into->items));
    for (uint32_t i = 0; i < count; i++) into->items[into->count++] = m->stack[m->depth - count + i];
    m->depth -= count;
    return CARINA_OK;
}

static carina_status push_tuple(machine *m, uint32_t count) {
    if (m->depth - floor_of(m) < count) return malformed(m, "stack is empty");
    pickle_value *tuple = NULL;
    TRY(new_value(m, PICKLE_TUPLE, &tuple));
    TRY(move_items(m, tuple, count));
    return push(m, tuple);
}

/* Values above the innermost mark, which is removed. */
static carina_status pop_mark(machine *m, uint32_t *count) {
    if (m->mark_count == 0) return malformed(m, "no mark is set");
    *count = m->depth - m->marks[--m->mark_count];
    return CARINA_OK;
}

/* APPEND(S), SETITEM(S): `count` values go into the collection under them. */
static carina_status add_items(machine *m, uint32_t count, bool pairs) {
    if (m->depth - floor_of(m) <= count) return malformed(m, "stack is empty");
    pickle_value *into = m->stack[m->depth - count - 1];
    bool fits = into->kind == PICKLE_OBJECT || into->kind == (pairs ? PICKLE_DICT : PICKLE_LIST);
    if (!fits) return malformed(m, "items are added to something that is no collection");
    if (pairs && count % 2) return malformed(m, "a key without a value");
    if (into->kind == PICKLE_OBJECT && !pairs) { /* a list subclass, a set: its items are of no interest */
        m->depth -= count;
        return CARINA_OK;
    }
    return move_items(m, into, count);
}

static carina_status add_marked(machine *m, bool pairs) {
    uint32_t count = 0;
    TRY(pop_mark(m, &count));
    return add_items(m, count, pairs);
}

static carina_status memo_put(machine *m, uint64_t index) {
    pickle_value *value = NULL;
    TRY(top(m, &value));
    if (index > m->c.size) return malformed(m, "memo index is too large");
    TRY(reserve(m, (void **)&m->memo, &m->memo_capacity, index + 1, sizeof *m->memo));
    m->memo[index] = value;
    return CARINA_OK;
}

static carina_status memo_get(machine *m, uint64_t index) {
    if (index >= m->memo_capacity || !m->memo[index]) return malformed(m, "memo entry does not exist");
    return push(m, m->memo[index]);
}

static carina_status push_global(machine *m, const char *module, uint64_t module_size, const char *name,
                                 uint64_t name_size) {
    if (module_size + name_size + 2 > MAX_GLOBAL || memchr(module, 0, (size_t)module_size) ||
        memchr(name, 0, (size_t)name_size))
        return malformed(m, "a global's name is too long");
    pickle_value *value = NULL;
    TRY(push_new(m, PICKLE_GLOBAL, &value));
    char *joined = malloc((size_t)(module_size + name_size + 2));
    if (!joined) return error_memory(m->error, m->name, MAX_GLOBAL);
    memcpy(joined, module, (size_t)module_size);
    joined[module_size] = '.';
    memcpy(joined + module_size + 1, name, (size_t)name_size);
    joined[module_size + 1 + name_size] = 0;
    m->tree->blocks->names[m->tree->blocks->used - 1] = joined; /* the value just made */
    value->text = joined;
    value->text_size = module_size + 1 + name_size;
    if (!m->accepts(joined))
        return error_set(m->error, CARINA_ERROR_UNSUPPORTED,
                         "%s: pickle: global '%s' at offset %llu is not one that Carina reads; save a plain state_dict",
                         m->name, joined, (unsigned long long)m->at);
    return CARINA_OK;
}

static bool take_line(machine *m, const char **text, uint64_t *size) {
    const uint8_t *start = m->c.data + m->c.offset;
    const uint8_t *end = cursor_remaining(&m->c) ? memchr(start, '\n', (size_t)cursor_remaining(&m->c)) : NULL;
    if (!end) return false;
    *text = (const char *)start;
    *size = (uint64_t)(end - start);
    m->c.offset += *size + 1;
    return true;
}

static carina_status read_global(machine *m) {
    const char *module, *name;
    uint64_t module_size, name_size;
    if (!take_line(m, &module, &module_size) || !take_line(m, &name, &name_size))
        return malformed(m, "a global is cut off");
    return push_global(m, module, module_size, name, name_size);
}

static carina_status stack_global(machine *m) {
    pickle_value *name = NULL, *module = NULL;
    TRY(pop(m, &name));
    TRY(pop(m, &module));
    if (name->kind != PICKLE_TEXT || module->kind != PICKLE_TEXT) return malformed(m, "a global without a name");
    return push_global(m, module->text, module->text_size, name->text, name->text_size);
}

/* REDUCE, NEWOBJ: callable and argument tuple become an object. */
static carina_status make_object(machine *m) {
    pickle_value *arguments = NULL, *callable = NULL, *object = NULL;
    TRY(pop(m, &arguments));
    TRY(pop(m, &callable));
    if (callable->kind != PICKLE_GLOBAL || arguments->kind != PICKLE_TUPLE)
        return malformed(m, "an object is made of something that is no global and tuple");
    TRY(push_new(m, PICKLE_OBJECT, &object));
    object->callable = callable;
    object->arguments = arguments;
    return CARINA_OK;
}

static carina_status set_state(machine *m) {
    pickle_value *state = NULL, *object = NULL;
    TRY(pop(m, &state));
    TRY(top(m, &object));
    if (object->kind != PICKLE_OBJECT) return malformed(m, "state is set on something that is no object");
    object->state = state;
    return CARINA_OK;
}

static carina_status make_persistent(machine *m) {
    pickle_value *id = NULL, *reference = NULL;
    TRY(pop(m, &id));
    TRY(push_new(m, PICKLE_PERSISTENT, &reference));
    reference->arguments = id;
    reference->next_persistent = m->tree->last_persistent;
    m->tree->last_persistent = reference;
    return CARINA_OK;
}

static carina_status set_mark(machine *m) {
    TRY(reserve(m, (void **)&m->marks, &m->mark_capacity, m->mark_count + 1ull, sizeof *m->marks));
    m->marks[m->mark_count++] = m->depth;
    return CARINA_OK;
}

static carina_status read_protocol(machine *m) {
    uint8_t version = cursor_u8(&m->c);
    return version >= 2 && version <= 5 ? CARINA_OK : fail(m, CARINA_ERROR_UNSUPPORTED, "protocol is not 2 .. 5");
}

static carina_status refuse(machine *m, uint8_t opcode) {
    char what[64];
    snprintf(what, sizeof what, "opcode 0x%02x ('%c') is not understood", opcode,
             opcode > 32 && opcode < 127 ? opcode : '?');
    return fail(m, CARINA_ERROR_UNSUPPORTED, what);
}

/* Opcodes that make or move collections. */
static carina_status step_collections(machine *m, uint8_t opcode) {
    pickle_value *value = NULL;
    uint32_t count = 0;
    switch (opcode) {
        case '(': return set_mark(m);
        case '}': return push_new(m, PICKLE_DICT, &value);
        case ']': return push_new(m, PICKLE_LIST, &value);
        case ')': return push_tuple(m, 0);
        case 0x85: return push_tuple(m, 1);
        case 0x86: return push_tuple(m, 2);
        case 0x87: return push_tuple(m, 3);
        case 't': TRY(pop_mark(m, &count)); return push_tuple(m, count);
        case 'a': return add_items(m, 1, false);
        case 'e': return add_marked(m, false);
        case 's': return add_items(m, 2, true);
        case 'u': return add_marked(m, true);
        case '0': return pop(m, &value);
        case 'q': return memo_put(m, cursor_u8(&m->c));
        case 'r': return memo_put(m, cursor_u32le(&m->c));
        case 0x94: return memo_put(m, m->memo_next++); /* MEMOIZE */
        case 'h': return memo_get(m, cursor_u8(&m->c));
        case 'j': return memo_get(m, cursor_u32le(&m->c));
        case 'c': return read_global(m);
        case 0x93: return stack_global(m);
        case 'R':
        case 0x81: return make_object(m);
        case 'b': return set_state(m);
        case 'Q': return make_persistent(m);
        default: return refuse(m, opcode);
    }
}

static carina_status step(machine *m, uint8_t opcode) {
    pickle_value *value = NULL;
    uint32_t bits;
    switch (opcode) {
        case 0x80: return read_protocol(m);
        case 0x95: cursor_skip(&m->c, 8); return CARINA_OK; /* FRAME: a hint for streams */
        case 'N': return push_new(m, PICKLE_NONE, &value);
        case 0x88: return push_whole(m, PICKLE_BOOL, 1);
        case 0x89: return push_whole(m, PICKLE_BOOL, 0);
        case 'J':
            bits = cursor_u32le(&m->c);
            return push_whole(m, PICKLE_WHOLE, bits & 0x80000000u ? (int64_t)bits - 0x100000000 : (int64_t)bits);
        case 'K': return push_whole(m, PICKLE_WHOLE, cursor_u8(&m->c));
        case 'M': return push_whole(m, PICKLE_WHOLE, cursor_u16le(&m->c));
        case 0x8a: return push_long(m, cursor_u8(&m->c));
        case 0x8b: return push_long(m, cursor_u32le(&m->c));
        case 'G':
            TRY(push_new(m, PICKLE_REAL, &value));
            value->real = cursor_f64be(&m->c);
            return CARINA_OK;
        case 'U':
        case 'C':
        case 0x8c: return push_text(m, PICKLE_TEXT, cursor_u8(&m->c));
        case 'T':
        case 'B':
        case 'X': return push_text(m, PICKLE_TEXT, cursor_u32le(&m->c));
        case 0x8d:
        case 0x8e: return push_text(m, PICKLE_TEXT, cursor_u64le(&m->c));
        default: return step_collections(m, opcode);
    }
}

static carina_status run(machine *m) {
    for (;;) {
        m->at = m->c.offset;
        uint8_t opcode = cursor_u8(&m->c);
        if (m->c.failed) return malformed(m, "no end mark in the data or its first 32 MiB,");
        if (opcode == '.') break;
        TRY(step(m, opcode));
        if (m->c.failed) return malformed(m, "data is cut off");
    }
    if (m->depth != 1 || m->mark_count != 0) return malformed(m, "not exactly one value is left");
    m->tree->root = m->stack[0];
    m->tree->size = m->c.offset;
    return CARINA_OK;
}

carina_status pickle_parse(pickle_tree *out, const char *name, const void *data, uint64_t size, pickle_accepts *accepts,
                           carina_error *error) {
    *out = (pickle_tree){0};
    machine m = {.name = name,
                 .c = cursor_make(data, size < PICKLE_MAX_BYTES ? size : PICKLE_MAX_BYTES),
                 .tree = out,
                 .accepts = accepts,
                 .error = error};
    carina_status status = run(&m);
    free(m.stack);
    free(m.marks);
    free(m.memo);
    if (status != CARINA_OK) pickle_free(out);
    return status;
}

void pickle_free(pickle_tree *tree) {
    for (pickle_block *next, *block = tree->blocks; block; block = next) {
        next = block->next;
        for (uint32_t i = 0; i < block->used; i++) {
            free((void *)block->values[i].items);
            free(block->names[i]);
        }
        free(block);
    }
    *tree = (pickle_tree){0};
}

bool pickle_text_is(const pickle_value *value, const char *text) {
    return (value->kind == PICKLE_TEXT || value->kind == PICKLE_GLOBAL) && value->text_size == strlen(text) &&
           memcmp(value->text, text, (size_t)value->text_size) == 0;
}

bool pickle_is_call(const pickle_value *value, const char *global) {
    return value->kind == PICKLE_OBJECT && pickle_text_is(value->callable, global);
}
