"""last_hidden_state of the base model of some fixtures, by transformers in float32: fixtures/hidden.safetensors, a tensor
F32 [48, hidden_size] for each, of the ids in its golden.safetensors.

    python test/golden/hidden.py    # 5 seconds, no network
"""

import pathlib

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
NAMES = ["llama-gqa-tied", "llama-untied", "qwen2-window", "mpt-pow2", "gptj"]

torch.set_num_threads(1)
found = {}
for name in NAMES:
    model = AutoModel.from_pretrained(FIXTURES / name, dtype=torch.float32, attn_implementation="eager").eval()
    ids = load_file(FIXTURES / name / "golden.safetensors")["ids"].long()
    with torch.no_grad():
        found[name] = model(input_ids=ids[None], use_cache=False).last_hidden_state[0].contiguous()
save_file(found, FIXTURES / "hidden.safetensors")
