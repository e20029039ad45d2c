"""Tokenizers of the Rust library for test/wild/tokenizers.ts, which say what it makes of hard texts.

    python hf_tokenizers.py --list          the configurations, one a line
    python hf_tokenizers.py NAME COUNT      one of them, over a vocabulary trained on models/texts
    python hf_tokenizers.py FILE COUNT      a tokenizer.json

The second and third print JSON: the tokenizer, the texts, and for each ids with and without special tokens and what these
decode to, both ways; and how every code point is normalized and cut.
"""
import base64
import json
import pathlib
import random
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
TEXTS = HERE / "../../models/texts"


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def byte_level(**parts):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True, **parts}


def cut(*steps):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)}}


def norm(*steps):
    return {"normalizer": {"type": "Sequence", "normalizers": list(steps)}}


def by_pattern(pattern, **more):
    return {**cut(split(pattern), byte_level(use_regex=False)), **more}


def replace(old, new):
    return {"type": "Replace", "pattern": old if isinstance(old, dict) else {"String": old}, "content": new}


CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
WORD_START = r"[^\r\n\p{L}\p{N}]?"
TAIL = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = f"{WORD_START}{UPPER}*{LOWER}+{CONTRACTIONS}?|{WORD_START}{UPPER}+{LOWER}*{CONTRACTIONS}?|{TAIL}"
TEKKEN = f"{WORD_START}{UPPER}*{LOWER}+|{WORD_START}{UPPER}+{LOWER}*|" + TAIL.replace("{1,3}", "")
NOT_HAN = [part.replace("]", r"&&[^\p{Han}]]") for part in (UPPER, LOWER)]
KIMI = (r"[\p{Han}]+|" + f"{WORD_START}{NOT_HAN[0]}*{NOT_HAN[1]}+{CONTRACTIONS}?|{WORD_START}{NOT_HAN[0]}+{NOT_HAN[1]}*{CONTRACTIONS}?|"
        + TAIL.replace("/", ""))
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
             r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CJK = r"[一-龥\u3040-ゟ゠-ヿ]+"
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s")
LLAMA2 = {**norm({"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")), "decoder": {"type": "Sequence", "decoders": [
    replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}}
GEMMA = {"normalizer": replace(" ", "▁"), "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
         "decoder": {"type": "Sequence", "decoders": [replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}]}}


def metaspace(scheme, words):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": words}


def word_pieces(pre_tokenizer, **more):
    return {"pre_tokenizer": pre_tokenizer, "decoder": None, **more}


BYTES = {
    "gpt2": {"pre_tokenizer": byte_level()},
    "gpt2, space before": {"pre_tokenizer": byte_level(add_prefix_space=True), "post_processor": "roberta"},
    "gpt-neox": {"normalizer": {"type": "NFC"}, "pre_tokenizer": byte_level()},
    "llama3": by_pattern(LLAMA3, **{"model.ignore_merges": True}),
    "qwen2": by_pattern(LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"), normalizer={"type": "NFC"}),
    "qwen3.5": by_pattern(LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}").replace(r"]?\p{L}+", r"]?[\p{L}\p{M}]+"), normalizer={"type": "NFC"}),
    "deepseek-v3": cut(split(r"\p{N}{1,3}"), split(CJK), split(DEEPSEEK3), byte_level(use_regex=False)),
    "deepseek-llm": cut(split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(r"[一-龥ࠀ-一가-퟿]+"),
                        {"type": "Digits", "individual_digits": True}, byte_level(use_regex=False)),
    "o200k": by_pattern(O200K, **{"model.ignore_merges": True}),
    "tekken": by_pattern(TEKKEN, **{"model.ignore_merges": True}),
    "kimi": by_pattern(KIMI),
    "cl100k": by_pattern(CL100K),
    "starcoder": cut({"type": "Digits", "individual_digits": True}, byte_level()),
    "falcon": cut({"type": "Punctuation", "behavior": "Contiguous"}, byte_level(), {"type": "Digits", "individual_digits": False},
                  split("[0-9][0-9][0-9]")),
    "bloom": cut(split(r" ?[^(\s|[.,!?…。，、।۔،])]+"), byte_level(use_regex=False)),
    "words, \\w": by_pattern(r"\w+|[^\w\s]+|\s+"),
    "posix": by_pattern(r"[[:upper:]]?[[:lower:]]+|[[:digit:]]+|[[:punct:]]|[^[:alnum:][:space:]]+"),
    "names": by_pattern(r"\p{Letter}+|\p{^alpha}\p{Decimal_Number}|\P{^punct}|\p{han}|\p{hiragana}+|\p{Katakana}|\p{uppercase_letter}"),
    "without case": by_pattern(r"(?i)'[a-z]|[sk]+|est|\d+|[^a-z\s]"),
    "lower case": {"normalizer": {"type": "Lowercase"}, "pre_tokenizer": byte_level()},
    "forms": {**norm({"type": "NFKC"}, {"type": "Strip", "strip_left": True, "strip_right": False}), "pre_tokenizer": byte_level()},
    "decomposed": {**norm({"type": "NFKD"}, {"type": "StripAccents"}), "pre_tokenizer": byte_level()},
    "accents": {**norm({"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}), "pre_tokenizer": byte_level()},
    "replaced": {**norm(replace({"Regex": r"\p{M}+|\s"}, "$1_"), replace("'", "’")), "pre_tokenizer": byte_level()},
}
CHARACTERS = {
    "llama2": LLAMA2,
    "llama2, cut": {**LLAMA2, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}, "normalizer": None},
    "mistral": {**LLAMA2, "normalizer": None, "pre_tokenizer": metaspace("first", False)},
    "gemma": GEMMA,
    "phi3": {**LLAMA2, "added": {"rstrip": True}},
    "llama2, no unknown token": {**LLAMA2, "model.unk_token": None, "model.byte_fallback": False},
    "llama2, unknown not fused": {**LLAMA2, "model.fuse_unk": False, "model.byte_fallback": False},
    "metaspace": {"pre_tokenizer": metaspace("always", True), "decoder": metaspace("always", True)},
    "Whitespace": word_pieces({"type": "Whitespace"}, **{"model.fuse_unk": False}),
    "WhitespaceSplit": word_pieces({"type": "WhitespaceSplit"}),
    "Punctuation": word_pieces({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "MergedWithNext"}]}),
}

BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
# Replacements as SentencePiece's nmt_nfkc has them, which the package makes.
XLM_R = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace("always", True)]},
         "decoder": metaspace("always", True)}
PIECES = {
    "bert": {"normalizer": BERT, "pre_tokenizer": {"type": "BertPreTokenizer"}},
    "bert, cased": {"normalizer": {**BERT, "lowercase": False}, "pre_tokenizer": {"type": "BertPreTokenizer"}},
    "bert, not cleaned": {"normalizer": {**BERT, "clean_text": False, "handle_chinese_chars": False}, "pre_tokenizer": {"type": "BertPreTokenizer"}},
    "xlm-roberta": {**norm({"type": "Precompiled", "precompiled_charsmap": None}, replace({"Regex": " {2,}"}, " ")), **XLM_R},
    "albert": {**norm(replace("``", '"'), {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "Nmt"}), **XLM_R},
    "unigram, bytes": {"normalizer": replace(" ", "▁"), "decoder": LLAMA2["decoder"], "model.byte_fallback": True},
}

POOLS = ["abcdeXYZßé\n\t ", "0123 ½²٣५Ⅷ〇", "漢字かなカナ한글㐀𠀀", "👩\u200d👧🇩🇪🦙\ufe0f🏽", "\u00a0\u0085\u2028\u3000\ufeff\u200b\u180e\u200c", "''''ſKK'sS'tT'reRE'veVE'll'dDmM",
         "!?.,;:\"#$%^&*()[]{}<|>/\\~`_-=+—…¿。、", "▁Ġ▁▁ $& Ċ", "A\u0301e\u0308ﬁ\u212bΣςσİıǅŒ", "\r\n\r\n  \t", "กำलिक्षதமிழ்עִבְרִית", "\u0363\u0300\u0316\u0334\u093c\u1734"]
WORDS = ["<s>", "</s>", "<unk>", "<|end|>", " <tok> ", "<tok>", "<to", "tok", "   ", "hello", " world", "don't", "the ", "ΟΔΟΣ", "I'LL", "'ſ", "１２３", "\x00", "<0x41>"]
FIXED = ["", " ", "  ", "\n", "\r\n", "\ufeff", "<s>", "a<s>b", "x<tok>\n y", "<tok><tok>", "<tok>hello", "a" * 90, " " * 90, "the cat sat on the mat " * 5, "I'll DON'T WE'VE 'ſ"]


def hard_texts(count):
    draw = random.Random(20)
    assigned = [c for c in range(0x33480) if not 0xD800 <= c < 0xE000]
    books = "".join(path.read_text() for path in sorted(TEXTS.iterdir()))
    texts = list(FIXED)
    while len(texts) < count:
        kind, size = draw.random(), draw.randint(1, 24)
        if kind < 0.2:
            at = draw.randrange(len(books) - 100)
            texts.append(books[at:at + 4 * size])
        elif kind < 0.4:
            texts.append("".join(chr(draw.choice(assigned)) + draw.choice(["", " ", "a"]) for _ in range(size)))
        else:
            texts.append("".join(draw.choice(WORDS) if draw.random() < 0.25 else draw.choice(draw.choice(POOLS)) for _ in range(size)))
    return texts


def trained(name):
    """The configuration over merges that the books of models/texts give."""
    changes = dict({**BYTES, **CHARACTERS}[name])
    bytewise = name in BYTES
    tok = Tokenizer(models.BPE(unk_token=None if bytewise else "<unk>", byte_fallback=not bytewise, fuse_unk=not bytewise))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False) if bytewise else pre_tokenizers.Metaspace()
    alphabet = pre_tokenizers.ByteLevel.alphabet() if bytewise else list("▁éßΣσςaſ漢'’0123½")
    trainer = trainers.BpeTrainer(vocab_size=2000, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=alphabet, show_progress=False)
    tok.train([str(path) for path in sorted(TEXTS.iterdir())], trainer)
    data = json.loads(tok.to_str())
    data["pre_tokenizer"] = None
    vocab = data["model"]["vocab"]
    if not bytewise and changes.get("model.byte_fallback", True):
        vocab.update({f"<0x{b:02X}>": len(vocab) + b for b in range(256)})
    data["added_tokens"] += [
        {"id": len(vocab), "content": "<|end|>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True},
        {"id": len(vocab) + 1, "content": "<tok>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": not bytewise, "special": False,
         **changes.pop("added", {})}]
    if bytewise:
        data["decoder"] = byte_level()
    data["post_processor"] = {
        "roberta": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": True, "add_prefix_space": True},
        None: {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
               "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
    }[changes.pop("post_processor", None)]
    for path, value in changes.items():
        *folder, last = path.split(".")
        (data[folder[0]] if folder else data)[last] = value
    return data


def charsmap():
    """The replacements of SentencePiece's nmt_nfkc, in base64."""
    with tempfile.TemporaryDirectory() as folder:
        sentencepiece.SentencePieceTrainer.train(
            input=str(sorted(TEXTS.iterdir())[0]), model_prefix=f"{folder}/x", vocab_size=200, normalization_rule_name="nmt_nfkc", minloglevel=2)
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString(pathlib.Path(f"{folder}/x.model").read_bytes())
    return base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()


def trained_pieces(name):
    """The same for WordPiece and Unigram."""
    changes = dict(PIECES[name])
    files = [str(path) for path in sorted(TEXTS.iterdir())]
    if name.startswith("bert"):
        tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tok.normalizer, tok.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        tok.train(files, trainers.WordPieceTrainer(vocab_size=2000, special_tokens=["[UNK]", "<s>", "</s>"], show_progress=False))
        changes["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    else:
        tok = Tokenizer(models.Unigram())
        tok.pre_tokenizer = pre_tokenizers.Metaspace()
        tok.train(files, trainers.UnigramTrainer(vocab_size=2000, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False))
    data = json.loads(tok.to_str())
    data["normalizer"] = data["pre_tokenizer"] = None
    if changes.get("model.byte_fallback"):
        data["model"]["vocab"] += [[f"<0x{b:02X}>", 0.0] for b in range(256)]
    for path, value in changes.items():
        *folder, last = path.split(".")
        (data[folder[0]] if folder else data)[last] = value
    for step in (data["normalizer"] or {}).get("normalizers", []):
        if step["type"] == "Precompiled":
            step["precompiled_charsmap"] = charsmap()
    data["post_processor"] = {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}
    return data


def pieces(tok, text):
    normal = tok.normalizer.normalize_str(text) if tok.normalizer else text
    return [normal, [piece for piece, _ in tok.pre_tokenizer.pre_tokenize_str(normal)] if tok.pre_tokenizer else [normal]]


def code_points():
    """Every code point between others; of the large blocks of like ones some."""
    like = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xF8FF), (0x17000, 0x187F7), (0x20000, 0x323AF), (0x33480, 0xE0000), (0xE0200, 0x10FFFF)]
    plain = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and not any(a + 40 < c < b - 40 and c % 97 for a, b in like)]
    marks = ["a{0}b1{0}2 {0}.{0}\u0301{0}"]
    return [mark.format(chr(c)) for c in plain for mark in marks]


def main():
    if sys.argv[1] == "--list":
        return print("\n".join([*BYTES, *CHARACTERS, *PIECES]))
    name, count = sys.argv[1], int(sys.argv[2])
    file = pathlib.Path(name)
    data = json.loads(file.read_text()) if file.suffix == ".json" else trained_pieces(name) if name in PIECES else trained(name)
    for token in data["added_tokens"]:
        # Else this library, which looks for them by their normalized text, would not know them as special when it decodes.
        token["normalized"] = token["normalized"] and not token["special"]
    tok = Tokenizer.from_str(json.dumps(data))
    texts = hard_texts(count)
    rows = []
    for text in texts:
        framed, bare = tok.encode(text).ids, tok.encode(text, add_special_tokens=False).ids
        rows.append([framed, bare, tok.decode(framed), tok.decode(framed, skip_special_tokens=False)])
    print(json.dumps({"json": data, "texts": texts, "rows": rows, "codes": [[text, *pieces(tok, text)] for text in code_points()]}))


main()
