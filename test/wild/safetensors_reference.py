"""What the reference reader makes of files, given as lines of base64: for each a line of JSON, null if it refuses it, else
[name, dtype, shape, data in base64] of every tensor. The two ways to read, from memory and from a file, have to agree."""

import base64
import json
import os
import sys
import tempfile

import safetensors


def read(file):
    try:
        tensors = safetensors.deserialize(file)
    except safetensors.SafetensorError:
        tensors = None
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.safetensors")
        with open(path, "wb") as handle:
            handle.write(file)
        try:
            with safetensors.safe_open(path, framework="np") as opened:
                names = sorted(opened.keys())
        except (safetensors.SafetensorError, OSError, ValueError):
            names = None
    assert names == (None if tensors is None else sorted(name for name, _ in tensors)), (file, names)
    if tensors is None:
        return None
    return [[name, t["dtype"], t["shape"], base64.b64encode(t["data"]).decode()] for name, t in sorted(tensors)]


for line in sys.stdin:
    print(json.dumps(read(base64.b64decode(line))))
