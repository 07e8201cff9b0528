#!/usr/bin/python3
"""BERT in plain PyTorch, written after the paper and the published parameter names: the independent reference that Carina's
text encoder is held against (tools/check_text_parity.sh, tools/make_bert_fixture.py) and timed against (bench/torch_peer.py).

    torch_bert.py weights --out DIR [--config JSON] [--seed N] [--format safetensors|bin]    a Hugging Face directory
    torch_bert.py encode --model DIR --sentences FILE --out FILE.npy [--projected] [--double]
    torch_bert.py compare FILE.npy REFERENCE.npy [--tolerance T]

Nothing here comes from the transformers library; ids come from tools/wordpiece_reference.py.
"""
import argparse
import json
import math
import os
import sys
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import torch_apm
import wordpiece_reference

BASE = dict(model_type="bert", vocab_size=30522, hidden_size=768, num_hidden_layers=12, num_attention_heads=12,
            intermediate_size=3072, max_position_embeddings=512, type_vocab_size=2, hidden_act="gelu",
            layer_norm_eps=1e-12, hidden_dropout_prob=0.1, position_embedding_type="absolute")
PROJECTOR = (512, 16)


class Embeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.word_embeddings = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.position_embeddings = nn.Embedding(c["max_position_embeddings"], c["hidden_size"])
        self.token_type_embeddings = nn.Embedding(c["type_vocab_size"], c["hidden_size"])
        self.LayerNorm = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])

    def forward(self, ids):
        x = self.word_embeddings(ids) + self.position_embeddings.weight[:ids.shape[1]] + self.token_type_embeddings.weight[0]
        return self.LayerNorm(x)


def named(**modules):
    module = nn.Module()
    for name, value in modules.items():
        setattr(module, name, value)
    return module


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, f, eps = c["hidden_size"], c["intermediate_size"], c["layer_norm_eps"]
        self.heads = c["num_attention_heads"]
        self.attention = named(self=named(query=nn.Linear(d, d), key=nn.Linear(d, d), value=nn.Linear(d, d)),
                               output=named(dense=nn.Linear(d, d), LayerNorm=nn.LayerNorm(d, eps=eps)))
        self.intermediate = named(dense=nn.Linear(d, f))
        self.output = named(dense=nn.Linear(f, d), LayerNorm=nn.LayerNorm(d, eps=eps))

    def forward(self, x, bias):
        part = getattr(self.attention, "self")
        b, n, d = x.shape
        q, k, v = (linear(x).view(b, n, self.heads, d // self.heads).transpose(1, 2) for linear in (part.query, part.key, part.value))
        scores = q @ k.transpose(2, 3) / math.sqrt(d // self.heads)
        if bias is not None:
            scores = scores + bias
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, d)
        x = self.attention.output.LayerNorm(x + self.attention.output.dense(mixed))
        return self.output.LayerNorm(x + self.output.dense(F.gelu(self.intermediate.dense(x))))


class Encoder(nn.Module):
    """With AnatomiX's projector; `project_head` stands outside `bert`."""
    def __init__(self, config, projector=PROJECTOR):
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = named(layer=nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"])))
        self.project_head = named(proj=nn.Sequential(nn.Linear(config["hidden_size"], projector[0]), nn.ReLU(),
                                                     nn.Linear(*projector)))

    def forward(self, ids, mask=None):
        """ids, mask [B, N] -> hidden, pooled, projected; mask None: nothing is padding."""
        x = self.embeddings(ids)
        # finite, as in the published code: a row of padding alone gives no NaN
        bias = None if mask is None else (1 - mask)[:, None, None, :].to(x.dtype) * torch.finfo(torch.float32).min
        for layer in self.encoder.layer:
            x = layer(x, bias)
        if mask is None:
            pooled = x.mean(1)
        else:
            pooled = (x * mask[:, :, None].to(x.dtype)).sum(1) / mask.sum(1, keepdim=True).to(x.dtype)
        return x, pooled, self.project_head.proj(pooled)


def random_encoder(config, seed, sharpness=1.0, projector=PROJECTOR):
    """Weights of a trained model's size: attention that chooses, norms that are not one."""
    torch.manual_seed(seed)
    model = Encoder(config, projector)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "LayerNorm.weight" in name:
                value.uniform_(0.7, 1.3)
            elif name.endswith("bias"):
                value.normal_(0, 0.1)
            elif "embeddings" in name:
                value.normal_(0, 0.5)
            else:
                value.normal_(0, (sharpness if "self." in name else 1.0) / math.sqrt(value.shape[1]))
    return model


def save_directory(folder, model, vocabulary, form="safetensors", bfloat16=False, prefix="bert."):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(model.config, file, indent=1)
        file.write("\n")
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(vocabulary) + "\n")
    state = OrderedDict((name if name.startswith("project_head") else prefix + name, value.detach())
                        for name, value in model.state_dict().items())
    if form == "bin":
        torch.save(state, os.path.join(folder, "pytorch_model.bin"))
    else:
        torch_apm.write_safetensors(os.path.join(folder, "model.safetensors"), state, None, bfloat16)


def load_directory(folder):
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    path = os.path.join(folder, "model.safetensors")
    if os.path.exists(path):
        tensors = torch_apm.read_safetensors(path)[0]
    else:
        tensors = torch.load(os.path.join(folder, "pytorch_model.bin"))
    tensors = {name.removeprefix("bert."): torch.as_tensor(np.array(torch_apm.as_numpy(value))) for name, value in tensors.items()}
    model = Encoder(config, (tensors["project_head.proj.0.weight"].shape[0], tensors["project_head.proj.2.weight"].shape[0]))
    model.load_state_dict(tensors)
    return model


def padded(sequences):
    longest = max(map(len, sequences))
    ids = torch.tensor([list(s) + [0] * (longest - len(s)) for s in sequences])
    mask = torch.tensor([[1.0] * len(s) + [0.0] * (longest - len(s)) for s in sequences])
    return ids, mask


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("weights", "encode", "compare"))
    parser.add_argument("files", nargs="*")
    parser.add_argument("--out")
    parser.add_argument("--model")
    parser.add_argument("--sentences")
    parser.add_argument("--config", default="{}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", choices=("safetensors", "bin"), default="safetensors")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--projected", action="store_true")
    parser.add_argument("--double", action="store_true")
    a = parser.parse_args()
    torch.set_num_threads(2)
    if a.mode == "weights":
        root = os.path.dirname(os.path.abspath(__file__))
        config = {**BASE, **json.loads(a.config)}
        known = wordpiece_reference.read_vocabulary(os.path.join(root, "..", "tests", "data", "text", "vocab.txt"))
        letters = [c for c in "abcdefghijklmnopqrstuvwxyz0123456789"]
        known += [t for t in letters + ["##" + c for c in letters] if t not in set(known)]
        known += ["[unused%d]" % i for i in range(len(known), config["vocab_size"])]  # as published vocabularies do
        save_directory(a.out, random_encoder(config, a.seed, sharpness=1.5), known, a.format)
    elif a.mode == "encode":
        model = load_directory(a.model).eval()
        tokenizer = wordpiece_reference.Tokenizer(wordpiece_reference.read_vocabulary(os.path.join(a.model, "vocab.txt")))
        with open(a.sentences, encoding="utf-8") as file:
            lines = file.read().removesuffix("\n").split("\n")
        if a.double:
            model = model.double()
        with torch.no_grad():
            _, pooled, projected = model(*padded([tokenizer.encode(line, model.config["max_position_embeddings"]) for line in lines]))
        np.save(a.out, (projected if a.projected else pooled).float().numpy())
    else:
        ours, wanted = (np.load(path).astype(np.float64) for path in a.files)
        if ours.shape != wanted.shape:
            raise SystemExit(f"shape {ours.shape}, wanted {wanted.shape}")
        scale = np.abs(wanted).max()
        error = np.abs(ours - wanted).max() / scale
        print(f"{a.files[0]}: {list(ours.shape)}, scale {scale:.3g}, error {error:.2e} of it, {'ok' if error <= a.tolerance else 'ABOVE ' + str(a.tolerance)}")
        return 0 if error <= a.tolerance else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
