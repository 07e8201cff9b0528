/* The keys of an apm_config, as training configurations ("model." in front) and model files write them. */
#ifndef MODEL_APM_SCHEMA_H
#define MODEL_APM_SCHEMA_H

#include "format/config.h"
#include "model/apm.h"

extern const config_schema apm_schema;

/* What the keys leave open: the square's other side, and the counts that follow from region set and label list. */
void apm_schema_finish(apm_config *config, int region_count, int label_count);

#endif
