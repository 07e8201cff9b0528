// Tokenizers as other implementations have them, to hold ours against. Needs node, and packages of npm in MODULES:
// `tokenizers` (Hugging Face's own library) and `@lenml/tokenizers` (a JavaScript one).
//
//   node tokenizer_reference.mjs strings TOKENIZER.json COUNT   records with texts of all sorts
//   node tokenizer_reference.mjs ids MODULES LIBRARY TOKENIZER.json < RECORDS     their ids, one line each
//   node tokenizer_reference.mjs texts MODULES TOKENIZER.json < LINES-OF-IDS      their texts, as records
//   node tokenizer_reference.mjs corpus COUNT                                     lines to train a small one on
//   node tokenizer_reference.mjs variant llama|split|lost TOKENIZER.json               the same tokens, asked for otherwise
//   node tokenizer_reference.mjs fixture MODULES TOKENIZER.json COUNT             texts (hexadecimal), ids, texts again
//
// A record is a length (u32, little-endian) and as many bytes. Bytes that are not UTF-8 become U+FFFD as node has it.
import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

// ---- texts ----

let state = 1;
function random(below) {
  // xorshift; the same everywhere
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}
const pick = (list) => list[random(list.length)];
const times = (count, make) => Array.from({ length: count }, make).join("");

const sentences = [
  "The cardiomediastinal silhouette is within normal limits.", "No pleural effusion or pneumothorax is seen.",
  "Right lower lobe opacity, <ref>left hilum</ref><box>(123,45),(678,901)</box>, 3.5 x 2 cm.", "It's the patient's 2nd film (AP).",
  "Der Herzschatten ist verbreitert, beide Lungenflügel sind belüftet.", "Les poumons sont bien ventilés, sans épanchement.",
  "No hay derrame pleural; el corazón está agrandado.", "Não há pneumotórax à direita.", "Serce nie jest powiększone, żebra bez złamań.",
  "Лёгкие чистые, сердце не увеличено.", "Легені прозорі, без вогнищ.", "Οι πνεύμονες είναι καθαροί.", "הריאות נקיות.",
  "الرئتان صافيتان ولا يوجد انصباب.", "ریه‌ها شفاف هستند.", "फेफड़े साफ़ हैं।", "ফুসফুস পরিষ্কার।", "நுரையீரல் தெளிவாக உள்ளது.",
  "ปอดทั้งสองข้างปกติ", "Phổi hai bên sáng đều.", "両肺野は清明です。心拡大はありません。", "两肺清晰，心影不大。", "폐는 깨끗하고 심장은 정상입니다.",
  "ფილტვები სუფთაა", "Թոքերը մաքուր են", "ሳንባዎች ንጹህ ናቸው", "Akciğerler temiz, kalp normal.", "Keuhkot ovat puhtaat.",
  "for (int i = 0; i < n; i++) { sum += x[i] * 2; }", "<p class=\"a\">x &amp; y</p>", "https://example.org/a?b=1&c=%20#d",
  "{\"box\": [1, 2.50, -3e-7], \"ok\": true}", "def f(x):\n\treturn x ** 2\n", "| a | b |\n|---|---|\n", "$E = mc^2$ \\frac{1}{2}",
  "0123456789 1,234,567.89 12:30 2024-01-31", "AAAAaaaa!!!!????....----====", "ﬁ ﬂ Ⅷ ½ ㎏ Å Å é é",
];
const whites = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", "\u00a0", "\u3000", "\u2003", "\u200b", "\u2028", "\u2581", "\u2581\u2581", "\v", "\f", "\u0085"];
const emoji = ["😀", "🫁", "❤️", "👩‍⚕️", "👨‍👩‍👧‍👦", "🇨🇭", "🇩🇪", "👍🏽", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "☢️", "🧑🏿‍🔬", "1️⃣", "✅", "🩻"];
const marks = ["\u0301", "\u0308", "\u200d", "\ufe0f", "\u20dd", "\u0e34", "\u093f", "\u0651"];
const ranges = [[0x20, 0x7e], [0xa0, 0x24f], [0x370, 0x5ff], [0x600, 0x6ff], [0x900, 0xdff], [0xe00, 0xeff], [0x1000, 0x109f],
  [0x1200, 0x137f], [0x1780, 0x17ff], [0x1e00, 0x1fff], [0x2000, 0x2bff], [0x3040, 0x30ff], [0x4e00, 0x9fff], [0xac00, 0xd7a3],
  [0xe000, 0xf8ff], [0xfb00, 0xfdff], [0xff00, 0xffef], [0x10000, 0x1ffff], [0x20000, 0x2a6df], [0xe0000, 0xe01ef], [0x0, 0x10ffff]];
function code(range) {
  const value = range[0] + random(range[1] - range[0] + 1);
  return String.fromCodePoint(value >= 0xd800 && value < 0xe000 ? 0x20 : value);
}
function word() {
  return pick(pick(sentences).split(" "));
}
const kinds = [
  () => pick(sentences) + pick(["", " ", "\n"]) + pick(sentences),
  () => times(1 + random(12), () => word() + pick([" ", " ", " ", "", "  ", "\n"])),
  () => times(1 + random(8), () => times(random(5), () => pick(whites)) + word()),
  () => times(1 + random(40), () => pick(whites)),
  () => pick(whites).repeat(1 + random(70)) + word(),
  () => times(1 + random(6), () => pick(emoji) + pick(["", " ", word()])),
  () => times(1 + random(20), () => code([0, 0x1f]) + pick(["", "x", "\x7f", "\x80", "\x9f"])),
  () => { const range = pick(ranges); return times(1 + random(20), () => code(range)); },
  () => times(1 + random(20), () => code(pick(ranges)) + pick(["", "", pick(marks), " "])),
  () => times(1 + random(30), () => pick(["a", "b", "ab", "aa", "the", "ing", "\u0301", "0", "9", ".", ",", "▁"])),
];
function bytes() {
  const text = Buffer.from(pick(kinds)());
  if (text.length === 0) return text;
  for (let i = 0; i <= random(4); i++) text[random(text.length)] = random(256);
  return random(2) ? text.subarray(0, 1 + random(text.length)) : text;
}
function makeStrings(tokenizer, count) {
  const added = tokenizer.added_tokens.map((t) => t.content);
  const list = [""];
  for (const token of added) list.push(token, pick(["", " ", "x"]) + token + pick(["", " ", "x", "\n", pick(added)]) + word());
  const near = [...whites, "", "x", ".", "é", "‿", "\u200d"];
  for (const t of tokenizer.added_tokens)
    for (let i = 0; (t.lstrip || t.rstrip || t.single_word || t.normalized) && i < 12; i++)
      list.push(pick(["a", "", " "]) + pick(near) + t.content + pick(near) + pick(near) + pick([t.content, "b", ""]));
  for (let i = 0; i < count; i++) {
    const kind = random(kinds.length + 4);
    if (kind < kinds.length) list.push(kinds[kind]());
    else if (kind < kinds.length + 2) list.push(bytes());
    else list.push(times(1 + random(6), () => pick([word(), pick(whites), pick(added), pick(added).slice(0, -1), "<"])));
  }
  const long = [20000, 20000, 100000];
  for (const size of long) list.push(times(size / 10, () => word() + " "));
  list.push("a".repeat(long[0]), "\n".repeat(long[0]), " ".repeat(long[0]), "ab".repeat(long[0]), "中".repeat(long[0]), "=-".repeat(long[0]));
  list.push(times(long[0], () => code(pick(ranges))), times(long[0], () => pick(["a", "b"])), "\u{10ffff}".repeat(1000));
  return list;
}
function writeAll(data) {
  for (let at = 0; at < data.length;) {
    try {
      at += writeSync(1, data, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}
function record(text) {
  const body = Buffer.from(text);
  const head = Buffer.alloc(4);
  head.writeUInt32LE(body.length);
  return Buffer.concat([head, body]);
}
function* records(data) {
  for (let at = 0; at < data.length;) {
    const size = data.readUInt32LE(at);
    yield data.subarray(at + 4, at + 4 + size).toString("utf8");
    at += 4 + size;
  }
}

// ---- variants: what Gemma's own file does not use ----

function added(id, content, flags) {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: false, ...flags };
}
const variants = {
  // normalizer in steps, merges as strings, a blank taken off decoded texts, added tokens with flags
  llama(t) {
    t.normalizer = { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, t.normalizer] };
    t.pre_tokenizer = null;
    t.decoder.decoders.push({ type: "Strip", content: " ", start: 1, stop: 0 });
    t.model.merges = t.model.merges.map((pair) => pair.join(" "));
    let id = Object.keys(t.model.vocab).length;
    t.added_tokens.push(added(id++, "<left>", { lstrip: true }), added(id++, "<right>", { rstrip: true }),
      added(id++, "<both>", { lstrip: true, rstrip: true, special: true }), added(id++, "lung", { single_word: true }),
      added(id++, "The heart", { normalized: true }), added(id++, "<left><right>", {}));
  },
  // no normalizer, words cut at blanks, unknown characters (of them "é" has some of its bytes), whole words first
  split(t) {
    t.normalizer = null;
    t.pre_tokenizer.behavior = "MergedWithNext";
    t.model.ignore_merges = true;
    delete t.model.vocab["<0xE2>"];
  },
  // characters that are no token vanish, and their neighbours meet; tokens among the blanks that another one takes
  lost(t) {
    t.model.byte_fallback = false;
    t.model.unk_token = null;
    let id = Object.keys(t.model.vocab).length;
    t.added_tokens.push(added(id++, "<right>", { rstrip: true }), added(t.model.vocab["\n"], "\n", {}), added(t.model.vocab["\t"], "\t", {}),
      added(id++, "lung", { single_word: true }));
  },
};

// ---- libraries ----

async function encoder(modules, library, path) {
  const require = createRequire(resolve(modules, "x.js"));
  if (library === "tokenizers") {
    const { Tokenizer } = require("tokenizers");
    const tokenizer = Tokenizer.fromFile(path);
    const encode = async (text) => (await tokenizer.encode(text, null, { addSpecialTokens: false })).getIds();
    encode.decode = (ids) => tokenizer.decode(ids, false);
    return encode;
  }
  const { TokenizerLoader } = require("@lenml/tokenizers");
  const tokenizer = TokenizerLoader.fromPreTrained({
    tokenizerJSON: JSON.parse(readFileSync(path)),
    tokenizerConfig: { tokenizer_class: "GemmaTokenizer", clean_up_tokenization_spaces: false },
  });
  return async (text) => tokenizer._encode_plus(text, { add_special_tokens: false }).input_ids;
}

const [command, ...words] = process.argv.slice(2);
if (command === "corpus") {
  const lines = Array.from({ length: Number(words[0]) }, () => pick(sentences).replaceAll("\n", " ") + " " + times(random(9), () => word() + " "));
  writeAll(Buffer.from(lines.join("\n") + "\n"));
} else if (command === "variant") {
  const tokenizer = JSON.parse(readFileSync(words[1]));
  variants[words[0]](tokenizer);
  writeAll(Buffer.from(JSON.stringify(tokenizer) + "\n"));
} else if (command === "strings") {
  writeAll(Buffer.concat(makeStrings(JSON.parse(readFileSync(words[0])), Number(words[1])).map(record)));
} else if (command === "ids") {
  const encode = await encoder(words[0], words[1], words[2]);
  const lines = [];
  for (const text of records(readFileSync(0))) lines.push((await encode(text)).join(" "));
  writeAll(Buffer.from(lines.join("\n") + "\n"));
} else if (command === "texts") {
  const { Tokenizer } = createRequire(resolve(words[0], "x.js"))("tokenizers");
  const tokenizer = Tokenizer.fromFile(words[1]);
  const out = [];
  for (const line of readFileSync(0, "utf8").split("\n").slice(0, -1))
    out.push(record(await tokenizer.decode(line.split(" ").filter((id) => id).map(Number), false)));
  writeAll(Buffer.concat(out));
} else if (command === "fixture") {
  const encode = await encoder(words[0], "tokenizers", words[1]);
  // versions of the library differ in the text that they give a normalized token: no text is wanted of it
  const tokens = JSON.parse(readFileSync(words[1])).added_tokens;
  const normalized = new Set(tokens.filter((t) => t.normalized).map((t) => t.id));
  const cases = [];
  for (const text of makeStrings(JSON.parse(readFileSync(words[1])), Number(words[2]))) {
    if (text.length > 300) continue;
    const data = Buffer.from(text);
    const ids = await encode(data.toString("utf8"));
    const decoded = ids.some((id) => normalized.has(id)) ? null : Buffer.from(await encode.decode(ids)).toString("hex");
    cases.push(JSON.stringify({ text: data.toString("hex"), ids, decoded }));
  }
  writeAll(Buffer.from("[\n" + cases.join(",\n") + "\n]\n"));
} else {
  console.error("usage: see the top of this file");
  process.exit(2);
}
