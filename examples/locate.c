/* The regions of one chest film, with the installed library:
 *
 *     cc examples/locate.c $(pkg-config --cflags --libs carina) -o locate && ./locate film.dcm
 */
#include <carina/locate.h>
#include <stdio.h>

static int fail(const carina_error *error) {
    fprintf(stderr, "locate: %s\n", error->message);
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: locate FILE...   (carina %s)\n", carina_version());
        return 2;
    }

    carina_model *model;
    carina_error error;
    carina_model_options options = {.threads = 0, .arithmetic = CARINA_F32};
    if (carina_model_open(&model, NULL, &options, &error) != CARINA_OK) return fail(&error);

    int status = 0;
    for (int i = 1; i < argc; i++) {
        carina_location found;
        if (carina_locate_file(&found, model, argv[i], &error) != CARINA_OK) {
            status = fail(&error); /* the other files can still be read */
            continue;
        }
        printf("%s: %d x %d pixels\n", argv[i], found.width, found.height);
        for (int r = 0; r < found.region_count; r++) {
            const carina_region *region = &found.regions[r];
            printf("  %-26s %7.1f %7.1f %7.1f %7.1f\n", region->name, (double)region->x1, (double)region->y1,
                   (double)region->x2, (double)region->y2);
        }
        carina_location_free(&found);
    }
    carina_model_close(model);
    return status;
}
