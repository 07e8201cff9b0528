#!/usr/bin/python3
"""Writes tests/data/lora/: two LoRA adapters, in PEFT's layout, of the tied decoder in tests/data/gemma3, and what PyTorch makes
of that decoder with each of them in double precision, the change added to the weights.

    make_lora_fixture.py [DIRECTORY]

plain/: rank 4 on the projections of attention. patterns/: rank-stabilised, every matrix, with ranks and alphas of their own,
named as MedGemma nests its modules. expected.safetensors: ids [1, 19]; of each adapter NAME: NAME.logits [1, 19, V],
NAME.gradient.PARAMETER of their product with NAME.cotangent.
"""
import json
import math
import os
import sys
from collections import OrderedDict

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import torch_apm
import torch_gemma3
from make_gemma3_fixture import TIED, TOKENS

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
EVERY = ATTENTION + ["gate_proj", "up_proj", "down_proj"]


def ending(table, module, otherwise):
    for key, value in table.items():
        if module == key or module.endswith("." + key):
            return value
    return otherwise


def make(folder, targets, prefix, config):
    model = torch_gemma3.random_model(TIED, 3).double()
    tensors, values = OrderedDict(), OrderedDict()
    for name, base in list(model.named_parameters()):
        module = name[: -len(".weight")]
        if module.rsplit(".", 1)[-1] not in targets:
            continue
        theirs = prefix + module[len("model."):]
        rank = ending(config["rank_pattern"], theirs, config["r"])
        alpha = ending(config["alpha_pattern"], theirs, config["lora_alpha"])
        scale = alpha / (math.sqrt(rank) if config["use_rslora"] else rank)
        down = torch.randn(rank, base.shape[1], generator=GENERATOR) / math.sqrt(base.shape[1])
        up = torch.randn(base.shape[0], rank, generator=GENERATOR) * 0.3
        tensors["base_model.model." + theirs + ".lora_A.weight"] = down
        tensors["base_model.model." + theirs + ".lora_B.weight"] = up
        down, up = down.double().requires_grad_(), up.double().requires_grad_()
        values[module + ".lora_A.weight"], values[module + ".lora_B.weight"] = down, up
        owner = model
        for part in module.split(".")[:-1]:
            owner = getattr(owner, part)
        owner = getattr(owner, module.rsplit(".", 1)[-1])
        changed = base.detach() + scale * (up @ down)
        del owner.weight
        owner.weight = changed
    os.makedirs(folder, exist_ok=True)
    torch_apm.write_safetensors(os.path.join(folder, "adapter_model.safetensors"), tensors)
    with open(os.path.join(folder, "adapter_config.json"), "w") as file:
        json.dump({"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "tied", "bias": "none",
                   "fan_in_fan_out": False, "init_lora_weights": True, "lora_dropout": 0.05, "modules_to_save": None,
                   "target_modules": targets, "use_dora": False, **config}, file, indent=1)
        file.write("\n")
    return model, values


def main():
    root = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(root, "..", "tests", "data", "lora")
    plain = make(os.path.join(folder, "plain"), ATTENTION, "model.",
                 {"r": 4, "lora_alpha": 6, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}})
    patterns = make(os.path.join(folder, "patterns"), EVERY, "model.language_model.",
                    {"r": 2, "lora_alpha": 1.5, "use_rslora": True, "rank_pattern": {"down_proj": 3, "layers.1.mlp.up_proj": 5},
                     "alpha_pattern": {"self_attn.o_proj": 4}})
    ids = torch.randint(TIED["vocab_size"], (1, TOKENS), generator=GENERATOR)
    expected = OrderedDict(ids=ids.float())
    for name, (model, values) in (("plain", plain), ("patterns", patterns)):
        logits = model(ids, torch.zeros(1, TOKENS, TIED["hidden_size"], dtype=torch.float64))
        cotangent = torch.randn(logits.shape, generator=GENERATOR)
        (logits * cotangent.double()).sum().backward()
        expected[name + ".logits"], expected[name + ".cotangent"] = logits.detach(), cotangent
        expected.update((name + ".gradient." + key, value.grad) for key, value in values.items() if name == "plain" or ".1." in key)
        print(f"{name}: {sum(v.numel() for v in values.values())} weights, logits up to {float(logits.abs().max()):.3f}")
    torch_apm.write_safetensors(os.path.join(folder, "expected.safetensors"), expected)


GENERATOR = torch.Generator().manual_seed(11)
if __name__ == "__main__":
    main()
