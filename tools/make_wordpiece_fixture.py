#!/usr/bin/python3
"""Writes tests/data/text/vocab.txt and wordpiece.json: texts of many scripts with the ids that tools/wordpiece_reference.py
gives them under every combination of options, seeded random texts, and a checksum over every character there is.

    make_wordpiece_fixture.py [DIRECTORY]
"""
import json
import os
import random
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wordpiece_reference as reference

WORDS = """the of and is in no lung left right lower upper zone shows healthy opacity pleural effusion pneumo ##thorax
card ##iac ##mega ##ly consol ##idation at ##ele ##ct ##asis . , ; : ! ? ( ) - / ' " [ ] % + ~ _ ` $ un ##aff ##able aff
##ord ##able caf cafe cafes naive resume uber strasse stra ##ße straße ##ss ##e istanbul ist ##anbul ı ##ı i ##i İstanbul
Lung LUNG Café σας οδοσ οδος οδό ##ς ##σ σ ς 肺 部 正 常 右 hello ##world a ##a b ##b x ##x y ##y 1 2 20 ##20 ##3 – — … « »
, 、 。 ✓ 😀 ##😀 👨👩👧 한 ᄒ ##ᅡ ##ᆫ 한 ##국 กา ##ร ปอด ##ด ป ##อ سل ##يم سليم ال ##رئة ##ة ñ n ##ñ ##n é e ##é ##̀
fi ﬁ ##nding ① 1 Å å ##Å k K ##m² ² ##² ক ##ো ##ে ##া ক খ́ ½""".split()

TEXTS = [
    "", " ", "\t\r\n", "lung", "The left lower LUNG zone shows opacity and pleural effusion.", "right lung is healthy.",
    "pneumothorax, cardiomegaly; consolidation/atelectasis", "unaffable", "unknownword lung", "no  opacity\n\tin\rlung",
    "Café cafés naïve résumé über", "Cafe\u0301 cafe\u0301s", "Straße STRASSE STRAẞE strasse", "ıI İi İstanbul I\u0307stanbul istanbul",
    "ΟΔΟΣ σας οδός ΣΑΣ Σ", "肺部正常", "the肺is部.", "右 lung\uf9d0\u2f00", "豈 更 \uf900\U0002f800", "😀 a😀 👨\u200d👩\u200d👧 👍🏽 ✓",
    "한국 한", "\u1112\u1161\u11ab", "ปอดการ ปอด กา", "السليم سَلِيم الرئة", "lung\u200dlung a\u200bb x\u00ady", "a\ufffdb \ufeffa",
    "a\u00a0b\u2003b\u3000a\u2028b\u2029a\u0085b\u1680a", "a\u0007b\u001fb\u007f", "[MASK] lung [SEP][CLS]a[PAD]b [mask] [UNK] [MASK",
    "x" * 100, "x" * 101, "x" * 5000 + " lung", "\u0301" * 300 + "a" + "\u0301" * 300, "a" * 99 + "\u0301" + "a", "a" * 100 + "\u0301",
    "é" * 100, "é" * 101, "e\u0301\u0300n\u0303 \u0301", "Å \u212b K \u212a fi ﬁnding ① ½ m² x²", "ñ n\u0303 Ñ", "a'b \"a\" (b) – — … «a» b's 20% +1~_`$",
    "\u09cb\u0995\u09cb \u0995\u09c7\u09be", "\u1ea5\u1ed9\u01b0\u1ee3", "a\u0b3e\u302e\u16ff0\u302f\U0001d165\U0001d16d\U00016ff0a",
    "a\u302e\u034f\U00016ff0 a\u302e\u0301\U00016ff0", "\u302f\u16f0\u302e\U00016ff0\u0301\U0001d165", "x\U0001d165\U00016ff0\u0488\U0001d165\U00016ff0\u0300\U0001d165\U00016ff0", "\u03f4 \u1e9e \u2126 \ua7ae \U00010400 \U0001e900",
    "\U000e0041\U000f0000\ue000x\u0378y\U0010ffff", "\u061c\u202eabba\u202c", "\u1fef\u037e\u2000\u0344\u1fbe", "un" * 49 + "x", "the " * 700,
]
OPTIONS = [{}, {"do_lower_case": False}, {"strip_accents": False}, {"do_lower_case": False, "strip_accents": True},
           {"tokenize_chinese_chars": False}]


def random_texts(count):
    draw = random.Random(7)
    blocks = [(0x20, 0x7e), (0xa0, 0x24f), (0x300, 0x36f), (0x370, 0x5ff), (0x600, 0x6ff), (0x900, 0xdff), (0xe00, 0xeff),
              (0x1100, 0x11ff), (0x1b00, 0x1cff), (0x1e00, 0x20ff), (0x3000, 0x30ff), (0x4e00, 0x4e7f), (0xac00, 0xacff),
              (0xf900, 0xfaff), (0xfe00, 0xfeff), (0x1d100, 0x1d1ff), (0x1f300, 0x1f6ff), (0x16fe0, 0x16fff)]
    letters = [t.lstrip("#") or t for t in WORDS]
    out = []
    for _ in range(count):
        text = ""
        for _ in range(draw.randrange(1, 25)):
            kind = draw.random()
            if kind < 0.35:
                text += draw.choice(letters)
            elif kind < 0.5:
                text += " "
            elif kind < 0.6:
                text += chr(draw.choice((0x301, 0x302e, 0x16ff0, 0x1d165, 0x488, 0x1bf2, 0x9cb, 0x130, 0x200d, 0x3b0)))
            else:
                text += chr(draw.randint(*draw.choice(blocks)))
        out.append(text)
    return out


def checksum(tokenizer):
    """CRC-32 of the words of "x<character>y" and a zero byte, for every character."""
    crc = 0
    for code in range(0x110000):
        if not 0xD800 <= code <= 0xDFFF:
            crc = zlib.crc32(("\n".join(tokenizer.words(f"x{chr(code)}y")) + "\0").encode(), crc)
    return crc


def main():
    root = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(root, "..", "tests", "data", "text")
    os.makedirs(folder, exist_ok=True)
    # ids as in PubMedBERT; a reserved token, as vocabularies have
    vocabulary = list(reference.SPECIAL) + ["[unused0]"] + list(dict.fromkeys(WORDS))
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(vocabulary) + "\n")
    cases = []
    for options in OPTIONS:
        tokenizer = reference.Tokenizer(vocabulary, **options)
        texts = TEXTS + random_texts(150 if not options else 30)
        cases.append({"options": options, "checksum": checksum(tokenizer), "texts": texts,
                      "words": [" ".join(w for part in reference.parts(text) if part not in reference.SPECIAL
                                         for w in tokenizer.words(part) if len(w) <= 100) for text in texts],
                      "ids": [tokenizer.encode(text, 64) for text in texts]})
    with open(os.path.join(folder, "wordpiece.json"), "w") as file:
        json.dump(cases, file, separators=(",", ":"))
        file.write("\n")
    known = sum(i > 1 for case in cases for ids in case["ids"] for i in ids)
    print(f"{len(vocabulary)} tokens, {sum(len(c['texts']) for c in cases)} texts, {known} known tokens")


if __name__ == "__main__":
    main()
