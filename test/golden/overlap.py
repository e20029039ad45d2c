"""What the evaluation's arithmetic is compared with: BLEU and ROUGE-L of pairs of texts, and PCA of small matrices.

    venv/bin/pip install -r test/golden/requirements.txt
    venv/bin/python test/golden/overlap.py

Pinned: sacrebleu 2.6.0, rouge-score 0.1.2, numpy 2.4.6 (requirements.txt). Needs no network. Writes beside this file

    fixtures/overlap.json   whitespace  code points at which Python's str.split() splits
                            lower       {code point: what of its str.lower() ROUGE keeps}, above ASCII, where not empty
                            tokens      [text, its 13a tokens]
                            texts       the texts of all pairs
                            pairs       [hypothesis, reference (numbers of texts), BLEU, ROUGE-L]
                            corpora     [numbers of pairs, BLEU of all]
                            BLEU is [score, counts, totals, lengths], ROUGE-L [precision, recall, fmeasure]
    fixtures/pca.json       name → rows, and by numpy's eigh: mean, components, explained, scores

The texts were written for this file, or are made from them by random.Random(5).
"""

import json
import random
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import sacrebleu
from rouge_score import rouge_scorer
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

HERE = Path(__file__).parent
RANDOM = random.Random(5)
TOKENIZER = Tokenizer13a()
SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)

PROSE = [
    "The ferry left at dawn, and nobody on the quay waved; the rain had seen to that.",
    "She read the letter twice. Then she folded it, put it back, and said nothing at all.",
    "It was the best of the three rooms, or so the landlord said, though its window faced a wall.",
    "He had walked for an hour before he saw the light, and for another before he believed in it.",
    "“You cannot mean it,” said the clerk. “I can,” said the widow, “and I do.”",
    "What does a river want? Mr. Hale asked it every spring, and every spring it rose and did not answer!",
    "The dog — an old, well-mannered dog — slept on the captain's coat until the captain's ship came in.",
    "In the morning the snow lay so deep that the hens would not leave the barn, nor the boys the stove.",
    "There are two sorts of people, my aunt used to say, and she was both of them before breakfast.",
    "We rowed, we drifted, we rowed again; by noon the island was no nearer and the water was gone.",
]
ODD = {
    "short": ["", " ", "a", "word", "Yes.", ".", "...", "a b", "a b c", "a b c d", "the the the the", "!?", "0", "7."],
    "numbers": ["1,000.5", "3-4", "It cost $1,234.56 (or 3.5% more).", "pages 10-12, 1990-1999", "1. 2, 3- -4 5-a a-5",
                ".5 5. ,5 5, 5,a a,5", "v1.2.3-rc4", "12:30-13:45", "1.000.000,00 €", "−5 °C to +7 °C", "٣,٤ and ３,４.5",
                "9 9-9 9,9 9.9 9. 9, -9"],
    "quotes": ["\"Quoted\" and 'single' and “curly” and ‘both’.", "`code` and ``TeX quotes''", "rock'n'roll, it's",
               "«guillemets», „low“ and ‚low‘", "(brackets) [square] {curly} <angle>", "a@b.c #tag ~tilde ^hat |bar\\back",
               "a/b*c+d=e;f:g", "end.\"", "\"...\"", "semi;colon:dots…and…ellipsis"],
    "dashes": ["well-known em—dash en–dash", "a - b -- c --- d", "re-\nsult and co-\r\nop", "hyphen‐hyphen non‑breaking",
               "soft\xadhyphen", "-", "--", "-\n", "3-\n4", "x-\n\ny"],
    "scripts": ["Привет, мир. Как дела?", "你好，世界。今天天气很好。", "こんにちは世界、元気ですか？", "안녕하세요, 세계. 좋은 아침!",
                "مرحبا بالعالم، كيف حالك؟", "שלום, עולם. מה שלומך?", "नमस्ते, दुनिया। आप कैसे हैं?", "สวัสดีชาวโลก",
                "Γειά σου, Κόσμε. ΟΔΥΣΣΕΥΣ", "Ünïcödé wörds, naïve café.", "İstanbul'da IŞIK, ılık", "300 K and 5 Å",
                "Straße, STRASSE, ﬁne ﬂow, ǅ", "𝒜𝓁𝑔𝑒𝒷𝓇𝒶 𝟏𝟐.𝟑", "Ḁ ẞ Ⅷ ⓐ ｆｕｌｌ　ｗｉｄｔｈ"],
    "emoji": ["😀", "😀.😀,😀", "👩‍👩‍👧‍👦 family, 👍🏽.", "5️⃣.5 🇩🇪-🇫🇷", "ok 👌!", "❤️,❤", "a😀b 1😀2.😀3-😀"],
    "marks": ["e\u0301te\u0301, cafe\u0301.", "a\u0308.b", "1\u0301.2", "\u0301", "Z\u0351\u0343al\u0300go, \u0315text",
              "\u200bzero\u200bwidth\u200c\u200d\u2060", "\ufeffmark", "mark\ufeff", "\u202eright to left\u202c", "lone \ud83d.b"],
    "space": ["a\xa0b", "a\u3000b c", "a\x1cb\x1dc\x1ed\x1fe", "a\x85b", "a\u2028b\u2029c", "a\tb\x0bc\x0cd", "line\nbreak",
              "line\r\nbreak\rold", "  lead and trail \t\n", "trail\x1c\x85\u3000", "\n", "\u180ea", "a\u2003\u2009b\u205fc\u1680d",
              "many     spaces", "\x00nul\x00l", "a\u200bb", "trail-\n", "two-\n lines \n"],
    "entities": ["&quot;a&quot; &amp; b &lt;c&gt;", "&amp;lt; &amp;amp;quot;", "&quot", "AT&T &nbsp; &#39;", "a<skipped>b",
                 "<skipped>", "<ski<skipped>pped>", "<s>&lt;skipped&gt;</s>", "-&amp;\n-", "&apos;x&apos;"],
    "latex": [r"\section{On $\alpha$-decay} Let $x_{i,j}^2 \le 1.5\times10^{-3}$.", r"\begin{equation} E = mc^2 \label{eq:1} \end{equation}",
              r"see~\cite{foo2020,bar-19} and Fig.~\ref{fig:a}, pp.~3--4", r"$$\sum_{n=1}^{\infty} \frac{1}{n^2} = \frac{\pi^2}{6}.$$",
              "% a comment\n\\newcommand{\\R}{\\mathbb{R}}\n", r"\textit{et al.}, {\em 0.5}~\AA\ \& more", r"``quoted'' --- 1,000--2,000\%"],
}


def changed(text):
    """The text with a few words dropped, doubled, exchanged or replaced."""
    words = re.split("( )", text)
    for _ in range(RANDOM.randint(1, 4)):
        i = RANDOM.randrange(len(words))
        what = RANDOM.choice(["drop", "double", "exchange", "replace"])
        if what == "drop":
            del words[i : i + 2]
        elif what == "double":
            words[i:i] = words[i : i + 2]
        elif what == "exchange":
            j = RANDOM.randrange(len(words))
            words[i], words[j] = words[j], words[i]
        else:
            words[i] = RANDOM.choice(["harbour", "the", "42.", "and,", "3-4", "—", "&amp;"])
        words = words or [""]
    return "".join(words)


def long_text():
    """2,000 words, the first ones most often, in sentences."""
    stock = sorted({w for s in PROSE for w in s.split()})
    words = [stock[int(len(stock) * RANDOM.random() ** 3)] for _ in range(2000)]
    return " ".join(w + "." * (i % 17 == 16) + "\n" * (i % 101 == 100) for i, w in enumerate(words))


def pairs():
    for texts in [PROSE, *ODD.values()]:
        for text in texts:
            yield text, text
            yield changed(text), text
            other = RANDOM.choice(texts)
            yield other, text
            yield text + " " + other, text
    for text in PROSE:
        yield "", text
        yield text, ""
        yield text[: len(text) // 2], text
        yield text, text[: len(text) // 3]
        yield text.upper(), text
        yield changed(changed(text)), changed(text)
    for _ in range(2):
        text = long_text()
        yield long_text(), text
        words = text.split(" ")
        yield " ".join(words[:700] + words[900:] + words[700:900]), text
    yield " ".join("the" for _ in range(2000)), text


def bleu(score):
    return [score.score, score.counts, score.totals, [score.sys_len, score.ref_len]]


def rouge(hypothesis, reference):
    return [float(x) for x in SCORER.score(reference, hypothesis)["rougeL"]]


def tokens():
    """Every ASCII character and the odd ones above, in all places that the rules look at."""
    odd = {c for texts in ODD.values() for t in texts for c in t}
    for c in sorted(odd | {chr(i) for i in range(256)}):
        text = f"{c}a{c}1{c}.{c},{c}-{c}1.{c}2,{c}{c}b"
        yield text, TOKENIZER(text.rstrip()).split()


def overlap():
    texts, made = {}, []
    for hypothesis, reference in pairs():
        numbers = [texts.setdefault(t, len(texts)) for t in (hypothesis, reference)]
        made.append([*numbers, bleu(sacrebleu.corpus_bleu([hypothesis], [[reference]])), rouge(hypothesis, reference)])
    text_of = list(texts)
    corpora = []
    for _ in range(40):
        chosen = [RANDOM.randrange(len(made)) for _ in range(RANDOM.choice([1, 2, 3, 10, 50]))]
        hypotheses, references = ([text_of[made[i][side]] for i in chosen] for side in (0, 1))
        corpora.append([chosen, bleu(sacrebleu.corpus_bleu(hypotheses, [references]))])
    assert len(made) >= 300
    letters = {i: re.sub("[^a-z0-9]", "", chr(i).lower()) for i in range(128, 0x110000)}
    return {"sacrebleu": sacrebleu.__version__, "rouge_score": version("rouge_score"),
            "whitespace": [i for i in range(0x110000) if len(f"a{chr(i)}b".split()) == 2],
            "lower": {i: kept for i, kept in letters.items() if kept},
            "tokens": list(tokens()), "texts": text_of, "pairs": made, "corpora": corpora}


def upright(vector):
    return vector * np.sign(vector[np.argmax(np.abs(vector))])


def pca(rows):
    rows = rows.astype(np.float32)
    exact = rows.astype(np.float64)
    mean = exact.mean(axis=0)
    values, vectors = np.linalg.eigh((exact - mean).T @ (exact - mean))
    components = [upright(vectors[:, -1]), upright(vectors[:, -2])]
    return {"rows": rows.tolist(), "mean": mean.tolist(), "components": [c.tolist() for c in components],
            "explained": (values[[-1, -2]] / values.sum()).tolist(),
            "scores": ((exact - mean) @ np.stack(components).T).tolist()}


def matrices():
    draw = np.random.default_rng(5)
    line = np.outer(draw.normal(size=30), draw.normal(size=7))
    yield "noise", draw.normal(size=(40, 12))
    yield "wide", draw.normal(size=(5, 40))
    yield "far from 0", draw.normal(size=(30, 6)) * [1, 2, 3, 4, 5, 6] + 1000
    yield "one outlier", np.concatenate([draw.normal(size=(50, 8)), 1e4 * np.ones((1, 8)) + draw.normal(size=8)])
    yield "nearly a line", line + 1e-3 * draw.normal(size=line.shape)
    yield "first column constant", np.concatenate([np.ones((20, 1)), draw.normal(size=(20, 4))], axis=1)


def write(name, data):
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    lines = text.replace("],[", "],\n[")  # so that differences can be read
    assert json.loads(lines) == json.loads(text)
    (HERE / "fixtures" / name).write_text(lines + "\n")


if __name__ == "__main__":
    write("overlap.json", overlap())
    write("pca.json", {name: pca(rows) for name, rows in matrices()})
