#!/usr/bin/env python3
"""Writes tests/data/pictures: one small PNG of every kind, byte by byte (no imaging library), and JPEGs by cjpeg.

Sample c of pixel (x, y) at depth d is (37 x + 101 y + 11 x y + 53 c) mod 2^d; tests/unit/test_pictures.c computes the same.
Needs: python3, libjpeg-turbo-progs. Run from the project's root; the results are committed.
"""
import pathlib, struct, subprocess, zlib

FOLDER = pathlib.Path("tests/data/pictures")
W, H = 13, 9


def sample(x, y, c, depth):
    return (37 * x + 101 * y + 11 * x * y + 53 * c) % (1 << depth)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_row(samples, depth):
    if depth == 16:
        return b"".join(struct.pack(">H", s) for s in samples)
    bits = "".join(format(s, f"0{depth}b") for s in samples)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def rows(xs, ys, channels, depth):
    out = b""
    for y in ys:
        line = [sample(x, y, c, depth) for x in xs for c in range(channels)]
        if line:
            out += b"\0" + pack_row(line, depth)
    return out


def png(name, colour, channels, depth, extra=b"", interlaced=False, width=W, height=H, data=None):
    if data is None:
        if interlaced:  # Adam7: x start, y start, x step, y step
            passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
            data = b"".join(rows(range(a, W, c), range(b, H, d), channels, depth) for a, b, c, d in passes)
        else:
            data = rows(range(W), range(H), channels, depth)
        data = zlib.compress(data, 9)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    (FOLDER / name).write_bytes(file)
    return file


FOLDER.mkdir(parents=True, exist_ok=True)
for depth in (1, 2, 4, 8, 16):
    png(f"grey{depth}.png", 0, 1, depth)
    png(f"grey{depth}_interlaced.png", 0, 1, depth, interlaced=True)
for depth in (8, 16):
    png(f"rgb{depth}.png", 2, 3, depth)
    png(f"grey_alpha{depth}.png", 4, 2, depth)
    png(f"rgba{depth}.png", 6, 4, depth)
palette = b"".join(bytes((i * 16, 255 - i * 16, (i * 7) % 256)) for i in range(16))
png("palette4.png", 3, 1, 4, chunk(b"PLTE", palette))
png("palette4_transparent.png", 3, 1, 4, chunk(b"PLTE", palette) + chunk(b"tRNS", bytes([255, 0, 128])))
grey = b"".join(bytes((i, i, i)) for i in range(256))
png("palette8_grey.png", 3, 1, 8, chunk(b"PLTE", grey))
png("grey2_transparent.png", 0, 1, 2, chunk(b"tRNS", struct.pack(">H", 3)))

whole = png("grey8.png", 0, 1, 8)
(FOLDER / "bad_truncated.png").write_bytes(whole[:-30])
flipped = bytearray(whole)
flipped[60] ^= 0x55
(FOLDER / "bad_checksum.png").write_bytes(flipped)
png("bad_lying_size.png", 0, 1, 8, width=30000, height=2000)
png("bad_oversized.png", 0, 1, 8, width=60000, height=60000)
png("bad_no_pixels.png", 0, 1, 8, data=b"")

pgm = b"P5 40 24 255\n" + bytes(8 + 4 * x + 2 * y for y in range(24) for x in range(40))
ppm = b"P6 40 24 255\n" + b"".join(bytes((6 * x, 255 - 6 * x, 5 * y)) for y in range(24) for x in range(40))
equal = b"P6 40 24 255\n" + b"".join(bytes([8 + 4 * x + 2 * y]) * 3 for y in range(24) for x in range(40))


def cjpeg(name, picture, *options):
    data = subprocess.run(["cjpeg", "-quality", "95", *options], input=picture, stdout=subprocess.PIPE, check=True).stdout
    (FOLDER / name).write_bytes(data)
    return data


whole = cjpeg("grey.jpg", pgm)
cjpeg("grey_progressive.jpg", pgm, "-progressive")
cjpeg("colour.jpg", ppm, "-sample", "1x1")
cjpeg("colour_420.jpg", ppm, "-sample", "2x2", "-progressive")
cjpeg("colour_equal.jpg", equal)
(FOLDER / "bad_truncated.jpg").write_bytes(whole[:len(whole) * 2 // 3])
lying = bytearray(whole)
at = lying.index(b"\xff\xc0")
lying[at + 5:at + 9] = struct.pack(">HH", 30000, 2000)
(FOLDER / "bad_lying_size.jpg").write_bytes(lying)
(FOLDER / "bad_empty.png").write_bytes(b"")
