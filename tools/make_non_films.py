#!/usr/bin/env python3
"""Pictures that are no frontal chest films, for measuring what `carina interpret` refuses (docs/film-check.md).

    make_non_films.py OUT FILM.jpg...      needs djpeg (libjpeg-turbo-progs)

Writes OUT/KIND-N.png (8-bit grey, photographs in colour): kinds that need no film, and for each film its mirror image
(which is a film, and must be accepted with a warning), turned by 90 degrees, upside down, inverted, and one lung of it.
Nothing is random but by a fixed seed.
"""
import math
import os
import random
import struct
import subprocess
import sys
import zlib


def write_png(path, rows, colour=False):
    height, width = len(rows), len(rows[0]) // (3 if colour else 1)
    data = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows), 6)
    chunk = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if colour else 0, 0, 0, 0)
    with open(path, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def read_film(path):
    """Rows of grey values, at half size."""
    pnm = subprocess.run(["djpeg", "-grayscale", "-pnm", "-scale", "1/2", path], check=True, capture_output=True).stdout
    width, height = pnm.split(maxsplit=4)[1:3]
    width, height = int(width), int(height)
    body = pnm[len(pnm) - width * height:]
    return [list(body[y * width:(y + 1) * width]) for y in range(height)]


def clamp(value):
    return max(0, min(255, int(value)))


def blobs(draw, width, height, count, low, high):
    return [(draw.uniform(0, width), draw.uniform(0, height), draw.uniform(low, high), draw.uniform(-1, 1)) for _ in range(count)]


def noise(draw, size):
    return [[draw.randrange(256) for _ in range(size)] for _ in range(size)]


def blank(draw, size):
    grey = draw.randrange(256)
    return [[clamp(grey + draw.randrange(3)) for _ in range(size)] for _ in range(size)]


def gradient(draw, size):
    angle = draw.uniform(0, 2 * math.pi)
    return [[clamp(127 + 180 * ((x / size - 0.5) * math.cos(angle) + (y / size - 0.5) * math.sin(angle)))
             for x in range(size)] for y in range(size)]


def text(draw, size):
    rows = [[250] * size for _ in range(size)]
    y = size // 12
    while y < size - size // 10:
        x = size // 12
        while x < size - size // 10:
            for _ in range(draw.randrange(2, 9)):  # a word of strokes
                for _ in range(3):
                    across, down = draw.randrange(5), draw.randrange(7)
                    for k in range(5):
                        rows[y + (down if across % 2 else k)][min(x + (k if across % 2 else across), size - 1)] = 20
                x += 7
            x += 6
        y += 14
    return rows


def photograph(draw, size):
    """Soft colour patches with an edge and grain: sky, hills and a thing in front."""
    layers = [blobs(draw, size, size, 14, size / 12, size / 3) for _ in range(3)]
    horizon = draw.uniform(0.3, 0.7) * size
    base = [[draw.randrange(60, 200) for _ in range(3)] for _ in range(2)]
    rows = []
    for y in range(size):
        row = []
        for x in range(size):
            side = base[y + 8 * math.sin(x / 15) > horizon]
            for c in range(3):
                value = side[c] + sum(60 * w * math.exp(-((x - bx) ** 2 + (y - by) ** 2) / (2 * r * r)) for bx, by, r, w in layers[c])
                row.append(clamp(value + draw.gauss(0, 5)))
        rows.append(row)
    return rows


def grey_photograph(draw, size):
    return [[row[i] for i in range(0, len(row), 3)] for row in photograph(draw, size)]


def hand(draw, size):
    """A hand like on a radiograph: bones in soft tissue on black."""
    lines = [((0.5, 0.95), (0.5, 0.6), 0.17)]
    for k in range(5):
        angle = math.radians(-50 + 25 * k + draw.uniform(-4, 4))
        reach = [0.3, 0.42, 0.46, 0.43, 0.36][k]
        lines.append(((0.5 + 0.12 * (k - 2) / 2, 0.62), (0.5 + math.sin(angle) * reach, 0.62 - math.cos(angle) * reach), 0.045))

    def distance(x, y, a, b):
        dx, dy = b[0] - a[0], b[1] - a[1]
        t = max(0, min(1, ((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy)))
        return math.hypot(x - a[0] - t * dx, y - a[1] - t * dy), t

    rows = []
    for y in range(size):
        row = []
        for x in range(size):
            value = 8
            for a, b, width in lines:
                d, t = distance(x / size, y / size, a, b)
                if d < width:
                    value = max(value, 90 + 40 * (1 - d / width))
                if d < width * 0.42 and width < 0.1 and abs(t * 3 % 1 - 0.5) < 0.45:
                    value = max(value, 210)
            row.append(clamp(value + draw.gauss(0, 4)))
        rows.append(row)
    return rows


def one_lung(film):
    height, width = len(film), len(film[0])
    return [row[int(width * 0.1):int(width * 0.42)] for row in film[int(height * 0.15):int(height * 0.7)]]


def main():
    out, films = sys.argv[1], sys.argv[2:]
    os.makedirs(out, exist_ok=True)
    made = {"noise": noise, "blank": blank, "gradient": gradient, "text": text, "grey-photograph": grey_photograph, "hand": hand}
    for name, make in list(made.items()) + [("photograph", photograph)]:
        for n in range(8):
            write_png(f"{out}/{name}-{n}.png", make(random.Random(f"{name} {n}"), 160), name == "photograph")
    for n, path in enumerate(films):
        film = read_film(path)
        write_png(f"{out}/mirrored-{n}.png", [row[::-1] for row in film])
        write_png(f"{out}/turned-{n}.png", [list(column) for column in zip(*film[::-1])])
        write_png(f"{out}/upside-down-{n}.png", film[::-1])
        write_png(f"{out}/inverted-{n}.png", [[255 - v for v in row] for row in film])
        write_png(f"{out}/one-lung-{n}.png", one_lung(film))


main()
