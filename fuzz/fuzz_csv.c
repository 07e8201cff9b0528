/* CSV reader over any bytes, in each of its modes; every field is read, also as a number. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "format/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    csv_options options = {.no_header = size & 1, .ragged = size & 2, .separator = size & 4 ? ';' : 0};
    csv_reader *reader;
    carina_error error;
    if (csv_open_memory(&reader, "fuzz", data, size, &options, &error) != CARINA_OK) return 0;
    volatile size_t sum = 0;
    csv_column(reader, "subject_id");
    for (bool more = true; more && csv_next(reader, &more, &error) == CARINA_OK;) {
        for (int i = 0; i < csv_field_count(reader); i++) {
            double value;
            int64_t whole;
            sum = sum + strlen(csv_field(reader, i));
            (void)csv_number(reader, i, &value, &error);
            (void)csv_whole(reader, i, 0, 100, &whole, &error);
        }
    }
    csv_close(reader);
    return 0;
}
