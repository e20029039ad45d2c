"""What transformers makes of folders without tokenizer.json.

    tokenizer_files.py OUT TEXT... < strings.json

Trains small vocabularies on the texts, writes a folder of tokenizer files for each case into OUT, loads each with
AutoTokenizer, and writes OUT/CASE/expected.json: ids of every string with and without special tokens, and two decodings.
Prints the names of the cases.
"""

import json
import sys
from pathlib import Path

import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

OUT, TEXTS = Path(sys.argv[1]), sys.argv[2:]
ENDOFTEXT = "<|endoftext|>"
INFILLING = ["▁<PRE>", "▁<MID>", "▁<SUF>", "▁<EOT>", "<FILL_ME>"]


def sentence_piece(name, **options):
    sentencepiece.SentencePieceTrainer.train(
        input=",".join(TEXTS), model_prefix=str(OUT / name), vocab_size=500, model_type="bpe", minloglevel=2,
        **{"normalization_rule_name": "identity", "byte_fallback": True, **options})
    (OUT / f"{name}.vocab").unlink()
    return {"tokenizer.model": (OUT / f"{name}.model").read_bytes()}


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=[ENDOFTEXT, "<|padding|>"], initial_alphabet=alphabet,
                                  show_progress=False)
    tokenizer.train(TEXTS, trainer)
    tokenizer.model.save(str(OUT))
    return {name: (OUT / name).read_bytes() for name in ("vocab.json", "merges.txt")}


def cases():
    plain = sentence_piece("plain", remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True)
    stripped = sentence_piece("stripped")
    own = sentence_piece("own", remove_extra_whitespaces=False, pad_id=3, control_symbols=["<ctl>", *INFILLING],
                         user_defined_symbols=["<|im_start|>", "<tool>", "▁▁▁"])
    bare = sentence_piece("bare", byte_fallback=False, add_dummy_prefix=False, remove_extra_whitespaces=False)
    gemma = sentence_piece("gemma", remove_extra_whitespaces=False, add_dummy_prefix=False, pad_id=0, eos_id=1, bos_id=2,
                           unk_id=3, bos_piece="<bos>", eos_piece="<eos>", user_defined_symbols=["<mask>", "\n\n"])
    words = byte_level()
    llama = {"tokenizer_class": "LlamaTokenizer"}
    for name, files in {"plain": plain, "stripped": stripped, "own": own, "bare": bare}.items():
        yield f"llama, {name}", "llama", files, {**llama, "add_bos_token": True}
        yield f"mistral, {name}", "mistral", files, {**llama, "add_bos_token": True}
    yield "llama, legacy", "llama", own, {**llama, "add_bos_token": True, "legacy": True}
    yield "llama, not legacy, EOS", "llama", plain, {**llama, "legacy": False, "add_eos_token": True}
    yield "llama, no prefix", "llama", plain, {**llama, "add_prefix_space": False}
    yield "llama, fast class", "llama", plain, {"tokenizer_class": "LlamaTokenizerFast", "legacy": None}
    yield "llama, generic class", "llama", own, {"tokenizer_class": "PreTrainedTokenizerFast"}
    yield "llama, no class", "llama", plain, {}
    yield "llama, no settings", "llama", own, None
    yield "mistral, not legacy", "mistral", own, {**llama, "legacy": False}
    yield "mistral, no settings", "mistral", plain, None
    renamed = {str(i): {"content": f"<renamed{i}>", "special": True} for i in (11, 40)}
    yield "mistral, renamed pieces", "mistral", own, {**llama, "added_tokens_decoder": renamed}
    yield "code llama", "llama", own, {"tokenizer_class": "CodeLlamaTokenizer"}
    yield "gemma", "llama", gemma, {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True}

    mapped = {"special_tokens_map.json": {"bos_token": {"content": "<s>", "lstrip": False, "rstrip": False},
                                          "eos_token": "<tool>", "additional_special_tokens": ["<|im_start|>"]},
              "added_tokens.json": {"<extra>": 500, "<more>": 501}}
    yield "llama, older files", "llama", {**own, **mapped}, {**llama, "eos_token": "</s>", "add_eos_token": True}
    yield "mistral, older files", "mistral", {**plain, **mapped, "special_tokens_map.json": {"pad_token": "<more>"}}, llama
    more = {**llama, "additional_special_tokens": ["<|im_start|>", "<tool>"]}
    yield "llama, more specials", "llama", own, more
    yield "mistral, more specials", "mistral", own, more
    ignored = {"<extra>": 500}
    decoder = {"0": {"content": "<unk>", "special": True}}
    yield "older files ignored", "llama", {**plain, "added_tokens.json": ignored}, {**llama, "added_tokens_decoder": decoder}

    yield "gptj", "gptj", words, {}
    yield "gptj, no settings", "gptj", words, None
    yield "gptj, prefix", "gptj", words, {"add_prefix_space": True, "add_bos_token": True}
    yield "llama, GPT-2", "llama", words, {"tokenizer_class": "GPT2Tokenizer", "add_eos_token": True}
    yield "mpt", "mpt", words, {"tokenizer_class": "GPTNeoXTokenizer"}
    yield "mpt, no settings", "mpt", words, None
    yield "mpt, GPT-2", "mpt", words, {"tokenizer_class": "GPT2TokenizerFast"}
    yield "qwen2", "qwen2", words, {"tokenizer_class": "Qwen2Tokenizer"}
    yield "qwen2, other class", "qwen2", words, {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}
    chat = {"500": {"content": "<|im_start|>", "special": True}, "501": {"content": "<tool>", "special": False}}
    yield "qwen2, added", "qwen2", words, {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": chat}
    older = {"added_tokens.json": {"<|im_start|>": 500, "<tool>": 501},
             "special_tokens_map.json": {"additional_special_tokens": ["<|im_start|>"], "eos_token": "<|im_start|>"}}
    yield "qwen2, older files", "qwen2", {**words, **older}, {"tokenizer_class": "Qwen2Tokenizer"}
    yield "gptj, older files", "gptj", {**words, **older}, {"bos_token": "<|padding|>", "add_bos_token": True}


def main():
    strings = json.load(sys.stdin)
    names = []
    for name, model_type, files, settings in cases():
        folder = OUT / name
        folder.mkdir()
        if settings is not None:
            files = {**files, "tokenizer_config.json": settings}
        for file, content in {**files, "config.json": {"model_type": model_type, "vocab_size": 510}}.items():
            content = content if isinstance(content, bytes) else json.dumps(content).encode()
            (folder / file).write_bytes(content)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        rows = []
        for text in strings:
            ids = tokenizer(text)["input_ids"]
            bare = tokenizer(text, add_special_tokens=False)["input_ids"]
            decoded = [tokenizer.decode(ids, skip_special_tokens=skip) for skip in (True, False)]
            rows.append([ids, bare, *decoded])
        (folder / "expected.json").write_text(json.dumps(rows))
        names.append(name)
    print(json.dumps(names))


main()
