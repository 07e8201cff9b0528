#!/usr/bin/python3
"""Gemma 3's decoder in plain PyTorch, written after the technical report and the published parameter names: the independent
reference that src/model/gemma3.c is held against (tools/make_gemma3_fixture.py). Nothing here comes from the
transformers library. Positions are rotated as complex numbers, attention is one masked matrix: not the way the C code goes.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn


class Norm(nn.Module):
    def __init__(self, width, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.epsilon = epsilon

    def forward(self, x):
        return x / (x.pow(2).mean(-1, keepdim=True) + self.epsilon).sqrt() * (1 + self.weight)


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


def rotate(x, base, scale):
    """x [B, H, N, d]: value i and i + d/2 are one complex number."""
    half = x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.outer(torch.arange(x.shape[2], dtype=torch.float64) / scale, frequency)
    turned = torch.complex(x[..., :half].double(), x[..., half:].double()) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], -1).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, c, everywhere):
        super().__init__()
        d = c["head_dim"]
        self.c, self.everywhere = c, everywhere
        self.q_proj = linear(c["hidden_size"], c["num_attention_heads"] * d)
        self.k_proj = linear(c["hidden_size"], c["num_key_value_heads"] * d)
        self.v_proj = linear(c["hidden_size"], c["num_key_value_heads"] * d)
        self.o_proj = linear(c["num_attention_heads"] * d, c["hidden_size"])
        self.q_norm, self.k_norm = Norm(d, c["rms_norm_eps"]), Norm(d, c["rms_norm_eps"])

    def forward(self, x):
        c = self.c
        b, n, _ = x.shape
        q, k, v = (part(x).view(b, n, -1, c["head_dim"]).transpose(1, 2) for part in (self.q_proj, self.k_proj, self.v_proj))
        base, scale = (c["rope_theta"], c["rope_factor"]) if self.everywhere else (c["rope_local_base_freq"], 1)
        q, k = rotate(self.q_norm(q), base, scale), rotate(self.k_norm(k), base, scale)
        group = c["num_attention_heads"] // c["num_key_value_heads"]
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        distance = torch.arange(n)[:, None] - torch.arange(n)[None, :]
        seen = distance >= 0
        if not self.everywhere:
            seen &= distance < c["sliding_window"]
        scores = q @ k.transpose(2, 3) / math.sqrt(c["query_pre_attn_scalar"])
        mixed = scores.masked_fill(~seen, -math.inf).softmax(-1) @ v
        return self.o_proj(mixed.transpose(1, 2).reshape(b, n, -1))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = linear(c["hidden_size"], c["intermediate_size"])
        self.up_proj = linear(c["hidden_size"], c["intermediate_size"])
        self.down_proj = linear(c["intermediate_size"], c["hidden_size"])

    def forward(self, x):
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c, index):
        super().__init__()
        self.self_attn = Attention(c, (index + 1) % c["sliding_window_pattern"] == 0)
        self.mlp = Mlp(c)
        for name in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            setattr(self, name + "_layernorm", Norm(c["hidden_size"], c["rms_norm_eps"]))

    def forward(self, x):
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x)))
        return x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))


class Gemma3(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.model.layers = nn.ModuleList(Layer(c, i) for i in range(c["num_hidden_layers"]))
        self.model.norm = Norm(c["hidden_size"], c["rms_norm_eps"])
        if not c["tie_word_embeddings"]:
            self.lm_head = linear(c["hidden_size"], c["vocab_size"])

    def forward(self, ids, vectors):
        """ids [B, N], -1 where a vector stands; vectors [B, N, D], zero elsewhere -> logits [B, N, V]"""
        x = self.model.embed_tokens(ids.clamp(min=0)) * math.sqrt(self.c["hidden_size"])
        x = torch.where((ids >= 0)[:, :, None], x, torch.zeros_like(x)) + vectors
        for layer in self.model.layers:
            x = layer(x)
        x = self.model.norm(x)
        return x @ self.model.embed_tokens.weight.T if self.c["tie_word_embeddings"] else self.lm_head(x)


def random_model(config, seed):
    """Weights of a trained model's size: attention that chooses, norms that are not one."""
    torch.manual_seed(seed)
    model = Gemma3(config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "norm" in name:
                value.uniform_(-0.4, 0.8)
            elif "embed_tokens" in name:
                value.normal_(0, 0.15)
            else:
                value.normal_(0, 1.5 / math.sqrt(value.shape[1]))
    return model
