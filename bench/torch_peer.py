#!/usr/bin/python3
"""The same work in PyTorch, timed: the peer that Carina's speed is measured against (bench/run.sh).

    torch_peer.py MODE [--repeat N] [--warmup N] [--size PIXELS] [--layout L] [--json]
    MODE: forward-f32, forward-bf16 (one film), train-f32, train-bf16 (one step on two films),
          bert-f32, bert-bf16 (text encoder, 36 sentences of 32 tokens)
    torch_peer.py export FILE.onnx     the network for bench/onnx_peer.mjs
    torch_peer.py check                exit status 0 when this peer can run at its best

Full APM (ResNet-50, frozen norm, D 256, 36 regions) at 1024x1024; a training step is forward, losses, backward, clipping
and AdamW, dropout 0. Settings: 2 threads, OpenBLAS told its processor, passive waiting, channels-last convolutions, bf16 by
autocast, frozen norm by batch_norm (in float32 training as a product and a sum, which is as fast and holds less): the best
that were found for PyTorch 1.13; --layout and --norm are there to try the others. OpenBLAS must be the system's BLAS.
Prints one line of JSON: name, seconds_min, seconds_median, peak_rss_bytes, repeats.
"""
import argparse
import json
import os
import resource
import statistics
import sys
import time

SETTINGS = {"OPENBLAS_CORETYPE": "SkylakeX", "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "2"}
if any(os.environ.get(name) != value for name, value in SETTINGS.items()):  # the libraries read these when they load
    os.execve(sys.executable, [sys.executable] + sys.argv, {**os.environ, **SETTINGS})

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import torch
import torch.utils.mkldnn
import torch_apm
import torch_bert


def affine_norm(self, x):
    """Frozen norm as DETR writes it: a product and a sum."""
    scale = self.weight * (self.running_var + torch_apm.EPS).rsqrt()
    return x * scale[:, None, None] + (self.bias - self.running_mean * scale)[:, None, None]


class Exported(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        outputs = self.model(images)
        return tuple(outputs[name] for name in torch_apm.OUTPUTS)


def forward_step(model, images, low_precision):
    def step():
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=low_precision):
            return model(images)
    return step


def train_step(model, images, targets, low_precision):
    trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    groups = [{"params": [value for name, value in trained if not name.startswith("backbone")]},
              {"params": [value for name, value in trained if name.startswith("backbone")], "lr": 1e-5}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, weight_decay=1e-4)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low_precision):
            outputs = model(images)
        outputs = {name: value.float() for name, value in outputs.items()}
        torch_apm.losses(outputs, targets, model.config)["total"].backward()
        torch.nn.utils.clip_grad_norm_([value for _, value in trained], 0.1)
        optimizer.step()
    return step


def bert_step(low_precision, way):
    """BERT-base without padding. way: plain, with weights packed once by oneDNN, as a frozen trace, or with all weights
    cast to bf16 once instead of by autocast. Found fastest: the trace in f32 (by 2 %), plain in bf16."""
    model = torch_bert.random_encoder(torch_bert.BASE, 1).eval()
    ids = torch.randint(0, torch_bert.BASE["vocab_size"], (36, 32), generator=torch.Generator().manual_seed(1))
    if way == "cast":
        model, low_precision = model.to(torch.bfloat16), False
    if way == "packed":
        pack_linears(model, torch.bfloat16 if low_precision else torch.float)
    if way == "traced":
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=low_precision, cache_enabled=False):
            model = torch.jit.freeze(torch.jit.trace(model, ids, check_trace=False))

    def step():
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=low_precision):
            return model(ids)
    return step


def pack_linears(module, dtype):
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Linear):
            setattr(module, name, Packed(child, dtype))
        else:
            pack_linears(child, dtype)


class Packed(torch.nn.Module):
    def __init__(self, linear, dtype):
        super().__init__()
        self.dtype, self.linear = dtype, torch.utils.mkldnn.to_mkldnn(linear, dtype)

    def forward(self, x):
        return self.linear(x.to(self.dtype)).to(x.dtype)


def apm_step(a):
    config = {**torch_apm.DEFAULTS, "image_height": a.size, "image_width": a.size}
    torch.manual_seed(1)
    model = torch_apm.APM(config)
    with torch.no_grad():  # speed does not depend on the values, as long as none is denormal or infinite
        for value in model.parameters():
            value.normal_(0, 0.02)
    films = 2 if a.mode.startswith("train") else 1
    generator = torch.Generator().manual_seed(1)
    images, targets = torch_apm.random_images(config, films, generator), torch_apm.random_targets(config, films, generator)
    del targets["region_cotangent"]

    if a.mode == "export":
        torch.onnx.export(Exported(model.eval()), images, a.out, opset_version=14, input_names=["image"],
                          output_names=list(torch_apm.OUTPUTS))
        return None

    low_precision = a.mode.endswith("bf16")
    if (a.norm or ("affine" if a.mode == "train-f32" else "batch")) == "affine":
        torch_apm.Norm.forward = affine_norm
    if a.layout == "channels-last":
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    if a.mode.startswith("forward"):
        return forward_step(model.eval(), images, low_precision)
    return train_step(model.train(), images, targets, low_precision)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("forward-f32", "forward-bf16", "train-f32", "train-bf16", "bert-f32", "bert-bf16",
                                         "export", "check"))
    parser.add_argument("out", nargs="?")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--layout", choices=("channels-last", "contiguous"), default="channels-last")
    parser.add_argument("--norm", choices=("batch", "affine"))
    parser.add_argument("--way", choices=("plain", "packed", "traced", "cast"), help="how the text encoder is run")
    parser.add_argument("--json", action="store_true", help="the only output there is; taken for symmetry with bench_apm")
    a = parser.parse_args()

    if "openblas" not in open("/proc/self/maps").read():
        raise SystemExit("the system's BLAS is not OpenBLAS: PyTorch would be several times slower than it can be")
    if a.mode == "check":
        return 0
    torch.set_num_threads(2)
    if a.mode.startswith("bert"):
        low_precision = a.mode.endswith("bf16")
        step = bert_step(low_precision, a.way or ("plain" if low_precision else "traced"))
    else:
        step = apm_step(a)
    if step is None:
        return 0
    for _ in range(a.warmup):
        step()
    seconds = []
    for _ in range(a.repeat):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"name": "pytorch " + torch.__version__ + " " + a.mode, "seconds_min": min(seconds),
                      "seconds_median": statistics.median(seconds),
                      "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "repeats": a.repeat}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
