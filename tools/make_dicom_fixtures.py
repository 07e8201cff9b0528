#!/usr/bin/env python3
"""Writes tests/data/dicom and the fuzzers' seeds: a small DICOM file for every transfer syntax, attribute and lie.

The plain files are put together here byte by byte, without any DICOM library, so that they test the reader against the
standard and not against the reader's own toolkit; DCMTK's tools and OpenJPEG's then compress some of them.
Stored values: see stored(); tests/unit/test_dicom.c computes the same. Needs: python3, dcmtk, libopenjp2-tools.
Run from the project's root; the results are committed.
"""
import pathlib, shutil, struct, subprocess, tempfile, zlib

FOLDER = pathlib.Path("tests/data/dicom")
W, H = 24, 20
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
J2K_LOSSLESS, J2K, MPEG2 = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.100"
LONG = {"OB", "OW", "SQ", "UN", "UT"}


def stored(x, y, bits, signed, frame=0):
    """8 bits: 5x + 6y; 10: 20x + 25y; 12: 60x + 80y; 16: 1000x + 1500y; signed ones minus half; each frame 7 more."""
    a, b = {8: (5, 6), 10: (20, 25), 12: (60, 80), 16: (1000, 1500)}[bits]
    return a * x + b * y + 7 * frame - ((1 << (bits - 1)) if signed else 0)


class Writer:
    def __init__(self, syntax):
        self.e = ">" if syntax == BIG else "<"
        self.implicit = syntax == IMPLICIT

    def value(self, vr, v):
        if isinstance(v, bytes):
            return v + (b"\0" if len(v) % 2 else b"")
        if vr in ("US", "SS", "OW", "UL"):
            codes = {"US": "H", "SS": "h", "OW": "H", "UL": "I"}
            values = v if isinstance(v, (list, tuple)) else [v]
            return b"".join(struct.pack(self.e + codes[vr], i) for i in values)
        text = v.encode("ascii")
        return text + ((b"\0" if vr == "UI" else b" ") if len(text) % 2 else b"")

    def tag(self, tag):
        return struct.pack(self.e + "HH", tag >> 16, tag & 0xffff)

    def element(self, tag, vr, v):
        if vr == "SQ":
            data = b"".join(self.tag(0xfffee000) + struct.pack(self.e + "I", len(i)) + i
                            for i in (self.dataset(item) for item in v))
        else:
            data = self.value(vr, v)
        if self.implicit:
            return self.tag(tag) + struct.pack(self.e + "I", len(data)) + data
        if vr in LONG:
            return self.tag(tag) + vr.encode() + b"\0\0" + struct.pack(self.e + "I", len(data)) + data
        return self.tag(tag) + vr.encode() + struct.pack(self.e + "H", len(data)) + data

    def dataset(self, elements):
        return b"".join(self.element(t, vr, v) for t, (vr, v) in sorted(elements.items()))


def meta(syntax, sop_class):
    w = Writer(EXPLICIT)
    body = w.dataset({0x00020001: ("OB", b"\0\1"), 0x00020002: ("UI", sop_class), 0x00020003: ("UI", "2.25.1"),
                      0x00020010: ("UI", syntax), 0x00020012: ("UI", "2.25.99")})
    return bytes(128) + b"DICM" + w.element(0x00020000, "UL", len(body)) + body


CR = "1.2.840.10008.5.1.4.1.1.1"


def film(bits=12, signed=False, frames=1, allocated=None, high=None, junk=0, extra=None, pixels=True):
    allocated = allocated or (8 if bits == 8 else 16)
    high = bits - 1 if high is None else high
    shift = high + 1 - bits
    words = [((stored(x, y, bits, signed, f) & ((1 << bits) - 1)) << shift) | junk
             for f in range(frames) for y in range(H) for x in range(W)]
    elements = {
        0x00080016: ("UI", CR), 0x00080018: ("UI", "2.25.1"), 0x00080060: ("CS", "CR"),
        0x00100010: ("PN", "Doe^Jane"), 0x00100020: ("LO", "P-17"), 0x00100040: ("CS", "F"),
        0x00101010: ("AS", "062Y"), 0x00180015: ("CS", "CHEST"), 0x00185101: ("CS", "PA"),
        0x00200020: ("CS", "L\\F"), 0x00280002: ("US", 1), 0x00280004: ("CS", "MONOCHROME2"),
        0x00280010: ("US", H), 0x00280011: ("US", W), 0x00280100: ("US", allocated), 0x00280101: ("US", bits),
        0x00280102: ("US", high), 0x00280103: ("US", int(signed)),
    }
    if pixels:
        elements[0x7fe00010] = ("OB", bytes(words)) if allocated == 8 else ("OW", words)
    if frames > 1:
        elements[0x00280008] = ("IS", str(frames))
    elements.update(extra or {})
    return {t: v for t, v in elements.items() if v is not None}


def write(name, elements, syntax=EXPLICIT, header=True, sop_class=CR, cut=None, patch=None):
    elements = dict(elements)
    if syntax in (IMPLICIT, BIG) and 0x7fe00010 in elements and elements[0x7fe00010][0] == "OB":
        data = elements[0x7fe00010][1]  # 8-bit samples as OW: the first of each pair in the low byte
        elements[0x7fe00010] = ("OW", list(struct.unpack("<%dH" % (len(data) // 2), data)))
    data = Writer(EXPLICIT if syntax == DEFLATED else syntax).dataset(elements)
    if syntax == DEFLATED:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = packer.compress(data) + packer.flush()
        data += b"\0" * (len(data) % 2)
    data = (meta(syntax, sop_class) if header else b"") + data
    if patch:
        data = patch(data)
    (FOLDER / name).write_bytes(data[:cut])


def encapsulate(name, elements, syntax, frames, split=1, offsets=True):
    """frames: compressed bytes, one for each frame, cut into `split` fragments of even length."""
    elements = {t: v for t, v in elements.items() if t != 0x7fe00010}
    fragments, table = b"", b""
    for frame in frames:
        frame += b"\0" * (len(frame) % 2)
        table += struct.pack("<I", len(fragments))
        step = (len(frame) // split + 1) // 2 * 2
        parts = [frame[i * step:(i + 1) * step] for i in range(split - 1)] + [frame[(split - 1) * step:]]
        fragments += b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(p)) + p for p in parts)
    if not offsets:
        table = b""
    data = meta(syntax, CR) + Writer(EXPLICIT).dataset(elements)
    data += b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0" + struct.pack("<I", len(table)) + table
    (FOLDER / name).write_bytes(data + fragments + b"\xfe\xff\xdd\xe0\0\0\0\0")


def run(*command):
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def jpeg2000(bits, signed, frame=0, options=(), suffix=".j2k"):
    with tempfile.TemporaryDirectory() as folder:
        raw, out = pathlib.Path(folder, "in.raw"), pathlib.Path(folder, "out" + suffix)
        code = ("b" if signed else "B") if bits <= 8 else (">h" if signed else ">H")
        raw.write_bytes(b"".join(struct.pack(code, stored(x, y, bits, signed, frame)) for y in range(H) for x in range(W)))
        run("opj_compress", "-i", raw, "-o", out, "-F", f"{W},{H},1,{bits},{'s' if signed else 'u'}", "-n", "3", *options)
        return out.read_bytes()


FOLDER.mkdir(parents=True, exist_ok=True)
for old in FOLDER.glob("*"):
    old.unlink() if old.is_file() else shutil.rmtree(old)

# --- transfer syntaxes: name is [u|s]BITS_SYNTAX.dcm
for bits, signed in ((8, False), (12, False), (16, False), (12, True), (16, True), (8, True)):
    kind = ("s" if signed else "u") + str(bits)
    write(f"{kind}_explicit.dcm", film(bits, signed))
    write(f"{kind}_implicit.dcm", film(bits, signed), IMPLICIT)
    write(f"{kind}_big.dcm", film(bits, signed), BIG)
    run("dcmcrle", FOLDER / f"{kind}_explicit.dcm", FOLDER / f"{kind}_rle.dcm")
    run("dcmcjpeg", "+e1", FOLDER / f"{kind}_explicit.dcm", FOLDER / f"{kind}_lossless.dcm")
    run("dcmcjpls", FOLDER / f"{kind}_explicit.dcm", FOLDER / f"{kind}_jpegls.dcm")
    encapsulate(f"{kind}_jpeg2000.dcm", film(bits, signed), J2K_LOSSLESS, [jpeg2000(bits, signed)])
write("u12_deflated.dcm", film(12), DEFLATED)
write("u12_bare.dcm", film(12), IMPLICIT, header=False)
write("s16_bareexplicit.dcm", film(16, True), header=False)
run("dcmcjpeg", "+el", FOLDER / "u12_explicit.dcm", FOLDER / "u12_lossless14.dcm")
encapsulate("u12_jpeg2000fragments.dcm", film(12), J2K_LOSSLESS, [jpeg2000(12, False)], split=3)
encapsulate("u12_jpeg2000jp2.dcm", film(12), J2K_LOSSLESS, [jpeg2000(12, False, suffix=".jp2")])
run("dcmcjpeg", "+eb", "+q", "95", FOLDER / "u8_explicit.dcm", FOLDER / "lossy_u8_baseline.dcm")
run("dcmcjpeg", "+ee", "+q", "98", FOLDER / "u12_explicit.dcm", FOLDER / "lossy_u12_extended.dcm")
run("dcmcjpls", "+en", "+md", "2", FOLDER / "u12_explicit.dcm", FOLDER / "lossy_u12_nearlossless.dcm")
encapsulate("lossy_u12_jpeg2000.dcm", film(12), J2K, [jpeg2000(12, False, options=("-r", "4", "-I"))])

# --- odd layouts
write("u10_highbit13.dcm", film(10, high=13, junk=0xc005))
write("s12_highbit15.dcm", film(12, True, high=15, junk=0x0003))
write("u10_overlay.dcm", film(10, junk=0x8000, extra={
    0x60000010: ("US", H), 0x60000011: ("US", W), 0x60000040: ("CS", "G"), 0x60000050: ("SS", [1, 1]),
    0x60000100: ("US", 16), 0x60000102: ("US", 15)}))
write("u8_odd.dcm", {**film(8), 0x00280010: ("US", H - 1), 0x00280011: ("US", W - 1),
                     0x7fe00010: ("OB", bytes(stored(x, y, 8, False) for y in range(H - 1) for x in range(W - 1)))})
write("frames_u8.dcm", film(8, frames=3))
write("frames_u16.dcm", film(16, frames=2), BIG)
run("dcmcrle", FOLDER / "frames_u8.dcm", FOLDER / "frames_u8_rle.dcm")
run("dcmcjpeg", "+e1", FOLDER / "frames_u8.dcm", FOLDER / "frames_u8_lossless.dcm")
encapsulate("frames_u12_jpeg2000.dcm", film(12, frames=3), J2K_LOSSLESS, [jpeg2000(12, False, f) for f in range(3)], split=2)

# --- grey levels
lut = {0x00283002: ("US", [4, 100, 16]), 0x00283006: ("OW", [1000, 3000, 2000, 65535]), 0x00283003: ("LO", "steps")}
packed = {0x00283002: ("US", [5, 2, 8]), 0x00283006: ("OW", [0x2010, 0x4030, 0x0050])}
write("grey_rescale.dcm", film(12, extra={0x00281052: ("DS", "-1024"), 0x00281053: ("DS", "0.5")}))
write("grey_modality_lut.dcm", film(12, extra={0x00283000: ("SQ", [{**lut, 0x00283004: ("LO", "US")}])}))
write("grey_voi_lut.dcm", film(12, extra={0x00283010: ("SQ", [lut]), 0x00281050: ("DS", "1"), 0x00281051: ("DS", "2")}), IMPLICIT)
write("grey_voi_lut8.dcm", film(12, extra={0x00283010: ("SQ", [packed])}))
write("grey_voi_lut_negative.dcm", film(12, extra={
    0x00281052: ("DS", "-1024"), 0x00281053: ("DS", "1"),
    0x00283010: ("SQ", [{0x00283002: ("US", [2048, 65536 - 1024, 12]), 0x00283006: ("OW", list(range(2048)))}])}))
for name, function in (("linear", None), ("exact", "LINEAR_EXACT"), ("sigmoid", "SIGMOID"), ("odd", "PARABOLIC")):
    write(f"grey_window_{name}.dcm", film(12, extra={
        0x00281050: ("DS", "1500"), 0x00281051: ("DS", "1000"), 0x00281056: ("CS", function) if function else None}))
write("grey_windows.dcm", film(12, extra={0x00281050: ("DS", "10\\1500\\20"), 0x00281051: ("DS", "0\\1000\\30"),
                                          0x00281055: ("LO", "broken\\normal\\bone")}))
write("grey_monochrome1.dcm", film(12, extra={0x00280004: ("CS", "MONOCHROME1"), 0x20500020: ("CS", "INVERSE"),
                                              0x00281050: ("DS", "1500"), 0x00281051: ("DS", "1000")}))
write("grey_inverse.dcm", film(12, extra={0x20500020: ("CS", "INVERSE")}))
write("grey_identity.dcm", film(12, extra={0x20500020: ("CS", "IDENTITY")}))
write("grey_padding.dcm", film(12, extra={0x00280120: ("US", 0)}))
write("grey_padding_range.dcm", film(12, True, extra={0x00280120: ("SS", -2048), 0x00280121: ("SS", -1800),
                                                      0x00280004: ("CS", "MONOCHROME1")}))
write("grey_spacing.dcm", film(12, extra={0x00181164: ("DS", "0.2\\0.1")}))
write("grey_aspect.dcm", film(12, extra={0x00280034: ("IS", "2\\3")}))

# --- what films show, and names
write("view_lateral.dcm", film(8, extra={0x00185101: ("CS", "LL")}))
write("view_orientation.dcm", film(8, extra={0x00185101: None, 0x00200020: ("CS", "A\\F")}))
write("view_code.dcm", film(8, extra={0x00185101: None, 0x00540220: ("SQ", [{
    0x00080100: ("SH", "R-10202"), 0x00080102: ("SH", "SRT"), 0x00080104: ("LO", "antero-posterior")}])}))
write("view_hand.dcm", film(8, extra={0x00180015: ("CS", "HAND"), 0x00280301: ("CS", "YES"), 0x00200062: ("CS", "L")}))
write("name_latin1.dcm", film(8, extra={0x00080005: ("CS", "ISO_IR 100"), 0x00100010: ("PN", b"Mu\xf1oz^Jos\xe9")}))
write("name_undeclared.dcm", film(8, extra={0x00100010: ("PN", b"Mu\xf1oz^Jos\xe9"), 0x00101010: ("AS", "030M")}))
write("name_utf8.dcm", film(8, extra={0x00080005: ("CS", "ISO_IR 192"), 0x00100010: ("PN", "Muñoz^José".encode())}))
write("name_lying.dcm", film(8, extra={0x00080005: ("CS", "ISO_IR 192"), 0x00100010: ("PN", b"Mu\xf1oz^\x1b[31m")}))
write("name_japanese.dcm", film(8, extra={
    0x00080005: ("CS", "\\ISO 2022 IR 87"), 0x00100010: ("PN", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B")}))

# --- refusals and lies
write("bad_rgb.dcm", film(8, extra={0x00280002: ("US", 3), 0x00280004: ("CS", "RGB"), 0x00280006: ("US", 0),
                                    0x7fe00010: ("OB", bytes(W * H * 3))}))
write("bad_palette.dcm", film(8, extra={0x00280004: ("CS", "PALETTE COLOR")}))
write("bad_ybr.dcm", film(8, extra={0x00280002: ("US", 3), 0x00280004: ("CS", "YBR_FULL_422")}))
write("bad_photometric.dcm", film(8, extra={0x00280004: ("CS", "MONOCHROME3")}))
write("bad_no_photometric.dcm", film(8, extra={0x00280004: None}))
write("bad_report.dcm", film(8, pixels=False, extra={0x00080060: ("CS", "SR"), 0x00080016: ("UI", "1.2.840.10008.5.1.4.1.1.88.11")}),
      sop_class="1.2.840.10008.5.1.4.1.1.88.11")
write("bad_bits32.dcm", film(8, extra={0x00280100: ("US", 32), 0x00280101: ("US", 32), 0x00280102: ("US", 31)}))
write("bad_highbit.dcm", film(12, extra={0x00280102: ("US", 5)}))
write("bad_samples.dcm", film(8, extra={0x00280002: ("US", 3)}))
write("bad_rows.dcm", film(12, extra={0x00280010: ("US", 30000), 0x00280011: ("US", 2000)}))
write("bad_oversized.dcm", film(12, extra={0x00280010: ("US", 65535), 0x00280011: ("US", 65535)}))
write("bad_no_rows.dcm", film(12, extra={0x00280010: None}))
write("bad_frame_count.dcm", film(8, extra={0x00280008: ("IS", "1000000")}))
write("bad_frames_zero.dcm", film(8, extra={0x00280008: ("IS", "0")}))
write("bad_no_pixels.dcm", film(12, extra={0x7fe00010: ("OW", [])}))
write("bad_lut.dcm", film(12, extra={0x00283010: ("SQ", [{**lut, 0x00283002: ("US", [0, 0, 16])}])}))
write("bad_truncated.dcm", film(12), cut=-100)
write("bad_truncated_header.dcm", film(12), cut=150)
write("bad_deflated.dcm", film(12), DEFLATED, cut=-40)
write("bad_syntax.dcm", film(12), "1.2.3.4.5")
write("bad_length.dcm", film(12), patch=lambda d: d.replace(b"PN\x08\0", b"PN\xf0\xff"))
encapsulate("bad_video.dcm", film(8), MPEG2, [b"\0\0\1\xb3" * 8])
encapsulate("bad_jpeg2000_size.dcm", film(12, extra={0x00280011: ("US", 2400)}), J2K_LOSSLESS, [jpeg2000(12, False)])
encapsulate("bad_jpeg2000_cut.dcm", film(12), J2K_LOSSLESS, [jpeg2000(12, False)[:150]])
encapsulate("bad_fragments.dcm", film(12, frames=3), J2K_LOSSLESS, [jpeg2000(12, False, f) for f in range(3)], split=2, offsets=False)
whole = (FOLDER / "lossy_u8_baseline.dcm").read_bytes()
(FOLDER / "bad_jpeg_size.dcm").write_bytes(whole.replace(b"\x28\x00\x11\x00US\x02\x00\x18\x00", b"\x28\x00\x11\x00US\x02\x00\x60\x09"))
at = whole.index(b"\xff\xda")
(FOLDER / "bad_jpeg_cut.dcm").write_bytes(whole[:at + 40] + bytes(len(whole) - at - 48) + whole[-8:])
whole = (FOLDER / "u12_rle.dcm").read_bytes()
(FOLDER / "bad_rle_size.dcm").write_bytes(whole.replace(b"\x28\x00\x10\x00US\x02\x00\x14\x00", b"\x28\x00\x10\x00US\x02\x00\x20\x4e"))
(FOLDER / "bad_empty.dcm").write_bytes(b"")
nested = {0x00080018: ("UI", "1.2")}
for _ in range(60):
    nested = {0x00081140: ("SQ", [nested])}
write("bad_nested.dcm", film(12, extra=nested))
write("bad_nested_implicit.dcm", film(12, extra=nested), IMPLICIT)

# --- a medium: DICOMDIR and its films
medium = FOLDER / "medium"
(medium / "FILMS").mkdir(parents=True)
shutil.copy(FOLDER / "u12_explicit.dcm", medium / "FILMS" / "F2")
shutil.copy(FOLDER / "u8_explicit.dcm", medium / "FILMS" / "F1")
shutil.copy(FOLDER / "bad_report.dcm", medium / "FILMS" / "R1")


def record(kind, file=None):
    elements = {0x00041400: ("UL", 0), 0x00041410: ("US", 0xffff), 0x00041420: ("UL", 0), 0x00041430: ("CS", kind)}
    if file:
        elements[0x00041500] = ("CS", file)
    return elements


write("medium/DICOMDIR", {0x00041130: ("CS", "CARINA"), 0x00041220: ("SQ", [
    record("PATIENT"), record("STUDY"), record("SERIES"), record("IMAGE", "FILMS\\F2"), record("IMAGE", "FILMS\\F1"),
    record("IMAGE", "FILMS\\GONE"), record("IMAGE", "..\\u12_explicit.dcm"), record("SR DOCUMENT", "FILMS\\R1")])},
      sop_class="1.2.840.10008.1.3.10")

# --- seeds
for name, files in (("dicom", list(FOLDER.glob("*.dcm")) + [medium / "DICOMDIR"]),):
    seeds = pathlib.Path("fuzz/corpus", name)
    seeds.mkdir(parents=True, exist_ok=True)
    for seed in seeds.glob("*"):
        if not seed.name.startswith("found_"):  # what a fuzzer found stays
            seed.unlink()
    for file in files:
        if file.stat().st_size:
            shutil.copy(file, seeds / file.name)
seeds = pathlib.Path("fuzz/corpus/jpeg2000")
shutil.rmtree(seeds, ignore_errors=True)
seeds.mkdir(parents=True)
for bits, signed in ((8, False), (12, False), (16, True)):
    (seeds / f"{bits}.j2k").write_bytes(jpeg2000(bits, signed))
(seeds / "12.jp2").write_bytes(jpeg2000(12, False, suffix=".jp2"))
(seeds / "lossy.j2k").write_bytes(jpeg2000(12, False, options=("-r", "4", "-I")))
(seeds / "tiles.j2k").write_bytes(jpeg2000(8, False, options=("-t", "8,8", "-p", "RLCP", "-SOP", "-EPH")))
(seeds / "cut.j2k").write_bytes(jpeg2000(12, False)[:100])
