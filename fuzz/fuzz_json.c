/* JSON reader over any bytes; what it accepts is walked and written out again, and must then be accepted once more. The
 * reader in one pass (json_scan) must accept it too. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "format/json.h"
#include "format/json_scan.h"
#include "format/json_writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void copy(json_writer *w, const json_value *value) {
    double number;
    bool truth;
    const char *key;
    const json_value *child;
    switch (json_kind_of(value)) {
        case JSON_KIND_NULL: json_put_null(w); break;
        case JSON_KIND_BOOL: json_put_truth(w, json_truth(value, &truth) && truth); break;
        case JSON_KIND_NUMBER:
            if (json_number(value, &number)) json_put_number(w, number);
            break;
        case JSON_KIND_TEXT: json_put_text(w, json_text(value)); break;
        case JSON_KIND_ARRAY:
            json_begin_array(w);
            for (uint64_t i = 0; i < json_count(value); i++) copy(w, json_item(value, i));
            json_end(w);
            break;
        case JSON_KIND_OBJECT:
            json_begin_object(w);
            for (void *position = NULL; json_next(value, &position, &key, &child);) {
                json_key(w, key);
                copy(w, child);
            }
            json_end(w);
            break;
    }
}

static bool scan(const void *data, size_t size) {
    carina_error error;
    json_scan s = json_scan_make("fuzz", data, size);
    bool whole = json_scan_skip(&s, NULL, NULL, &error) == CARINA_OK && json_scan_end(&s, &error) == CARINA_OK;
    json_scan_free(&s);
    return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_document *document;
    carina_error error;
    bool scanned = scan(data, size);
    json_options options = {.repair_utf8 = size % 2 == 0};
    if (json_parse(&document, "fuzz", data, size, &options, &error) != CARINA_OK) return 0;
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (stream) {
        json_writer w = json_writer_make(stream, size % 3 ? JSON_PRETTY : JSON_COMPACT);
        copy(&w, json_root(document));
        fclose(stream);
        json_document *again;
        if (json_parse(&again, "again", text, length, NULL, &error) != CARINA_OK) abort();
        if (!scan(text, length) || (!options.repair_utf8 && !scanned)) abort();
        json_free(again);
        free(text);
    }
    json_free(document);
    return 0;
}
