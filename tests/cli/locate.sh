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

# In a folder, what cannot be read or is named as a film and is none fails like any bad file; the rest goes on.
mkdir mixed && cp "$film" mixed/good.jpg && echo notes > mixed/notes.txt
expect 0 '"id": 35' 'notes.txt: skipped, neither' "$CARINA" locate --json -m ./tiny.safetensors mixed
echo nonsense > mixed/bad.dcm
ln -s nowhere mixed/gone
expect 1 '"id": 35' 'mixed/bad.dcm: neither a DICOM' "$CARINA" locate --json -m ./tiny.safetensors mixed
grep -q 'mixed/gone: cannot open: No such file' expect.err || fail "a dead link went unnoticed: $(cat expect.err)"
if [ "$(id -u)" -ne 0 ]; then
    rm mixed/bad.dcm mixed/gone
    cp "$film" mixed/secret && chmod 0 mixed/secret
    mkdir mixed/closed && chmod 0 mixed/closed
    expect 1 '"id": 35' 'mixed/secret: cannot open: Permission' "$CARINA" locate --json -m ./tiny.safetensors mixed
    grep -q 'mixed/closed: skipped, Permission' expect.err || fail "a closed folder went unnoticed"
    rm mixed/secret
    expect 1 '"id": 35' 'mixed/closed: skipped, Permission' "$CARINA" locate --json -m ./tiny.safetensors mixed
    chmod 700 mixed/closed
fi

# An empty name, a picture too small to be a film, a frame that is not there.
data="$ROOT/tests/data"
expect 1 - 'the name of a file is empty' "$CARINA" locate -m ./tiny.safetensors ''
expect 1 - 'grey8.png: .* x .* pixels: too few .* at least 64 on its shorter side' \
    "$CARINA" locate -m ./tiny.safetensors "$data/pictures/grey8.png"
expect 1 - 'frames_u8.dcm: there is no frame 9: the file has 3' "$CARINA" locate -m ./tiny.safetensors --frame 9 "$data/dicom/frames_u8.dcm"
expect 1 - 'no frame 2: the file has 1' "$CARINA" locate -m ./tiny.safetensors --frame 2 "$film"
expect 1 - 'no frame 1000000000: the file has 3' "$CARINA" locate -m ./tiny.safetensors --frame 1000000000 "$data/dicom/frames_u8.dcm"
expect 2 - 'outside 1 to' "$CARINA" locate --frame 0 "$film"

# A file's name need not be UTF-8, but JSON must.
cp "$film" "$(printf 'r\351seau.jpg')"
expect 0 "^\{\"file\": \"r$(printf '\357\277\275')seau.jpg\"" - "$CARINA" locate --json -m ./tiny.safetensors r*seau.jpg
iconv -f UTF-8 -t UTF-8 expect.out > /dev/null || fail "the JSON is not UTF-8"

# Pictures: one a film, and films of one name in two folders do not overwrite each other.
mkdir -p twin && cp "$film" twin/
expect 0 'carina' - "$CARINA" locate --overlay pictures/new -m ./tiny.safetensors "$film" "twin/$(basename "$film")"
[ "$(find pictures/new -name '*.png' -size +10k | wc -l)" -eq 2 ] || fail "not two pictures: $(ls -l pictures/new)"
mkdir -p others && echo precious > "others/$(basename "${film%.*}").png"
expect 1 'carina' 'png: exists and is no picture of Carina; give another --overlay' "$CARINA" locate --overlay others -m ./tiny.safetensors "$film"
[ "$(cat others/*.png)" = precious ] || fail "an overlay replaces what is not Carina's"
expect 0 'carina' - "$CARINA" locate --overlay pictures/new -m ./tiny.safetensors "$film"
expect 1 '' 'empty.png' "$CARINA" locate --overlay empty.png -m ./tiny.safetensors "$film"

# ... nor the picture of a film whose own name ends in that number; and a picture never replaces a film.
mkdir -p same other && cp "$film" same/a.jpg && cp "$film" other/a.jpg && cp "$film" other/a-2.jpg
expect 0 'carina' - "$CARINA" locate --overlay numbered -m ./tiny.safetensors same/a.jpg other/a.jpg other/a-2.jpg
[ "$(ls numbered | LC_ALL=C sort | tr '\n' ' ')" = "a-2.png a-2_.png a.png " ] || fail "pictures: $(ls numbered)"
mkdir films && cp numbered/a.png films/film.png && cp "$film" films/
expect 1 'carina' '^carina: films/film.png: is one of the films' "$CARINA" locate --overlay films -m ./tiny.safetensors films
cmp -s numbered/a.png films/film.png || fail "a film was overwritten"
[ "$(find films -name '*.png' | wc -l)" -eq 2 ] || fail "the other film has no picture: $(ls films)"

# What cannot be written is reported with its reason, and nothing half-written stays.
expect 1 'carina' '\.png: .*File too large' bash -c 'trap "" XFSZ; ulimit -f 8; exec "$@"' - \
    "$CARINA" locate --overlay full -m ./tiny.safetensors "$film"
[ "$(wc -l < expect.err)" -eq 1 ] && [ -z "$(ls -A full)" ] || fail "full disk: $(cat expect.err; ls -A full)"

# An interrupt ends the run between films: whole lines, no half pictures, and a word about it.
mapfile -t lots < <(for ((i = 0; i < 4000; i++)); do echo "$film"; done)
"$CARINA" locate --json --overlay cut -m ./tiny.safetensors "${lots[@]}" > cut.json 2> cut.err &
while kill -0 $! 2> /dev/null && [ ! -s cut.json ]; do sleep 0.02; done
kill -TERM $! # INT would be ignored: a shell's background command
wait $!
status=$?
[ $status -eq 1 ] || fail "interrupted with status $status"
grep -qE '^carina: interrupted after [0-9]+ of 4000 films$' cut.err || fail "interrupted: $(head -c 300 cut.err)"
[ "$(tail -c 1 cut.json | od -An -c | tr -d ' ')" = '\n' ] || fail "a line was cut"
[ "$(find cut -name '*.png' | wc -l)" -eq "$(wc -l < cut.json)" ] || fail "$(wc -l < cut.json) films, pictures: $(ls cut)"
[ -z "$(find cut -name '*.tmp*')" ] || fail "half a picture was left: $(ls cut)"

# A name with a line break or an escape stays on its line.
cp "$film" "$(printf 'line\nbreak\033.jpg')"
expect 0 '^line[?]break[?][.]jpg  ' - "$CARINA" locate -m ./tiny.safetensors line*

# Models that are none. Weights of one number are refused, whether as a model or to be made one.
"$(dirname "$CARINA")/tests/make_model" flat.safetensors flat || fail "no flat model"
expect 1 - 'flat.safetensors: tensor query_embed.weight holds nothing but the number 0' \
    "$CARINA" locate -m ./flat.safetensors "$film"
sed 's/carina-model-1/foreign-file-1/' flat.safetensors > foreign.safetensors
expect 1 - 'foreign.safetensors: tensor query_embed.weight holds nothing but' \
    "$CARINA" model import foreign.safetensors --heads 2 --image-size 96 --out imported.safetensors
[ ! -e imported.safetensors ] || fail "a flat model was imported"
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
