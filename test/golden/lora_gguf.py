"""Some of the adapters once more as GGUF, by what convert_lora_to_gguf.py of llama.cpp does: adapters/NAME/NAME.gguf, whose
logits are those of adapters/golden.safetensors. Rows of lora_b are reordered as the model's own; lora_a stays.

    python test/golden/lora_gguf.py    # after lora.py
"""

import json

import gguf
import torch
from gguf import MODEL_ARCH as ARCH
from lora import ADAPTERS, OUT
from make_gguf import convert
from safetensors.torch import load_file
from transformers import AutoConfig

FILES = {"llama-all": (ARCH.LLAMA, torch.float32), "granite": (ARCH.GRANITE, torch.float32),
         "neox-regrouped": (ARCH.GPTNEOX, torch.float32), "phi3-fused": (ARCH.PHI3, torch.float32)}  # fmt: skip

for name, (arch, dtype) in FILES.items():
    config = AutoConfig.from_pretrained(OUT.parent / "fixtures" / ADAPTERS[name][0])
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    alpha = json.loads((OUT / name / "adapter_config.json").read_text())["lora_alpha"]
    writer = gguf.GGUFWriter(OUT / name / f"{name}.gguf", gguf.MODEL_ARCH_NAMES[arch])
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(alpha))
    for key, tensor in load_file(OUT / name / "adapter_model.safetensors").items():
        module, part = key.removeprefix("base_model.model.").removesuffix(".weight").rsplit(".lora_", 1)
        target = names.get_name(f"{module}.weight", try_suffixes=(".weight",))
        if part == "B":
            tensor = convert(arch, f"{module}.weight", tensor, config)
        writer.add_tensor(f"{target}.lora_{part.lower()}", tensor.to(dtype).contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
