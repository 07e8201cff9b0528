#!/usr/bin/python3
"""Writes tests/data/apm/: four tiny models with inputs, targets, outputs and gradients, computed in double precision by
tools/torch_apm.py, so that Carina's model code is checked against it where PyTorch is not installed.

    make_apm_fixture.py [DIRECTORY]

tests/data/apm/README.md describes every file. Another run gives the same files, up to the rounding of the BLAS in use.
"""
import json
import os
import sys
from collections import OrderedDict

import numpy as np
import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import torch_apm as apm

# Together: each depth, each norm, an image that is no multiple of the stride, a square and a wide one, channel counts
# that no vector width divides, groups of one and of three channels, auxiliary losses on and off, finer tokens and queries
# that follow the boxes.
FIXTURES = {
    "frozen_resnet50": dict(backbone="resnet50", width=1 / 32, norm="frozen", d=16, heads=4, ffn=24, encoder_layers=2,
                            decoder_layers=2, regions=36, region_feature=16, image_height=64, image_width=64),
    "batch_resnet34": dict(backbone="resnet34", width=1 / 32, norm="batch", d=16, heads=4, ffn=20, encoder_layers=1,
                           decoder_layers=2, regions=11, region_feature=16, image_height=64, image_width=64,
                           auxiliary=True),
    "group_resnet18": dict(backbone="resnet18", width=3 / 64, norm="group", d=16, heads=2, ffn=24, encoder_layers=2,
                           decoder_layers=1, regions=5, region_feature=8, image_height=40, image_width=72),
    "fine_box_queries": dict(backbone="resnet18", width=1 / 32, norm="batch", fine=True, box_queries=True, box_mean=True, d=16,
                             heads=4, ffn=20, encoder_layers=1, decoder_layers=3, regions=7, region_feature=8, image_height=64,
                             image_width=64, auxiliary=True),
}
FULL = 128  # gradients with more numbers than this are sampled
SEEDS = {"frozen_resnet50": 80, "batch_resnet34": 56, "group_resnet18": 99, "fine_box_queries": 1}  # of well-conditioned models
STRIDE = 7  # no kernel size or channel count divides by it, so that the samples visit every place of a kernel


def sampled(gradient):
    flat = gradient.reshape(-1)
    return flat[::STRIDE] if flat.numel() > FULL else gradient


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "tests", "data", "apm")
    for name, overrides in FIXTURES.items():
        seed = SEEDS[name]
        folder = os.path.join(root, name)
        os.makedirs(folder, exist_ok=True)
        config = {**apm.DEFAULTS, **overrides}
        model = apm.random_model(config, seed, sharpness=2, margin=0)
        with torch.no_grad():  # half the size in the tree, still exact
            for value in list(model.parameters()) + list(model.buffers()):
                value.copy_(value.bfloat16())
        apm.save_weights(os.path.join(folder, "weights.safetensors"), model, bfloat16=True)
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(config, file, indent=1)
            file.write("\n")
        generator = torch.Generator().manual_seed(seed)
        images = apm.random_images(config, 2, generator).bfloat16().float()
        targets = apm.random_targets(config, 2, generator)
        apm.write_safetensors(os.path.join(folder, "input.safetensors"), {"image": images}, bfloat16=True)
        apm.write_safetensors(os.path.join(folder, "targets.safetensors"), targets)

        trace = OrderedDict()
        outputs = apm.run_forward(model, images, True, False, trace)
        expected = OrderedDict((key, outputs[key]) for key in apm.OUTPUTS)
        expected.update(("trace." + key, value) for key, value in trace.items())
        parts, outputs, gradients = apm.run_gradients(model, images, targets, True)
        expected.update(("loss." + key, np.array([value])) for key, value in parts.items())
        if config["norm"] == "batch":  # training differs: its outputs, and the running statistics after that one step
            expected.update(("train." + key, outputs[key]) for key in apm.OUTPUTS)
            expected.update(("statistics." + apm.PREFIX + key, value) for key, value in model.named_buffers())
        apm.write_safetensors(os.path.join(folder, "expected.safetensors"), expected)
        apm.write_safetensors(os.path.join(folder, "gradients.safetensors"),
                              OrderedDict((key, sampled(value)) for key, value in gradients.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
