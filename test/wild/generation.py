"""transformers' choice of tokens: its LogitsProcessors on logits that both sides compute, and generate() on a model.

Standard input: {"runs": [...]} or {"model": folder, "files": [...]}; see generation_runs.ts. Prints a list of results.
"""
import json
import sys
from types import SimpleNamespace

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LogitsProcessorList
from transformers.generation import GenerationMixin
from transformers.utils import logging

logging.set_verbosity_error()
torch.set_num_threads(1)

VOCAB = 200
LARGEST = torch.finfo(torch.float32).max
WARPERS = ("Temperature", "TopH", "TopK", "TopP", "MinP", "Typical", "Epsilon", "Eta")
ODD = (np.arange(VOCAB, dtype=np.uint32) * np.uint32(2654435761)) | np.uint32(1)


class Model(GenerationMixin):
    """As much of a decoder-only model as makes LogitsProcessors."""

    config = SimpleNamespace(is_encoder_decoder=False, get_text_config=lambda **_: SimpleNamespace(vocab_size=VOCAB))
    device = torch.device("cpu")

    def __init__(self, keys):
        self.generation_config = GenerationConfig(**keys)

    def processors(self, prompt):
        has_default = {f"has_default_{key}": getattr(self.generation_config, key) is None for key in ("max_length", "min_length")}
        config, _ = self._prepare_generation_config(None)
        self._prepare_special_tokens(config, True, device=self.device, batch_size=1)
        length = prompt.shape[1]
        config = self._prepare_generated_length(config, **has_default, model_input_name="input_ids", input_ids_length=length, inputs_tensor=prompt)
        every = self._get_logits_processor(config, length, prompt, device=self.device, model_kwargs={})
        plain = [p for p in every if not type(p).__name__.startswith(WARPERS)]
        return config, LogitsProcessorList(plain), LogitsProcessorList(p for p in every if p not in plain)


# GenerationMixin asks the config of a real model for legacy keys.
Model.config._get_generation_parameters = lambda: {}


def random_logits(state):
    """A linear congruential generator: f32 from -8 to 8 in steps of 2^-20."""
    logits = np.empty(VOCAB, dtype=np.float32)
    for i in range(VOCAB):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        logits[i] = ((state >> 8) - 2**23) / 2**20
    return state, logits


def checksum(values):
    return int((values * ODD).sum(dtype=np.uint32))


def replay(run):
    ids = torch.tensor([run["prompt"]])
    config, processors, warpers = Model(run["file"]).processors(ids)
    stops = config._eos_token_tensor.tolist() if config._eos_token_tensor is not None else []
    state = run["seed"]
    steps = []
    while ids.shape[1] < config.max_length and len(steps) < run["steps"]:
        state, logits = random_logits(state)
        scores = processors(ids, torch.from_numpy(logits)[None])
        # Where scores are infinite, sampling crashes here; ours are as large as numbers get.
        top = float(scores.max())
        kept = warpers(ids, scores.double()) > -torch.inf if -torch.inf < top < LARGEST else torch.zeros((1, VOCAB))
        token = int(scores.argmax())
        scores = torch.where(scores == torch.inf, LARGEST, scores)
        bits = (scores[0].numpy() + np.float32(0)).view(np.uint32)
        steps.append([token, checksum(bits), checksum(kept[0].numpy().astype(np.uint32)), int(kept.sum())])
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
        if token in stops:
            break
    return steps


def generate(folder, prompts, files):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    results = []
    for file, prompt in zip(files, prompts):
        model.generation_config = GenerationConfig(**file)
        ids = torch.tensor([prompt])
        result = model.generate(ids, attention_mask=torch.ones_like(ids), tokenizer=tokenizer)
        results.append(result[0].tolist()[len(prompt) :])
    return results


asked = json.load(sys.stdin)
if "runs" in asked:
    print(json.dumps([replay(run) for run in asked["runs"]]))
else:
    print(json.dumps(generate(asked["model"], asked["prompts"], asked["files"])))
