/* JSON reader over any bytes; what it accepts is walked and written out again, and must then be accepted once more. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "format/json.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_document *document;
    carina_error error;
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
        json_free(again);
        free(text);
    }
    json_free(document);
    return 0;
}
