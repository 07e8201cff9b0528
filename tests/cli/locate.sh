#!/bin/bash
# carina locate round a tiny random model: table and JSON, many files, bad files, folders, models, threads.
set -u
. "$ROOT/tests/cli/check.bash"
"$(dirname "$CARINA")/tests/make_model" tiny.safetensors || fail "no model"

# Two films of other sizes, made by the phantom.
expect 0 '' '' "$CARINA" data phantom --count 2 --size 128 --seed 5 --dicom --out set
find set -name '*.jpg' -o -name '*.png' | LC_ALL=C sort > films.txt
film=$(head -1 films.txt)
[ -s "$film" ] || { fail "no film was made: $(find set | head -20)"; finish; }

expect 0 '^ *23  carina  ' '' "$CARINA" locate -m ./tiny.safetensors "$film"
expect 0 '^\{"file": "set/.*"width": [0-9]+, "height": [0-9]+, "transform": \{.*"steps": \[.*"model": "tiny", "regions": \[\{"id": 0, "name": "abdomen", "box": \[[0-9.]+, [0-9.]+, [0-9.]+, [0-9.]+\]\}' '' \
    "$CARINA" locate --json -m ./tiny.safetensors "$film"
[ "$(grep -o '"id"' expect.out | wc -l)" -eq 36 ] || fail "not 36 regions"
cp expect.out first.json

# The same for one and two threads, and by name through CARINA_MODELS.
expect 0 '' '' "$CARINA" locate --json --threads 1 -m ./tiny.safetensors "$film"
cmp -s first.json expect.out || fail "one thread gives another result"
expect 0 '' '' env CARINA_MODELS="$work" "$CARINA" locate --json --model tiny "$film"
cmp -s first.json expect.out || fail "the model by name gives another result"
expect 0 '' '' "$CARINA" locate --dtype bf16 -m ./tiny.safetensors "$film"

# Bad files are reported, one line each, and the rest goes on.
: > empty.png
head -c 300 "$film" > short.jpg
printf '\211PNG\r\n\032\n' > header.png
head -c 5000 /dev/urandom > noise.dcm
mkdir nothing
expect 1 '"id": 35' 'empty.png: ' "$CARINA" locate --json -m ./tiny.safetensors empty.png short.jpg "$film" header.png \
    noise.dcm /nonexistent/film.png nothing "$film"
[ "$(wc -l < expect.out)" -eq 2 ] || fail "two good films gave $(wc -l < expect.out) results"
[ "$(wc -l < expect.err)" -eq 6 ] || fail "six bad files gave $(wc -l < expect.err) lines: $(cat expect.err)"
for name in short.jpg header.png noise.dcm /nonexistent/film.png nothing; do
    grep -q "^carina: $name: " expect.err || fail "$name was not reported"
done

# A folder stands for its films.
expect 0 '' '' "$CARINA" locate --json -m ./tiny.safetensors set
[ "$(wc -l < expect.out)" -ge 2 ] || fail "a folder gave $(wc -l < expect.out) results"

# Pictures: one a film, and films of one name in two folders do not overwrite each other.
mkdir -p twin && cp "$film" twin/
expect 0 'carina' - "$CARINA" locate --overlay pictures/new -m ./tiny.safetensors "$film" "twin/$(basename "$film")"
[ "$(find pictures/new -name '*.png' -size +10k | wc -l)" -eq 2 ] || fail "not two pictures: $(ls -l pictures/new)"
expect 1 '' 'empty.png' "$CARINA" locate --overlay empty.png -m ./tiny.safetensors "$film"

# What cannot be written is reported with its reason, and nothing half-written stays.
expect 1 'carina' '\.png: .*File too large' bash -c 'trap "" XFSZ; ulimit -f 8; exec "$@"' - \
    "$CARINA" locate --overlay full -m ./tiny.safetensors "$film"
[ "$(wc -l < expect.err)" -eq 1 ] && [ -z "$(ls -A full)" ] || fail "full disk: $(cat expect.err; ls -A full)"

# A name with a line break or an escape stays on its line.
cp "$film" "$(printf 'line\nbreak\033.jpg')"
expect 0 '^line[?]break[?][.]jpg  ' - "$CARINA" locate -m ./tiny.safetensors line*

# Models that are none.
expect 1 - 'no-such-model' "$CARINA" locate -m no-such-model "$film"
expect 1 - "did you mean 'tiny'" env CARINA_MODELS="$work" "$CARINA" locate -m tinny "$film"
expect 1 - 'nowhere/m.safetensors' "$CARINA" locate -m nowhere/m.safetensors "$film"
expect 1 - 'short.safetensors' bash -c 'head -c 1000 tiny.safetensors > short.safetensors; "$0" locate -m ./short.safetensors "$1"' "$CARINA" "$film"
expect 1 - 'empty.png' "$CARINA" locate -m ./empty.png "$film"

expect 2 - 'needs FILE' "$CARINA" locate
expect 2 - 'is not one of f32.bf16' "$CARINA" locate --dtype f64 "$film"
expect 2 - 'outside' "$CARINA" locate --threads 100000 "$film"
expect 2 - 'did you mean --overlay' "$CARINA" locate --overly "$film"
expect 2 - "did you mean 'locate'" "$CARINA" loacte "$film"
finish
