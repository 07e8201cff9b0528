/* How phantoms' reports are worded; see report_words.h. Our own wording throughout. */
#include "data/phantom/report_words.h"

#include <stddef.h>

const report_words report_words_table[FINDING_KIND_COUNT] = {
    [FINDING_OPACITY] = {"a {grade} [hazy|patchy|ill-defined|] opacity in the {loc}",
                         "[{grade} patchy|Hazy] opacification [projects over|is seen in] the {loc}.",
                         "{loc} [opacity|airspace opacity]", false},
    [FINDING_CONSOLIDATION] = {"a [focal|dense|{grade}|confluent] consolidation in the {loc}",
                               "the {loc} is [partly |]consolidated[, with air bronchograms|].", "{loc} consolidation",
                               false},
    [FINDING_PNEUMONIA] = {"a {loc} pneumonia",
                           "airspace consolidation in the {loc} is [consistent|compatible|in keeping] with "
                           "pneumonia.",
                           "{loc} pneumonia", false},
    [FINDING_EDEMA] = {"{grade} [pulmonary|interstitial|alveolar and interstitial] edema",
                       "[perihilar haze|indistinct vessels|septal lines] and [upper zone redistribution|thickened "
                       "interstitium] [reflect|are in keeping with] {grade} pulmonary edema.",
                       "{grade} pulmonary edema", false},
    [FINDING_VASCULAR_CONGESTION] = {"{grade} pulmonary vascular congestion",
                                     "the pulmonary [vessels|vasculature] [are|appear|is] [engorged|congested].",
                                     "{grade} vascular congestion", false},
    [FINDING_NODULE] = {"a {size} [rounded|well-defined|] nodule in the {loc}",
                        "a nodular density of [about|roughly|] {size} projects over the {loc}.", "{loc} nodule", false},
    [FINDING_CALCIFIED_NODULE] = {"a [dense|calcified|small calcified] granuloma in the {loc}",
                                  "a calcified nodule[ measuring {size}|] is [seen|noted] in the {loc}.",
                                  "calcified {loc} granuloma", false},
    [FINDING_MASS] = {"a {size} [lobulated|spiculated|rounded|] mass in the {loc}",
                      "the {loc} holds a mass [measuring|of about] {size}.", "{loc} mass", false},
    [FINDING_ATELECTASIS] = {"{grade} [linear|plate-like|streaky|subsegmental|] atelectasis [in|at] the {loc}",
                             "[band-like|linear] densities [in|at] the {loc} [suggest|represent] atelectasis.",
                             "{loc} atelectasis", false},
    [FINDING_LOBAR_COLLAPSE] = {"[collapse|near complete collapse|volume loss with collapse] of the {lobe}",
                                "the {lobe} [is|has] collapsed[, with shift of the mediastinum to that side|].",
                                "{lobe} collapse", false},
    [FINDING_EFFUSION] = {"a {grade} {side} pleural effusion",
                          "[fluid blunts|there is blunting of] the {side} costophrenic angle[ by a {grade} pleural "
                          "effusion|, a {grade} pleural effusion].",
                          "{grade} {side} pleural effusion", true},
    [FINDING_PNEUMOTHORAX] = {"a {grade} {side} [apical|] pneumothorax",
                              "a [thin|fine] pleural line [marks|outlines] a {grade} {side} pneumothorax.",
                              "{grade} {side} pneumothorax", true},
    [FINDING_SCARRING] = {"[chronic|{grade}|] [fibrotic|linear] scarring in the {loc}",
                          "[reticular|coarse linear] markings in the {loc} [represent|are consistent with] scarring.",
                          "{loc} scarring", false},
    [FINDING_PLEURAL_THICKENING] = {"{grade} {side} [apical|lateral|] pleural thickening",
                                    "the {side} pleura is [mildly |]thickened[, likely from old scarring|].",
                                    "{side} pleural thickening", false},
    [FINDING_LOW_VOLUMES] = {"{grade} reduction of the lung volumes",
                             "[lung volumes are low|inspiration is shallow with low lung volumes|low lung volumes "
                             "[crowd|accentuate] the bronchovascular markings].",
                             "low lung volumes", false},
    [FINDING_HYPERAERATION] = {"{grade} hyperinflation",
                               "the lungs are [hyperinflated|hyperexpanded] with flattened [domes|hemidiaphragms][, in "
                               "keeping with emphysema|].",
                               "hyperinflation[ suggesting emphysema|]", false},
    [FINDING_ELEVATED_HEMIDIAPHRAGM] = {"{grade} elevation of the {side} hemidiaphragm",
                                        "the {side} hemidiaphragm is [elevated|raised].",
                                        "elevated {side} hemidiaphragm", false},
    [FINDING_HERNIA] = {"a {grade} hiatal hernia",
                        "a rounded retrocardiac [shadow|density][ with an air-fluid level|] [is|represents] a hiatal "
                        "hernia.",
                        "hiatal hernia", true},
    [FINDING_ENLARGED_HEART] = {"{grade} [cardiomegaly|enlargement of the cardiac silhouette]",
                                "the [heart|cardiac silhouette] is [{grade}ly |]enlarged.", "{grade} cardiomegaly",
                                false},
    [FINDING_MEDIASTINAL_WIDENING] = {"{grade} widening of the [upper |]mediastinum",
                                      "the [superior |]mediastinum is widened.", "widened mediastinum", false},
    [FINDING_ENLARGED_HILUM] = {"{grade} enlargement of the {side} hilum",
                                "the {side} hilum is [full|enlarged|prominent and lobulated].",
                                "[prominent|enlarged] {side} hilum", false},
    [FINDING_TORTUOUS_AORTA] = {"a tortuous [thoracic |]aorta",
                                "the [thoracic |]aorta is [tortuous|unfolded|tortuous and elongated].",
                                "tortuous aorta", false},
    [FINDING_RIB_FRACTURE] = {"a [displaced|minimally displaced|healing|] {side} rib fracture",
                              "a fracture [of a {side} rib|through the {side} lateral ribs] is [seen|noted].",
                              "{side} rib fracture", false},
    [FINDING_CLAVICLE_FRACTURE] = {"a [displaced|comminuted|mid-shaft|] fracture of the {side} clavicle",
                                   "the {side} clavicle is [fractured|broken in its middle third].",
                                   "{side} clavicle fracture", false},
    [FINDING_SCOLIOSIS] = {"{grade} [thoracic |]scoliosis", "the thoracic spine is [curved|scoliotic].", "scoliosis",
                           false},
    [FINDING_SPINAL_DEGENERATION] = {"{grade} degenerative changes of the [thoracic |]spine",
                                     "[osteophytes|degenerative osteophytes] [are seen along|bridge parts of] the "
                                     "thoracic spine.",
                                     "degenerative changes of the spine", false},
};

const char *const report_frame_certain =
    "[there is|there is evidence of|note is made of|the film shows|also seen is] {noun}.";
const char *const report_frame_uncertain =
    "[there may be {noun}.|[there is possibly|there is probably] {noun}.|{noun} [is suspected|cannot be excluded|is "
    "possible|may be present].|[this|the appearance] [may|might|could] [represent|reflect] {noun}.]";
const char *const report_impression_certain = "{short}[| as above| as described].";
const char *const report_impression_uncertain = "[possible|probable|suspected|cannot exclude|question] {short}.";
const char *const report_impression_normal =
    "[no acute cardiopulmonary [process|abnormality|disease].|normal chest radiograph.|no evidence of acute disease in "
    "the chest.|unremarkable [chest film|study].]";

const char *const report_zone_words[4][2] = {
    {"[right apex|right lung apex|right apical region]", "[left apex|left lung apex|left apical region]"},
    {"[right upper lobe|right upper lung|right upper zone]", "[left upper lobe|left upper lung|left upper zone]"},
    {"[right middle lobe|right mid lung|right mid zone]", "[left mid lung|lingula|left mid zone]"},
    {"[right lower lobe|right base|right lung base|right lower lung]",
     "[left lower lobe|left base|left lung base|retrocardiac left lower lung]"},
};

#define NONE       FINDING_KIND_COUNT
#define BOTH_LUNGS "right lung", "left lung"

const report_normal report_normals[REPORT_NORMAL_COUNT] = {
    {"the lungs are [clear|well expanded and clear|clear without focal opacity].",
     {FINDING_OPACITY, FINDING_CONSOLIDATION, FINDING_PNEUMONIA, FINDING_EDEMA, FINDING_NODULE, FINDING_ATELECTASIS,
      FINDING_LOBAR_COLLAPSE, NONE},
     {"nlp|yes|normal", "anatomicalfinding|no|lung opacity"},
     {BOTH_LUNGS},
     0.75},
    {"[there is no [focal|] consolidation|no [focal|] consolidation is seen] [in either lung|].",
     {FINDING_CONSOLIDATION, FINDING_PNEUMONIA, FINDING_LOBAR_COLLAPSE, NONE},
     {"anatomicalfinding|no|consolidation"},
     {BOTH_LUNGS},
     0.5},
    {"[[there is no pleural effusion or pneumothorax|no pleural effusion or pneumothorax is [seen|present]].|no "
     "pneumothorax and no pleural "
     "effusion.|pleural spaces are free, without effusion or pneumothorax.]",
     {FINDING_EFFUSION, FINDING_PNEUMOTHORAX, NONE},
     {"anatomicalfinding|no|pleural effusion", "anatomicalfinding|no|pneumothorax"},
     {BOTH_LUNGS, "right costophrenic angle", "left costophrenic angle"},
     0.7},
    {"[no|there is no] pneumothorax.",
     {FINDING_PNEUMOTHORAX, NONE},
     {"anatomicalfinding|no|pneumothorax"},
     {BOTH_LUNGS},
     0.4},
    {"[no|there is no] pleural effusion.",
     {FINDING_EFFUSION, NONE},
     {"anatomicalfinding|no|pleural effusion"},
     {BOTH_LUNGS},
     0.3},
    {"[no|there is no] [overt |]pulmonary edema[ or vascular congestion|].",
     {FINDING_EDEMA, FINDING_VASCULAR_CONGESTION, NONE},
     {"anatomicalfinding|no|pulmonary edema/hazy opacity", "anatomicalfinding|no|vascular congestion"},
     {BOTH_LUNGS, "right hilar structures", "left hilar structures"},
     0.45},
    {"[no|there is no|without] [evidence|sign] of pneumonia.",
     {FINDING_PNEUMONIA, FINDING_CONSOLIDATION, FINDING_OPACITY, NONE},
     {"disease|no|pneumonia"},
     {BOTH_LUNGS},
     0.3},
    {"the [heart|cardiac silhouette] is [normal in size|of normal size|not enlarged].",
     {FINDING_ENLARGED_HEART, NONE},
     {"nlp|yes|normal", "anatomicalfinding|no|enlarged cardiac silhouette"},
     {"cardiac silhouette"},
     0.7},
    {"the mediastinal [contours are|contour is] [normal|unremarkable|within normal limits].",
     {FINDING_MEDIASTINAL_WIDENING, FINDING_TORTUOUS_AORTA, FINDING_HERNIA, NONE},
     {"nlp|yes|normal", "anatomicalfinding|no|mediastinal widening"},
     {"mediastinum", "upper mediastinum"},
     0.6},
    {"[hilar contours are|both hila are] [normal|unremarkable].",
     {FINDING_ENLARGED_HILUM, FINDING_VASCULAR_CONGESTION, FINDING_EDEMA, NONE},
     {"nlp|yes|normal", "anatomicalfinding|no|enlarged hilum"},
     {"right hilar structures", "left hilar structures"},
     0.4},
    {"[no acute [osseous|bony] abnormality.|the [visualised |]bones are intact.|no displaced fracture.]",
     {FINDING_RIB_FRACTURE, FINDING_CLAVICLE_FRACTURE, NONE},
     {"anatomicalfinding|no|rib fracture", "anatomicalfinding|no|clavicle fracture"},
     {"right clavicle", "left clavicle", "spine"},
     0.4},
    {"[no|there is no] [free air|free intraperitoneal air] [below|under] the [diaphragm|hemidiaphragms].",
     {NONE},
     {"anatomicalfinding|no|sub-diaphragmatic air"},
     {"abdomen", "right hemidiaphragm", "left hemidiaphragm"},
     0.2},
    {"the trachea is [midline|central].",
     {FINDING_MEDIASTINAL_WIDENING, FINDING_LOBAR_COLLAPSE, FINDING_SCOLIOSIS, NONE},
     {"nlp|yes|normal"},
     {"trachea"},
     0.15},
    {"[no|there are no] suspicious [nodules|pulmonary nodules or masses].",
     {FINDING_NODULE, FINDING_MASS, FINDING_CALCIFIED_NODULE, NONE},
     {"anatomicalfinding|no|mass/nodule (not otherwise specified)", "anatomicalfinding|no|lung lesion"},
     {BOTH_LUNGS},
     0.12},
};

const char *const report_device_words[13] = {
    "[an endotracheal tube|the ET tube|endotracheal tube] [ends|terminates|has its tip] [above the carina|in the "
    "trachea].",
    "[an enteric tube|a nasogastric tube|the feeding tube] [courses|passes] [below the diaphragm|into the stomach].",
    "[a {side} internal jugular line|the {side} IJ catheter] [ends|terminates|has its tip] {end}.",
    "[a {side} PICC|the {side}-sided PICC line] [ends|terminates] {end}.",
    "[a Swan-Ganz catheter|the pulmonary artery catheter] [is in place|has its tip {end}].",
    "[a {side} chest port|a {side}-sided port-a-cath] [is in place|ends {end}].",
    "[a {side} chest tube|a {side} pleural drain] [is in place|projects over the {side} lung].",
    "[a {side} pacemaker|a cardiac pacer|a dual lead pacemaker] with [its leads|wires] [over|projecting on] the heart "
    "[is "
    "seen|is present|].",
    "[median sternotomy wires|sternal wires] are [intact|noted|present].",
    "[surgical clips|mediastinal clips][ of previous bypass surgery|] are [noted|seen].",
    "[a prosthetic heart valve|a valve replacement] [is seen|is noted].",
    NULL,
    NULL,
};

const char *const report_indications =
    "[cough and fever|shortness of breath|chest pain|fall with chest wall pain|line placement|pre-operative "
    "examination|follow-up|rule out pneumonia|known heart failure|hypoxia|weight loss|trauma].";
const char *const report_techniques[2] = {"[PA view of the chest|Frontal chest radiograph, PA|Single PA view].",
                                          "[Portable AP view of the chest|Single AP portable view|AP chest film]."};
const char *const report_comparisons[2] = {"[None|None available|No prior film].",
                                           "[Earlier film of the same patient|Chest film ___|Prior radiograph ___]."};
