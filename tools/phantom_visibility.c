/* How plainly devices and findings of the phantoms are seen, a table (src/data/phantom/visibility.h):
 *
 *     phantom_visibility [FILMS [SIDE [SEED [KIND]]]]     200 films of 512 pixels, seed 1, all kinds
 *     phantom_visibility films DIR FILMS SIDE SEED KIND   writes FILMS films that have one, DIR/KIND-INDEX.pgm, and
 *                                                         prints where: path, x1 y1 x2 y2 of each object
 *
 * Films are drawn (without rendering) until as many as wanted have the kind; without KIND they are the first ones.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/phantom/finding_truth.h"
#include "data/phantom/visibility.h"

#define KINDS (FINDING_KIND_COUNT + FINDING_DEVICE_COUNT)

typedef struct row {
    const char *kind;
    int count, outside;
    double *contrast, *cnr, *seen;
} row;

static row *find_row(row *rows, const char *kind) {
    int i = 0;
    while (rows[i].kind && strcmp(rows[i].kind, kind) != 0) i++;
    rows[i].kind = kind;
    return &rows[i];
}

static int compare_double(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *value, int count, double at) {
    qsort(value, (size_t)count, sizeof *value, compare_double);
    return count ? value[(int)(at * (count - 1) + 0.5)] : NAN;
}

static void print_place(const char *path, const char *kind, const char *name, const box *extent) {
    if (strcmp(kind, name) == 0)
        printf("%s\t%.0f %.0f %.0f %.0f\n", path, (double)extent->x1, (double)extent->y1, (double)extent->x2,
               (double)extent->y2);
}

static carina_status write_film(const char *folder, uint64_t seed, uint64_t index, int side, const char *kind,
                                carina_error *error) {
    finding_film film;
    phantom_hooks hooks = finding_film_hooks(&film);
    phantom_options options = {.width = side, .height = side, .hooks = &hooks};
    phantom_result result;
    TRY(phantom_render(seed, index, &options, &result, error));
    char path[512];
    snprintf(path, sizeof path, "%s/%s-%06llu.pgm", folder, kind, (unsigned long long)index);
    FILE *file = fopen(path, "wb");
    if (file) {
        fprintf(file, "P5 %d %d 255\n", side, side);
        for (int i = 0; i < side * side; i++) fputc((int)(result.film.value[i] * 255.0f + 0.5f), file);
    }
    for (int i = 0; i < result.scene.device_count; i++)
        print_place(path, kind, result.scene.devices[i].name, &result.scene.devices[i].extent);
    for (int i = 0; i < result.scene.lesion_count; i++)
        print_place(path, kind, result.scene.lesions[i].name, &result.scene.lesions[i].extent);
    bool failed = !file || ferror(file);
    if (file) failed |= fclose(file) != 0;
    phantom_result_free(&result);
    return failed ? error_set(error, CARINA_ERROR_IO, "%s: cannot be written", path) : CARINA_OK;
}

static carina_status add_film(row *rows, uint64_t seed, uint64_t index, int side, const char *kind,
                              carina_error *error) {
    visibility_list list;
    TRY(visibility_measure(&list, seed, index, side, kind, error));
    for (int i = 0; i < list.count; i++) {
        const visibility *v = &list.items[i];
        row *r = find_row(rows, v->kind);
        if (v->pixels == 0) {
            r->outside++;
            continue;
        }
        size_t bytes = (size_t)(r->count + 1) * sizeof(double);
        r->contrast = realloc(r->contrast, bytes), r->cnr = realloc(r->cnr, bytes), r->seen = realloc(r->seen, bytes);
        if (!r->contrast || !r->cnr || !r->seen) abort();
        r->contrast[r->count] = v->contrast, r->cnr[r->count] = v->cnr, r->seen[r->count++] = v->seen;
    }
    return CARINA_OK;
}

static void print_rows(const row *rows) {
    puts("| kind | count | outside | contrast, median | 10 % | cnr, median | 10 % | seen, median | 10 % |");
    puts("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (const row *r = rows; r->kind; r++)
        printf("| %s | %d | %d | %.1f | %.1f | %.2f | %.2f | %.2f | %.2f |\n", r->kind, r->count, r->outside,
               quantile(r->contrast, r->count, 0.5), quantile(r->contrast, r->count, 0.1),
               quantile(r->cnr, r->count, 0.5), quantile(r->cnr, r->count, 0.1), quantile(r->seen, r->count, 0.5),
               quantile(r->seen, r->count, 0.1));
}

int main(int argc, char **argv) {
    const char *folder = argc > 2 && strcmp(argv[1], "films") == 0 ? argv[2] : NULL;
    if (folder) argc -= 2, argv += 2;
    int films = argc > 1 ? atoi(argv[1]) : 200, side = argc > 2 ? atoi(argv[2]) : 512, done = 0;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    const char *kind = argc > 4 ? argv[4] : NULL;
    static row rows[KINDS + 1];
    carina_error error;
    carina_status status = CARINA_OK;
    if (folder && !kind) {
        fputs("usage: phantom_visibility films DIR FILMS SIDE SEED KIND\n", stderr);
        return 2;
    }
    for (uint64_t index = 0; status == CARINA_OK && done < films && index < 1000000; index++) {
        if (kind && !visibility_expected(seed, index, kind)) continue;
        status = folder ? write_film(folder, seed, index, side, kind, &error)
                        : add_film(rows, seed, index, side, kind, &error);
        done++;
    }
    if (status != CARINA_OK) fprintf(stderr, "phantom_visibility: %s\n", error.message);
    if (status == CARINA_OK && !folder) print_rows(rows);
    for (row *r = rows; r->kind; r++) free(r->contrast), free(r->cnr), free(r->seen);
    return status == CARINA_OK ? 0 : 1;
}
