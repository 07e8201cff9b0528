/* A phantom as a Chest ImaGenome scene graph: regions with boxes, and what the report says of each. */
#ifndef DATA_PHANTOM_SCENE_GRAPH_WRITE_H
#define DATA_PHANTOM_SCENE_GRAPH_WRITE_H

#include "data/phantom/film_names.h"
#include "data/phantom/report.h"

/* Writes the file at `path` (replaced safely). prior_id: the patient's film before this one, or NULL. */
carina_status scene_graph_write(const char *path, const film_names *names, const char *prior_id,
                                const finding_film *film, const phantom_scene *scene, const report *r,
                                carina_error *error);

#endif
