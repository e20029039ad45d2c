"""Prints as JSON how the Rust library `tokenizers` sees every code point: what src/tokenizer/unicode_tables.ts holds.

Sets are lists of [first, last]. Its regular expressions are Oniguruma's; the pre-tokenizers and normalizers that take no
expression use tables of Rust's standard library and of crates, each of another Unicode version.
"""
import json
import sys
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
EVERYTHING = "".join(map(chr, CODES))
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()
PROPERTIES = "Alphabetic Uppercase Lowercase White_Space Han Hiragana Katakana Hangul".split()
FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def where(holds):
    found = []
    for code in CODES:
        if holds(chr(code)):
            if found and found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return found


def property_of(name):
    step = pre_tokenizers.Split(Regex(r"\p{%s}+" % name), "removed", invert=True)
    found = []
    for piece, _ in step.pre_tokenize_str(EVERYTHING):
        first, last = ord(piece[0]), ord(piece[-1])
        found += [[first, 0xD7FF], [0xE000, last]] if first < 0xD800 <= last else [[first, last]]
    return found


def changed(normalizer):
    """Code point → text, of those that it changes."""
    pairs = ((code, normalizer.normalize_str(chr(code))) for code in CODES)
    return {code: text for code, text in pairs if text != chr(code)}


def reordered():
    """Before and behind marks of combining classes 1, 230 and 240: what canonical ordering makes of every character."""
    order = normalizers.NFD().normalize_str
    return [order(f"a\u0301{chr(c)}|{chr(c)}\u0334|a\u0345{chr(c)}") for c in CODES]


def bert(**parts):
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return normalizers.BertNormalizer(**{**off, **parts})


def main():
    # Letters whose lower case hosts may not know: Unicode 15.1 is the oldest that a supported host has.
    if unicodedata.unidata_version > "15.1.0":
        sys.exit(f"expected a Python with Unicode 15.1 at most (3.13 or older), found {unicodedata.unidata_version}")
    digits, punctuation = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("isolated")
    lower = changed(normalizers.Lowercase())
    print(json.dumps({
        "categories": {name: property_of(name) for name in CATEGORIES},
        "properties": {name: property_of(name) for name in PROPERTIES},
        "numeric": where(lambda c: len(digits.pre_tokenize_str("a" + c)) == 2),
        "punctuation": where(lambda c: len(punctuation.pre_tokenize_str("a" + c)) == 2),
        "accent": where(lambda c: normalizers.StripAccents().normalize_str(c) == ""),
        "bertControl": where(lambda c: bert(clean_text=True).normalize_str(c) == ""),
        "nonspacing": where(lambda c: bert(strip_accents=True).normalize_str(c) == ""),
        "youngCases": {code: text for code, text in lower.items() if chr(code).lower() != text},
        "lower": lower,
        "forms": {form: changed(getattr(normalizers, form)()) for form in FORMS},
        "reordered": reordered(),
    }))


main()
