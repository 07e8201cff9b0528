/* Inside format/config: all parts' fields in one list with full keys. */
#ifndef FORMAT_CONFIG_SLOTS_H
#define FORMAT_CONFIG_SLOTS_H

#include "format/config.h"

#define CONFIG_MAX_KEY   128
#define CONFIG_MAX_DEPTH 8 /* sections within sections that are kept together when written */

typedef struct config_slot {
    char key[CONFIG_MAX_KEY];
    const config_field *field;          /* borrowed */
    void *value;                        /* the member, borrowed */
    int line;                           /* where the file set it; -1 by a word, 0 not yet */
    uint8_t place[CONFIG_MAX_DEPTH][2]; /* while writing */
} config_slot;

typedef struct config_slots {
    config_slot *slots; /* owned */
    uint32_t count;
} config_slots;

carina_status config_slots_make(config_slots *out, const config_part *parts, uint32_t part_count, carina_error *error);
void config_slots_free(config_slots *slots);
const char *config_type_name(config_type type);

#endif
