/* Any bytes as a scene graph: it is refused or gives objects whose boxes lie on the film. */
#include <stdlib.h>

#include "data/scene_graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    scene_graph graph;
    carina_error error;
    if (scene_graph_parse(&graph, "fuzz", data, size, &error) != CARINA_OK) return 0;
    for (uint32_t i = 0; i < graph.object_count; i++) {
        box b;
        if (!scene_object_box(&graph.objects[i], 300, 200, &b)) continue;
        if (!(b.x1 >= 0 && b.y1 >= 0 && b.x2 <= 300 && b.y2 <= 200 && b.x2 > b.x1 && b.y2 > b.y1)) abort();
    }
    scene_graph_free(&graph);
    return 0;
}
