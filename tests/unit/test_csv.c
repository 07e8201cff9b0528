/* format/csv: the tables of real sets in small, quotes and line ends, gzip, errors with their line, writing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/csv.h"

#define MAX_TEXT 2000

/* All records as "a|b|c\n..." after the header; on error "ERROR message". */
static char *flatten(char *out, const char *text, const csv_options *options) {
    csv_reader *reader;
    carina_error error;
    out[0] = 0;
    if (csv_open_memory(&reader, "x.csv", text, strlen(text), options, &error) != CARINA_OK) {
        snprintf(out, MAX_TEXT, "ERROR %s", error.message);
        return out;
    }
    bool more;
    carina_status status;
    while ((status = csv_next(reader, &more, &error)) == CARINA_OK && more)
        for (int i = 0; i < csv_field_count(reader); i++)
            snprintf(out + strlen(out), MAX_TEXT - strlen(out), "%s%s", csv_field(reader, i),
                     i + 1 < csv_field_count(reader) ? "|" : "\n");
    if (status != CARINA_OK) snprintf(out, MAX_TEXT, "ERROR %s", error.message);
    csv_close(reader);
    return out;
}

static void expect(const char *text, const csv_options *options, const char *expected) {
    char out[MAX_TEXT];
    assert_string_equal(flatten(out, text, options), expected);
}

static void dialects_are_read(void **state) {
    (void)state;
    expect("a,b\n1,2\n3,4", NULL, "1|2\n3|4\n");
    expect(
        "\xef\xbb\xbf"
        "a,b\r\n1,2\r\n\r\n3,4\r\n",
        NULL, "1|2\n3|4\n");
    expect("a,b\r1,2\r3,4\r", NULL, "1|2\n3|4\n");
    expect("a\tb\n1,5\t2\n", NULL, "1,5|2\n");
    expect("a,b\n\"x, \"\"y\"\"\nz\",\"\"\n", NULL, "x, \"y\"\nz|\n");
    expect("a\n\"\"\nx\n", NULL, "\nx\n");
    expect("a,b\nit\"s,5\" \n", NULL, "it\"s|5\" \n");
    expect("a,b\n\"x\"y,\n", NULL, "xy|\n");
    expect("a,b\n,\n", NULL, "|\n");
    expect("Image Index,Finding Label,Bbox [x,y,w,h],,,\n1,2,3,4,5,6,,,\n", NULL, "1|2|3|4|5|6|||\n");
    expect("1,2\n3,4\n", &(csv_options){.no_header = true}, "1|2\n3|4\n");
    expect("a,b\n1\n1,2,3\n", &(csv_options){.ragged = true}, "1\n1|2|3\n");
    expect("a;b\n1;2\n", &(csv_options){.separator = ';'}, "1|2\n");
    expect("", &(csv_options){.no_header = true}, "");
    expect("a,b", NULL, "");
}

static void bad_tables_are_refused(void **state) {
    (void)state;
    expect("", NULL, "ERROR x.csv: empty, a header line is expected");
    expect("\n\n", NULL, "ERROR x.csv: empty, a header line is expected");
    expect("a,b\n1,2\n1\n", NULL, "ERROR x.csv:3: 1 fields where the header has 2");
    expect("a,b\n1,2,3\n", NULL, "ERROR x.csv:2: 3 fields where the header has 2");
    expect("a,b\n1,2\n3,\"x\n\n", NULL, "ERROR x.csv:3: a quote is not closed");
    csv_reader *reader;
    carina_error error;
    assert_int_equal(csv_open_memory(&reader, "x", "a\0b", 3, NULL, &error), CARINA_ERROR_FORMAT);
    assert_int_equal(csv_open(&reader, TEST_TMP "/absent.csv", NULL, &error), CARINA_ERROR_IO);
    assert_int_equal(csv_open(&reader, TEST_TMP, NULL, &error), CARINA_ERROR_IO);
    char wide[2 * CSV_MAX_FIELDS + 2];
    memset(wide, ',', sizeof wide);
    assert_int_equal(csv_open_memory(&reader, "x", wide, sizeof wide, NULL, &error), CARINA_ERROR_LIMIT);
    uint64_t size = CSV_MAX_RECORD + 10u;
    char *huge = malloc(size);
    memset(huge, 'x', size);
    assert_int_equal(csv_open_memory(&reader, "x", huge, size, NULL, &error), CARINA_ERROR_LIMIT);
    free(huge);
}

static void columns_and_types(void **state) {
    (void)state;
    static const char text[] = ",subject_id, Sex ,score\n0,10,M, 1.5\n1,x,,\n2,11.0,F,NaN\n";
    csv_reader *reader;
    carina_error error;
    bool more;
    assert_int_equal(csv_open_memory(&reader, "x.csv", text, sizeof text - 1, NULL, &error), CARINA_OK);
    assert_int_equal(csv_column_count(reader), 4);
    assert_string_equal(csv_column_name(reader, 0), "");
    assert_int_equal(csv_column(reader, "sex"), 2);
    assert_int_equal(csv_column(reader, "view"), -1);
    int subject, score;
    assert_int_equal(csv_require(reader, "subject_id", &subject, &error), CARINA_OK);
    assert_int_equal(csv_require(reader, "scores", &score, &error), CARINA_ERROR_FORMAT);
    assert_string_equal(error.message, "x.csv: has no column 'scores' (nearest: 'score')");
    score = csv_column(reader, "score");
    double value;
    int64_t whole;
    assert_int_equal(csv_next(reader, &more, &error), CARINA_OK);
    assert_int_equal(csv_number(reader, score, &value, &error), CARINA_OK);
    assert_true(value == 1.5);
    assert_int_equal(csv_whole(reader, subject, 0, 99, &whole, &error), CARINA_OK);
    assert_int_equal(whole, 10);
    assert_int_equal(csv_whole(reader, subject, 0, 9, &whole, &error), CARINA_ERROR_FORMAT);
    assert_string_equal(error.message, "x.csv:2: column 'subject_id': 10 is outside 0 .. 9");
    assert_int_equal(csv_next(reader, &more, &error), CARINA_OK);
    assert_int_equal(csv_number(reader, score, &value, &error), CARINA_OK);
    assert_true(isnan(value));
    assert_int_equal(csv_number(reader, subject, &value, &error), CARINA_ERROR_FORMAT);
    assert_string_equal(error.message, "x.csv:3: column 'subject_id': 'x' is not a number");
    assert_int_equal(csv_next(reader, &more, &error), CARINA_OK);
    assert_int_equal(csv_line(reader), 4);
    assert_int_equal(csv_whole(reader, subject, 0, 99, &whole, &error), CARINA_OK);
    assert_int_equal(whole, 11);
    assert_string_equal(csv_field(reader, -1), "");
    assert_string_equal(csv_field(reader, 99), "");
    assert_int_equal(csv_next(reader, &more, &error), CARINA_OK);
    assert_false(more);
    csv_close(reader);
}

static void write_rows(FILE *stream, int count) {
    csv_writer w = csv_writer_make(stream, ',');
    csv_put_text(&w, "id");
    csv_put_text(&w, "note");
    csv_put_text(&w, "value");
    csv_end_row(&w);
    for (int i = 0; i < count; i++) {
        csv_put_whole(&w, i);
        csv_put_text(&w, i % 2 ? "say \"a, b\"\nand" : " blank ");
        if (i % 3)
            csv_put_fixed(&w, i / 7.0, 2);
        else
            csv_put_number(&w, NAN);
        csv_end_row(&w);
    }
}

static void written_tables_read_back(void **state) {
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    write_rows(stream, 3);
    fclose(stream);
    assert_string_equal(text, "id,note,value\n0,\" blank \",\n1,\"say \"\"a, b\"\"\nand\",0.14\n2,\" blank \",0.29\n");
    expect(text, NULL, "0| blank |\n1|say \"a, b\"\nand|0.14\n2| blank |0.29\n");
    free(text);
}

/* Plain and gzip through files larger than the reader's buffer; the fixture was made by gzip itself. */
static void files_and_gzip(void **state) {
    (void)state;
    const char *path = TEST_TMP "/table.csv";
    carina_error error;
    file_writer *writer;
    assert_int_equal(file_writer_open(&writer, path, &error), CARINA_OK);
    write_rows(file_writer_stream(writer), 20000);
    assert_int_equal(file_writer_commit(writer, &error), CARINA_OK);
    csv_reader *reader;
    bool more;
    int count = 0;
    assert_int_equal(csv_open(&reader, path, NULL, &error), CARINA_OK);
    while (csv_next(reader, &more, &error) == CARINA_OK && more) {
        int64_t id;
        assert_int_equal(csv_whole(reader, 0, count, count, &id, &error), CARINA_OK);
        count++;
    }
    assert_int_equal(count, 20000);
    csv_close(reader);

    assert_int_equal(csv_open(&reader, TEST_DATA "/csv/split.csv.gz", NULL, &error), CARINA_OK);
    assert_int_equal(csv_column(reader, "dicom_id"), 0);
    assert_int_equal(csv_next(reader, &more, &error), CARINA_OK);
    assert_string_equal(csv_field(reader, csv_column(reader, "split")), "train");
    csv_close(reader);

    uint8_t *bytes;
    uint64_t size;
    assert_int_equal(file_read(TEST_DATA "/csv/split.csv.gz", 10000, &bytes, &size, &error), CARINA_OK);
    const char *damaged = TEST_TMP "/damaged.csv.gz";
    for (int cut = 0; cut < 2; cut++) {
        bytes[size / 2] ^= (uint8_t)(cut ? 0 : 0xff);
        assert_int_equal(file_write(damaged, bytes, cut ? size - 12 : size, &error), CARINA_OK);
        carina_status status = csv_open(&reader, damaged, NULL, &error);
        more = true;
        while (status == CARINA_OK && more) status = csv_next(reader, &more, &error);
        assert_int_equal(status, CARINA_ERROR_FORMAT);
        assert_non_null(strstr(error.message, "gzip data is damaged"));
        csv_close(reader);
        bytes[size / 2] ^= (uint8_t)(cut ? 0 : 0xff);
    }
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialects_are_read), cmocka_unit_test(bad_tables_are_refused),
        cmocka_unit_test(columns_and_types), cmocka_unit_test(written_tables_read_back),
        cmocka_unit_test(files_and_gzip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
