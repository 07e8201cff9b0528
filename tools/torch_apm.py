#!/usr/bin/python3
"""The Anatomy Perception Module in plain PyTorch: the reference that Carina's own code is checked against.

Written from the description of the model, not from Carina's C code, so that the two can disagree. It needs only
PyTorch and NumPy (Debian: python3-torch, python3-numpy); Carina itself never needs it.

    torch_apm.py weights   --out W.pth|W.safetensors [--config C] [--seed S]     seeded weights; also a .json beside a .pth
    torch_apm.py convert   --weights W --out W2                                  the other file type
    torch_apm.py input     --out X.npy --targets T.safetensors [--config C] [--batch B] [--seed S]
    torch_apm.py forward   --weights W --input X.npy --out DIR [--config C] [--double] [--training] [--trace]
    torch_apm.py gradients --weights W --input X.npy --targets T.safetensors --out DIR [--config C] [--double]
    torch_apm.py compare   DIR REFERENCE_DIR         exit status 1 above the tolerance

--config is a JSON file or JSON text that overrides DEFAULTS; without it the configuration stored with the weights is
taken. Shapes: B batch, N regions, P patches (h x w of the last stage), D width, R numbers per region feature.

forward writes   boxes.npy [B,N,4] (cx, cy, w, h in 0..1), region_features.npy [B,N,R], image_logits.npy [B,14],
                 cls.npy [B,D], patch_features.npy [B,P,D]; --trace adds trace.safetensors with the steps between.
gradients writes gradients.safetensors (one tensor per trained parameter, named like it) and loss.json.
targets          boxes [B,N,4], present [B,N] (1 or 0), labels [B,14] (1, 0, NaN = unknown) and, optional,
                 region_cotangent [B,N,R]: no supervised loss reaches the region features before the alignment with
                 sentences, so sum(region_features * region_cotangent) is added to give them a gradient.

Parameter names are those of an AnatomiX checkpoint, {"model": {"vis_model....": tensor}}.
"""
import argparse
import json
import math
import os
import struct
import sys
from collections import OrderedDict

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

DEFAULTS = {
    "backbone": "resnet50",    # resnet18, resnet34, resnet50
    "width": 1.0,              # factor on every channel count of the backbone
    "norm": "frozen",          # frozen (constants; stage 1 untrained), batch, group (gcd(32, C) groups)
    "fine": False,             # the last stage keeps its resolution
    "box_queries": False,      # decoder layers behind the first look from the corners that the one before found
    "box_mean": False,         # in use, boxes are the mean of the last two decoder layers'
    "d": 256, "heads": 4, "encoder_layers": 4, "decoder_layers": 4, "ffn": 1024,
    "regions": 36, "region_feature": 16, "feature_heads": 2, "labels": 14,
    "image_height": 1024, "image_width": 1024,
    "auxiliary": False,        # box loss on every decoder layer's output, summed, instead of the last one only
    "l1_weight": 5.0, "giou_weight": 2.0, "label_weight": 2.0,
}
PREFIX = "vis_model."
EPS = 1e-5  # of every norm here


# ---------------------------------------------------------------- the backbone

class Norm(nn.Module):
    """Frozen, batch or group norm over [B,C,h,w]. Frozen holds constants; `fit` sets the statistics from the input."""

    def __init__(self, channels, kind):
        super().__init__()
        self.kind, self.groups, self.fit = kind, math.gcd(32, channels), None
        weight, bias = torch.ones(channels), torch.zeros(channels)
        if kind == "frozen":
            self.register_buffer("weight", weight)
            self.register_buffer("bias", bias)
        else:
            self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        if kind != "group":
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        if self.kind == "group":
            return F.group_norm(x, self.groups, self.weight, self.bias, EPS)
        if self.fit:
            self.fit(self, x)
        training = self.kind == "batch" and self.training
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training, 0.1, EPS)


def convolution(inputs, outputs, size, stride=1):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


class Basic(nn.Module):
    """Two 3x3 convolutions, stride on the first."""
    expansion = 1

    def __init__(self, inputs, planes, stride, kind):
        super().__init__()
        self.conv1, self.bn1 = convolution(inputs, planes, 3, stride), Norm(planes, kind)
        self.conv2, self.bn2 = convolution(planes, planes, 3), Norm(planes, kind)
        if stride != 1 or inputs != planes:
            self.downsample = nn.Sequential(convolution(inputs, planes, 1, stride), Norm(planes, kind))

    def forward(self, x):
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 to four times the planes; stride on the 3x3 (torchvision's form)."""
    expansion = 4

    def __init__(self, inputs, planes, stride, kind):
        super().__init__()
        outputs = planes * self.expansion
        self.conv1, self.bn1 = convolution(inputs, planes, 1), Norm(planes, kind)
        self.conv2, self.bn2 = convolution(planes, planes, 3, stride), Norm(planes, kind)
        self.conv3, self.bn3 = convolution(planes, outputs, 1), Norm(outputs, kind)
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(convolution(inputs, outputs, 1, stride), Norm(outputs, kind))

    def forward(self, x):
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


BACKBONES = {"resnet18": (Basic, (2, 2, 2, 2)), "resnet34": (Basic, (3, 4, 6, 3)), "resnet50": (Bottleneck, (3, 4, 6, 3))}


def scaled(channels, width):
    result = channels * width
    if result != int(result) or result < 1:
        raise SystemExit(f"width {width}: {channels} channels do not scale to a whole number")
    return int(result)


class ResNet(nn.Module):
    def __init__(self, name, width, kind, fine):
        super().__init__()
        block, depths = BACKBONES[name]
        channels = scaled(64, width)
        self.conv1 = nn.Conv2d(1, channels, 7, 2, 3, bias=False)
        self.bn1 = Norm(channels, kind)
        for stage, depth in enumerate(depths):
            planes = scaled(64 << stage, width)
            blocks = []
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 and not (fine and stage == 3) else 1
                blocks.append(block(channels, planes, stride, kind))
                channels = planes * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.channels = channels

    def forward(self, x, trace):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        trace("stem", x)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            trace(f"layer{stage}", x)
        return x


# ---------------------------------------------------------------- the transformer

class Attention(nn.Module):
    """Multi-head attention with one packed input projection; q [B,n,D], k and v [B,m,D] -> [B,n,D]."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, q, k, v):
        batch, _, width = q.shape
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (F.linear(x, w, b).reshape(batch, -1, self.heads, width // self.heads).transpose(1, 2)
                   for x, w, b in zip((q, k, v), weights, biases))
        scores = (q * (width // self.heads) ** -0.5) @ k.transpose(-2, -1)
        mixed = scores.softmax(-1) @ v
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, -1, width))


class EncoderLayer(nn.Module):
    def __init__(self, width, heads, ffn):
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.linear1, self.linear2 = nn.Linear(width, ffn), nn.Linear(ffn, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, EPS), nn.LayerNorm(width, EPS)

    def forward(self, x, position):
        located = x + position
        x = self.norm1(x + self.self_attn(located, located, x))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class DecoderLayer(nn.Module):
    def __init__(self, width, heads, ffn):
        super().__init__()
        self.self_attn, self.multihead_attn = Attention(width, heads), Attention(width, heads)
        self.linear1, self.linear2 = nn.Linear(width, ffn), nn.Linear(ffn, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width, EPS) for _ in range(3))

    def forward(self, x, query, memory, position):
        located = x + query
        x = self.norm1(x + self.self_attn(located, located, x))
        x = self.norm2(x + self.multihead_attn(x + query, memory + position, memory))
        return self.norm3(x + self.linear2(F.relu(self.linear1(x))))


class Encoder(nn.Module):
    def __init__(self, layers, *sizes):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))


class Decoder(nn.Module):
    def __init__(self, layers, box_queries, *sizes):
        super().__init__()
        if box_queries:
            self.box_query = nn.Linear(2 * sizes[0], sizes[0])
        self.layers = nn.ModuleList(DecoderLayer(*sizes) for _ in range(layers))
        self.norm = nn.LayerNorm(sizes[0], EPS)


def sine_position(height, width, features, like):
    """DETR's normalised sine embedding [h*w, D]: D/2 features of y, then D/2 of x; sin on even, cos on odd."""
    height, width, half = int(height), int(width), features // 2
    index = np.arange(half)
    frequency = 10000.0 ** (2 * (index // 2) / half)

    def axis(count):
        place = np.arange(1, count + 1) / (count + 1e-6) * 2 * math.pi
        angle = place[:, None] / frequency
        return np.where(index % 2 == 0, np.sin(angle), np.cos(angle))

    y = np.broadcast_to(axis(height)[:, None], (height, width, half))
    x = np.broadcast_to(axis(width)[None], (height, width, half))
    return torch.from_numpy(np.concatenate((y, x), -1).reshape(height * width, features)).to(like.dtype)


def corner_position(boxes, features):
    """The same of the upper left and the lower right corner of boxes [B,N,4] (cx, cy, w, h): [B,N,2D]."""
    half = features // 2
    index = torch.arange(half)
    frequency = 10000.0 ** (2 * torch.div(index, 2, rounding_mode="floor").double() / half)
    low, high = corners(boxes)
    angle = [2 * math.pi * place[..., None] / frequency.to(boxes.dtype)
             for corner in (low, high) for place in (corner[..., 1], corner[..., 0])]
    return torch.cat([torch.where(index % 2 == 0, a.sin(), a.cos()) for a in angle], -1)


class Transformer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, c["d"]))
        self.cls_pos = nn.Parameter(torch.empty(1, 1, c["d"]))
        self.encoder = Encoder(c["encoder_layers"], c["d"], c["heads"], c["ffn"])
        self.decoder = Decoder(c["decoder_layers"], c["box_queries"], c["d"], c["heads"], c["ffn"])

    def forward(self, patches, position, query, box_head, trace):
        """patches [B,P,D], position [P,D], query [N,D] -> encoded [B,1+P,D], decoded: [B,N,D] of each layer."""
        batch = patches.shape[0]
        x = torch.cat((self.cls_token.expand(batch, -1, -1), patches), 1)
        everywhere = torch.cat((self.cls_pos[0], position), 0)
        for index, layer in enumerate(self.encoder.layers):
            x = layer(x, everywhere)
            trace(f"encoder{index}", x)
        memory, decoded = x[:, 1:], []
        target = torch.zeros(batch, query.shape[0], query.shape[1], dtype=x.dtype)
        for index, layer in enumerate(self.decoder.layers):
            place = query
            if index > 0 and hasattr(self.decoder, "box_query"):
                place = query + self.decoder.box_query(corner_position(box_head(decoded[-1]).detach(), query.shape[1]))
            target = layer(target, place, memory, position)
            decoded.append(self.decoder.norm(target))
            trace(f"decoder{index}", decoded[-1])
        return x, decoded


class BoxHead(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, outputs) for outputs in (width, width, 4))

    def forward(self, x):
        x = F.relu(self.layers[1](F.relu(self.layers[0](x))))
        return self.layers[2](x).sigmoid()


class RegionFeatures(nn.Module):
    """The module F: object tokens look at the encoded patches (no position, no residual), then a linear layer."""

    def __init__(self, width, heads, features):
        super().__init__()
        self.mha, self.linear = Attention(width, heads), nn.Linear(width, features)

    def forward(self, tokens, patches):
        return self.linear(self.mha(tokens, patches, patches))


class APM(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config = c
        self.backbone = nn.ModuleList([nn.Module()])
        self.backbone[0].body = ResNet(c["backbone"], c["width"], c["norm"], c["fine"])
        self.input_proj = nn.Conv2d(self.backbone[0].body.channels, c["d"], 1)
        self.transformer = Transformer(c)
        self.query_embed = nn.Embedding(c["regions"], c["d"])
        self.bbox_embed = BoxHead(c["d"])
        self.image_class_embed = nn.Linear(c["d"], c["labels"])
        self.anat_obj_embs = RegionFeatures(c["d"], c["feature_heads"], c["region_feature"])
        if c["norm"] == "frozen":
            self.backbone[0].body.layer1.requires_grad_(False)

    def forward(self, images, trace=lambda name, value: None):
        """images [B,1,H,W] in 0..1 -> dictionary of outputs; boxes_all [layers,B,N,4]."""
        features = self.input_proj(self.backbone[0].body(images, trace))
        trace("projected", features)
        height, width = features.shape[-2:]
        position = sine_position(height, width, self.config["d"], self.query_embed.weight)
        trace("position", position)
        patches = features.flatten(2).transpose(1, 2)
        encoded, decoded = self.transformer(patches, position, self.query_embed.weight, self.bbox_embed, trace)
        boxes = torch.stack([self.bbox_embed(tokens) for tokens in decoded])
        trace("boxes_all", boxes)
        is_mean = self.config["box_mean"] and len(decoded) > 1 and not self.training
        return OrderedDict(boxes=boxes[-2:].mean(0) if is_mean else boxes[-1],
                           region_features=self.anat_obj_embs(decoded[-1], encoded[:, 1:]),
                           image_logits=self.image_class_embed(encoded[:, 0]), cls=encoded[:, 0],
                           patch_features=encoded[:, 1:], boxes_all=boxes)


OUTPUTS = ("boxes", "region_features", "image_logits", "cls", "patch_features")


# ---------------------------------------------------------------- the losses

def corners(boxes):
    centre, size = boxes[..., :2], boxes[..., 2:]
    return centre - size / 2, centre + size / 2


def generalised_iou(a, b):
    (a0, a1), (b0, b1) = corners(a), corners(b)
    area = lambda low, high: (high - low).clamp(min=0).prod(-1)
    overlap = area(torch.maximum(a0, b0), torch.minimum(a1, b1))
    union = area(a0, a1) + area(b0, b1) - overlap
    hull = area(torch.minimum(a0, b0), torch.maximum(a1, b1))
    return overlap / union - (hull - union) / hull


def losses(outputs, targets, c):
    """L1 summed over the 4 numbers and (1 - GIoU), both averaged over the boxes that are present in the batch; BCE
    averaged over the known labels. With `auxiliary` the two box terms are summed over the decoder layers."""
    present = targets["present"] > 0.5
    layers = outputs["boxes_all"] if c["auxiliary"] else outputs["boxes"][None]
    l1 = giou = 0.0
    for boxes in layers:
        predicted, wanted = boxes[present], targets["boxes"][present]
        l1 = l1 + (predicted - wanted).abs().sum(-1).mean()
        giou = giou + (1 - generalised_iou(predicted, wanted)).mean()
    known = ~torch.isnan(targets["labels"])
    labels = F.binary_cross_entropy_with_logits(outputs["image_logits"][known], targets["labels"][known])
    parts = OrderedDict(l1=l1, giou=giou, labels=labels)
    parts["total"] = c["l1_weight"] * l1 + c["giou_weight"] * giou + c["label_weight"] * labels
    if "region_cotangent" in targets:
        parts["regions"] = (outputs["region_features"] * targets["region_cotangent"]).sum()
        parts["total"] = parts["total"] + parts["regions"]
    return parts


# ---------------------------------------------------------------- files

def write_safetensors(path, tensors, metadata=None, bfloat16=False):
    """Little-endian float32 (or its upper half: values must fit), in the order given; the header is padded to 8 bytes
    with spaces."""
    header, chunks, offset = OrderedDict(), [], 0
    if metadata:
        header["__metadata__"] = metadata
    for name, value in tensors.items():
        data = np.ascontiguousarray(as_numpy(value), dtype="<f4")
        shape = list(data.shape)
        if bfloat16:
            bits = data.view("<u4")
            if (bits & 0xFFFF).any():
                raise ValueError(f"{name} does not fit bfloat16")
            data = (bits >> 16).astype("<u2")
        header[name] = {"dtype": "BF16" if bfloat16 else "F32", "shape": shape, "data_offsets": [offset, offset + data.nbytes]}
        offset += data.nbytes
        chunks.append(data.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def read_safetensors(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(size)), file.read()
    metadata, tensors = header.pop("__metadata__", {}), OrderedDict()
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(data[begin:end], "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(data[begin:end], {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8"}[entry["dtype"]])
        tensors[name] = torch.from_numpy(np.array(values).reshape(entry["shape"]))
    return tensors, metadata


def as_numpy(value):
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def parse_config(text, base=None):
    given = {}
    if text:
        given = json.load(open(text)) if os.path.exists(text) else json.loads(text)
    unknown = set(given) - set(DEFAULTS)
    if unknown:
        raise SystemExit(f"unknown configuration keys: {', '.join(sorted(unknown))}; known: {', '.join(DEFAULTS)}")
    return {**DEFAULTS, **(base or {}), **given}


def save_weights(path, model, bfloat16=False):
    state = OrderedDict((PREFIX + name, value.float().contiguous()) for name, value in model.state_dict().items())
    text = json.dumps(model.config)
    if path.endswith(".safetensors"):
        write_safetensors(path, state, {"config": text}, bfloat16)
        return
    torch.save({"model": state}, path)
    with open(path + ".json", "w") as file:
        file.write(text + "\n")


def load_model(path, config_text=None):
    """The model with weights from a .pth or .safetensors; every name and shape must match."""
    if path.endswith(".safetensors"):
        state, metadata = read_safetensors(path)
        base = json.loads(metadata["config"]) if "config" in metadata else None
    else:
        state = torch.load(path, map_location="cpu")["model"]
        base = json.load(open(path + ".json")) if os.path.exists(path + ".json") else None
    model = APM(parse_config(config_text, base))
    model.load_state_dict(OrderedDict((name[len(PREFIX):], value.float()) for name, value in state.items()
                                      if name.startswith(PREFIX)))
    return model


# ---------------------------------------------------------------- weights and inputs

def fit_statistics(norm, x):
    """Sets a norm's statistics to the input's, each off by a random factor, so that activations keep their scale and
    yet a mean, variance, weight or epsilon that is forgotten shows. Nearly dead channels are not blown up: that would
    only measure rounding."""
    with torch.no_grad():
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        var = var.clamp(min=0.2 * float(var.mean()) + 1e-3)
        norm.running_mean.copy_(mean + 0.2 * var.sqrt() * torch.randn_like(mean))
        norm.running_var.copy_(var * (0.7 + 0.6 * torch.rand_like(var)))


def fit_projection(layer, inputs, output):
    """Centres and scales the projection, so that patches differ: random backbones give nearly the same everywhere, and
    then attention would hardly matter to any output."""
    with torch.no_grad():
        mean = output.mean((0, 2, 3))
        factor = 1 / (output - mean[:, None, None]).std()
        layer.weight.mul_(factor)
        layer.bias.copy_((layer.bias - mean) * factor + 0.1 * torch.randn_like(mean))


def random_model(config, seed, sharpness=1.0, margin=3.0):
    """Seeded weights of sensible scale with no parameter at a special value. `sharpness` multiplies queries and keys:
    with few and narrow heads, attention tells patches and regions apart only above 1; with wide ones more than 1 makes
    it a hard choice, which amplifies rounding. `margin` is the size of the biases in front of a ReLU: among
    a million units some lie so close to 0 that float32 rounding decides their sign, and one such unit moves a gradient
    by more than the tolerance; away from 0 hardly any do."""
    torch.manual_seed(seed)
    model = APM(config)
    with torch.no_grad():
        for name, value in list(model.named_parameters()) + list(model.named_buffers()):
            if name.endswith(("running_mean", "running_var")):
                continue
            if value.dim() == 4:
                value.normal_(0, math.sqrt(2 / (value.shape[1] * value.shape[2] * value.shape[3])))
            elif value.dim() == 2 and name != "query_embed.weight":
                value.uniform_(-1, 1).mul_(math.sqrt(3 / value.shape[1]))
            elif value.dim() != 1:
                value.normal_()
            elif name.endswith("weight"):
                value.uniform_(0.6, 1.4)
            else:
                value.normal_(0, 0.1)
        for module in model.modules():
            if isinstance(module, Attention):
                module.in_proj_weight[:2 * module.out_proj.in_features].mul_(sharpness)
        if margin:
            for name, value in model.named_parameters():
                if name.endswith(("linear1.bias", "bbox_embed.layers.0.bias", "bbox_embed.layers.1.bias")):
                    value.add_(margin * torch.randn_like(value).sign())
            for module in model.modules():  # inside a block channels are mostly on or off, its output is mostly on
                if isinstance(module, (Basic, Bottleneck, ResNet)):
                    inner = [module.bn1, module.bn2] if isinstance(module, Bottleneck) else [module.bn1]
                    for norm in inner:
                        norm.bias.add_(1.5 * margin * torch.randn_like(norm.bias).sign())
                    if not isinstance(module, ResNet):
                        (module.bn3 if isinstance(module, Bottleneck) else module.bn2).bias.add_(margin)
        for module in model.modules():  # the last norm of a block: residual sums must not grow through 16 blocks
            if isinstance(module, (Basic, Bottleneck)):
                (module.bn3 if isinstance(module, Bottleneck) else module.bn2).weight.mul_(0.5)
        norms = [module for module in model.modules() if isinstance(module, Norm)]
        for norm in norms:
            norm.fit = fit_statistics
        hook = model.input_proj.register_forward_hook(fit_projection)
        model.eval()(random_images(config, 2, torch.Generator().manual_seed(seed + 1)))
        hook.remove()
        for norm in norms:
            norm.fit = None
    return model


def random_images(config, batch, generator):
    """Smooth blobs and noise in 0..1, [B,1,H,W]: white noise alone would average out in a deep backbone."""
    height, width = config["image_height"], config["image_width"]
    image = torch.zeros(batch, 1, height, width)
    for cells in (2, 5, 11):
        coarse = torch.rand(batch, 1, cells, cells, generator=generator)
        image += F.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
    image += torch.rand(batch, 1, height, width, generator=generator)
    return image / 4


def random_targets(config, batch, generator):
    count, features = config["regions"], config["region_feature"]
    size = 0.05 + 0.45 * torch.rand(batch, count, 2, generator=generator)
    centre = size / 2 + (1 - size) * torch.rand(batch, count, 2, generator=generator)
    present = (torch.rand(batch, count, generator=generator) > 0.25).float()
    labels = (torch.rand(batch, config["labels"], generator=generator) > 0.5).float()
    labels[torch.rand(batch, config["labels"], generator=generator) < 0.3] = math.nan
    cotangent = torch.randn(batch, count, features, generator=generator) / (batch * count)
    return OrderedDict(boxes=torch.cat((centre, size), -1) * present[..., None], present=present, labels=labels,
                       region_cotangent=cotangent)


# ---------------------------------------------------------------- commands

def run_forward(model, images, double, training=False, trace=None):
    model.train(training)
    dtype = torch.float64 if double else torch.float32
    record = (lambda name, value: trace.__setitem__(name, value.detach())) if trace is not None else (lambda name, value: None)
    with torch.no_grad():
        return model.to(dtype)(images.to(dtype), record)


def run_gradients(model, images, targets, double):
    """Parts of the loss, outputs and the gradient of every trained parameter. Batch norm is in training mode."""
    dtype = torch.float64 if double else torch.float32
    model.to(dtype).train()
    model.zero_grad(set_to_none=True)
    outputs = model(images.to(dtype))
    parts = losses(outputs, {name: value.to(dtype) for name, value in targets.items()}, model.config)
    parts["total"].backward()
    gradients = OrderedDict((PREFIX + name, value.grad) for name, value in model.named_parameters() if value.grad is not None)
    return OrderedDict((name, float(value)) for name, value in parts.items()), outputs, gradients


def compare(directory, reference):
    """Largest difference over the scale, the largest magnitude of the reference. A parameter whose gradient is zero by
    theory (queries and keys of the first decoder layer's self-attention: all its values are equal) has no scale of its
    own: 1e-4 of the largest gradient stands in for a smaller one."""
    def tensors(folder):
        found = {}
        for name in OUTPUTS:
            path = os.path.join(folder, name + ".npy")
            if os.path.exists(path):
                found[name] = np.load(path)
        for name in ("gradients", "trace"):
            path = os.path.join(folder, name + ".safetensors")
            if os.path.exists(path):
                found.update((name + "/" + key, as_numpy(value)) for key, value in read_safetensors(path)[0].items())
        return found

    ours, theirs = tensors(directory), tensors(reference)
    if not theirs:
        raise SystemExit(f"{reference}: nothing to compare with")
    largest = max([float(np.abs(value).max()) for name, value in theirs.items() if name.startswith("gradients/")] + [0.0])
    bad, worst = 0, {}
    for name, wanted in theirs.items():
        group = name.split("/")[0]
        if name not in ours:
            if group != "trace":
                print(f"{name:75} missing")
                bad += 1
            continue
        got = ours[name]
        if got.shape != wanted.shape:
            print(f"{name:75} shape {list(got.shape)}, wanted {list(wanted.shape)}")
            bad += 1
            continue
        tolerance = 1e-3 if group == "gradients" else 1e-4
        scale = max(float(np.abs(wanted).max()), 1e-4 * largest if group == "gradients" else 0.0, 1e-30)
        error = float(np.abs(got.astype(np.float64) - wanted).max()) / scale
        failed = not error <= tolerance
        bad += failed
        worst[group] = max(worst.get(group, (0.0, "")), (error, name))
        if group != "gradients" or failed or os.environ.get("VERBOSE"):
            print(f"{name:75} scale {scale:9.3g} error {error:9.2e} of it {'ABOVE ' + str(tolerance) if failed else 'ok'}")
    if "gradients" in worst:
        count = sum(name.startswith("gradients/") for name in theirs)
        print(f"{count} gradients, worst {worst['gradients'][0]:.2e} of its scale: {worst['gradients'][1]}")
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, *options):
        sub = commands.add_parser(name)
        for option in options:
            sub.add_argument(option, required=option != "--config")
        sub.add_argument("--seed", type=int, default=1)
        sub.add_argument("--batch", type=int, default=1)
        for flag in ("--double", "--training", "--trace"):
            sub.add_argument(flag, action="store_true")

    command("weights", "--out", "--config")
    command("convert", "--weights", "--out", "--config")
    command("input", "--out", "--targets", "--config")
    command("forward", "--weights", "--input", "--out", "--config")
    command("gradients", "--weights", "--input", "--targets", "--out", "--config")
    sub = commands.add_parser("compare")
    sub.add_argument("directory")
    sub.add_argument("reference")
    a = parser.parse_args()

    if a.command == "compare":
        return compare(a.directory, a.reference)
    if a.command == "weights":
        save_weights(a.out, random_model(parse_config(a.config), a.seed))
        return 0
    if a.command == "convert":
        save_weights(a.out, load_model(a.weights, a.config))
        return 0
    if a.command == "input":
        config, generator = parse_config(a.config), torch.Generator().manual_seed(a.seed)
        np.save(a.out, as_numpy(random_images(config, a.batch, generator)))
        write_safetensors(a.targets, random_targets(config, a.batch, generator))
        return 0

    model, images = load_model(a.weights, a.config), torch.from_numpy(np.load(a.input))
    os.makedirs(a.out, exist_ok=True)
    if a.command == "forward":
        trace = OrderedDict() if a.trace else None
        outputs = run_forward(model, images, a.double, a.training, trace)
        for name in OUTPUTS:
            np.save(os.path.join(a.out, name + ".npy"), as_numpy(outputs[name]).astype("<f4"))
        if a.trace:
            write_safetensors(os.path.join(a.out, "trace.safetensors"), trace)
        return 0
    parts, _, gradients = run_gradients(model, images, read_safetensors(a.targets)[0], a.double)
    write_safetensors(os.path.join(a.out, "gradients.safetensors"), gradients)
    with open(os.path.join(a.out, "loss.json"), "w") as file:
        json.dump(parts, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
