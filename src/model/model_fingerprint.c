/* The fingerprint of a model's weights; see model_fingerprint.h. */
#include "model/model_fingerprint.h"

fingerprint model_fingerprint_begin(const char *name, int rank, const int64_t *size) {
    fingerprint f = fingerprint_start();
    fingerprint_add_text(&f, name);
    for (int axis = 0; axis < rank; axis++) fingerprint_add_number(&f, (uint64_t)size[axis]);
    return f;
}

/* A sum of well-mixed words: the order of parameters does not matter. */
void model_fingerprint_add(model_fingerprint_sum *sum, const fingerprint *of_one) {
    sum->sum += fingerprint_value(of_one);
    sum->count++;
}

uint64_t model_fingerprint_value(const model_fingerprint_sum *sum) {
    fingerprint all = fingerprint_start();
    fingerprint_add_number(&all, sum->sum);
    fingerprint_add_number(&all, sum->count);
    return fingerprint_value(&all);
}

uint64_t model_fingerprint(const parameters *set) {
    model_fingerprint_sum sum = {0};
    for (int i = 0; i < set->count; i++) {
        const parameter *p = set->items[i];
        fingerprint f = model_fingerprint_begin(p->name, p->rank, p->size);
        fingerprint_add(&f, p->value, (uint64_t)p->count * sizeof *p->value);
        model_fingerprint_add(&sum, &f);
    }
    return model_fingerprint_value(&sum);
}
