/* Writes src/pipeline/film_check_table.c: where the regions of a chest film usually lie, and the mean thorax.
 *
 *     make_film_check_table MODEL FILM... > src/pipeline/film_check_table.c
 *
 * The committed table is of the first 250 films of the phantoms of seed 7001 (sorted by path), with apm-small. Boxes
 * are the model's own, since those are what is held against the table. Regions are those of anatomix36.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/build.h"
#include "pipeline/film_check.h"
#include "pipeline/locate.h"

#define PIXELS (FILM_THORAX_SIDE * FILM_THORAX_SIDE)

typedef struct sums {
    int films;
    double place[ATLAS_MAX_REGIONS][4], place_squares[ATLAS_MAX_REGIONS][4], thorax[PIXELS];
} sums;

static carina_status add_film(sums *s, locator *l, const char *path, carina_error *error) {
    study film_study;
    TRY(study_open(&film_study, path, NULL, error));
    const study *studies[1] = {&film_study};
    carina_location found;
    carina_status status = locator_run(l, studies, 1, &found, error);
    if (status == CARINA_OK) {
        box boxes[ATLAS_MAX_REGIONS];
        float places[ATLAS_MAX_REGIONS][4], thorax[PIXELS];
        for (int r = 0; r < found.region_count; r++)
            boxes[r] = (box){found.regions[r].x1, found.regions[r].y1, found.regions[r].x2, found.regions[r].y2};
        if (film_places(places, locator_regions(l), boxes) &&
            film_thorax(thorax, &film_study.film, locator_regions(l), boxes)) {
            s->films++;
            for (int r = 0; r < found.region_count; r++)
                for (int k = 0; k < 4; k++) {
                    s->place[r][k] += (double)places[r][k];
                    s->place_squares[r][k] += (double)places[r][k] * (double)places[r][k];
                }
            for (int i = 0; i < PIXELS; i++) s->thorax[i] += (double)thorax[i];
        }
        carina_location_free(&found);
    }
    study_close(&film_study);
    return status;
}

static void print_places(const sums *s, int regions, bool deviations) {
    printf("const float film_place_%s[36][4] = {\n", deviations ? "deviation" : "mean");
    for (int r = 0; r < regions; r++) {
        printf("    {");
        for (int k = 0; k < 4; k++) {
            double mean = s->place[r][k] / s->films, variance = s->place_squares[r][k] / s->films - mean * mean;
            /* At least a hundredth: some measures hardly vary, such as where the lungs themselves end. */
            printf("%s%.4ff", k ? ", " : "", deviations ? fmax(sqrt(fmax(variance, 0)), 0.01) : mean);
        }
        puts("},");
    }
    puts("};\n");
}

int main(int argc, char **argv) {
    carina_error error;
    locator *l = NULL;
    sums *s = calloc(1, sizeof *s);
    carina_status status = CARINA_OK;
    if (argc < 3 || !s) {
        fputs("usage: make_film_check_table MODEL FILM...\n", stderr);
        return 2;
    }
    status = locator_open(&l, argv[1], NULL, &error);
    if (status == CARINA_OK && locator_regions(l)->region_count != 36)
        status = error_set(&error, CARINA_ERROR_MISMATCH, "%s: not the regions of anatomix36", argv[1]);
    for (int i = 2; status == CARINA_OK && i < argc; i++) status = add_film(s, l, argv[i], &error);
    if (status != CARINA_OK || s->films < 2) {
        fprintf(stderr, "make_film_check_table: %s\n", status == CARINA_OK ? "too few films" : error.message);
    } else {
        printf(
            "/* Usual places of regions and the mean thorax, of %d films: made by tools/make_film_check_table.c, not "
            "by hand.\n"
            " * See film_check_table.h. */\n#include \"pipeline/film_check_table.h\"\n\n",
            s->films);
        print_places(s, 36, false);
        print_places(s, 36, true);
        printf("const float film_mean_thorax[%d] = {", PIXELS);
        for (int i = 0; i < PIXELS; i++) printf("%s%.3ff,", i % 12 ? " " : "\n    ", s->thorax[i] / s->films);
        puts("\n};");
    }
    locator_close(l);
    bool good = status == CARINA_OK && s->films >= 2;
    free(s);
    return good ? 0 : 1;
}
