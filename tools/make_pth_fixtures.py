#!/usr/bin/env python3
"""Makes tests/data/pth: small torch.save files of every kind that Carina reads or refuses.

Beside each readable NAME.pth stands NAME.safetensors with the same tensors, written here without Carina's code: the
test holds one against the other, bit for bit. Needs python3-torch (Debian); run from the root of the tree.
"""
import argparse
import json
import os
import struct
import sys
import zipfile
from collections import OrderedDict

import torch

FOLDER = sys.argv[1] if len(sys.argv) > 1 else "tests/data/pth"
TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64",
         torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}


def tensors_of(value, path=()):
    """(name, tensor) of everything in nested containers, named as Carina names them."""
    if isinstance(value, torch.Tensor):
        yield ".".join(path) or "tensor", value.detach()
    elif isinstance(value, argparse.Namespace):
        yield from tensors_of(vars(value), path)
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from tensors_of(child, path + (str(key),))
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value):
            yield from tensors_of(child, path + (str(index),))


def bytes_of(tensor):
    tensor = tensor.contiguous()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    return tensor.numpy().tobytes()


def write_safetensors(path, value):
    header, data = {}, b""
    for name, tensor in tensors_of(value):
        raw = bytes_of(tensor)
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def save(name, value, **options):
    torch.save(value, os.path.join(FOLDER, name + ".pth"), **options)
    write_safetensors(os.path.join(FOLDER, name + ".safetensors"), value)


def refused(name, value):
    torch.save(value, os.path.join(FOLDER, "refused_" + name + ".pth"))


class Evil:
    def __reduce__(self):
        return os.system, ("touch carina-was-here",)


def main():
    os.makedirs(FOLDER, exist_ok=True)
    torch.manual_seed(36)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Linear(2, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model(torch.rand(1, 1, 6, 4)).sum().backward()
    optimizer.step()
    arguments = argparse.Namespace(lr=1e-4, backbone="resnet50", dims=[8, 16], resume=None, masks=False, big=2**40)
    checkpoint = {"model": model.state_dict(), "args": arguments, "epoch": 3, "optimizer": optimizer.state_dict()}
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    views = {"base": base, "turned": base.permute(2, 0, 1), "part": base[1, 1:], "every_second": base[:, :, ::2],
             "row": base[0, 1], "expanded": torch.tensor([[7.0], [8.0]]).expand(2, 5), "scalar": torch.tensor(3.5),
             "empty": torch.zeros(0, 4), "nested": [base[0], (base[1].t(), {"deep": torch.ones(1)})]}
    kinds = {str(t).split(".")[1]: torch.tensor([[0, 1, 3], [5, 2, 1]]).to(t) for t in TYPES}
    save("state_dict", model.state_dict())
    save("checkpoint", checkpoint)
    save("checkpoint_protocol4", checkpoint, pickle_protocol=4)
    save("views", views)
    save("types", kinds)
    save("parameter", {"weight": torch.nn.Parameter(torch.rand(2, 2)), "ordered": OrderedDict(a=torch.rand(1))})
    save("single", torch.rand(2, 3))
    save("legacy_views", views, _use_new_zipfile_serialization=False)
    save("legacy_checkpoint", checkpoint, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(os.path.join(FOLDER, "views.pth")) as stored, \
            zipfile.ZipFile(os.path.join(FOLDER, "deflated.pth"), "w", zipfile.ZIP_DEFLATED) as deflated:
        for entry in stored.infolist():
            deflated.writestr(zipfile.ZipInfo(entry.filename), stored.read(entry), zipfile.ZIP_DEFLATED)
    write_safetensors(os.path.join(FOLDER, "deflated.safetensors"), views)
    refused("module", torch.nn.Linear(1, 1))
    refused("complex", torch.zeros(1, dtype=torch.complex64))
    refused("sparse", torch.eye(2).to_sparse())
    refused("code", Evil())


main()
