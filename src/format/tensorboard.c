/* Event files: TFRecord frames (u64 length, its masked CRC, bytes, their masked CRC) round protocol buffers of
 *
 *     message Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
 *     message Summary { repeated Value value = 1; }
 *     message Value   { string tag = 1; float simple_value = 2; }
 *
 * written by hand: three messages need no library. See tensorboard.h.
 */
#include "format/tensorboard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/file.h"

struct tensorboard {
    char *path;
    int descriptor;
    int failure;     /* errno of the first write that failed */
    uint8_t *record; /* under construction */
    uint64_t size, capacity;
};

/* CRC-32C (Castagnoli), bit by bit: events are few and small. */
static uint32_t crc32c(const uint8_t *data, uint64_t size) {
    uint32_t crc = UINT32_MAX;
    for (uint64_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* Stored checksums are masked, so that a checksum of data that holds checksums stays a good one. */
static uint32_t masked_crc(const uint8_t *data, uint64_t size) {
    uint32_t crc = crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void put_bytes(tensorboard *b, const void *bytes, uint64_t size) {
    if (b->failure) return;
    if (b->size + size > b->capacity) {
        uint64_t capacity = (b->size + size) * 2;
        uint8_t *grown = realloc(b->record, (size_t)capacity);
        if (!grown) {
            b->failure = ENOMEM;
            return;
        }
        b->record = grown;
        b->capacity = capacity;
    }
    if (size) memcpy(b->record + b->size, bytes, (size_t)size);
    b->size += size;
}

static void put_fixed(tensorboard *b, uint64_t value, int byte_count) {
    uint8_t bytes[8];
    for (int i = 0; i < byte_count; i++) bytes[i] = (uint8_t)(value >> 8 * i);
    put_bytes(b, bytes, (uint64_t)byte_count);
}

static int varint(uint8_t out[10], uint64_t value) {
    int count = 0;
    for (; value >= 0x80; value >>= 7) out[count++] = (uint8_t)(value | 0x80);
    out[count++] = (uint8_t)value;
    return count;
}

static void put_varint(tensorboard *b, uint64_t value) {
    uint8_t bytes[10];
    put_bytes(b, bytes, (uint64_t)varint(bytes, value));
}

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
static void put_key(tensorboard *b, int field, int wire) { put_varint(b, (uint64_t)(field << 3 | wire)); }

static void begin_event(tensorboard *b, double wall_time, uint64_t step) {
    uint64_t bits;
    memcpy(&bits, &wall_time, sizeof bits);
    b->size = 0;
    put_fixed(b, 0, 8); /* length and its checksum come in end_event */
    put_fixed(b, 0, 4);
    put_key(b, 1, WIRE_FIXED64);
    put_fixed(b, bits, 8);
    if (step) {
        put_key(b, 2, WIRE_VARINT);
        put_varint(b, step);
    }
}

static void end_event(tensorboard *b) {
    if (b->failure) return;
    uint64_t length = b->size - 12;
    for (int i = 0; i < 8; i++) b->record[i] = (uint8_t)(length >> 8 * i);
    uint32_t check = masked_crc(b->record, 8);
    for (int i = 0; i < 4; i++) b->record[8 + i] = (uint8_t)(check >> 8 * i);
    put_fixed(b, masked_crc(b->record + 12, length), 4);
    uint64_t done = 0;
    while (!b->failure && done < b->size) {
        ssize_t count = write(b->descriptor, b->record + done, (size_t)(b->size - done));
        if (count > 0) done += (uint64_t)count;
        if (count < 0 && errno != EINTR) b->failure = errno;
    }
}

static uint64_t value_size(const tensorboard_value *value) {
    uint8_t ignored[10];
    uint64_t length = strlen(value->tag);
    return 1 + (uint64_t)varint(ignored, length) + length + 1 + 4;
}

void tensorboard_write(tensorboard *b, uint64_t step, double wall_time, const tensorboard_value *values, int count) {
    uint64_t summary_size = 0;
    uint8_t ignored[10];
    for (int i = 0; i < count; i++) {
        uint64_t size = value_size(&values[i]);
        summary_size += 1 + (uint64_t)varint(ignored, size) + size;
    }
    begin_event(b, wall_time, step);
    put_key(b, 5, WIRE_BYTES);
    put_varint(b, summary_size);
    for (int i = 0; i < count; i++) {
        float number = (float)values[i].value;
        uint32_t bits;
        memcpy(&bits, &number, sizeof bits);
        put_key(b, 1, WIRE_BYTES);
        put_varint(b, value_size(&values[i]));
        put_key(b, 1, WIRE_BYTES);
        put_varint(b, strlen(values[i].tag));
        put_bytes(b, values[i].tag, strlen(values[i].tag));
        put_key(b, 2, WIRE_FIXED32);
        put_fixed(b, bits, 4);
    }
    end_event(b);
}

static uint64_t read_varint(cursor *c) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = cursor_u8(c);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
    c->failed = true;
    return 0;
}

/* The step of an event; false when the bytes are no event. */
static bool read_step(const uint8_t *bytes, uint64_t size, uint64_t *step) {
    cursor c = cursor_make(bytes, size);
    *step = 0;
    while (!c.failed && cursor_remaining(&c)) {
        uint64_t key = read_varint(&c);
        switch (key & 7) {
            case WIRE_VARINT: {
                uint64_t value = read_varint(&c);
                if (key >> 3 == 2) *step = value;
                break;
            }
            case WIRE_FIXED64: cursor_skip(&c, 8); break;
            case WIRE_BYTES: cursor_skip(&c, read_varint(&c)); break;
            case WIRE_FIXED32: cursor_skip(&c, 4); break;
            default: return false;
        }
    }
    return !c.failed;
}

uint64_t tensorboard_kept_size(const uint8_t *data, uint64_t size, uint64_t steps_done) {
    cursor c = cursor_make(data, size);
    for (uint64_t kept = 0;; kept = c.offset) {
        const uint8_t *head = cursor_take(&c, 8);
        if (!head || cursor_u32le(&c) != masked_crc(head, 8)) return kept;
        cursor length = cursor_make(head, 8);
        uint64_t count = cursor_u64le(&length), step;
        const uint8_t *bytes = cursor_take(&c, count);
        if (!bytes || cursor_u32le(&c) != masked_crc(bytes, count) || c.failed) return kept;
        if (!read_step(bytes, count, &step) || step > steps_done) return kept;
    }
}

static carina_status open_at(tensorboard *b, uint64_t kept, carina_error *error) {
    b->descriptor = open(b->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (b->descriptor < 0 || ftruncate(b->descriptor, (off_t)kept) != 0 || lseek(b->descriptor, 0, SEEK_END) < 0)
        return error_errno(error, "%s: cannot write", b->path);
    return CARINA_OK;
}

carina_status tensorboard_open(tensorboard **out, const char *folder, uint64_t steps_done, double wall_time,
                               carina_error *error) {
    *out = NULL;
    tensorboard *b = calloc(1, sizeof *b);
    if (!b) return error_memory(error, folder, sizeof *b);
    b->descriptor = -1;
    b->path = path_join(folder, TENSORBOARD_FILE);
    carina_status status = b->path ? CARINA_OK : error_memory(error, folder, strlen(folder));
    uint64_t kept = 0;
    if (status == CARINA_OK && steps_done > 0 && file_exists(b->path)) {
        file_map map;
        status = file_map_open(&map, b->path, error);
        if (status == CARINA_OK) kept = tensorboard_kept_size(map.data, map.size, steps_done);
        file_map_close(&map);
    }
    if (status == CARINA_OK) status = open_at(b, kept, error);
    if (status != CARINA_OK) {
        tensorboard_close(b, NULL);
        return status;
    }
    if (kept == 0) {
        static const char version[] = "brain.Event:2";
        begin_event(b, wall_time, 0);
        put_key(b, 3, WIRE_BYTES);
        put_varint(b, sizeof version - 1);
        put_bytes(b, version, sizeof version - 1);
        end_event(b);
    }
    *out = b;
    return CARINA_OK;
}

carina_status tensorboard_close(tensorboard *b, carina_error *error) {
    if (!b) return CARINA_OK;
    carina_status status = CARINA_OK;
    if (b->descriptor >= 0 && close(b->descriptor) != 0 && !b->failure) b->failure = errno;
    if (b->failure) {
        errno = b->failure;
        status = error_errno(error, "%s: cannot write", b->path);
    }
    free(b->path);
    free(b->record);
    free(b);
    return status;
}
