"""Tiny random checkpoints and the logits that Hugging Face transformers computes from them.

    python -m venv venv && venv/bin/pip install -r test/golden/requirements.txt
    venv/bin/python test/golden/make.py [NAME…]

Pinned: torch 2.15.0, transformers 5.24.0 (requirements.txt; safetensors and numpy too). Run anywhere,
needs no network. Makes all of them, and replaces those that are named (by default all). Writes, beside this file, fixtures/<name>/:

    config.json          as save_pretrained writes it (transformers 5: rope_parameters, dtype)
    config.legacy.json   (rope fixtures) the same model as transformers 4 spelled it
    model.safetensors    the weights (llama-sharded: three or more shards and their index)
    golden.safetensors   ids I32 [n], logits F32 [n, vocab]; metadata: versions of torch, transformers

and fixtures/configs.json (every default of every family, keys seen in the wild from widespread.json).
fixtures/real-configs.json is kept by hand and is not touched.

The logits come from the files as written: reloaded with AutoModelForCausalLM in float32, eager attention,
the model's own causal (or sliding) mask, no cache, one thread. Everything is made twice and compared byte
by byte before anything is replaced. Another CPU or BLAS may round the logits' last bits otherwise.

What transformers' MPT honours: d_model, n_heads, n_layers, vocab_size, max_seq_len (the longest text: the
bias table ends there), layer_norm_epsilon, tie_word_embeddings, attn_config.clip_qkv (0 means none),
attn_config.softmax_scale. It ignores, silently: expansion_ratio (always 4), no_bias: false (a bias in the
file is dropped), attn_config.alibi (always on), alibi_bias_max (always 8; StoryWriter has 16), qk_ln,
prefix_lm, attn_type, attn_uses_sequence_id, learned_pos_emb, logit_scale, norm_type, embedding_fraction.
mosaic() below puts alibi_bias_max and the biases back, as MosaicML's own code has them (every linear layer
but the head, every norm): mpt-bias-max and mpt-bias are transformers with that change, not plain.
"""

import copy
import hashlib
import json
import math
import shutil
import sys
import tempfile
import zlib
from pathlib import Path

import models_positions
import torch
import transformers
from config_keys import config_keys
from models import configs
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

HERE = Path(__file__).parent
TOKENS = 48

# --------------------------------------------------------------------------------------------- weights

def mosaic(model, weights):
    """What MosaicML's MPT honours and transformers ignores, put back into transformers' own modules."""
    bias_max = model.config.attn_config.alibi_bias_max
    model.transformer.build_mpt_alibi_tensor = lambda heads, length, device: (
        build_mpt_alibi_tensor(heads, length, bias_max, device))
    if not model.config.no_bias:
        for name, module in model.transformer.named_modules():
            if isinstance(module, (nn.Linear, nn.LayerNorm)):
                bias = weights.get(f"transformer.{name}.bias", torch.zeros(module.weight.shape[0]))
                module.bias = nn.Parameter(bias.to(module.weight.dtype))


def randomise(model, seed):
    """Weights large enough that attention is far from uniform and logits are several units."""
    generator = torch.Generator().manual_seed(seed)
    vocab = model.config.get_text_config().vocab_size
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            noise = torch.randn(weight.shape, generator=generator)
            if weight.dim() == 1:
                plain = name.endswith("bias") or model.config.model_type.startswith("gemma")  # whose norms are 1 + w
                weight.copy_(0.2 * noise + (0.0 if plain else 1.0))
            else:
                weight.copy_(noise * (0.5 if weight.shape[0] == vocab else 0.25))


def save(folder, name, config, weights_of=None, head_only=False, dtype=torch.float32, shard="1GB",
         legacy=False):
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    if config.model_type == "mpt":
        mosaic(model, {})
    randomise(model, zlib.crc32((weights_of or name).encode()))
    model.tie_weights()
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink()
    if head_only:
        weights = load_file(folder / "model.safetensors")
        assert "lm_head.weight" not in weights
        weights["lm_head.weight"] = weights.pop("model.embed_tokens.weight")
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    if shard != "1GB":
        assert len(list(folder.glob("*.safetensors"))) >= 3
    if legacy:
        old = spelled_as_v4(json.loads((folder / "config.json").read_text()))
        read = type(config)(**copy.deepcopy(old))  # it changes what it is given
        read.rope_parameters.pop("type", None)  # transformers keeps the old key beside the new one
        assert read.rope_parameters == config.rope_parameters
        assert getattr(read, "layer_types", None) == getattr(config, "layer_types", None)
        (folder / "config.legacy.json").write_text(json.dumps(old, indent=2, sort_keys=True) + "\n")


def spelled_as_v4(config):
    """Linear scaling as {"type", "factor"} (until 4.42), llama3 as {"rope_type", …} (from 4.43)."""
    old = dict(config)
    if config["model_type"] == "gemma3_text":
        return gemma3_as_v4(old)
    scaling = dict(old.pop("rope_parameters"))
    old["rope_theta"] = scaling.pop("rope_theta")
    if scaling["rope_type"] == "linear":
        scaling["type"] = scaling.pop("rope_type")
    old["rope_scaling"] = scaling
    old["torch_dtype"] = old.pop("dtype")
    old["transformers_version"] = "4.46.0" if "rope_type" in scaling else "4.36.0"
    old["_name_or_path"] = "tiny/llama"
    return old


def gemma3_as_v4(old):
    """The pattern as a number, and the base of RoPE of layers with a window as rope_local_base_freq."""
    rope = old.pop("rope_parameters")
    old["rope_theta"] = rope["full_attention"]["rope_theta"]
    old["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
    old["rope_scaling"] = {key: rope["full_attention"][key] for key in ("rope_type", "factor")}
    types = old.pop("layer_types")
    old["sliding_window_pattern"] = types.index("full_attention") + 1
    old["torch_dtype"] = old.pop("dtype")
    old["cache_implementation"] = "hybrid"
    old["transformers_version"] = "4.50.0"
    return old


# --------------------------------------------------------------------------------------------- goldens

def logits_of(folder, ids, dtype=torch.float32):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
    if model.config.model_type == "mpt":
        mosaic(model, load_file(folder / "model.safetensors"))
    with torch.no_grad():
        return model(input_ids=ids[None], use_cache=False).logits[0], model


def golden(folder, name, vocab):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) ^ 1)
    ids = torch.randint(vocab, (TOKENS,), generator=generator)
    ids[:2] = torch.tensor([vocab - 1, 0])  # both ends of the embedding
    logits, _ = logits_of(folder, ids)
    exact, _ = logits_of(folder, ids, torch.float64)  # nearly: norms, angles and GPT-J's scores stay f32
    assert logits.dtype == torch.float32 and torch.isfinite(logits).all()
    largest, rounding = logits.abs().max().item(), (logits - exact).abs().max().item()
    assert 3 < largest < 60 and rounding < 1e-4, (name, largest, rounding)
    write_safetensors(folder / "golden.safetensors", {"ids": ids.to(torch.int32), "logits": logits},
                      {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__})
    return f"max |logit| {largest:5.2f}   f32 − f64 {rounding:.1e}"


def write_safetensors(path, tensors, metadata):
    """safetensors' own writer leaves the order of the metadata to chance; this one sorts."""
    names = {torch.int32: "I32", torch.float32: "F32"}
    header, body = {"__metadata__": metadata}, b""
    for name, tensor in sorted(tensors.items()):
        data = tensor.contiguous().numpy().astype(f"<{'i4' if tensor.dtype == torch.int32 else 'f4'}").tobytes()
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


# ------------------------------------------------------------------------------------------------- main

def make(root):
    lines = {}
    for name, (config, options) in configs().items():
        folder = root / name
        folder.mkdir()
        save(folder, name, config, **options)
        vocab = config.get_text_config().vocab_size
        lines[name] = golden(folder, options.get("weights_of") or name, vocab)
    check(root)
    (root / "configs.json").write_text(config_keys())
    return lines


def check(root):
    """That the fixtures exercise what their names say."""
    def read(name):
        return load_file(root / name / "golden.safetensors")

    assert torch.equal(read("llama-tied-head-only")["logits"], read("llama-gqa-tied")["logits"])

    wavelengths = [2 * math.pi * 10000 ** (i / 8) for i in range(8)]
    regimes = [sum(w < 64 for w in wavelengths), sum(64 <= w <= 256 for w in wavelengths)]
    assert regimes == [3, 1]

    def differs(name, change, first=1):
        """Without what the fixture is about, the logits differ from position `first` on, and only there."""
        g = read(name)
        ids = g["ids"].long()
        _, model = logits_of(root / name, ids)
        change(model)
        with torch.no_grad():
            d = (model(input_ids=ids[None], use_cache=False).logits[0] - g["logits"]).abs().amax(1)
        assert (d[:first] < 1e-4).all() and d[first:].max() > 0.1, (name, d)

    models_positions.check(differs, read)
    differs("mistral-window", lambda m: setattr(m.config, "sliding_window", None), first=16)
    differs("qwen2-window", lambda m: setattr(m.config, "layer_types", ["full_attention"] * 3), first=16)
    def everywhere(m):
        for layer in m.model.layers:
            layer.self_attn.layer_type = "full_attention"
        m.config.layer_types = ["full_attention"] * len(m.model.layers)
    differs("gemma2", everywhere, first=16)
    differs("gemma2", lambda m: setattr(m.config, "final_logit_softcapping", None), first=0)

    def uncap(m):
        for layer in m.model.layers:
            layer.self_attn.attn_logit_softcapping = None
    differs("gemma2", uncap)
    plain = 1.0 / 5e5 ** (torch.arange(0, 1, 2 / 10))
    differs("gemma3-text", lambda m: m.model.rotary_emb.full_attention_inv_freq.copy_(plain))
    differs("gemma3-text", lambda m: m.model.rotary_emb.sliding_attention_inv_freq.copy_(plain))
    for name in ("llama-rope-llama3", "llama-rope-linear"):
        plain = 1.0 / 10000 ** (torch.arange(0, 1, 2 / (16 if "llama3" in name else 8)))
        differs(name, lambda m: m.model.rotary_emb.inv_freq.copy_(plain))

    def unclip(m):
        for block in m.transformer.blocks:
            block.attn.clip_qkv = None
    differs("mpt-clip", unclip, first=0)

    def default_scale(m):
        for block in m.transformer.blocks:
            block.attn.softmax_scale = 8**-0.5
    differs("mpt-clip", default_scale)
    differs("mpt-bias-max", lambda m: delattr(m.transformer, "build_mpt_alibi_tensor"))
    for part in ("norm_1", "attn.Wqkv", "attn.out_proj", "ffn.up_proj", "ffn.down_proj"):
        differs("mpt-bias", lambda m: m.transformer.blocks[0].get_submodule(part).bias.data.zero_(), first=0)


def digest(root):
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(root.rglob("*")) if p.is_file()}


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        lines = make(Path(a))
        make(Path(b))
        assert digest(Path(a)) == digest(Path(b)), "two runs differ"
        for name in sys.argv[1:] or lines:
            target = HERE / "fixtures" / name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(Path(a) / name, target)
        shutil.copy(Path(a) / "configs.json", HERE / "fixtures" / "configs.json")
    for name, line in lines.items():
        size = sum(p.stat().st_size for p in (HERE / "fixtures" / name).iterdir())
        print(f"{name:22} {size / 1000:6.1f} kB   {line}")


if __name__ == "__main__":
    main()
