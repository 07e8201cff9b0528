/* What a phantom's labels, report and scene graph name can be seen on the film: each kind on its first few films of one
 * seed, with and without it (data/phantom/visibility.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "data/phantom/visibility.h"

enum { SIDE = 320, FILMS = 3, MOST = 64, SEED = 21, LEAST_PIXELS = 4 };

/* The medians that a kind must reach on these films, and what each single object must. */
typedef struct floor_of_kind {
    const char *kind;
    double contrast, cnr;             /* grey levels of 255; against the film's own structures */
    double least_contrast, least_cnr; /* of any that is told as certain */
} floor_of_kind;

static int compare_double(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How many of the floors the kind falls short of. */
static int short_of(const floor_of_kind *least) {
    double contrast[MOST], cnr[MOST];
    int count = 0, films = 0, faults = 0;
    for (uint64_t index = 0; films < FILMS && index < 100000; index++) {
        if (!visibility_expected(SEED, index, least->kind)) continue;
        visibility_list list;
        carina_error error;
        int before = count;
        if (visibility_measure(&list, SEED, index, SIDE, least->kind, &error) != CARINA_OK)
            fail_msg("%s", error.message);
        for (int i = 0; i < list.count && count < MOST; i++) {
            const visibility *v = &list.items[i];
            if (!v->told || v->uncertain || v->pixels < LEAST_PIXELS) continue; /* cut off by the shutter */
            contrast[count] = v->contrast, cnr[count++] = v->cnr;
            if (v->contrast >= least->least_contrast && v->cnr >= least->least_cnr) continue;
            print_error("%s of film %llu is not seen: contrast %.1f, contrast to noise %.2f\n", least->kind,
                        (unsigned long long)index, v->contrast, v->cnr);
            faults++;
        }
        films += count > before;
    }
    qsort(contrast, (size_t)count, sizeof *contrast, compare_double);
    qsort(cnr, (size_t)count, sizeof *cnr, compare_double);
    double typical_contrast = contrast[count / 2], typical_cnr = cnr[count / 2];
    if (typical_contrast < least->contrast || typical_cnr < least->cnr) {
        print_error("%s: median contrast %.1f, contrast to noise %.2f\n", least->kind, typical_contrast, typical_cnr);
        faults++;
    }
    return faults;
}

static void check_kinds(const floor_of_kind *floors, size_t count) {
    int faults = 0;
    for (size_t i = 0; i < count; i++) faults += short_of(&floors[i]);
    assert_int_equal(faults, 0);
}

static void devices_are_seen(void **state) {
    (void)state;
    static const floor_of_kind floors[] = {{"endotracheal tube", 5, 1, 3, 0.7},
                                           {"enteric tube", 10, 2, 4, 1},
                                           {"central venous line", 10, 2, 5, 1.2},
                                           {"picc", 10, 2, 5, 1.2},
                                           {"swan-ganz catheter", 8, 2, 3, 1},
                                           {"port", 12, 3, 5, 2},
                                           {"chest tube", 8, 2, 3, 1},
                                           {"pacemaker", 30, 5, 10, 3},
                                           {"sternal wires", 10, 3, 4, 1.5},
                                           {"surgical clips", 5, 3, 3, 1},
                                           {"prosthetic valve", 12, 4, 8, 3},
                                           {"ecg leads", 8, 2, 3, 1},
                                           {"pads", 5, 1.2, 3, 0.8}};
    check_kinds(floors, sizeof floors / sizeof *floors);
}

static void breaks_and_free_air_are_seen(void **state) {
    (void)state;
    static const floor_of_kind floors[] = {{"rib_fracture", 4.5, 1.5, 2.5, 0.3},
                                           {"clavicle_fracture", 8, 1.5, 4, 0.2},
                                           {"pneumothorax", 7.5, 1.1, 2, 0.3},
                                           {"pleural_thickening", 18, 2.2, 4, 0.3}};
    check_kinds(floors, sizeof floors / sizeof *floors);
}

static void lesions_are_seen(void **state) {
    (void)state;
    static const floor_of_kind floors[] = {
        {"nodule", 7, 2, 3, 0.3},           {"calcified_nodule", 8, 2.5, 4, 0.3}, {"mass", 15, 1.8, 5, 0.3},
        {"scarring", 8, 1.5, 2.5, 0.3},     {"atelectasis", 11, 1.8, 3, 0.3},     {"opacity", 6, 1.45, 3, 0.3},
        {"consolidation", 12, 2.6, 5, 0.3}, {"pneumonia", 8.5, 2.4, 3, 0.3},      {"lobar_collapse", 10, 1.2, 5, 0.3},
        {"effusion", 10, 0.8, 1.5, 0.3},    {"edema", 4, 0.7, 1.5, 0.3},          {"hernia", 6, 2, 3, 0.3},
        {"enlarged_hilum", 4, 1.5, 2, 0.3}};
    check_kinds(floors, sizeof floors / sizeof *floors);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_seen),
        cmocka_unit_test(breaks_and_free_air_are_seen),
        cmocka_unit_test(lesions_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
