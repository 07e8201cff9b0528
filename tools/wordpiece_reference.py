"""BERT's tokenizer written again in Python after the published behaviour of Hugging Face's BertTokenizer, with python3's
own Unicode functions: an implementation that shares nothing with src/text. Used to make fixtures and by the scripts that
hold Carina against PyTorch; not needed to build or to test.
"""
import re
import unicodedata

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CJK = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
       (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


def is_control(c):
    return c not in "\t\n\r" and unicodedata.category(c).startswith("C")


def is_punctuation(c):
    code = ord(c)
    return 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126 or \
        unicodedata.category(c).startswith("P")


def parts(text):
    """The text cut round special tokens that are written out in it."""
    return re.split("(" + "|".join(map(re.escape, SPECIAL)) + ")", text)


class Tokenizer:
    def __init__(self, vocabulary, do_lower_case=True, strip_accents=None, tokenize_chinese_chars=True):
        self.ids = {token: i for i, token in enumerate(vocabulary)}
        self.lower, self.cjk = do_lower_case, tokenize_chinese_chars
        self.strip = do_lower_case if strip_accents is None else strip_accents

    def words(self, text):
        text = "".join(" " if c in "\t\n\r" or unicodedata.category(c) == "Zs" else c
                       for c in text if ord(c) not in (0, 0xFFFD) and not is_control(c))
        if self.cjk:
            text = "".join(" " + c + " " if any(a <= ord(c) <= b for a, b in CJK) else c for c in text)
        out = []
        for word in text.split():
            if self.lower:
                word = "".join(c.lower() for c in word)
            if self.strip:
                word = "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
            out += "".join(" " + c + " " if is_punctuation(c) else c for c in word).split()
        return out

    def pieces(self, word):
        if len(word) > 100:
            return ["[UNK]"]
        out, begin = [], 0
        while begin < len(word):
            for end in range(len(word), begin, -1):
                piece = ("##" if begin else "") + word[begin:end]
                if piece in self.ids:
                    break
            else:
                return ["[UNK]"]
            out.append(piece)
            begin = end
        return out

    def encode(self, text, limit=512):
        tokens = []
        for part in parts(text):
            if part in SPECIAL:
                tokens.append(part if part in self.ids else "[UNK]")
            else:
                tokens += [piece for word in self.words(part) for piece in self.pieces(word)]
        return [self.ids[t] for t in ["[CLS]"] + tokens[:limit - 2] + ["[SEP]"]]


def read_vocabulary(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        return file.read().removesuffix("\n").split("\n")
