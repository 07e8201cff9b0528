/* Any bytes as a scene graph: its sentences are one line each, start with the region's name and can be read back. */
#include <stdlib.h>
#include <string.h>

#include "atlas/sentence_findings.h"
#include "data/region_sentence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *sentence, const char *object) {
    sentence_finding findings[SENTENCE_FINDINGS];
    size_t length = strlen(sentence);
    if (length > REGION_SENTENCE_MAX || strncmp(sentence, object, strlen(object)) != 0) abort();
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)sentence[i] < 0x20) abort();
    int count = sentence_findings_parse(findings, sentence, object, atlas_anatomix36());
    for (int i = 0; i < count; i++)
        if (findings[i].length == 0 || findings[i].name + findings[i].length >= sentence + length) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const atlas *regions = atlas_anatomix36();
    char *sentences[ATLAS_MAX_REGIONS];
    bool present[ATLAS_MAX_REGIONS];
    scene_graph graph;
    carina_error error;
    if (scene_graph_parse(&graph, "fuzz", data, size, &error) != CARINA_OK) return 0;
    for (int r = 0; r < regions->region_count; r++) present[r] = r % 7 != 3;
    if (region_sentences_make(sentences, regions, &graph, present, &error) == CARINA_OK) {
        for (int r = 0; r < regions->region_count; r++) {
            if (!sentences[r] == present[r]) abort();
            if (sentences[r]) check(sentences[r], regions->regions[r].display_name);
            free(sentences[r]);
        }
    }
    scene_graph_free(&graph);
    return 0;
}
