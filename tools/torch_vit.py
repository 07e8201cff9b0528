#!/usr/bin/python3
"""DINOv3's vision transformer in plain PyTorch, and the fixture tests/data/vit/ made with it.

Written from the description of the model (arXiv 2508.10104 and Hugging Face's parameter names), not from Carina's C
code, so that the two can disagree: here films are repeated to three channels and normalised as ImageNet's, patches are
cut by hand, and a pair of values is turned as one complex number.

    torch_vit.py [DIRECTORY]      needs PyTorch and NumPy; double precision throughout

model.safetensors     a random encoder under Hugging Face's names, BF16, exact; config.json: its sizes
input.safetensors     `film` [2, 1, H, W] in [0, 1], BF16, exact
expected.safetensors  `features` [2, H/16, W/16, D]: the patches after the last norm; `cotangent` of that shape, `total` [1],
                      the sum of their product; `film` the gradient of total by the film, `gradient.NAME` by each parameter
                      of the encoder as Carina keeps it, with one channel. Of a gradient of more than 1,024 numbers every 7th.
"""
import json
import math
import os
import sys
from collections import OrderedDict

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import torch_apm

CONFIG = {"model_type": "dinov3_vit", "patch_size": 16, "num_channels": 3, "hidden_size": 24, "num_attention_heads": 2,
          "num_hidden_layers": 2, "intermediate_size": 40, "num_register_tokens": 3, "hidden_act": "gelu",
          "use_gated_mlp": False, "query_bias": True, "key_bias": False, "value_bias": True, "proj_bias": True,
          "mlp_bias": True, "layer_norm_eps": 1e-5, "rope_theta": 100.0}
SIZE = (48, 80)  # of the film
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def shapes(c):
    """Every parameter's name and shape."""
    width, ffn, out = c["hidden_size"], c["intermediate_size"], OrderedDict()
    out["embeddings.cls_token"] = (1, 1, width)
    out["embeddings.mask_token"] = (1, 1, width)
    out["embeddings.register_tokens"] = (1, c["num_register_tokens"], width)
    out["embeddings.patch_embeddings.weight"] = (width, c["num_channels"], c["patch_size"], c["patch_size"])
    out["embeddings.patch_embeddings.bias"] = (width,)
    for i in range(c["num_hidden_layers"]):
        layer = f"layer.{i}."
        for norm in ("norm1", "norm2"):
            out[layer + norm + ".weight"] = out[layer + norm + ".bias"] = (width,)
        for name in "qkvo":
            out[layer + f"attention.{name}_proj.weight"] = (width, width)
            if name != "k":
                out[layer + f"attention.{name}_proj.bias"] = (width,)
        out[layer + "layer_scale1.lambda1"] = out[layer + "layer_scale2.lambda1"] = (width,)
        out[layer + "mlp.up_proj.weight"], out[layer + "mlp.up_proj.bias"] = (ffn, width), (ffn,)
        out[layer + "mlp.down_proj.weight"], out[layer + "mlp.down_proj.bias"] = (width, ffn), (width,)
    out["norm.weight"] = out["norm.bias"] = (width,)
    return out


def random_weights(c, generator):
    weights = OrderedDict()
    for name, shape in shapes(c).items():
        noise = torch.randn(shape, generator=generator)
        if name.endswith("lambda1") or ("norm" in name and name.endswith("weight")):
            value = 1 + 0.3 * noise
        elif "q_proj" in name or "k_proj" in name:
            value = 0.5 * noise  # attention that attends to something
        else:
            value = (0.04 if "patch" in name else 0.25) * noise
        weights[name] = value.bfloat16().double()
    return weights


def turns(c, rows, columns):
    """[P, d/2] complex numbers of length one."""
    quarter = c["hidden_size"] // c["num_attention_heads"] // 4
    periods = c["rope_theta"] ** (torch.arange(quarter).double() / quarter)
    y = (torch.arange(rows).double() + 0.5) / rows * 2 - 1
    x = (torch.arange(columns).double() + 0.5) / columns * 2 - 1
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    angles = torch.cat([2 * math.pi * grid.reshape(-1, 1) / periods for grid in (grid_y, grid_x)], 1)
    return torch.polar(torch.ones_like(angles), angles)


def turned(x, by):
    """x [B, heads, P, d]."""
    first, second = x.chunk(2, -1)
    z = torch.complex(first.contiguous(), second.contiguous()) * by
    return torch.cat([z.real, z.imag], -1)


def forward(w, c, film):
    """film [B, 1, H, W] in [0, 1] -> [B, H/p, W/p, D]."""
    batch, _, height, width = film.shape
    p, d, heads = c["patch_size"], c["hidden_size"], c["num_attention_heads"]
    rows, columns, eps = height // p, width // p, c["layer_norm_eps"]
    colours = [(film - m) / s for m, s in zip(MEAN, DEVIATION)]
    x = torch.cat(colours, 1).reshape(batch, 3, rows, p, columns, p).permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)
    x = x @ w["embeddings.patch_embeddings.weight"].reshape(d, -1).T + w["embeddings.patch_embeddings.bias"]
    front = torch.cat([w["embeddings.cls_token"], w["embeddings.register_tokens"]], 1)
    ahead, by = front.shape[1], turns(c, rows, columns)
    x = torch.cat([front.expand(batch, -1, -1), x], 1)
    for i in range(c["num_hidden_layers"]):
        def get(name):
            return w[f"layer.{i}.{name}"]

        def linear(name, value):
            return F.linear(value, get(name + ".weight"), w.get(f"layer.{i}.{name}.bias"))

        h = F.layer_norm(x, (d,), get("norm1.weight"), get("norm1.bias"), eps)
        q, k, v = (linear(f"attention.{n}_proj", h).reshape(batch, -1, heads, d // heads).transpose(1, 2) for n in "qkv")
        q, k = (torch.cat([t[:, :, :ahead], turned(t[:, :, ahead:], by)], 2) for t in (q, k))
        mixed = (q @ k.transpose(-1, -2) / math.sqrt(d // heads)).softmax(-1) @ v
        x = x + get("layer_scale1.lambda1") * linear("attention.o_proj", mixed.transpose(1, 2).reshape(batch, -1, d))
        h = F.layer_norm(x, (d,), get("norm2.weight"), get("norm2.bias"), eps)
        x = x + get("layer_scale2.lambda1") * linear("mlp.down_proj", F.gelu(linear("mlp.up_proj", h)))
    x = F.layer_norm(x, (d,), w["norm.weight"], w["norm.bias"], eps)
    return x[:, ahead:].reshape(batch, rows, columns, d)


def stored(gradient):
    return gradient.flatten()[::7] if gradient.numel() > 1024 else gradient


def main():
    root = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(root, "..", "tests", "data", "vit")
    os.makedirs(folder, exist_ok=True)
    generator = torch.Generator().manual_seed(7)
    weights = random_weights(CONFIG, generator)
    film = torch.rand((2, 1) + SIZE, generator=generator).bfloat16().double()
    torch_apm.write_safetensors(os.path.join(folder, "model.safetensors"), weights, bfloat16=True)
    torch_apm.write_safetensors(os.path.join(folder, "input.safetensors"), {"film": film}, bfloat16=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        file.write(json.dumps(CONFIG, indent=2) + "\n")
    for value in list(weights.values()) + [film]:
        value.requires_grad_()
    features = forward(weights, CONFIG, film)
    cotangent = torch.randn(features.shape, generator=generator).double()
    total = (features * cotangent).sum()
    total.backward()
    expected = OrderedDict(features=features.detach(), cotangent=cotangent, total=total.detach().reshape(1), film=film.grad)
    for name, value in weights.items():
        if name == "embeddings.mask_token":
            continue
        gradient = value.grad
        if name == "embeddings.patch_embeddings.weight":
            # The kernel's sees (film - mean) / deviation, the one-channel kernel's the film: any channel gives the same.
            gradient = gradient[:, :1] * DEVIATION[0] + MEAN[0] * weights["embeddings.patch_embeddings.bias"].grad.reshape(-1, 1, 1, 1)
        expected["gradient." + name] = stored(gradient)
    torch_apm.write_safetensors(os.path.join(folder, "expected.safetensors"), expected)
    print(f"features {list(features.shape)}, up to {float(features.abs().max()):.3f}, total {float(total):.4f}")


if __name__ == "__main__":
    main()
