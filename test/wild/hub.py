"""Fetches what a model needs as transformers does, file by file, or names what is not in a cache.

hub.py fetch|local ENDPOINT CACHE FOLDER
"""

import json
import os
import sys

mode, endpoint, cache, folder = sys.argv[1:]
os.environ.update(HF_HUB_OFFLINE="0", HF_HUB_DISABLE_TELEMETRY="1", HF_ENDPOINT=endpoint, HF_HOME=cache, HF_HUB_DISABLE_XET="1")

from huggingface_hub import hf_hub_download  # noqa: E402
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError  # noqa: E402

OPTIONAL = ["generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
INDEX = "model.safetensors.index.json"


def get(name):
    """The local path of a file; None if there is none."""
    options = dict(cache_dir=cache, subfolder=folder or None, token=False, local_files_only=mode == "local")
    try:
        return hf_hub_download("org/name", name, **options)
    except LocalEntryNotFoundError:
        return None
    except EntryNotFoundError:
        return None


found = {name: get(name) for name in ["config.json", *OPTIONAL, "model.safetensors"]}
if found["model.safetensors"] is None:
    found[INDEX] = get(INDEX)
    with open(found[INDEX], encoding="utf-8") as file:
        shards = sorted(set(json.load(file)["weight_map"].values()))
    found.update({name: get(name) for name in shards})
    del found["model.safetensors"]
found.pop("chat_template.jinja")
print(" ".join(name for name, path in found.items() if path is None))
