#!/usr/bin/python3
"""Writes src/text/unicode_tables.h: what the WordPiece tokenizer must know of Unicode, as compact constant tables.

    make_unicode_tables.py [FILE]

Source: the Unicode Character Database as python3's module `unicodedata` ships it (the version is written into the
file). Everything is derived from general categories, canonical decompositions, combining classes and simple case
mappings; nothing is listed by hand. Before writing, the tables are expanded again and held against the database for
every code point.
"""
import os
import sys
import unicodedata

LAST = 0x10FFFF
ASCII_PUNCTUATION = set(range(33, 48)) | set(range(58, 65)) | set(range(91, 97)) | set(range(123, 127))
CONTROL, SPACE, PUNCTUATION, MARK, MARK_STARTER = "UNICODE_CONTROL UNICODE_SPACE UNICODE_PUNCTUATION UNICODE_MARK UNICODE_MARK_STARTER".split()
SYLLABLES = range(0xAC00, 0xD7A4)  # Hangul: decomposed by rule, not by table


def category_of(code):
    character = chr(code)
    category = unicodedata.category(character)
    if code in ASCII_PUNCTUATION or category[0] == "P":
        return PUNCTUATION
    if category[0] == "C":
        return CONTROL
    if category[0] == "Z":
        return SPACE
    if category == "Mn":
        return MARK if unicodedata.combining(character) else MARK_STARTER
    return None


def bare(code):
    """Canonical decomposition without nonspacing marks."""
    return [ord(c) for c in unicodedata.normalize("NFD", chr(code)) if unicodedata.category(c) != "Mn"]


def ranges(values):
    """[(first, last, value)] of a dictionary code -> value."""
    out = []
    for code in sorted(values):
        if out and out[-1][1] == code - 1 and out[-1][2] == values[code]:
            out[-1][1] = code
        else:
            out.append([code, code, values[code]])
    return out


def case_runs(mapping):
    """[(first, last, step, distance)]: every step-th code of first..last maps to itself + distance."""
    out, codes, i = [], sorted(mapping), 0
    while i < len(codes):
        best = (1, 1)
        for step in (1, 2):
            count = 1
            while i + count < len(codes) and codes[i + count] == codes[i] + step * count and \
                    mapping[codes[i + count]] - codes[i + count] == mapping[codes[i]] - codes[i]:
                count += 1
            best = max(best, (count, step), key=lambda pair: pair[0])
        count, step = best
        out.append((codes[i], codes[i] + step * (count - 1), step if count > 1 else 1, mapping[codes[i]] - codes[i]))
        i += count
    return out


def lines(items, width=116):
    out, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > width:
            out.append(line)
            line = "   "
        line += " " + item + ","
    return "\n".join(out + [line])


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src", "text", "unicode_tables.h")
    # Surrogates never come out of well-formed UTF-8.
    codes = [code for code in range(LAST + 1) if not 0xD800 <= code <= 0xDFFF]
    kinds = ranges({code: category_of(code) for code in codes if category_of(code)})
    spacing = ranges({code: unicodedata.combining(chr(code)) for code in codes
                      if unicodedata.category(chr(code)) != "Mn" and unicodedata.combining(chr(code))})
    lower = {code: ord(chr(code).lower()) for code in codes if len(chr(code).lower()) == 1 and chr(code).lower() != chr(code)}
    several = [code for code in codes if len(chr(code).lower()) > 1]
    assert several == [0x130], several  # dotted capital I: i and a dot above; unicode.c knows it
    cases = case_runs(lower)
    decompositions = {code: bare(code) for code in codes if code not in SYLLABLES and bare(code) != [code]
                      and unicodedata.category(chr(code)) != "Mn"}
    single = [(code, to[0]) for code, to in decompositions.items() if len(to) == 1]
    multiple = [(code, to) for code, to in decompositions.items() if len(to) > 1]
    assert all(decompositions.values()) and max(len(to) for _, to in multiple) <= 3
    # a mark that decomposes into something else than marks would be lost
    assert all(not bare(code) for code in codes if unicodedata.category(chr(code)) == "Mn")

    expanded = {code: kind for first, last, kind in kinds for code in range(first, last + 1)}
    assert all(expanded.get(code) == category_of(code) for code in codes)
    mapped = {code: code + distance for first, last, step, distance in cases for code in range(first, last + 1, step)}
    assert mapped == lower

    with open(path, "w") as file:
        file.write(f"""/* Made by tools/make_unicode_tables.py from the Unicode Character Database {unicodedata.unidata_version}; included by unicode.c alone. */
#ifndef TEXT_UNICODE_TABLES_H
#define TEXT_UNICODE_TABLES_H

#include <stdint.h>

#include "text/unicode.h"

/* clang-format off */
#define C UNICODE_CONTROL
#define S UNICODE_SPACE
#define P UNICODE_PUNCTUATION
#define M UNICODE_MARK
#define N UNICODE_MARK_STARTER

static const struct {{ uint32_t first, last; uint8_t kind; }} kind_ranges[] = {{
""")
        letter = {CONTROL: "C", SPACE: "S", PUNCTUATION: "P", MARK: "M", MARK_STARTER: "N"}
        file.write(lines(f"{{0x{a:x},0x{b:x},{letter[kind]}}}" for a, b, kind in kinds))
        file.write("\n};\n#undef C\n#undef S\n#undef P\n#undef M\n#undef N\n\n"
                   "/* combining classes of characters that are no nonspacing marks */\n"
                   "static const struct { uint32_t first, last; uint8_t class; } spacing_classes[] = {\n")
        file.write(lines(f"{{0x{a:x},0x{b:x},{value}}}" for a, b, value in spacing))
        file.write("\n};\n\n/* every step-th code of first..last has its lower case `distance` further */\n"
                   "static const struct { uint32_t first, last; int32_t step, distance; } lower_runs[] = {\n")
        file.write(lines(f"{{0x{a:x},0x{b:x},{step},{distance}}}" for a, b, step, distance in cases))
        file.write("\n};\n\n/* canonical decompositions that are one character once the marks are dropped */\n"
                   "static const uint32_t bare_characters[][2] = {\n")
        file.write(lines(f"{{0x{a:x},0x{b:x}}}" for a, b in single))
        file.write("\n};\n\n/* and those of two or three */\nstatic const uint32_t bare_sequences[][4] = {\n")
        file.write(lines("{" + ",".join(f"0x{x:x}" for x in [code] + to) + "}" for code, to in multiple))
        file.write("\n};\n/* clang-format on */\n\n#endif\n")
    print(f"{path}: Unicode {unicodedata.unidata_version}, {len(kinds)} ranges of kinds, {len(cases)} of cases, "
          f"{len(single)} + {len(multiple)} decompositions")


if __name__ == "__main__":
    main()
