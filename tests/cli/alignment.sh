#!/bin/bash
# Regions learn what sentences say of them: training with a text encoder, stopped and resumed, and what the model is good
# for afterwards: its projector makes the database that it is interpreted with.
set -u
. "$ROOT/tests/cli/check.bash"
bert=$ROOT/tests/data/bert
expect 0 '' '' "$CARINA" data phantom --count 20 --seed 4 --size 64 --no-masks --out films --split train=0.7,valid=0.3
small="data.train.annotations=films data.validation.annotations=films runs=runs model.image_size=64 training.steps=6"
small="$small training.validate_every=3 training.log_every=2 training.batch_size=4 training.accumulate=2"
train="$CARINA train $ROOT/configs/smoke.yaml $small --quiet alignment.text_encoder=$bert"

expect 0 'finished at step 6 of 6' '' $train name=full --threads 2
expect 0 '"alignment_loss": [0-9]' '' cat runs/full/metrics.jsonl
expect 0 '"validation_recall_at_1": [01]' '' cat runs/full/metrics.jsonl
expect 0 'step 6: recall@1 .* by always saying the usual' '' cat runs/full/log.txt
grep -q 'validation/recall_at_1' runs/full/events.out.tfevents.carina || fail "not in TensorBoard"
grep -q 'train/alignment_loss' runs/full/events.out.tfevents.carina || fail "not in TensorBoard"
expect 0 '' '' "$CARINA" train runs/full/config.yaml name=cut --quiet --threads 1 --stop-after 4
expect 0 '6 losses.*identical' '' "$CARINA" train runs/full/config.yaml name=cut --quiet --resume --tolerance 0 \
    --check-losses runs/full/first_losses.txt

# The projector is the model's: for its own text encoder, and no other.
model=./runs/full/last.safetensors
build="$CARINA index build -q -m $model -o set.db"
expect 0 '^text_encoder_fingerprint  [0-9a-f]{16}$' '' "$CARINA" model info $model
expect 0 'sentences of 36 regions' '' $build --text-encoder "$bert" chest_imagenome=films
expect 0 'sentences of 36 regions' '' env CARINA_MODELS="$ROOT/tests/data" $build --text-encoder bert chest_imagenome=films
expect 0 '^Recall@1 ' '' "$CARINA" eval retrieval -q --resamples 20 -m $model -d set.db --own-split-only --split valid chest_imagenome=films
film=$(find films -name '*.jpg' | sort | head -n 1)
expect 0 '"sentence": ".* (is healthy|shows .*)\."' '' "$CARINA" interpret --json --force -m $model -d set.db "$film"
expect 1 - 'the model has the projector that it was trained with' $build --projector $model --text-encoder "$bert" chest_imagenome=films
cp -r "$bert" other
sed -i '$s/$/x/' other/vocab.txt
expect 1 - 'other: text encoder [0-9a-f]{16}, but the model was trained with text encoder [0-9a-f]{16}' $build --text-encoder other chest_imagenome=films
expect 0 '' '' "$CARINA" model import $model --dtype bf16 --out short.safetensors
expect 0 'sentences of 36 regions' '' "$CARINA" index build -q -m ./short.safetensors -o short.db --text-encoder "$bert" chest_imagenome=films

# The ablations.
expect 0 'finished at step 6' '' $train name=clip alignment.loss=clip
expect 0 'finished at step 6' '' $train name=decoder model.features=decoder
expect 1 '' 'no feature extraction that could attend' "$CARINA" interpret --force --attention att -m ./runs/decoder/last.safetensors "$film"
expect 0 '^  features: decoder$' '' "$CARINA" model info ./runs/decoder/last.safetensors

expect 1 - 'smoke.yaml: alignment.text_encoder: films/vocab.txt: ' $train name=bad alignment.text_encoder=films
expect 2 - "unknown key 'alignment.wait' \(did you mean 'alignment.weight'\?\)" $train name=bad alignment.wait=1
[ ! -e runs/bad ] || fail "a run that cannot begin left a folder"
finish
