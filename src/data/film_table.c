/* Joining the CSV files of Chest ImaGenome and MIMIC-CXR-JPG; see film_table.h. */
#include "data/film_table.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/csv.h"

#define MAX_FILMS 4000000u /* the real set has 242,072 */

/* The same parts under the two sets' names. */
static const struct part {
    const char *name, *file, *mimic;
} parts[3] = {{"train", "train.csv", "train"}, {"valid", "valid.csv", "validate"}, {"test", "test.csv", "test"}};

/* What a file name in the tree may hold: ids become parts of paths. */
static bool plain_name(const char *text) {
    if (!*text || strlen(text) >= sizeof((sample *)0)->id) return false;
    for (const char *c = text; *c; c++) {
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_' && *c != '.') return false;
    }
    return text[0] != '.';
}

/* "p10000980" and "10000980", "s50985099" and "50985099", "50985099.0" name the same. */
static void plain_number(char *out, size_t size, const char *text, char letter) {
    if (text[0] == letter && isdigit((unsigned char)text[1])) text++;
    snprintf(out, size, "%s", text);
    size_t length = strlen(out);
    if (length > 2 && strcmp(out + length - 2, ".0") == 0) out[length - 2] = 0;
}

/* dicom_id, with or without an extension. */
static void plain_id(char *out, size_t size, const char *text) {
    snprintf(out, size, "%s", text);
    char *dot = strrchr(out, '.');
    if (dot && (strcmp(dot, ".dcm") == 0 || strcmp(dot, ".jpg") == 0 || strcmp(dot, ".png") == 0)) *dot = 0;
}

static carina_status add_row(film_table *table, const csv_reader *csv, int id_column, int patient_column,
                             int study_column, int view_column, carina_error *error) {
    char id[128], patient[64], study[64];
    plain_id(id, sizeof id, csv_field(csv, id_column));
    plain_number(patient, sizeof patient, csv_field(csv, patient_column), 'p');
    plain_number(study, sizeof study, csv_field(csv, study_column), 's');
    if (!plain_name(id)) return csv_fail(csv, id_column, error, "\"%s\" is no film id", id);
    if (!plain_name(patient) || strlen(patient) >= sizeof((sample *)0)->patient) {
        return csv_fail(csv, patient_column, error, "\"%s\" is no patient number", patient);
    }
    if (!plain_name(study)) return csv_fail(csv, study_column, error, "\"%s\" is no study number", study);
    if (table->count == MAX_FILMS) return csv_fail(csv, id_column, error, "more than %u films", MAX_FILMS);
    if (table->count == table->room) {
        uint64_t room = table->room ? table->room * 2 : 1024;
        film_row *grown = realloc(table->rows, (size_t)room * sizeof *grown);
        if (!grown) return error_memory(error, "film table", room * sizeof *grown);
        table->rows = grown;
        table->room = room;
    }
    film_row *row = &table->rows[table->count];
    memset(row, 0, sizeof *row);
    memset(row->labels, FILM_TABLE_BLANK, sizeof row->labels);
    bool fresh;
    TRY(string_index_add(table->films, id, (uint32_t)table->count, &row->id, &fresh, error));
    if (!fresh) return CARINA_OK; /* a film listed twice is one film */
    TRY(string_index_add(table->names, patient, 0, &row->patient, NULL, error));
    TRY(string_index_add(table->names, study, 0, &row->study, NULL, error));
    snprintf(row->view, sizeof row->view, "%.7s", csv_field(csv, view_column));
    table->count++;
    return CARINA_OK;
}

static carina_status read_split_rows(film_table *table, csv_reader *csv, carina_error *error) {
    int id, patient, study;
    TRY(csv_require(csv, "dicom_id", &id, error));
    TRY(csv_require(csv, "subject_id", &patient, error));
    TRY(csv_require(csv, "study_id", &study, error));
    int view = csv_column(csv, "ViewPosition");
    for (bool more = true;;) {
        TRY(csv_next(csv, &more, error));
        if (!more) return CARINA_OK;
        TRY(add_row(table, csv, id, patient, study, view, error));
    }
}

static char *join3(const char *a, const char *b, const char *c) {
    size_t size = strlen(a) + strlen(b) + strlen(c) + 3;
    char *path = malloc(size);
    if (path) snprintf(path, size, "%s/%s/%s", a, b, c);
    return path;
}

static carina_status read_split(film_table *table, const char *file, carina_error *error) {
    char *path = join3(table->silver_folder, "splits", file);
    if (!path) return error_memory(error, "path", strlen(table->silver_folder));
    csv_reader *csv = NULL;
    carina_status status = csv_open(&csv, path, NULL, error);
    if (status == CARINA_OK) status = read_split_rows(table, csv, error);
    csv_close(csv);
    free(path);
    return status;
}

static carina_status drop_avoided(film_table *table, carina_error *error) {
    char *path = join3(table->silver_folder, "splits", "images_to_avoid.csv");
    if (!path) return error_memory(error, "path", strlen(table->silver_folder));
    csv_reader *csv = NULL;
    carina_status status = CARINA_OK;
    int id = -1;
    if (file_exists(path)) {
        status = csv_open(&csv, path, NULL, error);
        if (status == CARINA_OK) status = csv_require(csv, "dicom_id", &id, error);
        for (bool more = true; status == CARINA_OK;) {
            status = csv_next(csv, &more, error);
            if (status != CARINA_OK || !more) break;
            char name[128];
            uint32_t index;
            plain_id(name, sizeof name, csv_field(csv, id));
            if (string_index_find(table->films, name, &index)) table->rows[index].dropped = true;
        }
    }
    csv_close(csv);
    free(path);
    return status;
}

/* The path of an optional table, plain or .gz; NULL when there is neither. */
static char *find_table(const film_table *table, const char *name) {
    char file[96];
    for (int packed = 0; packed < 2; packed++) {
        snprintf(file, sizeof file, "mimic-cxr-2.0.0-%s.csv%s", name, packed ? ".gz" : "");
        char *path = path_join(table->image_folder, file);
        if (path && file_exists(path)) return path;
        free(path);
    }
    return NULL;
}

typedef carina_status table_reader(film_table *table, csv_reader *csv, const void *context, carina_error *error);

static carina_status read_optional(film_table *table, const char *name, table_reader *read, const void *context,
                                   carina_error *error) {
    char *path = find_table(table, name);
    if (!path) return CARINA_OK;
    csv_reader *csv = NULL;
    carina_status status = csv_open(&csv, path, NULL, error);
    if (status == CARINA_OK) status = read(table, csv, context, error);
    csv_close(csv);
    free(path);
    return status;
}

/* context: the part of MIMIC-CXR's split to keep. A film that its split does not list stays. */
static carina_status read_mimic_split(film_table *table, csv_reader *csv, const void *context, carina_error *error) {
    const char *wanted = context;
    int id, split;
    TRY(csv_require(csv, "dicom_id", &id, error));
    TRY(csv_require(csv, "split", &split, error));
    for (bool more = true;;) {
        TRY(csv_next(csv, &more, error));
        if (!more) return CARINA_OK;
        char name[128];
        uint32_t index;
        plain_id(name, sizeof name, csv_field(csv, id));
        if (!string_index_find(table->films, name, &index)) continue;
        if (strcmp(csv_field(csv, split), wanted) != 0) table->rows[index].dropped = true;
    }
}

static uint16_t side_of(const csv_reader *csv, int column) {
    double value = 0;
    if (csv_number(csv, column, &value, NULL) != CARINA_OK || !(value >= 1 && value <= IMAGE_MAX_SIDE)) return 0;
    return (uint16_t)value;
}

static carina_status read_metadata(film_table *table, csv_reader *csv, const void *context, carina_error *error) {
    (void)context;
    int id;
    TRY(csv_require(csv, "dicom_id", &id, error));
    int view = csv_column(csv, "ViewPosition"), rows = csv_column(csv, "Rows"), columns = csv_column(csv, "Columns");
    for (bool more = true;;) {
        TRY(csv_next(csv, &more, error));
        if (!more) return CARINA_OK;
        char name[128];
        uint32_t index;
        plain_id(name, sizeof name, csv_field(csv, id));
        if (!string_index_find(table->films, name, &index)) continue;
        film_row *row = &table->rows[index];
        if (!*row->view) snprintf(row->view, sizeof row->view, "%.7s", csv_field(csv, view));
        row->rows = side_of(csv, rows);
        row->columns = side_of(csv, columns);
        if (!row->rows || !row->columns) row->rows = row->columns = 0;
    }
}

/* Labels go by study: first they are put by for each study that has films here, then handed to its films. */
typedef struct study_labels {
    int8_t value[ATLAS_LABEL_COUNT];
} study_labels;

static void study_key(char *out, size_t size, const char *patient, const char *study) {
    snprintf(out, size, "%s/%s", patient, study);
}

static carina_status index_studies(const film_table *table, string_index *studies, carina_error *error) {
    for (uint64_t i = 0; i < table->count; i++) {
        char key[160];
        study_key(key, sizeof key, table->rows[i].patient, table->rows[i].study);
        TRY(string_index_add(studies, key, (uint32_t)string_index_count(studies), NULL, NULL, error));
    }
    return CARINA_OK;
}

static carina_status read_label_row(const csv_reader *csv, const int columns[ATLAS_LABEL_COUNT], study_labels *labels,
                                    carina_error *error) {
    for (int k = 0; k < ATLAS_LABEL_COUNT; k++) {
        double value;
        TRY(csv_number(csv, columns[k], &value, error));
        if (isnan(value)) {
            labels->value[k] = FILM_TABLE_BLANK;
        } else if (value == 1 || value == 0 || value == -1) {
            labels->value[k] = (int8_t)value;
        } else {
            return csv_fail(csv, columns[k], error, "%g is none of 1, 0, -1 and empty", value);
        }
    }
    return CARINA_OK;
}

static carina_status collect_labels(csv_reader *csv, const string_index *studies, study_labels *labels,
                                    carina_error *error) {
    int patient, study, columns[ATLAS_LABEL_COUNT];
    TRY(csv_require(csv, "subject_id", &patient, error));
    TRY(csv_require(csv, "study_id", &study, error));
    for (int k = 0; k < ATLAS_LABEL_COUNT; k++) TRY(csv_require(csv, atlas_label_names[k], &columns[k], error));
    for (bool more = true;;) {
        TRY(csv_next(csv, &more, error));
        if (!more) return CARINA_OK;
        char patient_name[64], study_name[64], key[160];
        plain_number(patient_name, sizeof patient_name, csv_field(csv, patient), 'p');
        plain_number(study_name, sizeof study_name, csv_field(csv, study), 's');
        study_key(key, sizeof key, patient_name, study_name);
        uint32_t index;
        if (string_index_find(studies, key, &index)) TRY(read_label_row(csv, columns, &labels[index], error));
    }
}

static carina_status read_chexpert(film_table *table, csv_reader *csv, const void *context, carina_error *error) {
    (void)context;
    string_index *studies = NULL;
    study_labels *labels = NULL;
    carina_status status = string_index_create(&studies, error);
    if (status == CARINA_OK) status = index_studies(table, studies, error);
    if (status == CARINA_OK) {
        uint64_t count = string_index_count(studies);
        labels = malloc((size_t)(count + 1) * sizeof *labels);
        if (labels) {
            memset(labels, FILM_TABLE_BLANK, (size_t)(count + 1) * sizeof *labels);
            status = collect_labels(csv, studies, labels, error);
        } else {
            status = error_memory(error, "labels", count * sizeof *labels);
        }
    }
    for (uint64_t i = 0; status == CARINA_OK && i < table->count; i++) {
        char key[160];
        uint32_t index;
        study_key(key, sizeof key, table->rows[i].patient, table->rows[i].study);
        if (string_index_find(studies, key, &index)) {
            memcpy(table->rows[i].labels, labels[index].value, sizeof table->rows[i].labels);
        }
    }
    free(labels);
    string_index_free(studies);
    return status;
}

/* Drops what is marked and what is beyond the limit. The index of ids is stale afterwards and goes. */
static void keep_rest(film_table *table, uint64_t limit) {
    uint64_t kept = 0;
    for (uint64_t i = 0; i < table->count; i++) {
        if (table->rows[i].dropped) continue;
        if (limit && kept == limit) break;
        table->rows[kept++] = table->rows[i];
    }
    table->count = kept;
}

static carina_status find_folders(film_table *table, const dataset_config *config, carina_error *error) {
    if (!file_is_folder(config->annotations))
        return error_set(error, CARINA_ERROR_IO,
                         "%s: no such folder; give that of Chest ImaGenome, or let `carina data phantom --out %s` make "
                         "a synthetic set",
                         config->annotations, config->annotations);
    char *silver = path_join(config->annotations, "silver_dataset");
    if (silver && !file_is_folder(silver)) {
        free(silver);
        silver = strdup(config->annotations);
    }
    table->silver_folder = silver;
    table->image_folder = strdup(config->images ? config->images : config->annotations);
    if (!silver || !table->image_folder) return error_memory(error, "path", strlen(config->annotations));
    char *graphs = path_join(silver, "scene_graph");
    char *nested = path_join(silver, "scene_graph/scene_graph");
    bool found = graphs && file_is_folder(graphs);
    table->nested_graphs = nested && file_is_folder(nested);
    free(graphs);
    free(nested);
    if (found) return CARINA_OK;
    return error_set(error, CARINA_ERROR_IO, "%s: no folder scene_graph here; unpack scene_graph.zip", silver);
}

static carina_status load(film_table *table, const dataset_config *config, carina_error *error) {
    TRY(find_folders(table, config, error));
    const char *split = config->split ? config->split : "train";
    bool all = strcmp(split, "all") == 0;
    TRY(dataset_check_split(split, error));
    if (strcmp(split, "validate") == 0) split = "valid";
    const char *mimic = NULL;
    for (int i = 0; i < 3; i++) {
        bool wanted = strcmp(split, parts[i].name) == 0;
        if (!wanted && !all) continue;
        if (wanted) mimic = parts[i].mimic;
        TRY(read_split(table, parts[i].file, error));
    }
    if (!config->keep_avoided) TRY(drop_avoided(table, error));
    if (mimic && !config->own_split_only) TRY(read_optional(table, "split", read_mimic_split, mimic, error));
    TRY(read_optional(table, "metadata", read_metadata, NULL, error));
    TRY(read_optional(table, "chexpert", read_chexpert, NULL, error));
    keep_rest(table, config->limit);
    if (table->count > 0) return CARINA_OK;
    return error_set(error, CARINA_ERROR_FORMAT, "%s: no film is left in split \"%s\"", table->silver_folder, split);
}

carina_status film_table_open(film_table *out, const dataset_config *config, carina_error *error) {
    memset(out, 0, sizeof *out);
    carina_status status = string_index_create(&out->films, error);
    if (status == CARINA_OK) status = string_index_create(&out->names, error);
    if (status == CARINA_OK) status = load(out, config, error);
    if (status != CARINA_OK) film_table_free(out);
    return status;
}

void film_table_free(film_table *table) {
    if (!table) return;
    free(table->rows);
    string_index_free(table->films);
    string_index_free(table->names);
    free(table->silver_folder);
    free(table->image_folder);
    memset(table, 0, sizeof *table);
}
