#!/bin/bash
# The shipped text encoder, end to end: found by its name, it tells these apart, and a model learns sentences with it that a
# database is then built from.
. "$ROOT/tests/cli/check.bash"
model=$ROOT/models/text-small
for file in config.json vocab.txt tokenizer_config.json model.safetensors; do
    [ -s "$model/$file" ] || fail "models/text-small/$file is missing"
done
[ "$(du -sb "$model" | cut -f1)" -le 6000000 ] || fail "models/text-small is larger than 6 MB"

# In each group the second line says what the first says, the third its opposite in its words.
cat >lines.txt <<'END'
Right lung is healthy.
The right lung is clear.
Right lung shows lung opacity.
No suspicious nodules.
There are no suspicious pulmonary nodules or masses.
There is a 2.1 cm nodule in the right base.
Both hila are normal.
Hilar contours are unremarkable.
The left hilum is enlarged.
END
feed() { "$CARINA" text encode -m text-small "$@" <lines.txt; }
export CARINA_MODELS="$ROOT/models"
feed --json >vectors.txt || fail "no encoder by the name text-small"
sed 's/.*"embedding": \[//; s/\].*//' vectors.txt | awk -F', *' '
    { for (i = 1; i <= NF; i++) v[NR, i] = $i; width = NF }
    function cosine(a, b,   i, ab, aa, bb) {
        for (i = 1; i <= width; i++) { ab += v[a, i] * v[b, i]; aa += v[a, i] ^ 2; bb += v[b, i] ^ 2 }
        return ab / sqrt(aa * bb)
    }
    END {
        if (width != 256) print "width " width
        for (n = 1; n < NR; n += 3)
            if (cosine(n, n + 1) <= cosine(n, n + 2)) print "line " n ": the opposite is nearer"
    }' >wrong.txt
[ -s wrong.txt ] && fail "$(cat wrong.txt)"

expect 0 'films in films' '' "$CARINA" data phantom --out films --count 8 --size 96 --no-masks --split train=0.5,valid=0.5
small="data.train.annotations=films data.validation.annotations=films runs=runs training.steps=2 training.batch_size=2"
small="$small training.validate_every=2 model.image_size=64"
expect 0 'finished at step 2' - "$CARINA" train "$ROOT/configs/smoke.yaml" $small name=small --quiet alignment.text_encoder="$model"
expect 0 'sentences of 36 regions' '' "$CARINA" index build -q -m runs/small/best.safetensors -o small.db \
    --text-encoder text-small chest_imagenome=films
expect 1 - "no text encoder 'text-smal' in " "$CARINA" index build -q -m runs/small/best.safetensors -o other.db \
    --text-encoder text-smal chest_imagenome=films
finish
