#!/bin/bash
# carina interpret on a demo film with the default model and on others with a tiny random one: table, JSON, pages,
# pictures, databases that fit and do not, refusal, and hostile names.
set -u
. "$ROOT/tests/cli/check.bash"
"$(dirname "$CARINA")/tests/make_model" tiny.safetensors || fail "no model"
cp "$ROOT/demo/films/phantom-2.jpg" film.jpg
run="$CARINA interpret -m ./tiny.safetensors --force"

# ---- without a database: boxes and findings, and a word about it
expect 0 '^Regions without a sentence \(36\)$' 'no sentence database for this model' $run film.jpg
grep -qE '^  . Pleural Effusion +[01]\.[0-9]+' expect.out || fail "no findings"
grep -q 'not calibrated' expect.out || fail "nothing about calibration"
[ "$(awk '{ if (length > 100) print }' expect.out | wc -l)" -eq 0 ] || fail "lines are too wide"
expect 0 '"database": null, .*"calibrated": false, "findings": \[\{"name": "Atelectasis", "probability": [0-9.]+, ' '' $run --json film.jpg
[ "$(grep -o '"box"' expect.out | wc -l)" -eq 36 ] || fail "not 36 regions"

# ---- a database beside the model, or named
"$CARINA" data phantom --count 20 --seed 3 --size 64 --no-masks --out set --split train=1,valid=0,test=0 > /dev/null 2>&1
"$CARINA" index sentences -q --plain chest_imagenome=set > sentences.txt
rows=$(wc -l < sentences.txt)
{
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': ($rows, 16), }"
    values=('\x00\x00\x80\x3f' '\x00\x00\x00\x40' '\x00\x00\x00\x3f' '\x00\x00\x80\xbf')
    for ((row = 0; row < rows; row++)); do
        for ((digit = 0; digit < 16; digit++)); do printf "${values[$(((row >> (2 * digit)) & 3))]}"; done
    done
} > vectors.npy
expect 0 'sentences of 36 regions' '' "$CARINA" index build -q -m ./tiny.safetensors -o tiny.sentences.sqlite --embeddings vectors.npy \
    --sentences sentences.txt chest_imagenome=set
expect 0 '^(Healthy regions|Regions that are not healthy) \([0-9]+\)$' '' $run film.jpg
grep -q 'sentences of tiny.sentences.sqlite' expect.out || fail "the database beside the model was not found"
expect 0 '"healthy": (true|false), "sentence": "[^"]+\.", "similarity": -?[0-9.]+, "seen": [0-9]+, "runners_up": \[\{' '' $run --json --top 1024 film.jpg
[ "$(grep -oE '"sentence"' expect.out | wc -l)" -eq "$rows" ] || fail "--top 1024 does not give all $rows sentences"
expect 0 '' '' $run --json --threads 1 film.jpg film.jpg
[ "$(uniq expect.out | wc -l)" -eq 1 ] || fail "a film's neighbour changes its result"
mv tiny.sentences.sqlite other.db
expect 0 'sentences of other.db' '' $run -d other.db film.jpg
expect 1 - 'made with another model' env CARINA_MODELS="$ROOT/models" "$CARINA" interpret -d other.db film.jpg
expect 1 - 'missing.db' $run -d missing.db film.jpg
expect 1 - 'not a SQLite file' $run -d sentences.txt film.jpg
expect 2 - 'outside 1 to 1024' $run --top 100000000 film.jpg
expect 2 - 'outside' $run --top 0 film.jpg

# ---- pages and pictures; names that are markup, not UTF-8, or control characters
cp film.jpg '<script>alert("x")&.jpg'
cp film.jpg "$(printf 'r\351seau\033.jpg')"
expect 0 '' '' $run -d other.db --top 2 --html pages --overlay boxes --attention attention ./*.jpg
[ "$(find pages -name '*.html' | wc -l)" -eq 3 ] || fail "pages: $(ls pages)"
[ "$(find boxes -name '*.png' -size +20k | wc -l)" -eq 3 ] || fail "overlays: $(ls -l boxes)"
[ "$(find attention -name '*.attention.png' -size +50k | wc -l)" -eq 3 ] || fail "attention: $(ls -l attention)"
for page in pages/*.html; do
    if command -v xmllint > /dev/null; then
        xmllint --noout --nonet --huge "$page" > lint.txt 2>&1 || fail "not well-formed: $page: $(head -c 300 lint.txt)"
    fi
    [ "$(grep -c '<rect data-region=' "$page")" -eq 36 ] || fail "$page: not 36 boxes"
    [ "$(grep -c '<button type="button" data-region=' "$page")" -eq 36 ] || fail "$page: not 36 entries"
    [ "$(grep -cE '<script>' "$page")" -eq 1 ] || fail "$page: more than one script"
    grep -q 'not a medical device' "$page" || fail "$page: no notice"
    grep -oE '(src|href|url)[=(]"?[^" >]{0,24}' "$page" | grep -vqE '^href="data:image/png;base64,' && fail "$page loads something"
    iconv -f UTF-8 -t UTF-8 "$page" > /dev/null || fail "$page is not UTF-8"
done
grep -q '<h1>&lt;script&gt;alert(&quot;x&quot;)&amp;.jpg</h1>' pages/*script*.html || fail "a name was not escaped"
expect 1 '' 'film.jpg' $run --html film.jpg film.jpg
expect 1 '' '/proc/nowhere' $run --overlay /proc/nowhere film.jpg
expect 1 '' '' bash -c '"$@" > /dev/full' - $run film.jpg
bash -c '"$@" >&-' - $run film.jpg 2> closed.err
[ $? -le 2 ] || fail "closed standard output: $(cat closed.err)"

# ---- the default model accepts a film and refuses what is none
export CARINA_MODELS="$ROOT/models"
expect 0 '^frontal chest film: score ' '' "$CARINA" interpret film.jpg
expect 0 '"accepted": true' '' "$CARINA" interpret --json film.jpg
says() { # FILE OLD NEW: the DICOM film with a word of its header changed for another of the same length
    LC_ALL=C sed "s/$2/$3/" "$ROOT/demo/films/phantom-3.dcm" > "$1"
    cmp -s "$1" "$ROOT/demo/films/phantom-3.dcm" && fail "$1: nothing was changed"
}
says lateral.dcm 'CS\x02\x00PA' 'CS\x02\x00LL'
says hand.dcm 'CHEST ' 'HAND  '
says mirrored.dcm 'L\\F ' 'R\\F '
expect 0 '"side_marker": "L", "mirrored": null' - "$CARINA" interpret --json "$ROOT/demo/films/phantom-3.dcm"
expect 1 - 'lateral.dcm: does not look like a frontal chest film: the file says that it is a lateral view ' "$CARINA" interpret lateral.dcm
expect 1 - 'hand.dcm: does not look like a frontal chest film: the file says that it shows another part ' "$CARINA" interpret hand.dcm
expect 0 '"view": 1, "part": 0, .*"refused": false' 'body part HAND' "$CARINA" interpret --force --json hand.dcm
expect 0 '"mirrored": "seems mirrored: the file.s orientation' 'mirrored.dcm: warning: seems mirrored' "$CARINA" interpret --json mirrored.dcm
if command -v djpeg > /dev/null && command -v cjpeg > /dev/null; then
    djpeg -grayscale -pnm film.jpg > film.pgm
    { head -c 15 film.pgm; tail -c +16 film.pgm | LC_ALL=C tr '\000-\377' "$(printf '\\%03o' $(seq 255 -1 0))"; } > inverted.pgm
    cjpeg -grayscale inverted.pgm > inverted.jpg
    expect 1 - 'inverted.jpg: does not look like a frontal chest film: .*--force' "$CARINA" interpret inverted.jpg
    expect 1 '"accepted": false, .*"reason": ".*"refused": true' '' "$CARINA" interpret --json inverted.jpg film.jpg
    [ "$(wc -l < expect.out)" -eq 2 ] || fail "the film after a refused one was not read"
    expect 0 'refused, but --force' '' "$CARINA" interpret --force inverted.jpg
fi
expect 2 - 'needs FILE' "$CARINA" interpret
finish
