#!/usr/bin/python3
"""Writes tests/data/gemma3/: two tiny Gemma 3 decoders, one with its own output head, and what tools/torch_gemma3.py makes of
a batch of tokens and vectors in double precision.

    make_gemma3_fixture.py [DIRECTORY]

NAME.weights.safetensors: parameters by their published names. NAME.expected.safetensors: ids [2, 19] (-1: a vector stands
there), vectors [2, 19, D], logits [2, 19, V]; cotangent, whose product with the logits is `total` [1]; gradient.NAME of
total by each parameter, gradient.vectors. The configurations stand in tests/unit/test_gemma3.c too.
"""
import os
import sys
from collections import OrderedDict

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import torch_apm
import torch_gemma3

TIED = {"vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 8, "intermediate_size": 40, "sliding_window": 5, "sliding_window_pattern": 3, "rope_local_base_freq": 1e4,
        "rope_theta": 1e6, "rope_factor": 8.0, "query_pre_attn_scalar": 6.0, "rms_norm_eps": 1e-6, "tie_word_embeddings": True}
HEAD = {**TIED, "num_hidden_layers": 2, "num_key_value_heads": 1, "sliding_window_pattern": 2, "rope_factor": 1.0,
        "tie_word_embeddings": False}
TOKENS = 19


def main():
    root = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(root, "..", "tests", "data", "gemma3")
    os.makedirs(folder, exist_ok=True)
    for name, config in (("tied", TIED), ("head", HEAD)):
        model = torch_gemma3.random_model(config, 3)
        weights = OrderedDict((key, value.detach().clone()) for key, value in model.named_parameters())
        torch_apm.write_safetensors(os.path.join(folder, name + ".weights.safetensors"), weights)
        model = model.double()
        generator = torch.Generator().manual_seed(5)
        ids = torch.randint(config["vocab_size"], (2, TOKENS), generator=generator)
        vectors = torch.randn((2, TOKENS, config["hidden_size"]), generator=generator)
        ids[0, 4:9] = ids[1, 0] = -1
        vectors[ids >= 0] = 0
        wanted = vectors.double().requires_grad_()
        logits = model(ids, wanted)
        cotangent = torch.randn(logits.shape, generator=generator)
        total = (logits * cotangent.double()).sum()
        total.backward()
        expected = OrderedDict(ids=ids.float(), vectors=vectors, logits=logits.detach(), cotangent=cotangent,
                               total=total.detach().reshape(1))
        expected["gradient.vectors"] = wanted.grad
        expected.update(("gradient." + key, value.grad) for key, value in model.named_parameters())
        torch_apm.write_safetensors(os.path.join(folder, name + ".expected.safetensors"), expected)
        print(f"{name}: {sum(p.numel() for p in model.parameters())} weights, total {float(total):.4f}")


if __name__ == "__main__":
    main()
