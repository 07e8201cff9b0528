/* See ranking_option.h. */
#include "cli/ranking_option.h"

#include <stdio.h>

void ranking_warn(const sentence_ranking *ranking) {
    if (*ranking->why_not) fprintf(stderr, "carina: %s: they are ranked by cosine\n", ranking->why_not);
}
