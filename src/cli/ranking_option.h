/* --cosine, and a word about models whose sentences are not calibrated. */
#ifndef CLI_RANKING_OPTION_H
#define CLI_RANKING_OPTION_H

#include "cli/options.h"
#include "pipeline/sentence_ranking.h"

#define OPTION_COSINE(type, member)                                                                               \
    {                                                                                                             \
        "cosine", 0, OPTION_FLAG, NULL, "rank sentences by cosine alone, as published, whatever the calibration", \
            offsetof(type, member), 0, 0                                                                          \
    }

/* To standard error, when the ranking is by cosine though nobody asked for that. */
void ranking_warn(const sentence_ranking *ranking);

#endif
