/* Learning-rate schedules; see schedule.h. */
#include "train/schedule.h"

#include <math.h>
#include <string.h>

static const char *const names[] = {"constant", "step", "linear", "cosine"};

bool schedule_kind_find(schedule_kind *out, const char *name) {
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (schedule_kind)i;
            return true;
        }
    return false;
}

const char *schedule_kind_name(schedule_kind kind) { return (unsigned)kind < 4 ? names[kind] : "unknown"; }

double schedule_rate(const schedule *s, uint64_t step) {
    if (step < s->warmup_steps) return s->rate * (double)(step + 1) / (double)s->warmup_steps;
    uint64_t after = step - s->warmup_steps;
    double progress = 1; /* of the descent */
    if (s->total_steps > s->warmup_steps) progress = (double)after / (double)(s->total_steps - s->warmup_steps);
    if (progress > 1) progress = 1;
    switch (s->kind) {
        case SCHEDULE_CONSTANT: return s->rate;
        case SCHEDULE_STEP:
            return s->step_every ? s->rate * pow(s->step_factor, (double)(after / s->step_every)) : s->rate;
        case SCHEDULE_LINEAR: return s->rate * (1 - (1 - s->final_fraction) * progress);
        case SCHEDULE_COSINE:
            return s->rate * (s->final_fraction + (1 - s->final_fraction) * 0.5 * (1 + cos(M_PI * progress)));
    }
    return s->rate;
}
