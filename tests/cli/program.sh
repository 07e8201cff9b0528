#!/bin/bash
# The program itself: help of every command, version, completion, doctor, usage errors and exit status.
set -u
. "$ROOT/tests/cli/check.bash"

expect 0 'carina 0\.' '' "$CARINA" --version
expect 0 '"commit": "' '' "$CARINA" version --json
expect 0 'not a medical device' '' "$CARINA" help
expect 0 'not a medical device' '' "$CARINA" --help
expect 2 '' 'which command' "$CARINA"
expect 2 '' "did you mean 'doctor'" "$CARINA" docter
expect 2 '' "unknown command 'xyzzy'; .carina help. lists" "$CARINA" xyzzy
expect 2 '' 'did you mean --json' "$CARINA" doctor --jsno
expect 2 '' "unexpected argument 'film.png'" "$CARINA" doctor film.png
expect 2 '' 'CARINA_MAX_ISA is .avx1024.' env CARINA_MAX_ISA=avx1024 "$CARINA" --version
expect 0 'using generic' '' env CARINA_MAX_ISA=generic "$CARINA" --version
expect 2 '' 'not one of bash, zsh, fish' "$CARINA" completion tcsh

# Every command explains itself, with examples, in both ways.
"$CARINA" help | sed -n '/^Commands:/,/^$/s/^  \([a-z]* \{0,1\}[a-z]*\)  .*/\1/p' > commands.txt
[ "$(wc -l < commands.txt)" -ge 4 ] || fail "the list of commands is too short: $(cat commands.txt)"
while read -r command; do
    expect 0 "Usage: carina $command " '' "$CARINA" $command --help
    expect 0 '^Examples:' '' "$CARINA" help $command
    expect 2 '' 'unknown option --no-such-option' "$CARINA" $command --no-such-option
done < commands.txt

# A group of commands lists them, however one asks.
for group in data eval model tensor; do
    expect 0 "^  carina $group [a-z]+ +[a-z]" - "$CARINA" help $group
    cp expect.out group.txt
    expect 0 "carina $group is a group of commands:" - "$CARINA" $group --help
    cmp -s group.txt expect.out || fail "two lists of $group"
    [ "$(grep -c "^  carina $group " group.txt)" -eq "$(grep -c "^$group " commands.txt)" ] || fail "$group: $(cat group.txt)"
done
expect 2 - "there is no command 'nonsense'" "$CARINA" help nonsense
expect 2 - 'is a group of commands' "$CARINA" data

# The command line makes no sense: exit status 2, before anything is loaded.
expect 2 - "train: 'training' is not of the form KEY=VALUE" "$CARINA" train "$ROOT/configs/smoke.yaml" training
expect 2 - "train: '=3' is not of the form" "$CARINA" train "$ROOT/configs/smoke.yaml" =3
expect 2 - '"nonsense": expected TYPE=PATH' "$CARINA" eval locate -m /nowhere nonsense
expect 2 - 'unknown data set type "nih_box" .did you mean nih_boxes' "$CARINA" eval locate -m /nowhere nih_box=x
expect 2 - 'constant: "x": expected TYPE=PATH' "$CARINA" eval locate -m /nowhere --constant x nih_boxes=x
expect 2 - 'split: unknown split "tset"' "$CARINA" eval locate -m /nowhere --split tset nih_boxes=x
expect 2 - 'unknown option -x in -qx' "$CARINA" eval locate -qx nih_boxes=x

expect 2 - 'split train=1,train=2: give shares' "$CARINA" data phantom --out nothing --split train=1,train=2
expect 1 - '^carina: /nowhere: cannot open' "$CARINA" train "$ROOT/configs/smoke.yaml" --check-losses /nowhere

# Completion: commands, options and choices come out of the sourced script.
expect 0 '^doctor$' '' bash -c 'source <("$0" completion bash); COMP_WORDS=(carina doc); COMP_CWORD=1; _carina; echo "${COMPREPLY[@]}"' "$CARINA"
expect 0 '^--json$' '' bash -c 'source <("$0" completion bash); COMP_WORDS=(carina doctor --js); COMP_CWORD=2; _carina; echo "${COMPREPLY[@]}"' "$CARINA"
expect 0 'complete -c carina' '' "$CARINA" completion fish
expect 0 '^#compdef carina' '' "$CARINA" completion zsh
expect 0 '^\.TH CARINA 1' '' "$CARINA" help --man

# Doctor says what is missing, and that it is.
mkdir -p empty && cd empty || exit 1
"$CARINA" doctor > ../doctor.txt
status=$?
if grep -q '^missing:' ../doctor.txt; then wanted=1; else wanted=0; fi
[ $status -eq $wanted ] || fail "doctor ended with $status, its text asks for $wanted"
"$CARINA" doctor --json > ../doctor.json
mkdir -p ../damaged && head -c 5000 "$ROOT/models/apm-small.safetensors" > ../damaged/apm-small.safetensors
CARINA_MODELS=$PWD/../damaged expect 1 'missing: .*damaged/apm-small.safetensors: ' - "$CARINA" doctor
grep -q '"isa_machine"' ../doctor.json || fail "doctor --json lacks isa_machine"
cd ..

# A model that is found by two ways, or that two folders have, is one.
"$(dirname "$CARINA")/tests/make_model" twin.safetensors || fail "no model"
mkdir -p one/twin two models && cp twin.safetensors one/ && cp twin.safetensors one/twin/model.safetensors && cp twin.safetensors two/ && mv twin.safetensors models/
CARINA_MODELS="$work/one:$work/two:$work/models" "$CARINA" doctor > doctor.txt
[ "$(grep -c '^  twin ' doctor.txt)" -eq 1 ] || fail "doctor: $(grep twin doctor.txt)"
grep -q "^  twin  *$work/one/twin.safetensors" doctor.txt || fail "doctor shows another model than is taken: $(grep twin doctor.txt)"
[ "$(grep '^  searched:' doctor.txt | grep -o '[^ ]*models' | grep -c -e "^models\$" -e "^$work/models\$")" -eq 1 ] ||
    fail "one folder is searched twice: $(grep searched doctor.txt)"

# A file that is no model's name is named as a path; what a model file knows itself is not taken from the command line.
cp models/twin.safetensors plain
expect 1 - "no model 'plain' in .*; to name the one here write ./plain\$" "$CARINA" model info plain
expect 0 '^regions ' '' "$CARINA" model info ./plain
for given in --atlas=nowhere --heads=4 --image-size=64 --feature-heads=1; do
    expect 1 - "plain: a model file of Carina, which has its own; ${given%=*} is for foreign checkpoints" "$CARINA" model import plain -o new.safetensors $given
done
expect 1 - 'plain: has one decoder layer; --box-mean is for two' "$CARINA" model import plain -o new.safetensors --box-mean
[ ! -e new.safetensors ] || fail "a refused import left a model"
expect 2 - '--projector is for --projected' "$CARINA" text encode -m nowhere --json --projector x

# A full disk is noticed.
if [ -w /dev/full ]; then
    "$CARINA" help > /dev/full 2> full.txt && fail "writing to a full disk went unnoticed"
    grep -q 'cannot write standard output' full.txt || fail "a full disk has no message: $(cat full.txt)"
fi
finish
