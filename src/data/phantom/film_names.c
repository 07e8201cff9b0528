/* Names and patients of phantom films; see film_names.h. */
#include "data/phantom/film_names.h"

#include <stdio.h>
#include <string.h>

#include "data/phantom/parameters.h"

#define GROUP_SALT 0x67726f7570000000ULL
#define ID_SALT    0x6964000000000000ULL
#define SPLIT_SALT 0x73706c6974000000ULL
#define DATE_SALT  0x6461746500000000ULL
#define MOST_FILMS 6 /* of one patient: a search for the first film never goes back further */

static bool begins_patient(uint64_t seed, uint64_t index) {
    if (index % MOST_FILMS == 0) return true;
    random_state random = random_stream(seed ^ GROUP_SALT, index);
    return random_chance(&random, 0.78);
}

static uint64_t first_film(uint64_t seed, uint64_t index) {
    while (!begins_patient(seed, index)) index--;
    return index;
}

/* Days since an arbitrary day; months of 28 days keep every date valid. */
static void write_date(char out[12], uint64_t days) {
    uint64_t year = 2110 + days / 336, month = 1 + days % 336 / 28, day = 1 + days % 28;
    snprintf(out, 12, "%04u%02u%02u", (unsigned)(year % 10000), (unsigned)month, (unsigned)day);
}

static uint64_t days_after_first(uint64_t seed, uint64_t first, uint64_t index) {
    uint64_t days = 0;
    for (uint64_t i = first + 1; i <= index; i++) {
        random_state random = random_stream(seed ^ DATE_SALT, i);
        days += 1 + random_below(&random, random_chance(&random, 0.6) ? 14 : 700);
    }
    return days;
}

void film_names_make(film_names *out, uint64_t seed, uint64_t index, const double split[3]) {
    memset(out, 0, sizeof *out);
    out->first = first_film(seed, index);
    unsigned set = (unsigned)(seed % 1000);
    snprintf(out->patient, sizeof out->patient, "9%03u%07llu", set, (unsigned long long)(out->first % 10000000));
    snprintf(out->study, sizeof out->study, "9%03u%07llu", set, (unsigned long long)(index % 10000000));
    random_state random = random_stream(seed ^ ID_SALT, index);
    uint64_t a = random_u64(&random), b = random_u64(&random), c = random_u64(&random);
    snprintf(out->id, sizeof out->id, "9%07x-%08x-%08x-%08x-%08x", (unsigned)(a >> 36) & 0xfffffffu, (unsigned)a,
             (unsigned)(b >> 32), (unsigned)b, (unsigned)c);
    random = random_stream(seed ^ SPLIT_SALT, out->first);
    double at = random_uniform(&random) * (split[0] + split[1] + split[2]);
    out->split = at < split[0] ? 0 : at < split[0] + split[1] ? 1 : 2;
    random = random_stream(seed ^ DATE_SALT, out->first);
    uint64_t day = random_below(&random, 336 * 80);
    write_date(out->date, day + days_after_first(seed, out->first, index));
    random = random_stream(seed ^ DATE_SALT, ~index);
    unsigned second = (unsigned)random_below(&random, 86400);
    snprintf(out->time, sizeof out->time, "%02u%02u%02u.000", second / 3600, second / 60 % 60, second % 60);
}

void film_names_same_patient(phantom_parameters *p) {
    uint64_t first = first_film(p->seed, p->index);
    if (first == p->index) return;
    phantom_parameters before;
    parameters_draw(&before, p->seed, first, NULL);
    p->sex = before.sex;
    p->age = before.age + (int)(days_after_first(p->seed, first, p->index) / 336);
    if (p->age > 95) p->age = 95;
    p->fat = before.fat;
    p->breast = before.breast;
    p->muscle = before.muscle;
    p->bone = before.bone;
    p->unit_mm = before.unit_mm;
    p->depth = before.depth;
    p->scoliosis_degrees = before.scoliosis_degrees;
    p->scoliosis_level = before.scoliosis_level;
    p->aorta_tortuosity = before.aorta_tortuosity;
    p->aorta_calcification = before.aorta_calcification;
    p->degeneration = before.degeneration;
    memcpy(p->shape, before.shape, sizeof p->shape);
}
