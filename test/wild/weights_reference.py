"""Writes small checkpoints of every model type, each stored in several ways, into the folder given, and prints for each the
logits [tokens][vocab] that transformers computes from it: null where it would make weights up."""

import json
import os
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPTJConfig, LlamaConfig, MistralConfig, MptConfig, Qwen2Config
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.manual_seed(0)
OUT = sys.argv[1]
IDS = [5, 17, 2, 40, 9, 33]
SIZES = {"vocab_size": 61, "bos_token_id": 1, "eos_token_id": 2}
GATED = {
    **SIZES,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CONFIGS = {
    "llama": lambda tied: LlamaConfig(**GATED, tie_word_embeddings=tied),
    "mistral": lambda tied: MistralConfig(**GATED, tie_word_embeddings=tied),
    "qwen2": lambda tied: Qwen2Config(**GATED, tie_word_embeddings=tied),
    "mpt": lambda tied: MptConfig(
        **SIZES, d_model=32, n_heads=4, n_layers=2, max_seq_len=64, tie_word_embeddings=tied
    ),
    "gptj": lambda tied: GPTJConfig(
        **SIZES, n_embd=32, n_head=4, n_layer=2, n_positions=64, rotary_dim=4, tie_word_embeddings=tied
    ),
}


def shards(folder, index, *parts):
    """Replaces the single file of a folder by shards; index: which shard each tensor is said to be in."""
    os.remove(f"{folder}/model.safetensors")
    for name, tensors in parts:
        os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
        save_file(tensors, f"{folder}/{name}", {"format": "pt"})
    with open(f"{folder}/model.safetensors.index.json", "w") as file:
        json.dump({"metadata": {}, "weight_map": index}, file)


def odd_shards(folder):
    """One tensor in both shards, half of them in the other one than the index says, and names of tensors that are not."""
    tensors = load_file(f"{folder}/model.safetensors")
    names = list(tensors)
    first = {name: tensors[name] for name in names[:8]}
    last = {name: tensors[name] for name in [*names[8:], names[1]]}
    last[names[1]] = last[names[1]] * 2
    index = {name: "z.safetensors" if i < 8 else "parts/a.safetensors" for i, name in enumerate(names)}
    index["model.rotary_emb.inv_freq"] = "z.safetensors"
    shards(folder, index, ("parts/a.safetensors", first), ("z.safetensors", last))


def mixed(folder):
    """Vectors in F64, the first matrices in F16, the others in BF16."""
    path = f"{folder}/model.safetensors"
    kinds = [torch.float16, torch.bfloat16]
    tensors = {
        name: tensor.double() if tensor.dim() == 1 else tensor.to(kinds[i > 5])
        for i, (name, tensor) in enumerate(load_file(path).items())
    }
    save_file(tensors, path, {"format": "pt"})


def logits(folder):
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    if info["missing_keys"]:
        return None
    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0].tolist()


found = {}
for kind, config in CONFIGS.items():
    for tied in (True, False):
        model = AutoModelForCausalLM.from_config(config(tied))
        base = getattr(model, model.base_model_prefix)
        stored = {
            "whole": (model, None),
            "base": (base, None),
            "f64": (model, lambda folder: None),
            "shards": (model, odd_shards),
            "base-shards": (base, odd_shards),
            "mixed": (model, mixed),
        }
        for way, (part, change) in stored.items():
            name = f"{kind}-{'tied' if tied else 'untied'}-{way}"
            (part.double() if way == "f64" else part.float()).save_pretrained(f"{OUT}/{name}")
            if change:
                change(f"{OUT}/{name}")
            found[name] = logits(f"{OUT}/{name}")
print(json.dumps({"ids": IDS, "logits": found}))
