#!/bin/bash
# carina eval labels and carina eval calibrate: figures of image labels, a calibration that goes into the model file and
# is used by interpret, and the films that are not for fitting.
set -u
. "$ROOT/tests/cli/check.bash"
"$(dirname "$CARINA")/tests/make_model" tiny.safetensors || fail "no model"
"$CARINA" data phantom --count 40 --seed 3 --size 64 --no-masks --out set --split train=0.05,valid=0.9,test=0.05 \
    > /dev/null 2>&1 || fail "no films"
set=chest_imagenome=set
labels="$CARINA eval labels -q --resamples 20 -m ./tiny.safetensors"
fit="$CARINA eval calibrate -q --resamples 20 -m ./tiny.safetensors --least 3"

# ---- figures
expect 0 '^Support Devices +[0-9]+ +[0-9]+ +[01]\.[0-9]{3} +[0-9.]+ - [0-9.]+ ' '' $labels --split valid --json valid.json $set
cp expect.out valid.txt
films=$(grep -oE '^chest_imagenome=set: [0-9]+ films' valid.txt | grep -oE '[0-9]+')
[ "$films" -gt 30 ] || fail "$films validation films"
grep -q 'The model is not calibrated' valid.txt || fail "nothing about calibration"
grep -q '"calibrated": false,' valid.json || fail "nothing about calibration in the JSON"
[ "$(grep -c '"name": ' valid.json)" -eq 14 ] || fail "not 14 labels in the JSON"
expect 0 '' '' $labels --split valid --threads 1 $set
cmp -s expect.out valid.txt || fail "the number of threads changes the figures"

# Kept predictions give the same figures without the model.
expect 0 '' '' $labels --split valid --predictions kept.jsonl $set
[ "$(wc -l < kept.jsonl)" -eq $((films + 1)) ] || fail "kept: $(wc -l < kept.jsonl) lines for $films films"
expect 0 '' '' "$CARINA" eval labels --resamples 20 --from kept.jsonl --json kept.json
cmp -s expect.out valid.txt || fail "kept predictions give other figures"
cmp -s kept.json <(sed 's/"model": ".*"/"model": "tiny"/' valid.json) || fail "kept predictions give other JSON"
expect 2 - '--from reads a file alone' $labels --from kept.jsonl
expect 2 - '--from reads a file alone' "$CARINA" eval labels --from kept.jsonl $set
kept="$CARINA eval labels"
expect 2 - 'needs TYPE=PATH, or --from FILE' $labels
expect 2 - 'keeps those of one TYPE=PATH' $labels --predictions both.jsonl $set $set
head -n 1 kept.jsonl > none.jsonl
expect 1 - 'none.jsonl: no predictions in it' $kept --from none.jsonl
(cat none.jsonl; sed -n 2p kept.jsonl | sed 's/"truths": \[[^,]*/"truths": [2/') > odd.jsonl
expect 1 - 'odd.jsonl:2: truths: entry 0 is not 1, 0 or null' $kept --from odd.jsonl
(cat none.jsonl; sed -n 2p kept.jsonl | sed 's/"logits": \[[^,]*,/"logits": [/') > odd.jsonl
expect 1 - 'odd.jsonl:2: logits: ' $kept --from odd.jsonl
expect 1 - 'valid.json:1:1: not valid JSON' $kept --from valid.json

# What the table counts is what the CSV says: 1 positive, blank and 0 negative, -1 left out unless wanted.
column=$(head -n 1 set/mimic-cxr-2.0.0-chexpert.csv | tr ',' '\n' | grep -n '^Pleural Effusion$' | cut -d: -f1)
counts=$(awk -F, -v c="$column" 'NR > 1 { if ($c == "") b++; else if ($c < 0) u++; else if ($c > 0) p++; else n++ }
    END { print p + 0, n + 0, b + 0, u + 0 }' set/mimic-cxr-2.0.0-chexpert.csv)
read -r positive negative blank uncertain <<< "$counts"
line() { grep '^Pleural Effusion ' expect.out | awk '{ print $3, $4 }'; }
expect 0 '' '' $labels --split all $set
[ "$(line)" = "$((positive + negative + blank)) $positive" ] || fail "counts $(line), the file has $counts"
expect 0 '' '' $labels --split all --uncertain 1 --not-mentioned mask $set
[ "$(line)" = "$((positive + negative + uncertain)) $((positive + uncertain))" ] || fail "counts $(line), the file has $counts"

# ---- a calibration
expect 0 '^new.safetensors$' '' $fit --out new.safetensors --json fit.json $set
grep -qE '^Not calibrated, (too few films with it|the model does not tell it): [A-Z]' expect.out || fail "no label is named as uncalibrated"
grep -q '"fitted_on_this_set": true' fit.json || fail "the JSON does not say what was fitted on"
expect 0 "\"calibration\": \".*valid, $films films" '' "$CARINA" model info --json ./new.safetensors
expect 0 '^  "calibrated": true,$' '' "$CARINA" model info --json ./new.safetensors
expect 0 '^  "calibrated": false,$' '' "$CARINA" model info --json ./tiny.safetensors
expect 0 "^calibrated  on chest_imagenome=set valid, $films films\$" '' "$CARINA" model info ./new.safetensors
expect 0 '^calibrated  no$' '' "$CARINA" model info ./tiny.safetensors
info() { "$CARINA" model info --json "$1" | sed 1,2d | grep -vE '"calibrat(ed|ion)"'; }
info ./tiny.safetensors > before.json
info ./new.safetensors > after.json
diff <(tr -d , < before.json) <(tr -d , < after.json) > difference || fail "other metadata changed: $(cat difference)"
expect 0 '' '' $fit --threads 1 --out again.safetensors $set
cmp -s new.safetensors again.safetensors || fail "the same films make another file"
cp new.safetensors in-place.safetensors
expect 0 '' '' "$CARINA" eval calibrate -q --resamples 0 -m ./in-place.safetensors --least 3 --out in-place.safetensors $set
cmp -s new.safetensors in-place.safetensors || fail "fitting a fitted model gives another one"
[ "$(ls | grep -c tmp-)" -eq 0 ] || fail "temporary files are left: $(ls)"
expect 0 "^calibrated on chest_imagenome=set valid, $films films\$" '' "$CARINA" eval labels -q --resamples 0 -m ./new.safetensors --split valid $set
grep -q '^Not calibrated: [A-Z]' expect.out || fail "no label is named as uncalibrated"

expect 0 '' '' "$CARINA" eval labels -q --resamples 0 -m ./new.safetensors --split valid --predictions new.jsonl $set
cp expect.out new.txt
expect 0 '' '' "$CARINA" eval labels --resamples 0 --from new.jsonl
cmp -s expect.out new.txt || fail "kept predictions forget the calibration"

cp "$ROOT/demo/films/phantom-2.jpg" film.jpg
expect 0 '"calibrated": true, "findings"' '' "$CARINA" interpret -m ./new.safetensors --force --json film.jpg
grep -q '"calibrated": true}' expect.out && grep -q '"calibrated": false}' expect.out || fail "findings do not say which are calibrated"
expect 0 '^Image findings, calibrated on' '' "$CARINA" interpret -m ./new.safetensors --force film.jpg
grep -q '(not calibrated)$' expect.out || fail "the table does not say which are not calibrated"
expect 0 '' '' "$CARINA" interpret -m ./new.safetensors --force --html pages film.jpg
grep -q '<small>(not calibrated)</small>' pages/film.html || fail "the page does not say which are not calibrated"

# ---- how sentences are ranked: fitted beside the labels with a database, kept without one
bert=$ROOT/tests/data/bert
"$CARINA" index build -q -m ./tiny.safetensors -o tiny.db --text-encoder "$bert" --split all --allow-split all $set > /dev/null || fail "no database"
expect 0 '^by cosine +[01]\.[0-9]{3} +[01]\.[0-9]{3} +[0-9.n-]+$' '' $fit -d tiny.db --out ranked.safetensors --json ranked.json $set
grep -qE '^sentences: [0-9]+ regions, [0-9]+ with findings; of [0-9]+ the database has the true sentence$' expect.out || fail "no count of regions"
grep -qE '^always healthy +[01]\.[0-9]{3} +0\.000 +0\.000$' expect.out || fail "nothing beside it"
grep -qE '^temperature [0-9.]+, prior exponent [0-9.]+: ranked by cosine \+ [0-9.]+ log prior$' expect.out || fail "nothing fitted: $(tail -n 12 expect.out)"
grep -qE '"cosine_exact": \{"all": [0-9.]+, "with_finding": [0-9.]+, "finding_f1": [0-9.]+\},' ranked.json || fail "no sentences in the JSON"
expect 0 '' '' $fit -d tiny.db --threads 1 --out again.safetensors $set
cmp -s ranked.safetensors again.safetensors || fail "the number of threads makes another calibration"
expect 0 '^  "sentences_calibrated": true,$' '' "$CARINA" model info --json ./ranked.safetensors
expect 0 '^  "sentences_calibrated": false,$' '' "$CARINA" model info --json ./new.safetensors
expect 0 "^sentences calibrated  temperature [0-9.]+, prior exponent [0-9.]+, on chest_imagenome=set valid, $films films\$" '' "$CARINA" model info ./ranked.safetensors
expect 0 '' '' "$CARINA" eval calibrate -q --resamples 0 -m ./ranked.safetensors --least 3 --out kept.safetensors $set
cmp -s ranked.safetensors kept.safetensors || fail "fitting labels alone loses how sentences are ranked"
expect 1 'Sentences are not calibrated: too few regions' 'no label and no sentence could be fitted' $fit -d tiny.db --least 100000 --out no.safetensors $set
expect 2 - '--database is for films whose reports' $fit -d tiny.db --split all --allow-split all --out no.safetensors nih_films=set
expect 2 - '--allow-split test takes them' $fit -d tiny.db --split test --out no.safetensors $set
expect 1 - 'made with another model' env CARINA_MODELS="$ROOT/models" "$CARINA" eval calibrate -q -d tiny.db --out no.safetensors $set
expect 1 - 'tiny.db' $fit -d tiny.db --json tiny.db --out no.safetensors $set

# It ranks; --cosine and a model without it do not.
model="-m ./ranked.safetensors -d tiny.db"
expect 0 '^ id  region +prob\. cosine ' '' "$CARINA" interpret $model --force --top 2 --html ranked film.jpg
grep -qE '^sentences ranked by (probability|what saying them is worth \(not by probability\)), calibrated on$' expect.out || fail "the table does not say what ranked"
[ "$(awk '{ if (length > 100) print }' expect.out | wc -l)" -eq 0 ] || fail "lines are too wide"
grep -qE '<small>[0-9.]+ % \(-?[0-9.]+\)</small>' ranked/film.html || fail "no probabilities in the page"
expect 0 '"sentence_ranking": \{"by": "calibrated", "temperature": [0-9.e-]+, "prior_exponent": [0-9.]+, "healthy_discount": [0-9.]+, "finding_worth": [0-9.]+\}' '' "$CARINA" interpret $model --force --json --top 1024 film.jpg
grep -oE '"similarity": -?[0-9.]+, "probability": [0-9.e-]+' expect.out | awk '{ sum += $4 } END { exit !(sum > 35.5 && sum < 36.5) }' ||
    fail "the probabilities of 36 regions do not add up"
expect 0 '"sentence_ranking": \{"by": "cosine"\}' '' "$CARINA" interpret $model --force --json --cosine film.jpg
grep -q '"probability": [0-9.e-]*, "seen"' expect.out && fail "--cosine gives probabilities"
"$CARINA" interpret -m ./tiny.safetensors -d tiny.db --force --json film.jpg > plain.json 2> /dev/null
grep -q '"sentence_ranking": {"by": "cosine", "reason": "the model.s sentences are not calibrated"}' plain.json || fail "a model without it does not say so"
regions() { grep -oE '"regions": .*' "$1"; }
[ "$(regions expect.out)" = "$(regions plain.json)" ] || fail "--cosine is not what a model without a calibration gives"
retrieval="$CARINA eval retrieval -q --resamples 0 --own-split-only --split valid -d tiny.db"
expect 0 '^ranked by cosine \+ [0-9.e-]+ log prior(, .*)?$' - $retrieval -m ./ranked.safetensors --predictions r.jsonl $set
grep -qE '"ranking": "calibrated", "prior_weight": 0*[0-9.e-]+, "healthy_discount": [0-9.e-]+, "finding_worth": [0-9.e-]+\}$' r.jsonl || fail "kept predictions do not say what ranked: $(head -n 1 r.jsonl)"
sed 1d expect.out > r.txt
expect 0 '' '' "$CARINA" eval retrieval --resamples 0 --from r.jsonl
sed 1d expect.out | cmp -s r.txt - || fail "kept predictions forget what ranked"
expect 0 '^ranked by cosine$' - $retrieval -m ./ranked.safetensors --cosine $set
cp expect.out cosine.txt
expect 0 '^ranked by cosine$' 'sentences are not calibrated: they are ranked by cosine' $retrieval -m ./tiny.safetensors $set
cmp -s expect.out cosine.txt || fail "--cosine is not what a model without a calibration gives"
head -n 2 r.jsonl | sed '1s/, "ranking": "calibrated", "prior_weight": [^}]*//' > old.jsonl
expect 0 '^ranked by cosine$' '' "$CARINA" eval retrieval --resamples 0 --from old.jsonl
head -n 2 r.jsonl | sed '1s/"prior_weight": [^,]*/"prior_weight": -1/' > odd.jsonl
expect 1 - 'odd.jsonl:1: prior_weight: -1 is out of range' "$CARINA" eval retrieval --from odd.jsonl
echo 'Left lung is healthy.' | "$CARINA" text encode -m "$bert" --projected -o one.npy 2> /dev/null
query="$CARINA index query tiny.db -r 11 --vector one.npy"
expect 0 '^   1  [01]\.[0-9]{5}  ' - $query -m ./ranked.safetensors
expect 0 '"score": -?[0-9.]+, "probability": [0-9.e-]+, ' - $query -m ./ranked.safetensors --json
expect 0 '^   1   1\.00000 .* Left lung is healthy\.$' - $query -m ./ranked.safetensors --cosine
expect 0 '^   1   1\.00000 .* Left lung is healthy\.$' 'not calibrated' $query -m ./tiny.safetensors
expect 0 '^   1   1\.00000 .* Left lung is healthy\.$' - $query

# ---- refused
for split in train test all; do
    expect 2 - "--allow-split $split takes them" $fit --split $split --out no.safetensors $set
done
expect 2 - '--allow-split test takes' $fit --split test --allow-split train --out no.safetensors $set
expect 2 - 'nih_films has no validation split' $fit --out no.safetensors nih_films=set
expect 2 - 'unknown split' $fit --split trial --out no.safetensors $set
expect 2 - '--out FILE is required' $fit $set
expect 2 - 'unknown data set type' $fit --out no.safetensors chest=set
expect 2 - 'expected TYPE=PATH' $labels set
expect 2 - 'outside' $fit --least 0 --out no.safetensors $set
expect 1 'Not calibrated, too few films with it: ' 'no label could be fitted .* no.safetensors is not written' $fit --least 1000 --out no.safetensors $set
expect 1 '' 'cannot write' $fit --out /nonexistent/no.safetensors $set
expect 1 - 'missing' $labels chest_imagenome=missing
[ ! -e no.safetensors ] || fail "a refused fit left a model"
expect 0 'new.safetensors' '' $fit --split all --allow-split all --out new.safetensors $set
finish
