"""The keys a config.json may have: makes fixtures/configs.json (called by make.py).

    defaults         {family: XConfig().to_dict()}, attn_config included
    attribute_map    {family: {other name: name in the file}}
    pretrained_keys  {key: example} that every transformers 5 config accepts or writes
    generation_keys  {key: example} of GenerationConfig: dropped when they stand in a config.json
    widespread       {family: {key: example}} written by transformers 4 or common in published files
"""

import copy
import json
from pathlib import Path

import models_positions
import transformers
from transformers import (Gemma2Config, Gemma3Config, Gemma3TextConfig, GPTJConfig, GraniteConfig, LlamaConfig,
                          MistralConfig, MptConfig, Olmo2Config, Olmo3Config, PreTrainedConfig, Qwen2Config, Qwen3Config)
from transformers.generation import GenerationConfig

HERE = Path(__file__).parent
FAMILIES = {c.model_type: c for c in (LlamaConfig, MistralConfig, Qwen2Config, MptConfig, GPTJConfig, Gemma2Config,
                                      Gemma3TextConfig, Gemma3Config, Qwen3Config, Olmo2Config, Olmo3Config, GraniteConfig,
                                      *models_positions.FAMILIES)}

# Popped from the keyword arguments in PreTrainedConfig.__post_init__, or properties that have a setter,
# or read elsewhere while loading; none of them is in PreTrainedConfig().to_dict().
ARGUMENTS = {
    "torch_dtype": "float32", "num_labels": 2, "name_or_path": "", "_commit_hash": None,
    "attn_implementation": None, "experts_implementation": None, "_attn_implementation": None,
    "_attn_implementation_internal": None, "_experts_implementation": None,
    "_experts_implementation_internal": None, "output_attentions": False, "use_return_dict": True,
    "per_layer_config": None, "tie_last_hidden_states": None, "rope_scaling": None, "rope_theta": 10000.0,
    "partial_rotary_factor": 1.0, "original_max_position_embeddings": 2048, "layer_types": None,
    "mlp_layer_types": None, "quantization_config": None, "transformers_weights": None, "auto_map": None,
    "trust_remote_code": None, "tie_word_embeddings": True, "distributed_config": None, "vocab_file": None,
}


def config_keys():
    widespread = json.loads((HERE / "widespread.json").read_text())
    common = widespread.pop("*")
    keys = {
        "transformers": transformers.__version__,
        "defaults": {name: cls().to_dict() for name, cls in FAMILIES.items()},
        "attribute_map": {name: cls.attribute_map for name, cls in FAMILIES.items()},
        "pretrained_keys": {**ARGUMENTS, **PreTrainedConfig().to_dict()},
        "generation_keys": {**GenerationConfig().to_dict(),
                            **GenerationConfig._get_default_generation_params()},
        "widespread": {name: {**common, **widespread[name]} for name in FAMILIES},
    }
    check_real_configs(keys)
    return json.dumps(keys, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def check_real_configs(keys):
    """Transformers accepts every published config, and no key of theirs is missing from the lists.

    One exception: transformers 5 wants clip_qkv to be a float and so refuses StoryWriter's own 6.
    """
    for name, config in json.loads((HERE / "fixtures" / "real-configs.json").read_text()).items():
        family = config["model_type"]
        given = copy.deepcopy(config)  # transformers changes what it is given
        if given.get("attn_config", {}).get("clip_qkv") is not None:
            given["attn_config"]["clip_qkv"] = float(given["attn_config"]["clip_qkv"])
        FAMILIES[family](**given)
        known = {**keys["defaults"][family], **keys["pretrained_keys"], **keys["widespread"][family]}
        assert set(config) <= set(known), (name, set(config) - set(known))
        parts = keys["widespread"]["mpt"]
        for part in ("attn_config", "ffn_config", "init_config"):
            assert set(config.get(part, {})) <= set(parts[part]), (name, part)
