#!/usr/bin/env python3
"""Turns the published outline statistics of lungs and heart into src/data/phantom/shape_statistics.c.

Usage: tools/make_shape_statistics.py chexmask_nih_shape_stats.json > src/data/phantom/shape_statistics.c

The numbers are derived from the CheXmask Database (CC BY 4.0); the credit is written into the file's header and has to
stay there.
"""
import json
import sys


def rows(values, per_line=12):
    lines = []
    for start in range(0, len(values), per_line):
        lines.append("    " + ", ".join(f"{v:.5f}F".replace("F", "f") for v in values[start:start + per_line]) + ",")
    return "\n".join(lines)


def main():
    with open(sys.argv[1], encoding="utf-8") as source:
        stats = json.load(source)
    mean = [c for point in stats["mean"] for c in point]
    if len(mean) != 240 or len(stats["modes"]) != 12:
        sys.exit("expected 120 points and 12 modes")
    print("""/* Statistics of human lung and heart outlines: mean and 12 principal modes of 120 points. GENERATED, do not edit:
 * tools/make_shape_statistics.py chexmask_nih_shape_stats.json > src/data/phantom/shape_statistics.c
 *
 * Credit: numbers derived from the CheXmask Database (Gaggion, Mosquera, Mansilla, Saidman, Aineseder, Milone and
 * Ferrante: "CheXmask: a large-scale dataset of anatomical segmentation masks for multi-center chest x-ray images",
 * Scientific Data 2024; PhysioNet), licensed CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). Changed: 150
 * outlines of 50 films were normalised and reduced to their mean and principal modes.
 *
 * Points 0-43 right lung, 44-93 left lung, 94-119 heart, clockwise or counter-clockwise from the apex (heart: from the
 * right cardiophrenic angle). Frame: minus the lungs' bounding box centre, divided by its height; x to the image's
 * right, y down.
 */
// clang-format off
#include "data/phantom/shape_statistics.h"

const float shape_statistics_mean[SHAPE_POINT_COUNT * 2] = {""")
    print(rows(mean))
    print("};\n\nconst float shape_statistics_deviation[SHAPE_MODE_COUNT] = {")
    print(rows([m["std"] for m in stats["modes"]]))
    print("};\n\nconst float shape_statistics_mode[SHAPE_MODE_COUNT][SHAPE_POINT_COUNT * 2] = {")
    for mode in stats["modes"]:
        print("  {\n" + rows(mode["vec"]) + "\n  },")
    print("};")


main()
