/* The fingerprint of a model's weights; see model_fingerprint.h. */
#include "model/model_fingerprint.h"

uint64_t model_fingerprint(const parameters *set) {
    uint64_t sum = 0; /* of well-mixed words: the order of parameters does not matter */
    for (int i = 0; i < set->count; i++) {
        const parameter *p = set->items[i];
        fingerprint f = fingerprint_start();
        fingerprint_add_text(&f, p->name);
        for (int axis = 0; axis < p->rank; axis++) fingerprint_add_number(&f, (uint64_t)p->size[axis]);
        fingerprint_add(&f, p->value, (uint64_t)p->count * sizeof *p->value);
        sum += fingerprint_value(&f);
    }
    fingerprint all = fingerprint_start();
    fingerprint_add_number(&all, sum);
    fingerprint_add_number(&all, (uint64_t)set->count);
    return fingerprint_value(&all);
}
