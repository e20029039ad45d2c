"""NLL of every token of the texts in models/texts under the embedded models, by transformers in float32, below the trained
length: fixtures/nll.safetensors, a tensor F32 [texts, LENGTH - 1] per model. Texts by name, each BOS and its first tokens.

    python test/golden/nll.py    # a minute, no network
"""

import pathlib

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).parents[2]
MODELS = ["lambent-llama-5m", "lambent-gptj-6m", "lambent-mpt-5m"]
LENGTH = 400

texts = sorted((ROOT / "models/texts").glob("*.txt"))
found = {}
for name in MODELS:
    model = AutoModelForCausalLM.from_pretrained(ROOT / "models" / name, dtype=torch.float32, attn_implementation="eager")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(ROOT / "models" / name / "tokenizer.json"))
    rows = []
    for text in texts:
        ids = tokenizer(text.read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"][: LENGTH - 1]
        ids = torch.tensor([[0, *ids]])
        with torch.no_grad():
            logits = model(ids).logits[0, :-1]
        rows.append(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none"))
    found[name] = torch.stack(rows).contiguous()
save_file(found, ROOT / "test/golden/fixtures/nll.safetensors")
