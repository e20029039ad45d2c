"""Writes golden.jsonl: what Hugging Face tokenizers does with small tokenizers that use every component.

    pip install tokenizers==0.23.3 && python test/tokenizer/golden.py

The first line has the texts; each further line is a case: a change to the tokenizer.json of models/lambent-llama-5m,
or to a small character-level one trained here.
"""
import json
import pathlib
import random

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
BYTE_LEVEL = json.loads((HERE / "../../models/lambent-llama-5m/tokenizer.json").read_text())
random.seed(20)

POOLS = [
    "abcdeXYZé\n\t ", "0123 ½²٣५Ⅷ〇", "漢字かなカナ한글", "👩‍👧🇩🇪🦙\u200d\ufe0f", "\u00a0\u0085\u2028\u3000\ufeff\u200b",
    "'s't're'VE 'll'd", "!?.,;:\"#$%^&*()[]{}<|>/\\~`_-=+", "▁Ġ▁▁ $& ", "A\u0301e\u0308ﬁ\u212b", "\r\n\r\n  ",
]
WORDS = ["<s>", "</s>", "<unk>", "<|endoftext|>", " <tok> ", "<tok>", "<to", "tok", "   ", "hello", " world", "don't", "the "]
FIXED = ["", " ", "  ", "\n", "hello world", " hello  world ", "<s>", "a<s>b", "x <tok> y", "<tok><tok>", "x<tok>", "<tok>hello",
         "ΟΔΟΣ İΣ", "é\U000113c2\U000113c2\U000105d2\u0307", "a\U00011de0b\U00016ff4 \ua7ceA\U00016ea0\u1acf", "I'ſ WE'LL",
         "a" * 90, "the cat sat on the mat " * 5, "12345 ½ ٣٤", "\ufeff x", "a\u0085 b", "I'll DON'T"]


def text():
    parts = (random.choice(WORDS) if random.random() < 0.3 else random.choice(random.choice(POOLS)) for _ in range(random.randint(1, 14)))
    return "".join(parts)


def character_level():
    tok = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    lines = ["the cat sat on the mat and the hello world was there", "a hello to the world, is it not? 'tis. tok tok <tok>", "aaaa bbbb  cccc   dd"]
    tok.train_from_iterator(lines * 3, trainers.BpeTrainer(vocab_size=160, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    data = json.loads(tok.to_str())
    data["pre_tokenizer"] = None
    return data


CHARACTER_LEVEL = character_level()
BYTES = {f"<0x{b:02X}>": 1000 + b for b in range(256)}
LLAMA_DECODER = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
LLAMA_NORMALIZER = {"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN35 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}").replace(r"]?\p{L}+", r"]?[\p{L}\p{M}]+")
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
             r"|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
REST = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CASED = r"[^\r\n\p{L}\p{N}]?<U>*<L>+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?<U>+<L>*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
O200K = CASED.replace("<U>", UPPER).replace("<L>", LOWER) + REST
NOT_HAN = [part[:-1] + r"&&[^\p{Han}]]" for part in (UPPER, LOWER)]
KIMI = r"[\p{Han}]+|" + CASED.replace("<U>", NOT_HAN[0]).replace("<L>", NOT_HAN[1]) + REST


def added(**flags):
    return {"id": 4999, "content": "<tok>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **flags}


def metaspace(scheme, split):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


def byte_level(**parts):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True, **parts}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def split(behavior, invert, pattern):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def cases():
    """(name, base, changes: path → value)"""
    yield "byte-level as it is", "byte", {}
    for prefix in (False, True):
        for regex in (False, True):
            yield f"ByteLevel prefix {prefix} regex {regex}", "byte", {"pre_tokenizer": byte_level(add_prefix_space=prefix, use_regex=regex)}
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            step = split(behavior, invert, {"Regex": r"\s+|e"})
            yield f"Split {behavior} invert {invert}", "byte", {"pre_tokenizer": sequence(step, byte_level(use_regex=False))}
        yield f"Punctuation {behavior}", "byte", {"pre_tokenizer": sequence({"type": "Punctuation", "behavior": behavior}, byte_level(use_regex=False))}
    yield "Split string", "byte", {"pre_tokenizer": sequence(split("MergedWithNext", False, {"String": "."}), byte_level(use_regex=False))}
    yield "Llama 3", "byte", {"pre_tokenizer": sequence(split("Isolated", False, {"Regex": LLAMA3}), byte_level(use_regex=False)), "model.ignore_merges": True}
    for name, patterns in {"Qwen 3.5": [QWEN35], "DeepSeek 3": [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK3], "o200k": [O200K], "Kimi": [KIMI]}.items():
        steps = [split("Isolated", False, {"Regex": pattern}) for pattern in patterns]
        yield name, "byte", {"pre_tokenizer": sequence(*steps, byte_level(use_regex=False))}
    yield "Digits contiguous", "byte", {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": False}, byte_level(use_regex=False))}
    yield "Whitespace", "byte", {"pre_tokenizer": sequence({"type": "Whitespace"}, byte_level(use_regex=False))}
    yield "WhitespaceSplit", "byte", {"pre_tokenizer": sequence({"type": "WhitespaceSplit"}, byte_level(use_regex=False))}
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield form, "byte", {"normalizer": {"type": form}}
    yield "StripAccents", "byte", {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]}}
    yield "Lowercase", "byte", {"normalizer": {"type": "Lowercase"}}
    yield "Strip", "byte", {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}}
    yield "Replace with a dollar", "byte", {"normalizer": {"type": "Replace", "pattern": {"Regex": r"\d"}, "content": "$& "}}
    yield "no decoder", "byte", {"decoder": None}
    for flag in ("lstrip", "rstrip", "single_word", "normalized", "special"):
        yield f"added {flag}", "byte", {"added_tokens": [*BYTE_LEVEL["added_tokens"], {**added(**{flag: True}), "id": 4096}]}
    yield "added lstrip and rstrip", "byte", {"added_tokens": [*BYTE_LEVEL["added_tokens"], {**added(lstrip=True, rstrip=True), "id": 4096}]}
    for scheme in ("always", "first", "never"):
        for words in (False, True):
            yield f"Metaspace {scheme} split {words}", "char", {"pre_tokenizer": metaspace(scheme, words), "decoder": LLAMA_DECODER}
    step = split("Isolated", False, {"String": "o"})
    yield "Metaspace first in a sequence", "char", {"pre_tokenizer": sequence(step, metaspace("first", True)), "decoder": LLAMA_DECODER}
    yield "Metaspace decoder", "char", {"pre_tokenizer": metaspace("never", True), "decoder": metaspace("never", True)}
    llama = {"normalizer": LLAMA_NORMALIZER, "decoder": LLAMA_DECODER}
    yield "Llama 2, no byte tokens", "char", llama
    yield "Llama 2, unknown not fused", "char", {**llama, "model.fuse_unk": False}
    yield "Llama 2, no unknown token", "char", {**llama, "model.unk_token": None}
    yield "Llama 2, byte tokens", "char", {**llama, "model.vocab": {**CHARACTER_LEVEL["model"]["vocab"], **BYTES}}
    yield "Llama 2, ignore_merges", "char", {**llama, "model.ignore_merges": True}
    for flags in ({}, {"lstrip": True}, {"rstrip": True}, {"normalized": True}, {"single_word": True}):
        yield f"Llama 2, added {flags}", "char", {**llama, "added_tokens": [*CHARACTER_LEVEL["added_tokens"], {**added(**flags), "id": len(CHARACTER_LEVEL["model"]["vocab"])}]}


def build(base, changes):
    data = json.loads(json.dumps(BYTE_LEVEL if base == "byte" else CHARACTER_LEVEL))
    for path, value in changes.items():
        *folders, last = path.split(".")
        target = data
        for key in folders:
            target = target[key]
        target[last] = value
    return data


def main():
    texts = FIXED + [text() for _ in range(24)]
    out = []
    for name, base, changes in cases():
        tok = Tokenizer.from_str(json.dumps(build(base, changes)))
        rows = []
        for t in texts:
            ids = tok.encode(t).ids
            rows.append([ids, tok.decode(ids)])
        out.append({"name": name, "base": base, "changes": changes, "rows": rows})
    head = {"about": f"made by golden.py with tokenizers {tokenizers.__version__}", "characterLevel": CHARACTER_LEVEL, "texts": texts}
    lines = [json.dumps(line, separators=(",", ":")) for line in (head, *out)]
    (HERE / "golden.jsonl").write_text("\n".join(lines) + "\n")


main()
