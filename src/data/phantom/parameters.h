/* Draws a patient, a pose and an exposure: step 1 of the phantom (phantom.h). */
#ifndef DATA_PHANTOM_PARAMETERS_H
#define DATA_PHANTOM_PARAMETERS_H

#include "data/phantom/phantom.h"

/* Each part of the phantom draws from its own stream, so that a change in one leaves the others' draws alone. */
enum {
    STREAM_PATIENT = 1,
    STREAM_POSE,
    STREAM_SHAPE,
    STREAM_DEVICE_CHOICE,
    STREAM_EXPOSURE,
    STREAM_BODY,
    STREAM_SKELETON,
    STREAM_MEDIASTINUM,
    STREAM_VESSELS,
    STREAM_DEVICES,
    STREAM_IMAGING,
    STREAM_BORDER,
    STREAM_TEXT
};
random_state parameters_stream(const phantom_parameters *parameters, int part);

void parameters_draw(phantom_parameters *out, uint64_t seed, uint64_t index, const phantom_options *options);

/* Normal draw held within mean +- limit deviations. */
double parameters_normal(random_state *random, double mean, double deviation, double limit);

#endif
