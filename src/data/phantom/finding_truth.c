/* Regions, devices and labels of a finished phantom; see finding_truth.h. */
#include "data/phantom/finding_truth.h"

#include <math.h>
#include <string.h>

const finding_device finding_devices[FINDING_DEVICE_COUNT] = {
    {"endotracheal tube", "tubesandlines", "endotracheal tube", "trachea"},
    {"enteric tube", "tubesandlines", "enteric tube", "abdomen"},
    {"central venous line", "tubesandlines", "ij line", "svc"},
    {"picc", "tubesandlines", "picc", "svc"},
    {"swan-ganz catheter", "tubesandlines", "swan-ganz catheter", "cardiac silhouette"},
    {"port", "tubesandlines", "chest port", "svc"},
    {"chest tube", "tubesandlines", "chest tube", NULL},
    {"pacemaker", "device", "cardiac pacer and wires", "cardiac silhouette"},
    {"sternal wires", "device", "sternotomy wires", "mediastinum"},
    {"surgical clips", "device", "cabg grafts", "mediastinum"},
    {"prosthetic valve", "device", "prosthetic valve", "cardiac silhouette"},
    {"ecg leads", NULL, NULL, NULL},
    {"pads", NULL, NULL, NULL},
};

const finding_device *finding_device_find(const char *scene_name) {
    for (int i = 0; i < FINDING_DEVICE_COUNT; i++) {
        if (strcmp(finding_devices[i].scene_name, scene_name) == 0) return &finding_devices[i];
    }
    return NULL;
}

static void add_region(finding_regions *out, const char *name) {
    for (int i = 0; i < out->count; i++) {
        if (strcmp(out->name[i], name) == 0) return;
    }
    if (out->count < FINDING_MAX_REGIONS) out->name[out->count++] = name;
}

void finding_device_regions(finding_regions *out, const phantom_device *device) {
    *out = (finding_regions){0};
    const finding_device *words = finding_device_find(device->name);
    if (!words || !words->attribute) return;
    if (device->end_region >= 0) add_region(out, atlas_anatomix36()->regions[device->end_region].name);
    if (words->region) add_region(out, words->region);
    if (strcmp(device->name, "chest tube") == 0 && device->side >= 0) {
        add_region(out, device->side == PHANTOM_LEFT ? "left lung" : "right lung");
    }
}

bool finding_truth_equipment(const phantom_scene *scene) { return scene->device_count > 0; }

/* Both sides' names of what comes in pairs: [right, left]. */
static const char *const lung[2] = {"right lung", "left lung"};
static const char *const hilar[2] = {"right hilar structures", "left hilar structures"};
static const char *const angle[2] = {"right costophrenic angle", "left costophrenic angle"};
static const char *const dome[2] = {"right hemidiaphragm", "left hemidiaphragm"};
static const char *const clavicle[2] = {"right clavicle", "left clavicle"};
static const char *const wall[2] = {"right chest wall", "left chest wall"};
static const char *const zone[4][2] = {{"right apical zone", "left apical zone"},
                                       {"right upper lung zone", "left upper lung zone"},
                                       {"right mid lung zone", "left mid lung zone"},
                                       {"right lower lung zone", "left lower lung zone"}};

/* Without a mask (nothing visible, or not rendered) the place it was meant for stands in: nominal zones by height. */
static void nominal_extent(const finding *f, const phantom_scene *scene, box *out) {
    int region = atlas_find(atlas_anatomix36(), lung[f->side == FINDING_LEFT]);
    box b = scene->boxes[region];
    float y = b.y1 + (float)f->v * (b.y2 - b.y1), half = 0.05f * (b.y2 - b.y1);
    *out = (box){b.x1, y - half, b.x2, y + half};
}

static void lesion_extent(const finding_film *film, int index, const phantom_scene *scene, box *out) {
    for (int i = 0; i < film->lesion_count && i < scene->lesion_count; i++) {
        if (film->lesion_finding[i] == index) {
            *out = scene->lesions[i].extent;
            return;
        }
    }
    nominal_extent(&film->list.items[index], scene, out);
}

/* How much of the lesion's height lies in the zone. */
static double zone_share(const box *extent, const phantom_scene *scene, const char *name) {
    int region = atlas_find(atlas_anatomix36(), name);
    if (region < 0 || !scene->present[region]) return 0;
    const box *b = &scene->boxes[region];
    double overlap = fminf(extent->y2, b->y2) - fmaxf(extent->y1, b->y1);
    return fmax(overlap, 0) / fmax(extent->y2 - extent->y1, 1);
}

static bool in_one_lung(const finding *f) {
    return finding_table[f->kind].form == FINDING_FORM_LESION && f->side <= FINDING_LEFT &&
           f->kind != FINDING_ENLARGED_HILUM && f->kind != FINDING_HERNIA;
}

int finding_truth_zone(const finding_film *film, int index, const phantom_scene *scene) {
    const finding *f = &film->list.items[index];
    if (!in_one_lung(f)) return -1;
    box extent;
    lesion_extent(film, index, scene, &extent);
    int side = f->side == FINDING_LEFT, best = f->v < 0.35 ? 1 : f->v < 0.6 ? 2 : 3;
    double most = 0;
    for (int z = 1; z < 4; z++) {
        double share = zone_share(&extent, scene, zone[z][side]);
        if (share > most) most = share, best = z;
    }
    if (best == 1 && zone_share(&extent, scene, zone[0][side]) > 0.6) best = 0;
    return best;
}

static void add_zones(finding_regions *out, const finding_film *film, int index, const phantom_scene *scene) {
    const finding *f = &film->list.items[index];
    int side = f->side == FINDING_LEFT;
    box extent;
    lesion_extent(film, index, scene, &extent);
    add_region(out, lung[side]);
    int main_zone = finding_truth_zone(film, index, scene);
    for (int z = 0; z < 4; z++) {
        if (z == main_zone || zone_share(&extent, scene, zone[z][side]) > 0.3) add_region(out, zone[z][side]);
    }
    if (main_zone == 0) add_region(out, zone[1][side]); /* the apical zone is part of the upper one */
}

static void lesion_regions(finding_regions *out, const finding_film *film, int index, const phantom_scene *scene) {
    const finding *f = &film->list.items[index];
    int side = f->side == FINDING_LEFT;
    int first = f->side == FINDING_LEFT ? 1 : 0, last = f->side == FINDING_RIGHT ? 0 : 1;
    switch (f->kind) {
        case FINDING_ENLARGED_HILUM:
            for (int s = first; s <= last; s++) add_region(out, hilar[s]);
            break;
        case FINDING_HERNIA:
            add_region(out, "cardiac silhouette");
            add_region(out, "abdomen");
            break;
        case FINDING_EFFUSION:
            add_region(out, lung[side]);
            add_region(out, angle[side]);
            if (f->severity > 0.25) add_region(out, zone[3][side]);
            break;
        case FINDING_PNEUMOTHORAX:
            add_region(out, lung[side]);
            if (!scene->parameters.supine) add_region(out, zone[0][side]);
            if (scene->parameters.supine) add_region(out, angle[side]);
            break;
        default: add_zones(out, film, index, scene); break;
    }
}

void finding_truth_regions(finding_regions *out, const finding_film *film, int index, const phantom_scene *scene) {
    const finding *f = &film->list.items[index];
    int side = f->side == FINDING_LEFT;
    *out = (finding_regions){0};
    switch (f->kind) {
        case FINDING_EDEMA:
        case FINDING_VASCULAR_CONGESTION:
            for (int s = 0; s < 2; s++) add_region(out, lung[s]), add_region(out, hilar[s]);
            break;
        case FINDING_LOW_VOLUMES:
        case FINDING_HYPERAERATION:
            for (int s = 0; s < 2; s++) add_region(out, lung[s]);
            break;
        case FINDING_ELEVATED_HEMIDIAPHRAGM: add_region(out, dome[side]); break;
        case FINDING_ENLARGED_HEART: add_region(out, "cardiac silhouette"); break;
        case FINDING_MEDIASTINAL_WIDENING:
            add_region(out, "mediastinum");
            add_region(out, "upper mediastinum");
            break;
        case FINDING_TORTUOUS_AORTA:
            add_region(out, "aortic arch");
            add_region(out, "descending aorta");
            break;
        case FINDING_RIB_FRACTURE: add_region(out, wall[side]); break;
        case FINDING_CLAVICLE_FRACTURE: add_region(out, clavicle[side]); break;
        case FINDING_SCOLIOSIS:
        case FINDING_SPINAL_DEGENERATION: add_region(out, "spine"); break;
        default: lesion_regions(out, film, index, scene); break;
    }
}

static int label_index(const char *name) {
    for (int i = 0; i < ATLAS_LABEL_COUNT; i++) {
        if (strcmp(atlas_label_names[i], name) == 0) return i;
    }
    return -1;
}

void finding_truth_labels(float labels[ATLAS_LABEL_COUNT], const finding_film *film, const phantom_scene *scene) {
    for (int i = 0; i < ATLAS_LABEL_COUNT; i++) labels[i] = 0;
    bool any = false;
    for (int i = 0; i < film->list.count; i++) {
        const finding_entry *entry = &finding_table[film->list.items[i].kind];
        if (entry->label >= 0) labels[entry->label] = 1;
        any |= entry->label >= 0;
        bool in_pleura = film->list.items[i].kind == FINDING_EFFUSION; /* an opacity over the lung, not of it */
        for (int k = 0; k < 3 && entry->implied[k] && !in_pleura; k++) {
            if (strcmp(entry->implied[k], "lung opacity") == 0) labels[label_index("Lung Opacity")] = 1;
        }
    }
    labels[label_index("No Finding")] = any ? 0 : 1;
    for (int i = 0; i < scene->device_count; i++) {
        const finding_device *device = finding_device_find(scene->devices[i].name);
        if (device && device->attribute) labels[label_index("Support Devices")] = 1;
    }
}
