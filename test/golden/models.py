"""The fixtures' models, for make.py: tiny, each with something that the others do not have."""

import models_positions
import torch
from transformers import (Gemma2Config, Gemma3Config, Gemma3TextConfig, GPTJConfig, GraniteConfig, LlamaConfig,
                          MistralConfig, MptConfig, Olmo2Config, Olmo3Config, Qwen2Config, Qwen3Config)

SMALL = dict(vocab_size=61, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False,
             bos_token_id=1, eos_token_id=2)


def llama(**changes):
    return LlamaConfig(**{**SMALL, **changes})


def rope(rope_type, theta=10000.0, **parameters):
    return {"rope_type": rope_type, "rope_theta": theta, **parameters}


# head_dim 16: wavelengths 2π·10^(i/2), i = 0..7, against 256/4 = 64 and 256/1 = 256:
# three frequencies stay, one is interpolated, four are divided by the factor (make.py asserts it).
LLAMA3 = rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=256)

MPT = dict(vocab_size=61, d_model=32, n_heads=4, n_layers=2, max_seq_len=64)
GPTJ = dict(vocab_size=61, n_positions=64, n_embd=32, n_layer=2, bos_token_id=1, eos_token_id=2)


# Heads of 10 numbers, not hidden_size / heads = 6.
ODD = dict(SMALL, hidden_size=24, head_dim=10, intermediate_size=28, num_hidden_layers=4)
GEMMA = dict(ODD, sliding_window=16, query_pre_attn_scalar=20, tie_word_embeddings=True,
             layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"])
GEMMA3 = dict(GEMMA, rope_parameters={"full_attention": rope("linear", theta=5e5, factor=8.0),
                                      "sliding_attention": rope("default", theta=2000.0)})
VISION = dict(hidden_size=16, intermediate_size=20, num_hidden_layers=1, num_attention_heads=2, image_size=28,
              patch_size=14)


def configs():
    """name → (config, options of make.save)"""
    return {
        **models_positions.configs(),
        "llama-gqa-tied": (llama(tie_word_embeddings=True), {}),
        "llama-tied-head-only": (llama(tie_word_embeddings=True),
                                 dict(weights_of="llama-gqa-tied", head_only=True)),
        "llama-untied": (llama(vocab_size=96, hidden_size=40, head_dim=12, intermediate_size=44,
                               attention_bias=True, mlp_bias=True, rms_norm_eps=1e-5,
                               rope_parameters=rope("default", theta=500.0)), {}),
        "llama-mha": (llama(vocab_size=67, hidden_size=36, intermediate_size=51, num_attention_heads=3,
                            num_key_value_heads=3), {}),
        "llama-rope-llama3": (llama(head_dim=16, max_position_embeddings=2048, rope_parameters=LLAMA3),
                              dict(legacy=True)),
        "llama-rope-linear": (llama(rope_parameters=rope("linear", factor=2.5)), dict(legacy=True)),
        "llama-bf16": (llama(), dict(dtype=torch.bfloat16)),
        "llama-f16": (llama(), dict(dtype=torch.float16)),
        "llama-sharded": (llama(), dict(shard="20KB")),
        "mistral": (MistralConfig(**SMALL, sliding_window=None), {}),
        "mistral-window": (MistralConfig(**SMALL, sliding_window=16), {}),
        "qwen2": (Qwen2Config(**{**SMALL, "tie_word_embeddings": True}), {}),
        "qwen2-untied": (Qwen2Config(**{**SMALL, "vocab_size": 73, "num_key_value_heads": 1},
                                     rope_parameters=rope("default", theta=1000000.0)), {}),
        "qwen2-window": (Qwen2Config(**{**SMALL, "num_hidden_layers": 3}, use_sliding_window=True, sliding_window=16,
                                     layer_types=["sliding_attention", "full_attention", "sliding_attention"]), {}),
        "mpt-pow2": (MptConfig(**MPT), {}),
        "mpt-heads6": (MptConfig(**{**MPT, "d_model": 24, "n_heads": 6, "n_layers": 3}), {}),
        "mpt-clip": (MptConfig(**MPT, attn_config=dict(clip_qkv=1.0, softmax_scale=0.5)), {}),
        "mpt-bias-max": (MptConfig(**{**MPT, "d_model": 24, "n_heads": 6},
                                   attn_config=dict(alibi_bias_max=16)), {}),
        "mpt-bias": (MptConfig(**{**MPT, "d_model": 24}, no_bias=False), {}),
        "gptj": (GPTJConfig(**GPTJ, n_head=2, rotary_dim=8, n_inner=52), {}),
        "gemma2": (Gemma2Config(**GEMMA, attn_logit_softcapping=3.0, final_logit_softcapping=7.0), {}),
        "gemma3-text": (Gemma3TextConfig(**GEMMA3), dict(legacy=True)),
        "gemma3": (Gemma3Config(text_config=dict(GEMMA3, num_hidden_layers=2, layer_types=["sliding_attention", "full_attention"]),
                                vision_config=VISION, mm_tokens_per_image=4), {}),
        "qwen3": (Qwen3Config(**ODD), {}),
        "olmo2": (Olmo2Config(**{**SMALL, "hidden_size": 40, "num_attention_heads": 4}, rope_parameters=rope("default", theta=5e5)), {}),
        "olmo3": (Olmo3Config(**dict(SMALL, hidden_size=24, intermediate_size=28, num_hidden_layers=4), sliding_window=16, rope_parameters={
            "full_attention": rope("yarn", theta=5e5, factor=4.0, original_max_position_embeddings=16),
            "sliding_attention": rope("default", theta=5e5)}), {}),
        "granite": (GraniteConfig(**ODD, embedding_multiplier=6.0, residual_multiplier=0.4, attention_multiplier=0.2,
                                  logits_scaling=0.5), {}),
        "gptj-default-inner": (GPTJConfig(**{**GPTJ, "vocab_size": 64}, n_head=4, rotary_dim=4), {}),
    }
