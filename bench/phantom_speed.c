/* Films per second of the phantom on one core: phantom_speed [FILMS [SIDE]]. Prints one CSV line. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "data/phantom/phantom.h"

int main(int argc, char **argv) {
    int films = argc > 1 ? atoi(argv[1]) : 40, side = argc > 2 ? atoi(argv[2]) : 512;
    phantom_options options = {.width = side, .height = side};
    struct timespec start, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    for (int i = 0; i < films; i++) {
        phantom_result result;
        carina_error error;
        if (phantom_render(1, (uint64_t)i, &options, &result, &error) != CARINA_OK) {
            fprintf(stderr, "phantom_speed: %s\n", error.message);
            return 1;
        }
        phantom_result_free(&result);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double seconds = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    printf("phantom,%d,%dx%d,%.2f,films per second and core\n", films, side, side, films / seconds);
    return 0;
}
