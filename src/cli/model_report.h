/* Printing what a model is (pipeline/model_verify.h), for `carina model info` and `carina model verify`. */
#ifndef CLI_MODEL_REPORT_H
#define CLI_MODEL_REPORT_H

#include "pipeline/model_verify.h"

void model_report_print(const char *path, const model_report *report, bool json);

#endif
