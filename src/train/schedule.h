/* Learning rate as a function of the step: constant, step, linear or cosine, each after a linear warm-up. */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_STEP, SCHEDULE_LINEAR, SCHEDULE_COSINE } schedule_kind;

typedef struct schedule {
    schedule_kind kind;
    double rate;           /* the peak */
    double final_fraction; /* linear, cosine: of the peak, reached at total_steps and kept */
    uint64_t warmup_steps; /* step s < warmup_steps has rate (s + 1) / warmup_steps of the peak */
    uint64_t total_steps;  /* linear, cosine: where the descent, which begins after the warm-up, ends */
    uint64_t step_every;   /* step: every so many steps after the warm-up ... */
    double step_factor;    /* ... the rate is multiplied by this */
} schedule;

/* The rate of step 0, 1, ... */
double schedule_rate(const schedule *s, uint64_t step);

/* "constant", "step", "linear", "cosine"; false when the name is none of them. */
bool schedule_kind_find(schedule_kind *out, const char *name);
const char *schedule_kind_name(schedule_kind kind);

#endif
