"""Models whose positions are their own, for make.py: scaled frequencies, layers without positions, parts of heads."""

import torch
from transformers import (AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig, Ministral3Config, Mistral3Config,
                          Mistral3ForConditionalGeneration, Phi3Config, Qwen2Config, SmolLM3Config, StableLmConfig)

# As transformers itself does for Gemma 3.
AutoModelForCausalLM.register(Mistral3Config, Mistral3ForConditionalGeneration, exist_ok=True)

FAMILIES = (Phi3Config, SmolLM3Config, Ministral3Config, Mistral3Config, GPTNeoXConfig, StableLmConfig)

SMALL = dict(vocab_size=61, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False, pad_token_id=None,
             bos_token_id=1, eos_token_id=2)

# Texts are 48 tokens long. head_dim 16: with 16 original positions, two frequencies stay, one is mixed, five are divided.
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16, beta_fast=2.0,
            beta_slow=0.3)
# Rotary part 12 of 16: six pairs.
SHORT = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
LONG = [1.2, 1.9, 3.1, 5.0, 8.0, 13.0]
PHI3 = dict(SMALL, hidden_size=64, intermediate_size=40, max_position_embeddings=256, rope_parameters=dict(
    rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75, short_factor=SHORT, long_factor=LONG))
NEOX = dict(vocab_size=61, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=64, bos_token_id=1, eos_token_id=2)
MINISTRAL3 = dict(SMALL, head_dim=16, rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=0.5,
                                                           llama_4_scaling_beta=0.5))
PIXTRAL = dict(hidden_size=16, intermediate_size=20, num_hidden_layers=1, num_attention_heads=2, head_dim=8,
               image_size=28, patch_size=14)


def configs():
    """name → (config, options of make.save)"""
    return {
        "llama-rope-yarn": (LlamaConfig(**SMALL, head_dim=16, rope_parameters=dict(YARN)), dict(legacy=True)),
        "llama-rope-longrope": (LlamaConfig(**SMALL, head_dim=12, rope_parameters=dict(
            rope_type="longrope", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16,
            short_factor=SHORT, long_factor=LONG)), {}),
        "qwen2-yarn": (Qwen2Config(**SMALL, rope_parameters=dict(YARN, truncate=False, attention_factor=1.3)), {}),
        "phi3": (Phi3Config(**PHI3, original_max_position_embeddings=64), {}),
        "phi3-long": (Phi3Config(**PHI3, original_max_position_embeddings=32), dict(weights_of="phi3")),
        "smollm3": (SmolLM3Config(**{**SMALL, "num_hidden_layers": 4}), {}),
        "smollm3-window": (SmolLM3Config(**{**SMALL, "num_hidden_layers": 3}, no_rope_layer_interval=2, sliding_window=16,
                                         use_sliding_window=True, attention_bias=True), {}),
        "ministral3": (Ministral3Config(**MINISTRAL3), {}),
        "mistral3": (Mistral3Config(text_config=dict(MINISTRAL3, model_type="ministral3"), vision_config=PIXTRAL,
                                    tie_word_embeddings=False), {}),
        "gpt-neox": (GPTNeoXConfig(**NEOX), {}),
        "gpt-neox-serial": (GPTNeoXConfig(**NEOX, use_parallel_residual=False, attention_bias=False,
                                          hidden_act="gelu_fast", tie_word_embeddings=True,
                                          rope_parameters=dict(rope_type="default", partial_rotary_factor=0.5)), {}),
        "stablelm": (StableLmConfig(**SMALL, use_qkv_bias=True), {}),
        "stablelm-parallel": (StableLmConfig(**SMALL, use_parallel_residual=True,
                                             rope_parameters=dict(rope_type="default", partial_rotary_factor=0.5)), {}),
    }


def check(differs, read):
    """That the fixtures exercise what their names say; see make.check."""
    plain = 1.0 / 10000 ** (torch.arange(0, 1, 2 / 16))
    differs("llama-rope-yarn", lambda m: m.model.rotary_emb.inv_freq.copy_(plain))
    for name in ("llama-rope-yarn", "llama-rope-longrope", "qwen2-yarn", "phi3", "ministral3"):
        differs(name, lambda m: setattr(m.model.rotary_emb, "attention_scaling", 1.0))
    assert torch.equal(read("phi3")["ids"], read("phi3-long")["ids"])
    assert (read("phi3")["logits"] - read("phi3-long")["logits"]).abs().max() > 0.1

    def rope_everywhere(model):
        for layer in model.model.layers:
            layer.self_attn.use_rope = 1
    differs("smollm3", rope_everywhere)
    differs("smollm3-window", lambda m: setattr(m.config, "layer_types", ["full_attention"] * 3), first=16)

    def cool(model):
        model.config.rope_parameters["llama_4_scaling_beta"] = 0.0
    differs("ministral3", cool, first=16)

    def other_residual(model):
        for layer in model.gpt_neox.layers:
            layer.use_parallel_residual = not layer.use_parallel_residual
    differs("gpt-neox", other_residual, first=0)
    differs("gpt-neox-serial", other_residual, first=0)
    differs("gpt-neox", lambda m: setattr(m.gpt_neox.rotary_emb, "inv_freq", plain))
