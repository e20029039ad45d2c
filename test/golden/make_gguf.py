"""The fixtures once more as GGUF files, by what llama.cpp's converters do to names, rows and numbers.

    venv/bin/pip install -r test/golden/requirements.txt && venv/bin/pip install gguf==0.19.0
    venv/bin/python test/golden/make_gguf.py

Writes gguf/NAME.gguf beside this file from fixtures/NAME, whose golden.safetensors holds for both. Names are those of
gguf's own table (get_tensor_name_map); q and k rows are permuted where llama.cpp rotates neighbours, GPT-NeoX's qkv is
regrouped, Gemma's norms get their 1, Llama 3's scaling becomes rope_freqs.weight, longrope's becomes rope_factors_*.
split-*.gguf are llama-gqa-tied in three parts. types.gguf has matrices of every type of block, some of them made of
random bytes; types.safetensors has its golden: the logits of transformers with what gguf's own dequantiser makes of them.
Every file has a vocabulary of its size: characters, and a few merges by score (SentencePiece's kind).
"""

import json
import math
import shutil
import zlib
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import MODEL_ARCH as ARCH
from make import TOKENS, write_safetensors
from safetensors.torch import load_file
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM, __version__

HERE = Path(__file__).parent
OUT = HERE / "gguf"

# fixture → architecture of the GGUF
FIXTURES = {
    "llama-untied": ARCH.LLAMA, "llama-rope-llama3": ARCH.LLAMA, "llama-rope-yarn": ARCH.LLAMA, "qwen2": ARCH.QWEN2,
    "qwen3": ARCH.QWEN3, "gemma2": ARCH.GEMMA2, "gemma3-text": ARCH.GEMMA3, "olmo2": ARCH.OLMO2,
    "granite": ARCH.GRANITE, "phi3": ARCH.PHI3, "gpt-neox": ARCH.GPTNEOX, "smollm3": ARCH.SMOLLM3,
    "ministral3": ARCH.MISTRAL3, "stablelm": ARCH.STABLELM, "mpt-bias-max": ARCH.MPT,
}  # fmt: skip
PERMUTED = {ARCH.LLAMA, ARCH.SMOLLM3, ARCH.GRANITE, ARCH.MISTRAL3}
SHIFTED = {ARCH.GEMMA2, ARCH.GEMMA3}


def permute(rows, heads):
    """LlamaModel.permute of convert_hf_to_gguf.py."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def regroup(rows, heads):
    """[head][q, k, v] → all q, all k, all v."""
    parts = rows.reshape(heads, 3, -1, *rows.shape[1:])
    return torch.cat([parts[:, i].reshape(-1, *rows.shape[1:]) for i in range(3)])


def convert(arch, name, tensor, config):
    heads = getattr(config, "num_attention_heads", None)
    if arch in PERMUTED and ".q_proj." in name:
        return permute(tensor, heads)
    if arch in PERMUTED and ".k_proj." in name:
        return permute(tensor, config.num_key_value_heads)
    if arch == ARCH.GPTNEOX and ".query_key_value." in name:
        return regroup(tensor, heads)
    if arch in SHIFTED and name.endswith("norm.weight"):
        return tensor + 1
    return tensor


def add_tokens(writer, size):
    characters = [*"\u2581abcdefghijklmnopqrstuvwxyz.,!?'-0123456789", "th", "the", "\u2581th", "\u2581the", "in", "er"]
    tokens = (["<unk>", "<s>", "</s>", *characters] + [f"<extra_{i}>" for i in range(size)])[:size]
    types = [2, 3, 3] + [1 if i < len(characters) else 5 for i in range(size - 3)]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 3 + [-float(i) if len(t) < 2 else 1.0 * len(t) for i, t in enumerate(tokens[3:])])
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)


def add_mpt(writer, config):
    writer.add_context_length(config.max_seq_len)
    writer.add_embedding_length(config.d_model)
    writer.add_block_count(config.n_layers)
    writer.add_feed_forward_length(4 * config.d_model)
    writer.add_head_count(config.n_heads)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    attention = config.attn_config
    writer.add_max_alibi_bias(attention.alibi_bias_max)
    if attention.clip_qkv:
        writer.add_clamp_kqv(attention.clip_qkv)


def add_config(writer, arch, config):
    if arch == ARCH.MPT:
        return add_mpt(writer, config)
    heads, hidden = config.num_attention_heads, config.hidden_size
    head_dim = getattr(config, "head_dim", None) or hidden // heads
    rope = config.rope_parameters
    own = rope.get("full_attention", rope)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(hidden)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", heads))
    if head_dim != hidden // heads:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if hasattr(config, "rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_rope_freq_base(own["rope_theta"])
    part = own.get("partial_rotary_factor", getattr(config, "partial_rotary_factor", None)) or 1.0
    if arch not in SHIFTED:
        writer.add_rope_dimension_count(int(part * head_dim))
    if arch in (ARCH.LLAMA, ARCH.SMOLLM3, ARCH.GRANITE, ARCH.MISTRAL3):
        writer.add_vocab_size(config.vocab_size)
    add_scaling(writer, own)
    if arch in (ARCH.GPTNEOX, ARCH.STABLELM):
        writer.add_parallel_residual(config.use_parallel_residual)
    if arch in SHIFTED:
        writer.add_sliding_window(config.sliding_window)
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])
        # llama.cpp has the scale of the published models only; the key exists.
        writer.add_attention_scale(config.query_pre_attn_scalar**-0.5)
    if arch == ARCH.GEMMA3:
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
    if arch == ARCH.GEMMA2:
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if arch == ARCH.GRANITE:
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if arch == ARCH.PHI3:
        original = own.get("original_max_position_embeddings") or config.original_max_position_embeddings
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_sliding_window(config.sliding_window or 0)
    if arch == ARCH.MISTRAL3:
        writer.add_rope_scaling_yarn_log_mul(own.get("mscale_all_dim", 1.0))
        writer.add_attn_temperature_scale(own["llama_4_scaling_beta"])


def add_scaling(writer, rope):
    kind = rope.get("rope_type", "default")
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        for key, add in {
            "attention_factor": writer.add_rope_scaling_yarn_attn_factor,
            "beta_fast": writer.add_rope_scaling_yarn_beta_fast,
            "beta_slow": writer.add_rope_scaling_yarn_beta_slow,
        }.items():
            if rope.get(key) is not None:
                add(rope[key])
    if kind == "longrope":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)


def rope_tensors(writer, arch, config):
    """generate_extra_tensors of LlamaModel and Phi3MiniModel."""
    if arch == ARCH.MPT:
        return
    rope = config.rope_parameters
    if rope.get("rope_type") == "llama3":
        dim = config.head_dim
        freqs = 1.0 / (rope["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim))
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        old, factors = rope["original_max_position_embeddings"], []
        for wavelength in 2 * math.pi / freqs:
            smooth = (old / wavelength - low) / (high - low)
            whole = 1 / ((1 - smooth) / rope["factor"] + smooth)
            factors.append(1.0 if wavelength < old / high else rope["factor"] if wavelength > old / low else whole)
        writer.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))
    if rope.get("rope_type") == "longrope":
        original = rope.get("original_max_position_embeddings") or config.original_max_position_embeddings
        scale = config.max_position_embeddings / original
        factor = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0
        writer.add_rope_scaling_attn_factors(factor)
        for kind in ("long", "short"):
            writer.add_tensor(f"rope_factors_{kind}.weight", np.array(rope[f"{kind}_factor"], dtype=np.float32))


def finish(writer, path):
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write(name, arch, path, **options):
    folder = HERE / "fixtures" / name
    config = AutoConfig.from_pretrained(folder)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch], **options)
    writer.add_name(name)
    add_config(writer, arch, config)
    weights = load_file(folder / "model.safetensors")
    layers = getattr(config, "num_hidden_layers", None) or config.n_layers
    names = gguf.get_tensor_name_map(arch, layers)
    add_tokens(writer, config.vocab_size)
    rope_tensors(writer, arch, config)
    for name, tensor in weights.items():
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert stored, name
        data = convert(arch, name, tensor, config)
        if data.dim() == 1:
            writer.add_tensor(stored, data.float().numpy())
        elif data.dtype == torch.bfloat16:
            writer.add_tensor(stored, data.contiguous().view(torch.uint8).numpy(), raw_dtype=Type.BF16)
        else:
            writer.add_tensor(stored, data.contiguous().numpy())
    finish(writer, path)


# ------------------------------------------------------------------------------------------- every type

BLOCKS = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K,
          Type.IQ4_NL, Type.IQ4_XS, Type.MXFP4, Type.F16, Type.BF16]  # fmt: skip
# where the f16 scales of a block are, for those that gguf cannot quantise to
SCALES = {Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
          Type.IQ4_NL: [0], Type.IQ4_XS: [0]}  # fmt: skip
TYPICAL = {Type.Q2_K: 0.02, Type.Q3_K: 0.002, Type.Q4_K: 0.0005, Type.Q5_K: 0.0003, Type.Q6_K: 0.0001,
           Type.IQ4_NL: 0.004, Type.IQ4_XS: 0.0002}  # fmt: skip


def blocks_of(kind, weight, random):
    """The bytes of a matrix [n, k], and the numbers that they stand for."""
    if kind in SCALES:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        count = weight.shape[1] // block
        data = random.integers(0, 256, (weight.shape[0], count, size), dtype=np.uint8)
        for at in SCALES[kind]:
            scale = (TYPICAL[kind] * random.uniform(0.5, 1.5, (weight.shape[0], count))).astype(np.float16)
            data[..., at : at + 2] = scale[..., None].view(np.uint8)
        data = data.reshape(weight.shape[0], -1)
    else:
        data = gguf.quants.quantize(weight, kind)
    return data, gguf.quants.dequantize(data, kind).reshape(weight.shape).astype(np.float32)


def write_types(path):
    """LLaMA of three layers whose matrices have 256 columns, but for o_proj and down_proj, which are F16."""
    config = LlamaConfig(vocab_size=61, hidden_size=256, intermediate_size=16, num_hidden_layers=3,
                         num_attention_heads=2, num_key_value_heads=1, head_dim=8, max_position_embeddings=64,
                         tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)  # fmt: skip
    model = LlamaForCausalLM._from_config(config, attn_implementation="eager").eval()
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "llama")
    add_config(writer, ARCH.LLAMA, config)
    add_tokens(writer, config.vocab_size)
    names = gguf.get_tensor_name_map(ARCH.LLAMA, 3)
    kinds = iter(BLOCKS)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if tensor.dim() == 1:
                tensor.copy_(torch.from_numpy(1 + 0.2 * random.standard_normal(tensor.shape)))
                writer.add_tensor(stored, tensor.numpy())
                continue
            mixed = tensor.shape[1] == 256 and "embed" not in name
            kind = next(kinds) if mixed else Type.Q8_0 if "embed" in name else Type.F16
            size = 0.5 if "embed" in name else 0.12
            weight = (size * random.standard_normal(tensor.shape)).astype(np.float32)
            data, numbers = blocks_of(kind, weight, random)
            assert np.isfinite(numbers).all() and numbers.std() > 0.02, (name, kind, numbers.std())
            numbers = torch.from_numpy(numbers)
            # The bytes are as the file has them: of pairs of neighbours.
            heads = 2 if "q_proj" in name else 1 if "k_proj" in name else None
            tensor.copy_(unpermute(numbers, heads) if heads else numbers)
            writer.add_tensor(stored, data, raw_dtype=kind)
    assert next(kinds, None) is None
    finish(writer, path)
    ids = torch.randint(61, (TOKENS,), generator=torch.Generator().manual_seed(zlib.crc32(b"types")))
    with torch.no_grad():
        logits = model(input_ids=ids[None], use_cache=False).logits[0]
    assert 3 < logits.abs().max() < 60, logits.abs().max()
    versions = {"torch": torch.__version__.split("+")[0], "transformers": __version__, "gguf": "0.19.0"}
    write_safetensors(path.with_suffix(".safetensors"), {"ids": ids.to(torch.int32), "logits": logits}, versions)


def unpermute(rows, heads):
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    for name, arch in FIXTURES.items():
        write(name, arch, OUT / f"{name}.gguf")
    write("llama-gqa-tied", ARCH.LLAMA, OUT / "split.gguf", split_max_tensors=7)
    write_types(OUT / "types.gguf")
    for path in sorted(OUT.iterdir()):
        print(f"{path.name:40} {path.stat().st_size / 1000:6.1f} kB")


if __name__ == "__main__":
    main()
