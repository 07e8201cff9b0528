#!/usr/bin/python3
"""Writes tests/data/bert/: a text encoder of two layers of 32 as a Hugging Face directory, and what tools/torch_bert.py makes
of a padded batch in double precision: outputs, and the gradient of one scalar by every parameter.

    make_bert_fixture.py [DIRECTORY]

pytorch_model.bin: the same weights as torch.save has them of a model for masked words: bf16, no projector, but a head,
a pooler, the buffer of positions, and LayerNorm under its older names.
expected.safetensors: ids, mask [3, 10]; hidden [3, 10, 32], pooled [3, 32], projected [3, 16]; cotangent.hidden,
.pooled, .projected, whose products with the outputs are summed to `total` [1]; gradient.NAME of total by each parameter.
"""
import os
import sys
from collections import OrderedDict

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import torch_apm
import torch_bert
import wordpiece_reference

CONFIG = {**torch_bert.BASE, "vocab_size": 170, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
          "intermediate_size": 48, "max_position_embeddings": 24}
SENTENCES = ["The left lower LUNG zone is healthy.", "right lung", "Café shows opacity [MASK]"]


def save_published(path, model):
    """As transformers saved BertForMaskedLM when PubMedBERT was published."""
    state = OrderedDict()
    for name, value in model.state_dict().items():
        if name.startswith("project_head."):
            continue
        name = "bert." + name.removeprefix("bert.")
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        state[name] = value.bfloat16()
    width = CONFIG["hidden_size"]
    state["bert.embeddings.position_ids"] = torch.arange(CONFIG["max_position_embeddings"]).expand((1, -1))
    state["bert.pooler.dense.weight"] = torch.zeros(width, width).bfloat16()
    state["cls.predictions.bias"] = torch.zeros(CONFIG["vocab_size"])
    state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]  # one storage, two names
    torch.save(state, path)


def main():
    root = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(root, "..", "tests", "data", "bert")
    vocabulary = wordpiece_reference.read_vocabulary(os.path.join(root, "..", "tests", "data", "text", "vocab.txt"))
    model = torch_bert.random_encoder(CONFIG, 3, sharpness=2, projector=(40, 16))
    with torch.no_grad():  # half the size in the tree, still exact
        for value in model.parameters():
            value.copy_(value.bfloat16())
    torch_bert.save_directory(folder, model, vocabulary, bfloat16=True)
    save_published(os.path.join(folder, "pytorch_model.bin"), model)
    tokenizer = wordpiece_reference.Tokenizer(vocabulary)
    ids, mask = torch_bert.padded([tokenizer.encode(s) for s in SENTENCES])
    model = model.double()
    names = ("hidden", "pooled", "projected")
    outputs = OrderedDict(zip(names, model(ids, mask.double())))
    generator = torch.Generator().manual_seed(5)
    cotangents = OrderedDict((name, torch.randn(outputs[name].shape, generator=generator)) for name in names)
    total = sum((outputs[name] * cotangents[name].double()).sum() for name in names)
    total.backward()
    expected = OrderedDict(ids=ids.float(), mask=mask, total=total.detach().reshape(1))
    expected.update((name, value.detach()) for name, value in outputs.items())
    expected.update(("cotangent." + name, value) for name, value in cotangents.items())
    expected.update(("gradient." + name, value.grad) for name, value in model.named_parameters())
    torch_apm.write_safetensors(os.path.join(folder, "expected.safetensors"), expected)
    print(f"{list(ids.shape)} ids, {sum(p.numel() for p in model.parameters())} weights, total {float(total):.4f}")


if __name__ == "__main__":
    main()
