#!/bin/bash
# carina eval opacity: films that radiologists read for lung opacity, by a hand-made set of phantoms and by the real
# films; kept predictions, and what is refused.
set -u
. "$ROOT/tests/cli/check.bash"
"$(dirname "$CARINA")/tests/make_model" tiny.safetensors || fail "no model"
"$CARINA" data phantom --count 20 --seed 3 --size 64 --no-masks --out films --split train=1,valid=0,test=0 > /dev/null 2>&1 || fail "no films"
expect 0 'sentences of 36 regions' '' "$CARINA" index build -q -m ./tiny.safetensors -o tiny.db --text-encoder "$ROOT/tests/data/bert" chest_imagenome=films

# Two films a patient; every third film is not read, of the others those with odd numbers are read as opaque.
mkdir -p nih/images
echo '{"frame": 64, "images": []}' > nih/anatomy-boxes.json
number=0
for film in $(find films -name '*.jpg' | sort); do
    cp "$film" nih/images/$number.png
    reading=$((number % 2))
    [ $((number % 3)) -eq 2 ] && reading=null
    echo "{\"image\": \"$number.png\", \"patient\": \"$((number / 2))\", \"rsna_target\": $reading}"
    number=$((number + 1))
done > films.txt
annotations() { echo "{\"images\": [$(sed '$!s/$/,/' films.txt)]}" > nih/annotations.json; }
annotations
set=nih_films=nih
run="$CARINA eval opacity -q --resamples 20 -m ./tiny.safetensors"

# ---- figures
expect 0 '^nih_films=nih: 14 films of 10 patients' '' $run -d tiny.db --predictions kept.jsonl --json run.json $set
cp expect.out run.txt
grep -qE '^with opacity +7 films of 7 patients$' run.txt || fail "films with opacity: $(cat run.txt)"
grep -qE '^without +7 films of 7 patients$' run.txt || fail "films without: $(cat run.txt)"
grep -qE '^not read +6 films, left out$' run.txt || fail "films not read: $(cat run.txt)"
grep -qE '^film +[01]\.[0-9]{3}  [01]\.[0-9]{3} - [01]\.[0-9]{3} ' run.txt || fail "no AUC with its interval"
grep -qE '^constant guess +0\.500$' run.txt || fail "no constant guess"
grep -qE '^right lower lung zone +[01]\.[0-9]{3} ' run.txt || fail "no region alone"
grep -qE '^  "auc": [01]' run.json && grep -qE '^  "constant_auc": 0.5,$' run.json || fail "no AUC in the JSON"
[ "$(wc -l < kept.jsonl)" -eq 15 ] || fail "kept: $(wc -l < kept.jsonl) lines for 14 films"
grep -qE '^\{"carina": "opacity-1", "model": "tiny", "model_fingerprint": "[0-9a-f]{16}", "database": "tiny.db", "database_fingerprint": "[0-9a-f]{16}", ' kept.jsonl ||
    fail "kept predictions do not say what made them"
"$CARINA" interpret --force --json -m ./tiny.safetensors -d tiny.db nih/images/0.png > film.json 2> /dev/null
nearest=$(grep '"film": "0"' kept.jsonl | grep -oE 'Right lung (is|shows)[^"]*')
grep -qF "\"$nearest\"" film.json || fail "interpret does not say \"$nearest\""
expect 0 '' '' $run -d tiny.db --threads 1 $set
cmp -s expect.out run.txt || fail "the number of threads changes the figures"

# ---- kept predictions give the same figures without the model
from="$CARINA eval opacity --resamples 20 --from"
expect 0 '' '' $from kept.jsonl --json kept.json
cmp -s expect.out run.txt || fail "kept predictions give other figures"
cmp -s kept.json run.json || fail "kept predictions give other JSON"
grep -q '"ranking": "cosine", "prior_weight": 0, ' kept.jsonl || fail "kept predictions do not say what ranked"
grep -q '^Sentences are ranked by cosine\.$' run.txt || fail "the table does not say what ranked"
expect 2 - '--from reads a file alone' $run --from kept.jsonl
expect 2 - '--from reads a file alone' $from kept.jsonl $set
head -n 1 kept.jsonl > none.jsonl
expect 1 - 'none.jsonl: no predictions in it' $from none.jsonl
(cat none.jsonl; sed -n 2p kept.jsonl | sed 's/"seen": ./"seen": 2/') > odd.jsonl
expect 1 - 'odd.jsonl:2: seen: ' $from odd.jsonl
(cat none.jsonl; sed -n 2p kept.jsonl | sed 's/"shown": \[[^,]*,/"shown": [1.5,/') > odd.jsonl
expect 1 - 'odd.jsonl:2: shown: 1.5 is out of range' $from odd.jsonl
sed 's/opacity-1/opacity-9/' kept.jsonl > odd.jsonl
expect 1 - 'odd.jsonl:1: carina: "opacity-9", this version reads opacity-1' $from odd.jsonl

# ---- refused
expect 1 - 'tiny.db: .*made with another model' env CARINA_MODELS="$ROOT/models" "$CARINA" eval opacity -q -d tiny.db $set
expect 1 - 'missing.db' $run -d missing.db $set
expect 1 - 'tiny.safetensors: exists and is no JSON file; give another --predictions' $run -d tiny.db --predictions tiny.safetensors $set
expect 1 - 'kept.jsonl: is read by this command; give another --json' $from kept.jsonl --json kept.jsonl
expect 1 - 'no sentence database lies beside it' $run $set
expect 2 - 'needs one TYPE=PATH' $run -d tiny.db
expect 2 - 'nobody has read films of type chest_imagenome for lung opacity' $run -d tiny.db chest_imagenome=films
expect 2 - 'unknown data set type' $run -d tiny.db nih=nih
sed -i 's/"rsna_target": [01]/"rsna_target": null/' films.txt && annotations
expect 1 - 'nobody has read any of these 20 films for lung opacity' $run -d tiny.db --predictions no.jsonl $set
[ ! -e no.jsonl ] || fail "predictions of no film are left"
sed -i '1s/"rsna_target": null/"rsna_target": "yes"/' films.txt && annotations
expect 1 - 'annotations.json: images\[0\].rsna_target: ' $run -d tiny.db $set

# ---- real films
if [ -d "$SHARED/data/nih" ]; then
    expect 0 '^not read +186 films, left out$' '' $run -d tiny.db "nih_films=$SHARED/data/nih"
    grep -qE '^with opacity +30 films of 26 patients$' expect.out || fail "real films with opacity: $(cat expect.out)"
    grep -qE '^without +65 films of 61 patients$' expect.out || fail "real films without: $(cat expect.out)"
else
    echo "skipped: shared data not found"
fi
finish
