#!/bin/bash
# `make default-model` round a program that only says what it is asked: how many films are written, what is trained, and
# that other first losses than the committed ones are an error.
set -u
. "$ROOT/tests/cli/check.bash"
mkdir -p tools models stub runs/default-model-coarse
cp "$ROOT/tools/default_model.sh" tools/ && cp "$ROOT/models/default-model-first-losses.txt" models/ || fail "no script"
printf '#!/bin/bash\necho "carina $*"\n' > stub/carina && chmod +x stub/carina
losses=runs/default-model-coarse/first_losses.txt
cp models/default-model-first-losses.txt $losses
start() { STEPS=50 bash tools/default_model.sh stub; }

# The start needs the first films alone, but a larger set is not cut.
expect 0 'phantom --out runs/phantoms --count 5000 ' - start
expect 0 'train configs/default-model-coarse.yaml --stop-after 50$' - start
[ "$(grep -c '^carina ' expect.out)" -eq 2 ] || fail "more than the start: $(cat expect.out)"
mkdir -p runs/phantoms/silver_dataset/scene_graph
(cd runs/phantoms/silver_dataset/scene_graph && seq -f %g_SceneGraph.json 5003 | xargs touch)
expect 0 'phantom --out runs/phantoms --count 5003 ' - start
expect 0 'phantom --out runs/phantoms --count 32000 ' - bash tools/default_model.sh stub
[ "$(grep -c '^carina train ' expect.out)" -eq 7 ] || fail "not seven stages: $(cat expect.out)"

# A run that is there goes on; its losses are the committed ones, but for rounding.
: > runs/default-model-coarse/checkpoint.safetensors
expect 0 'train configs/default-model-coarse.yaml --resume --stop-after 50$' - start
expect 0 '50 first losses, largest relative difference 0$' - start
awk '{ print $1, $2 * ($1 == 30 ? 1.03 : 1) }' models/default-model-first-losses.txt > $losses
expect 1 '50 first losses, largest relative difference 0.029$' - start
: > $losses
expect 1 'no losses to compare' - start
finish
