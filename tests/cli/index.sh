#!/bin/bash
# carina index: sentences of phantoms and of a hand-made Chest ImaGenome folder, a database from imported embeddings,
# info, query, and everything that is refused.
set -u
. "$ROOT/tests/cli/check.bash"
"$(dirname "$CARINA")/tests/make_model" tiny.safetensors || fail "no model"
make="$CARINA index build -q -m ./tiny.safetensors"

# A model, or whatever else is no database, is not written over.
cp tiny.safetensors kept.safetensors
expect 1 '' 'tiny.safetensors: exists and is no sentence database' $make -o tiny.safetensors --embeddings x.npy --sentences x.txt chest_imagenome=films
cmp -s tiny.safetensors kept.safetensors || fail "the model was written over"

# Row i of the embeddings: the digits of i in base 4 as 1, 2, 0.5 and -1, sixteen of them: no two rows alike.
npy() { # ROWS FIRST-ROW SHAPE
    local header="{'descr': '<f4', 'fortran_order': False, 'shape': $3, }" row digit
    local values=('\x00\x00\x80\x3f' '\x00\x00\x00\x40' '\x00\x00\x00\x3f' '\x00\x00\x80\xbf')
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "$header"
    for ((row = $2; row < $1 + $2; row++)); do
        for ((digit = 0; digit < 16; digit++)); do printf "${values[$(((row >> (2 * digit)) & 3))]}"; done
    done
}

# ---- sentences
expect 0 '' '' "$CARINA" data phantom --count 30 --seed 3 --size 64 --no-masks --out set --split train=0.6,valid=0.2,test=0.2
fixture=chest_imagenome=$ROOT/tests/data/imagenome
expect 0 '^trachea +1  Trachea and Main Bronchus shows endotracheal tube\.$' '' "$CARINA" index sentences -q "$fixture"
expect 0 '"region": "svc", "films": 1, "first": "train/00000000-.*shows ij line and picc' '' "$CARINA" index sentences -q --json "$fixture"
expect 0 '^Left lung is healthy\.$' '' "$CARINA" index sentences -q --plain chest_imagenome=set
cp expect.out sentences.txt
rows=$(wc -l < sentences.txt)
expect 2 '' 'chest_imagenome=set is given twice' "$CARINA" index sentences -q chest_imagenome=set chest_imagenome=set
[ "$rows" -gt 40 ] || fail "only $rows sentences"
[ "$(sort sentences.txt | uniq -d | wc -l)" -eq 0 ] || fail "a sentence is listed twice"
expect 0 '' '' "$CARINA" index sentences -q --plain --threads 1 chest_imagenome=set
cmp -s sentences.txt expect.out || fail "one thread lists other sentences"

# ---- build
npy "$rows" 0 "($rows, 16)" > vectors.npy
expect 0 "^set.db: $rows sentences of 36 regions from [0-9]+ films" '' $make -o set.db --embeddings vectors.npy --sentences sentences.txt chest_imagenome=set
expect 0 "\"sentences\": $rows," '' $make --json -o again.db --embeddings vectors.npy --sentences sentences.txt chest_imagenome=set
cmp -s set.db again.db || fail "the same sentences make another file"
[ "$(ls | grep -c tmp-)" -eq 0 ] || fail "temporary files are left: $(ls)"

# With a text encoder: a sentence's own vector finds it, and the database is the encoder's and the model's alone.
bert=$ROOT/tests/data/bert
expect 0 "$rows sentences" '' $make -o bert.db --text-encoder "$bert" chest_imagenome=set
cp bert.db first.db
expect 0 "$rows sentences" '' $make -o bert.db --threads 1 --text-encoder "$bert" chest_imagenome=set
cmp -s bert.db first.db || fail "the number of threads makes another file"
sentence='Superior mediastinum is healthy.'
echo "$sentence" | "$CARINA" text encode -m "$bert" --projected -o one.npy 2> /dev/null || fail "text encode"
expect 0 "^   1   1\.00000 .* $sentence\$" '' "$CARINA" index query bert.db -r 'upper mediastinum' --vector one.npy
expect 1 - 'no tensor project_head.proj.0.weight' $make -o no.db --text-encoder "$bert" --projector tiny.safetensors chest_imagenome=set
expect 2 - 'either --text-encoder DIR, or --embeddings' $make -o no.db --text-encoder "$bert" --embeddings vectors.npy --sentences sentences.txt chest_imagenome=set
expect 2 - 'either --text-encoder DIR, or --embeddings' $make -o no.db --embeddings vectors.npy chest_imagenome=set
expect 2 - '--projector is for --text-encoder' $make -o no.db --embeddings vectors.npy --sentences sentences.txt --projector x chest_imagenome=set
expect 2 - '--encoder-name is for --embeddings' $make -o no.db --text-encoder "$bert" --encoder-name x chest_imagenome=set

# ---- info and query
expect 0 '^text encoder  imported-[0-9a-f]{16} vectors.npy$' '' "$CARINA" index info set.db
expect 0 '"model_fingerprint": "[0-9a-f]{16}",' '' "$CARINA" index info --json -m ./tiny.safetensors set.db
number=$(grep -n '^Left lung is healthy' sentences.txt | cut -d: -f1)
npy 1 $((number - 1)) '(16,)' > one.npy
expect 0 '^   1   1\.00000 +[0-9]+  Left lung is healthy\.$' '' "$CARINA" index query set.db -r 'left lung' --vector one.npy -k 2
[ "$(wc -l < expect.out)" -eq 3 ] || fail "not two sentences: $(cat expect.out)"
expect 0 '"similarity": (1|0\.99999[0-9]+|1\.000000[0-9]), "sentence": "Left lung is healthy\.", "films": [0-9]+, "first": "train/' '' "$CARINA" index query set.db -r 11 --vector one.npy --json
npy 36 0 '(36, 16)' > all.npy
expect 0 '^right costophrenic angle$' '' "$CARINA" index query set.db --vector all.npy

# ---- what a model finds in it; figures from kept predictions are the same
eval="$CARINA eval retrieval -q --resamples 20"
expect 0 '^exact, healthy regions ' '' $eval -m ./tiny.safetensors -d bert.db --own-split-only --predictions kept.jsonl --json run.json chest_imagenome=set
sed 1d expect.out > run.txt
expect 0 '^left lung .* [0-9]+ ' '' $eval --from kept.jsonl --json kept.json
sed 1d expect.out | cmp -s run.txt - || fail "kept predictions give other figures"
[ "$(sed 2d run.json)" = "$(sed 2d kept.json)" ] || fail "kept predictions give other JSON"
expect 0 '' '' $eval -m ./tiny.safetensors -d bert.db --own-split-only --batch 3 --threads 1 --predictions again.jsonl chest_imagenome=set
cmp -s kept.jsonl again.jsonl || fail "batch or threads change what is retrieved"

# What is measured is what interpret says, also of a model that reads each film together with its mirror image.
expect 0 '' '' "$CARINA" model import ./tiny.safetensors --mirror-mean --out both.safetensors
expect 0 '' '' $eval -m ./both.safetensors -d bert.db --own-split-only --limit 1 --predictions both.jsonl chest_imagenome=set
film=$(sed -n 's/^{"film": "\([^"]*\)".*/\1/p' both.jsonl | head -n 1)
"$CARINA" interpret --force --json -m ./both.safetensors -d bert.db "$(find set -name "$film.jpg")" > film.json 2> /dev/null
sed 's/.*"region": "\([^"]*\)".*"retrieved": "\([^"]*\)", "similarity": \([-0-9.e]*\).*/\1: \2\t\3/; 1d' both.jsonl > measured.txt
sed 's/{"id"/\n&/g' film.json | sed -n 's/.*"name": "\([^"]*\)", "box".*"sentence": "\([^"]*\)", "similarity": \([-0-9.e]*\).*/\1: \2\t\3/p' > said.txt
[ "$(wc -l < measured.txt)" -gt 20 ] || fail "the film has only $(wc -l < measured.txt) regions"
same=$(awk -F '\t' 'NR == FNR { said[$1] = $2; next } ($1 in said) && (said[$1] - $2) ^ 2 < 1e-8 { same++ } END { print same + 0 }' said.txt measured.txt)
[ "$same" -eq "$(wc -l < measured.txt)" ] || fail "interpret says the same of $same regions of $(wc -l < measured.txt)"

expect 1 - 'made with another model' env CARINA_MODELS="$ROOT/models" $eval -d bert.db chest_imagenome=set
expect 1 - 'no sentence database lies beside it; give one with --database' $eval -m ./tiny.safetensors chest_imagenome=set
expect 2 - 'needs one TYPE=PATH, or --from FILE' $eval
expect 2 - '--from reads a file alone' $eval --from kept.jsonl chest_imagenome=set
expect 2 - '--from reads a file alone' $eval --from kept.jsonl -m ./tiny.safetensors
expect 1 - 'set.db:1' $eval --from set.db
head -n 1 kept.jsonl > none.jsonl
expect 1 - 'no predictions in it' $eval --from none.jsonl
(cat none.jsonl; echo '{"film": "a", "patient": "b", "region": "elbow", "sentence": "x", "rank": 1}') > elbow.jsonl
expect 1 - 'elbow.jsonl:2: region: no region "elbow"' $eval --from elbow.jsonl

# ---- refused, with one line that says why
for split in valid test all; do
    expect 2 - "--allow-split $split takes them" $make -o no.db --split $split --embeddings vectors.npy --sentences sentences.txt chest_imagenome=set
done
expect 2 - '--allow-split test takes' $make -o no.db --split test --allow-split valid --embeddings vectors.npy --sentences sentences.txt chest_imagenome=set
expect 2 - 'allow-split' "$CARINA" index sentences --split test chest_imagenome=set
expect 0 'is healthy' '' "$CARINA" index sentences -q --split test --allow-split test chest_imagenome=set
expect 2 - 'unknown split' "$CARINA" index sentences --split trial chest_imagenome=set
expect 2 - 'expected TYPE=PATH' "$CARINA" index sentences set
expect 2 - '--out FILE is required' $make --embeddings vectors.npy --sentences sentences.txt chest_imagenome=set
expect 2 - '--embeddings' $make -o no.db chest_imagenome=set
expect 1 - 'says nothing of its regions' "$CARINA" index sentences -q nih_boxes=set
head -n 5 sentences.txt > few.txt
expect 1 - "few.txt has 5 lines, vectors.npy has $rows rows" $make -o no.db --embeddings vectors.npy --sentences few.txt chest_imagenome=set
npy 5 0 '(5, 16)' > few.npy
expect 1 - 'few.txt: no line "' $make -o no.db --embeddings few.npy --sentences few.txt chest_imagenome=set
npy 5 0 '(10, 8)' > narrow.npy
head -n 10 sentences.txt > ten.txt
expect 1 - 'embeddings of 8 numbers, but the model' $make -o no.db --embeddings narrow.npy --sentences ten.txt chest_imagenome=set
(head -n 4 sentences.txt; echo) > blank.txt
expect 1 - 'blank.txt: line 5 is empty' $make -o no.db --embeddings few.npy --sentences blank.txt chest_imagenome=set
(head -n 4 sentences.txt; head -n 1 sentences.txt) > twice.txt
expect 1 - 'lines 1 and 5 are the same sentence' $make -o no.db --embeddings few.npy --sentences twice.txt chest_imagenome=set
printf 'caf\351\n' > latin.txt
expect 1 - 'not UTF-8' $make -o no.db --embeddings few.npy --sentences latin.txt chest_imagenome=set
expect 1 - 'cannot write' $make -o /nonexistent/no.db --embeddings vectors.npy --sentences sentences.txt chest_imagenome=set
[ ! -e no.db ] || fail "a refused build left a database"

expect 1 - 'did you mean "left lung"' "$CARINA" index query set.db -r 'left lang' --vector one.npy
expect 1 - 'regions 0 to 35' "$CARINA" index query set.db -r 36 --vector one.npy
expect 1 - '1 vectors for 36 regions' "$CARINA" index query set.db --vector one.npy
expect 1 - 'have 16 numbers' "$CARINA" index query set.db -r 1 --vector narrow.npy
expect 2 - '--vector FILE.npy is required' "$CARINA" index query set.db
expect 2 - 'results' "$CARINA" index query set.db -k 0 --vector one.npy
expect 1 - 'not a SQLite file' "$CARINA" index info sentences.txt
expect 1 - 'No such file' "$CARINA" index info missing.db
mkdir folder
expect 1 - 'folder' "$CARINA" index info folder
head -c 30000 set.db > cut.db
expect 1 - 'cut.db: damaged sentence database' "$CARINA" index info cut.db
finish
