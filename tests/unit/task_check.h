/* What the tests of training tasks share: a task's gradients against differences of its loss, and a short training of
 * it. Include after cmocka.h; wants the file's own `error` and assert_ok.h. */
#ifndef TASK_CHECK_H
#define TASK_CHECK_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/train_task.h"

/* The first batch's loss at step `step`; gradients are left in the parameters. */
static inline double task_loss(train_task *task, uint64_t step) {
    train_task_losses losses = {0};
    parameters_changed(task->parameters);
    parameters_zero_gradients(task->parameters);
    if (task->type->gather) assert_ok(task->type->gather(task, 0, step, &error));
    assert_ok(task->type->step(task, 0, step, &losses, &error));
    return losses.value[0];
}

/* One way through a parameter's values: half along the gradient, half at random. */
static inline double task_direction(const parameter *p, float *way, random_state *random) {
    double length = 0, noise = 0, slope = 0;
    for (int64_t i = 0; i < p->count; i++) {
        length += (double)p->gradient[i] * (double)p->gradient[i];
        way[i] = (float)random_normal(random);
        noise += (double)way[i] * (double)way[i];
    }
    for (int64_t i = 0; i < p->count; i++) {
        way[i] = (float)((double)way[i] / sqrt(noise) + (length > 0 ? (double)p->gradient[i] / sqrt(length) : 0));
        slope += (double)way[i] * (double)p->gradient[i];
    }
    return slope;
}

static inline void task_check_parameter(train_task *task, uint64_t step, parameter *p, random_state *random) {
    size_t bytes = (size_t)p->count * sizeof(float);
    float *kept = malloc(bytes), *way = malloc(bytes);
    double slope, at[2];
    assert_true(kept && way);
    task_loss(task, step);
    slope = task_direction(p, way, random);
    memcpy(kept, p->value, bytes);
    double reach = 2e-2 / (1 + fabs(slope)); /* small beside what bends the loss, large beside its rounding */
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < p->count; i++) p->value[i] = kept[i] + (float)(side ? -reach : reach) * way[i];
        at[side] = task_loss(task, step);
    }
    memcpy(p->value, kept, bytes);
    double difference = (at[0] - at[1]) / (2 * reach);
    if (!(fabs(difference - slope) <= 0.02 * fabs(slope) + 2e-4))
        fail_msg("step %d, %s: slope %g, by differences %g", (int)step, p->name, slope, difference);
    free(kept);
    free(way);
}

/* Every parameter of the task. */
static inline void task_check_gradients(train_task *task, uint64_t step) {
    random_state random = random_stream(8, step);
    for (int i = 0; i < task->parameters->count; i++)
        task_check_parameter(task, step, task->parameters->items[i], &random);
}

/* Mean loss of the last 30 of `steps` steps of one batch each. */
static inline double task_learn(train_task *task, int steps) {
    optimizer *o;
    double sum = 0, norm;
    const optimizer_options options = train_config_optimizer(task->config);
    const schedule rate = train_config_schedule(task->config);
    assert_ok(optimizer_create(&o, task->parameters, &options, NULL, &error));
    for (int i = 0; i < steps; i++) {
        train_task_losses losses = {0};
        uint64_t number = (uint64_t)i;
        parameters_zero_gradients(task->parameters);
        if (task->type->gather) assert_ok(task->type->gather(task, number, number, &error));
        assert_ok(task->type->step(task, number, number, &losses, &error));
        assert_true(optimizer_step(o, schedule_rate(&rate, number), &norm));
        if (i >= steps - 30) sum += losses.value[0] / 30;
    }
    optimizer_free(o);
    return sum;
}

#endif
