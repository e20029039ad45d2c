"""LoRA adapters of some fixtures with random weights, and the logits that transformers with peft computes from them:
adapters/<name>/ (adapter_config.json and adapter_model.safetensors, as peft saves them) and adapters/golden.safetensors,
a tensor F32 [48, vocab] for each, of the ids in the fixture's golden.safetensors. "both" has two adapters at once.

    pip install peft==0.21.2 && python test/golden/lora.py    # 10 seconds, no network
"""

import json
import pathlib
import shutil
import zlib

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
OUT = HERE / "adapters"

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
# name: (fixture, config of the adapter)
ADAPTERS = {
    "llama-all": ("llama-gqa-tied", dict(r=4, lora_alpha=6, target_modules="all-linear")),
    "llama-patterns": ("llama-gqa-tied", dict(
        r=3, lora_alpha=5, target_modules=[*ATTENTION, "up_proj"], rank_pattern={r"layers\.1\.self_attn\.q_proj": 5, "k_proj": 2},
        alpha_pattern={"v_proj": 12, "model.layers.0.mlp.up_proj": 1}, layers_to_transform=[0, 1])),
    "qwen2-rslora": ("qwen2-untied", dict(r=9, lora_alpha=4, use_rslora=True, target_modules=["q_proj", "down_proj"])),
    "phi3-fused": ("phi3", dict(r=2, lora_alpha=2, target_modules=["qkv_proj", "gate_up_proj"])),
    "neox-regrouped": ("gpt-neox", dict(r=3, lora_alpha=3, target_modules=["query_key_value", "dense_h_to_4h"])),
    "mpt-fused": ("mpt-pow2", dict(r=4, lora_alpha=4, target_modules=["Wqkv", "out_proj", "down_proj"])),
    "gemma3": ("gemma3-text", dict(r=4, lora_alpha=4, target_modules="all-linear")),
    "granite": ("granite", dict(r=4, lora_alpha=4, target_modules="all-linear")),
}


def base(fixture):
    return AutoModelForCausalLM.from_pretrained(
        HERE / "fixtures" / fixture, dtype=torch.float32, attn_implementation="eager").eval()


def logits(model, fixture):
    ids = load_file(HERE / "fixtures" / fixture / "golden.safetensors")["ids"].long()
    with torch.no_grad():
        return model(input_ids=ids[None], use_cache=False).logits[0].contiguous()


def main():
    torch.set_num_threads(1)
    shutil.rmtree(OUT, ignore_errors=True)
    found = {}
    for name, (fixture, config) in ADAPTERS.items():
        model = get_peft_model(base(fixture), LoraConfig(task_type="CAUSAL_LM", **config)).eval()
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        with torch.no_grad():
            for key, weight in sorted(model.named_parameters()):
                if "lora_" in key:
                    weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
        model.save_pretrained(OUT / name)
        (OUT / name / "README.md").unlink(missing_ok=True)
        before, found[name] = logits(base(fixture), fixture), logits(model, fixture)
        assert (found[name] - before).abs().max() > 0.5, name

    model = PeftModel.from_pretrained(base("llama-gqa-tied"), OUT / "llama-all", adapter_name="a")
    model.load_adapter(OUT / "llama-patterns", adapter_name="b")
    model.base_model.set_adapter(["a", "b"])
    found["both"] = logits(model, "llama-gqa-tied")
    save_file(found, OUT / "golden.safetensors")
    for path in OUT.glob("*/adapter_config.json"):
        # Neither paths of this machine nor the order of a set.
        config = json.loads(path.read_text())
        config["base_model_name_or_path"] = pathlib.Path(config["base_model_name_or_path"]).name
        config["target_modules"] = sorted(config["target_modules"])
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
