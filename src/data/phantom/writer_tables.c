/* Tables of a phantom set; see writer_tables.h. */
#include "data/phantom/writer_tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atlas/atlas.h"
#include "base/file.h"
#include "data/phantom/film_names.h"
#include "format/csv.h"
#include "format/json.h"
#include "format/json_writer.h"

static const char readme_text[] =
    "Synthetic chest films\n"
    "=====================\n"
    "\n"
    "Everything in this folder was computed by `carina data phantom` from random numbers: no film shows a patient, no\n"
    "report was written by a physician, and every name, number and date is made up. For research on software only; "
    "not\n"
    "for any medical use.\n"
    "\n"
    "The layout is that of Chest ImaGenome (silver_dataset) and MIMIC-CXR-JPG (files, mimic-cxr-2.0.0-*.csv), so that\n"
    "programs for those sets read it. Regions that are not on a film are left out of its scene graph, as there.\n"
    "The object \"synthetic\" in each scene graph holds the truth that the report may leave out. "
    "masks/<id>/masks.json\n"
    "lists the masks of a film (0 or 255, film pixels): lungs, heart, each lesion, each device. phantom.json says how "
    "the set was made.\n"
    "\n"
    "Lung and heart outlines follow statistics of the CheXmask data set (CC BY 4.0); frequencies and sizes of "
    "findings\n"
    "follow ChestX-Det (Apache License 2.0).\n";

static char *file_in(const phantom_writer_options *options, const char *name) {
    return path_join(options->folder, name);
}

static carina_status make_folder(const phantom_writer_options *options, const char *name, carina_error *error) {
    char *path = file_in(options, name);
    if (!path) return error_memory(error, "path", strlen(name));
    carina_status status = file_make_folders(path, error);
    if (status == CARINA_OK) file_remove_unfinished(path); /* what a killed run left */
    free(path);
    return status;
}

/* Shares of the whole, as the description has them. */
static void split_text(const phantom_writer_options *o, char out[96]) {
    double whole = o->split[0] + o->split[1] + o->split[2];
    snprintf(out, 96, "train=%.6g,valid=%.6g,test=%.6g", o->split[0] / whole, o->split[1] / whole, o->split[2] / whole);
}

static carina_status write_description(const phantom_writer_options *o, const char *path, carina_error *error) {
    file_writer *writer;
    char split[96];
    split_text(o, split);
    TRY(file_writer_open(&writer, path, error));
    json_writer w = json_writer_make(file_writer_stream(writer), JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "note", "synthetic chest films made by carina data phantom; no patients");
    json_field_whole(&w, "seed", (int64_t)o->seed);
    json_field_whole(&w, "start", (int64_t)o->start);
    json_field_whole(&w, "width", o->width);
    json_field_whole(&w, "height", o->height);
    json_field_truth(&w, "healthy", o->healthy);
    json_field_truth(&w, "dicom", o->dicom);
    json_field_truth(&w, "masks", o->masks);
    json_field_text(&w, "split", split);
    json_field_whole(&w, "count", (int64_t)o->count);
    json_end(&w);
    return file_writer_commit(writer, error);
}

static carina_status expect_whole(const json_document *document, const char *key, uint64_t wanted,
                                  carina_error *error) {
    int64_t value;
    TRY(json_get_whole(document, json_root(document), key, 0, INT64_MAX, &value, error));
    if ((uint64_t)value == wanted) return CARINA_OK;
    return json_fail(document, json_root(document), key, CARINA_ERROR_MISMATCH, error,
                     "the folder holds a set with %lld, wanted is %llu; choose another folder", (long long)value,
                     (unsigned long long)wanted);
}

static carina_status expect_truth(const json_document *document, const char *key, bool wanted, carina_error *error) {
    bool value;
    TRY(json_get_truth(document, json_root(document), key, &value, error));
    if (value == wanted) return CARINA_OK;
    return json_fail(document, json_root(document), key, CARINA_ERROR_MISMATCH, error,
                     "the folder holds a set made with %s, wanted is %s; choose another folder",
                     value ? "true" : "false", wanted ? "true" : "false");
}

/* Films that were kept for measuring must not become films for training. Earlier sets do not say it. */
static carina_status expect_split(const json_document *document, const phantom_writer_options *o, carina_error *error) {
    char wanted[96];
    const char *value;
    if (!json_has(json_root(document), "split")) return CARINA_OK;
    split_text(o, wanted);
    TRY(json_get_text(document, json_root(document), "split", &value, error));
    if (strcmp(value, wanted) == 0) return CARINA_OK;
    return json_fail(document, json_root(document), "split", CARINA_ERROR_MISMATCH, error,
                     "the folder holds a set with %s, wanted is %s; choose another folder", value, wanted);
}

/* The tables name the films of the last run alone: a smaller count would hide the others, also those that an
 * interrupted run has made before there were tables. */
static carina_status expect_growth(const json_document *document, const phantom_writer_options *o, bool *grows,
                                   carina_error *error) {
    int64_t held;
    *grows = true;
    if (!json_has(json_root(document), "count")) return CARINA_OK;
    TRY(json_get_whole(document, json_root(document), "count", 0, INT64_MAX, &held, error));
    *grows = (int64_t)o->count > held;
    if ((int64_t)o->count >= held) return CARINA_OK;
    return json_fail(document, json_root(document), "count", CARINA_ERROR_MISMATCH, error,
                     "the folder holds a set of %lld films, and --count %lld would leave the others out of its tables; "
                     "give --count %lld or more, or choose another folder",
                     (long long)held, (long long)o->count, (long long)held);
}

/* A set is continued only as what it is; it may grow. */
static carina_status check_description(const phantom_writer_options *o, const char *path, carina_error *error) {
    json_document *document;
    bool grows = false;
    TRY(json_read(&document, path, NULL, error));
    carina_status status = expect_whole(document, "seed", o->seed, error);
    if (status == CARINA_OK) status = expect_whole(document, "start", o->start, error);
    if (status == CARINA_OK) status = expect_whole(document, "width", (uint64_t)o->width, error);
    if (status == CARINA_OK) status = expect_whole(document, "height", (uint64_t)o->height, error);
    if (status == CARINA_OK) status = expect_truth(document, "healthy", o->healthy, error);
    if (status == CARINA_OK) status = expect_truth(document, "dicom", o->dicom, error);
    if (status == CARINA_OK) status = expect_truth(document, "masks", o->masks, error);
    if (status == CARINA_OK) status = expect_split(document, o, error);
    if (status == CARINA_OK) status = expect_growth(document, o, &grows, error);
    json_free(document);
    return status == CARINA_OK && grows ? write_description(o, path, error) : status;
}

static carina_status write_readme(const phantom_writer_options *o, carina_error *error) {
    char *path = file_in(o, "README");
    if (!path) return error_memory(error, "path", strlen(o->folder));
    carina_status status = file_write(path, readme_text, sizeof readme_text - 1, error);
    free(path);
    return status;
}

carina_status writer_tables_begin(const phantom_writer_options *o, carina_error *error) {
    TRY(make_folder(o, "silver_dataset/scene_graph", error));
    TRY(make_folder(o, "silver_dataset/splits", error));
    TRY(make_folder(o, "files", error));
    char *path = file_in(o, "phantom.json");
    if (!path) return error_memory(error, "path", strlen(o->folder));
    carina_status status = file_exists(path) ? check_description(o, path, error) : write_description(o, path, error);
    free(path);
    if (status != CARINA_OK) return status;
    return write_readme(o, error);
}

/* A table being written. */
typedef struct table {
    file_writer *writer;
    csv_writer csv;
} table;

static carina_status table_open(table *t, const phantom_writer_options *o, const char *name, const char *header,
                                carina_error *error) {
    char *path = file_in(o, name);
    if (!path) return error_memory(error, "path", strlen(name));
    carina_status status = file_writer_open(&t->writer, path, error);
    free(path);
    if (status != CARINA_OK) return status;
    fputs(header, file_writer_stream(t->writer));
    t->csv = csv_writer_make(file_writer_stream(t->writer), ',');
    return CARINA_OK;
}

enum { TABLE_TRAIN, TABLE_VALID, TABLE_TEST, TABLE_AVOID, TABLE_SPLIT, TABLE_METADATA, TABLE_LABELS, TABLE_COUNT };

static carina_status open_tables(table tables[TABLE_COUNT], const phantom_writer_options *o, carina_error *error) {
    static const char split_header[] = ",subject_id,study_id,dicom_id,path,ViewPosition\n";
    static const struct {
        const char *name, *header;
    } files[TABLE_LABELS] = {
        {"silver_dataset/splits/train.csv", split_header},
        {"silver_dataset/splits/valid.csv", split_header},
        {"silver_dataset/splits/test.csv", split_header},
        {"silver_dataset/splits/images_to_avoid.csv", "subject_id,study_id,dicom_id,path,ViewPosition\n"},
        {"mimic-cxr-2.0.0-split.csv", "dicom_id,study_id,subject_id,split\n"},
        {"mimic-cxr-2.0.0-metadata.csv",
         "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
         "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
         "PatientOrientationCodeSequence_CodeMeaning\n"},
    };
    for (int i = 0; i < TABLE_LABELS; i++) TRY(table_open(&tables[i], o, files[i].name, files[i].header, error));
    TRY(table_open(&tables[TABLE_LABELS], o, "mimic-cxr-2.0.0-chexpert.csv", "subject_id,study_id", error));
    for (int i = 0; i < ATLAS_LABEL_COUNT; i++) {
        fprintf(file_writer_stream(tables[TABLE_LABELS].writer), ",%s", atlas_label_names[i]);
    }
    fputc('\n', file_writer_stream(tables[TABLE_LABELS].writer));
    return CARINA_OK;
}

static void put_split_row(table *t, uint64_t row, const film_names *n, const char *view) {
    char path[160];
    snprintf(path, sizeof path, "files/p%.2s/p%s/s%s/%s.dcm", n->patient, n->patient, n->study, n->id);
    csv_put_whole(&t->csv, (int64_t)row);
    csv_put_text(&t->csv, n->patient);
    csv_put_text(&t->csv, n->study);
    csv_put_text(&t->csv, n->id);
    csv_put_text(&t->csv, path);
    csv_put_text(&t->csv, view);
    csv_end_row(&t->csv);
}

static void put_metadata_row(table *t, const film_names *n, const char *view, int rows, int columns) {
    csv_put_text(&t->csv, n->id);
    csv_put_text(&t->csv, n->patient);
    csv_put_text(&t->csv, n->study);
    csv_put_text(&t->csv, "SYNTHETIC CHEST PHANTOM");
    csv_put_text(&t->csv, view);
    csv_put_whole(&t->csv, rows);
    csv_put_whole(&t->csv, columns);
    csv_put_text(&t->csv, n->date);
    csv_put_text(&t->csv, n->time);
    csv_put_text(&t->csv, "synthetic");
    csv_put_text(&t->csv, strcmp(view, "AP") == 0 ? "antero-posterior" : "postero-anterior");
    csv_put_text(&t->csv, "");
    csv_end_row(&t->csv);
}

static carina_status put_labels_row(table *t, const film_names *n, const json_document *document,
                                    const json_value *synthetic, carina_error *error) {
    const json_value *labels;
    TRY(json_get_array(document, synthetic, "report_labels", &labels, error));
    csv_put_text(&t->csv, n->patient);
    csv_put_text(&t->csv, n->study);
    for (uint64_t i = 0; i < ATLAS_LABEL_COUNT; i++) {
        double value;
        if (json_number(json_item(labels, i), &value)) {
            csv_put_text(&t->csv, value > 0 ? "1.0" : value < 0 ? "-1.0" : "0.0");
        } else {
            csv_put_text(&t->csv, "");
        }
    }
    csv_end_row(&t->csv);
    return CARINA_OK;
}

static carina_status put_film(table tables[TABLE_COUNT], uint64_t rows[3], const film_names *n,
                              const json_document *document, carina_error *error) {
    static const char *const parts[3] = {"train", "validate", "test"};
    const json_value *root = json_root(document), *synthetic;
    const char *view;
    int64_t height, width;
    TRY(json_get_text(document, root, "viewpoint", &view, error));
    TRY(json_get_object(document, root, "synthetic", &synthetic, error));
    TRY(json_get_whole(document, synthetic, "rows", 1, PHANTOM_MAX_SIDE, &height, error));
    TRY(json_get_whole(document, synthetic, "columns", 1, PHANTOM_MAX_SIDE, &width, error));
    put_split_row(&tables[TABLE_TRAIN + n->split], rows[n->split]++, n, view);
    table *split = &tables[TABLE_SPLIT];
    csv_put_text(&split->csv, n->id);
    csv_put_text(&split->csv, n->study);
    csv_put_text(&split->csv, n->patient);
    csv_put_text(&split->csv, parts[n->split]);
    csv_end_row(&split->csv);
    put_metadata_row(&tables[TABLE_METADATA], n, view, (int)height, (int)width);
    return put_labels_row(&tables[TABLE_LABELS], n, document, synthetic, error);
}

static carina_status put_films(table tables[TABLE_COUNT], const phantom_writer_options *o, carina_error *error) {
    uint64_t rows[3] = {0};
    for (uint64_t i = o->start; i < o->start + o->count; i++) {
        film_names names;
        char name[160];
        film_names_make(&names, o->seed, i, o->split);
        snprintf(name, sizeof name, "silver_dataset/scene_graph/%s_SceneGraph.json", names.id);
        char *path = file_in(o, name);
        if (!path) return error_memory(error, "path", strlen(name));
        json_document *document = NULL;
        carina_status status = json_read(&document, path, NULL, error);
        if (status == CARINA_OK) status = put_film(tables, rows, &names, document, error);
        json_free(document);
        free(path);
        if (status != CARINA_OK) return status;
    }
    return CARINA_OK;
}

carina_status writer_tables_finish(const phantom_writer_options *o, carina_error *error) {
    table tables[TABLE_COUNT] = {0};
    carina_status status = open_tables(tables, o, error);
    if (status == CARINA_OK) status = put_films(tables, o, error);
    for (int i = 0; i < TABLE_COUNT; i++) {
        if (!tables[i].writer) continue;
        if (status == CARINA_OK) {
            status = file_writer_commit(tables[i].writer, error);
        } else {
            file_writer_abort(tables[i].writer);
        }
    }
    return status;
}
