#!/bin/bash
# carina data phantom: options, a set's layout, going on after an interruption, and refusals.
set -u
. "$ROOT/tests/cli/check.bash"

expect 2 '' '--out DIR is missing' "$CARINA" data phantom
expect 2 '' '--size 12: give one side' "$CARINA" data phantom --out a --size 12
expect 2 '' '--split half: give shares' "$CARINA" data phantom --out a --split half
expect 2 '' 'count' "$CARINA" data phantom --out a --count 0
[ -e a ] && fail "a refused command left a folder"

expect 0 '5 synthetic films in set \(5 made now' '' "$CARINA" data phantom --out set --count 5 --seed 8 --size 96x128 \
    --split train=0.5,test=0.5 --dicom
for name in README phantom.json mimic-cxr-2.0.0-{split,metadata,chexpert}.csv \
    silver_dataset/splits/{train,valid,test,images_to_avoid}.csv; do
    [ -s "set/$name" ] || fail "set/$name is missing"
done
grep -qi synthetic set/README || fail "README does not say that the films are synthetic"
[ "$(find set/files -name '*.jpg' | wc -l)" -eq 5 ] || fail "not five films"
[ "$(find set/files -name '*.dcm' | wc -l)" -eq 5 ] || fail "not five DICOM files"
[ "$(find set/files -name '*.txt' | wc -l)" -eq 5 ] || fail "not five reports"
[ "$(find set/masks -name heart.png | wc -l)" -eq 5 ] || fail "not five heart masks"
[ "$(wc -l < set/mimic-cxr-2.0.0-chexpert.csv)" -eq 6 ] || fail "not five rows of labels"
[ "$(cat set/silver_dataset/splits/{train,valid,test}.csv | grep -c files/)" -eq 5 ] || fail "not five rows in the splits"

# A film that is lost (an interrupted run) is made again, the same to the byte; the others are left alone.
cp -r set whole
rm "$(find set/silver_dataset/scene_graph -name '*.json' | head -1)" set/mimic-cxr-2.0.0-split.csv
expect 0 '\(1 made now in .*, 4 already there\)' '' "$CARINA" data phantom --out set --count 5 --seed 8 --size 96x128 \
    --split train=0.5,test=0.5 --dicom
diff -r whole set > difference || fail "the continued set differs: $(head -5 difference)"
rm "$(find set/files -name '*.jpg' | head -1)"
expect 0 '\(1 made now in .*, 4 already there\)' '' "$CARINA" data phantom --out set --count 5 --seed 8 --size 96x128 \
    --split train=0.5,test=0.5 --dicom
diff -r whole set > difference || fail "a lost picture is not made again: $(head -5 difference)"

# Films that are there already are no speed; progress is shown on terminals.
again="'$CARINA' data phantom --out set --count 5 --seed 8 --size 96x128 --split train=0.5,test=0.5 --dicom"
expect 0 '5/5  0 films/s  \? left' '' script -qec "$again" /dev/null

expect 0 '"films": 2, "rendered": 2, "found": 0' '' "$CARINA" data phantom --out part --start 3 --count 2 --seed 8 \
    --size 96x128 --json --no-masks --threads 1
film=$(cd part && find files -name '*.jpg' | head -1)
cmp -s "part/$film" "whole/$film" || fail "film of a part differs from the same film of the whole"
[ -e part/masks ] && fail "--no-masks wrote masks"

expect 1 '' 'set: holds 5 films, and --count 4 would leave' "$CARINA" data phantom --out set --count 4 --seed 8 \
    --size 96x128 --split train=0.5,test=0.5 --dicom
diff -r whole set > difference || fail "a smaller count changed the set: $(head -5 difference)"

expect 1 '' 'seed: the folder holds a set with 8, wanted is 9; choose another folder' "$CARINA" data phantom --out set \
    --count 5 --seed 9 --size 96x128 --dicom
# Films that an interrupted run has made are no fewer.
rm set/mimic-cxr-2.0.0-split.csv
expect 1 '' 'count: the folder holds a set of 5 films, and --count 4 would leave' "$CARINA" data phantom --out set --count 4 \
    --seed 8 --size 96x128 --split train=0.5,test=0.5 --dicom
# Films kept for measuring stay that; sets of earlier versions do not say what they are.
expect 1 '' 'split: the folder holds a set with train=0.5,valid=0,test=0.5, wanted is train=1,valid=0,test=0; choose' \
    "$CARINA" data phantom --out set --count 5 --seed 8 --size 96x128 --dicom --split train=2
sed -i '/"split"/d; /"count"/d; /"masks"/s/,//' set/phantom.json
expect 0 '' '' "$CARINA" data phantom --out set --count 5 --seed 8 --size 96x128 --dicom --split train=0.5,test=0.5
echo '{"seed": ' > set/phantom.json
expect 1 '' 'phantom.json' "$CARINA" data phantom --out set --count 5 --seed 8 --size 96x128 --dicom
# The tables of a set of patients are not written over.
for table in mimic-cxr-2.0.0-split.csv silver_dataset/splits/train.csv README; do
    mkdir -p "other/$(dirname $table)" && echo mine > "other/$table"
    expect 1 - "other: holds $table, but no phantom.json" "$CARINA" data phantom --out other --count 1 --size 64
    [ "$(cat "other/$table")" = mine ] && [ "$(find other -type f | wc -l)" -eq 1 ] || fail "a foreign set was written over"
    rm -r other
done
: > file
expect 1 '' 'file' "$CARINA" data phantom --out file --count 1 --size 64

finish
