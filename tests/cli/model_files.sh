#!/bin/bash
# carina model info, verify and quantize with language models: what they print, that a quantised file is as good as
# packing, and each fault by name.
set -u
. "$ROOT/tests/cli/check.bash"
"$(dirname "$CARINA")/tests/make_language_model" model || fail "no model"
"$(dirname "$CARINA")/tests/make_model" tiny.safetensors || fail "no model"
verify="$CARINA model verify -q --threads 1"
quantize="$CARINA model quantize -q --threads 1"

# ---- info and verify
expect 0 '^kind +Gemma 3 language model \(Hugging Face folder\)' - $verify model
expect 0 '^fingerprint +[0-9a-f]{16}$' - $verify model
expect 0 '"verified": true' - $verify --json model
expect 0 '"verified": false' - "$CARINA" model info --json model
grep -q fingerprint expect.out && fail "a fingerprint of what was not read"
expect 0 '"hidden_size": 64' - "$CARINA" model info model --json
expect 0 '^kind +anatomy perception module' - $verify ./tiny.safetensors
expect 0 '^kind +BERT text encoder' - $verify "$ROOT/tests/data/bert"
expect 1 - 'BERT text encoder; .carina model verify. reads it' "$CARINA" model info "$ROOT/tests/data/bert"

# ---- quantize: the file says what packing says
printf 'No pleural effusion or pneumothorax is seen.\n' > text
mkdir out
for weights in q8 q4 bf16; do
    expect 0 '^relative error +[0-9.e-]+ over all' - $quantize model -w $weights -o out/$weights.gguf
    expect 0 '' - "$CARINA" lm perplexity -q -m model -w $weights --json text
    grep nats_per_token expect.out > packed
    expect 0 '' - "$CARINA" lm perplexity -q -m out/$weights.gguf --json text
    grep nats_per_token expect.out > file
    cmp -s packed file || fail "$weights: perplexity of the file is not that of packing: $(cat packed file)"
done
[ ! -e out/tokenizer.json ] || fail "a tokenizer beside files that have it"
"$CARINA" tokenizer encode out/q8.gguf < text > file
"$CARINA" tokenizer encode model/tokenizer.json < text | cmp -s - file || fail "other ids"
# The folder's chat template and ends, through two files.
cp -r model talking && echo '{{ bos_token }}say: {{ messages[-1].content }}' > talking/chat_template.jinja
expect 0 '"chat_template": true' - $quantize talking -w bf16 -o out/talking.gguf --json
expect 0 '^chat template +in the file' - $quantize out/talking.gguf -w q8 -o out/again.gguf
printf 'x\n' > said
"$CARINA" lm chat -m talking -w q8 -n 9 < said > folder.out && "$CARINA" lm chat -m out/again.gguf -n 9 < said > file.out || fail "chat"
cmp -s folder.out file.out || fail "the file talks otherwise: $(cat file.out folder.out)"
"$CARINA" lm chat -m out/q8.gguf -n 9 < said | cmp -s - file.out && fail "a template without effect"
rm out/again.gguf
expect 0 '^kind +Gemma 3 language model \(GGUF\)' - $verify out/q4.gguf
expect 0 'Q4_0 ' - "$CARINA" model info out/q4.gguf
expect 0 '"divergence_nats_per_token": [0-9]' - $quantize model -w q8 -o out/q8.gguf --text text --json
grep -q '"name": "model.layers.0.mlp.up_proj.weight", "relative_error": 0.00' expect.out || fail "no error of a matrix"
expect 0 '^perplexity +[0-9.]+, before [0-9.]+ \([0-9]+ tokens\)' - $quantize out/bf16.gguf \
    -w q4 -o out/q4.gguf --text text

# ---- what is refused
expect 1 - 'quantised already' $quantize out/q8.gguf -w q4 -o out/again.gguf
mkdir lone && cp model/model.gguf lone
expect 1 - 'no tokenizer.json for --text' $quantize lone/model.gguf -w q4 -o out/again.gguf --text text
expect 1 - 'missing' $quantize model -w q4 -o out/again.gguf --text missing
expect 1 - 'is read by this command' $quantize out/bf16.gguf -w q4 -o out/bf16.gguf
expect 1 - 'exists and is no GGUF file' bash -c "cp text out/text.gguf && $quantize model -o out/text.gguf"
[ -e out/again.gguf ] && fail "a refused file was written"
# A tokenizer that GGUF has no words for lies beside the file.
sed -i 's/"ignore_merges": false/"ignore_merges": true/' talking/tokenizer.json
mkdir beside
expect 0 '^tokenizer +beside/tokenizer.json' 'cannot say its model.s settings' $quantize talking -o beside/q8.gguf
cmp -s talking/tokenizer.json beside/tokenizer.json || fail "no tokenizer beside the file"
"$CARINA" lm chat -m beside/q8.gguf -n 9 < said > file.out || fail "chat with a tokenizer beside the file"
echo other > other && mkdir elsewhere && cp other elsewhere/tokenizer.json
expect 0 '' 'tokenizer.json: is another tokenizer' $quantize talking -o elsewhere/q8.gguf
cmp -s other elsewhere/tokenizer.json || fail "a tokenizer was written over"
expect 2 '' 'FILE.gguf is missing' $quantize model
expect 2 '' 'does not end in .gguf' $quantize model -o out/q8.bin
expect 2 '' 'weights' $quantize model -w q5 -o out/q5.gguf

# ---- faults by name
cp out/q8.gguf cut.gguf && truncate -s -2000 cut.gguf
expect 1 - 'cut.gguf: tensor .* lies past' $verify cut.gguf
cp -r model broken && truncate -s -100 broken/model.safetensors
expect 1 - 'broken/model.safetensors: ' $verify broken
cp -r model narrow && sed -i 's/"hidden_size": 64/"hidden_size": 32/' narrow/config.json
expect 1 - 'tensor model.embed_tokens.weight is f32 \[[0-9]+,64\], the configuration wants' $verify narrow
expect 1 - 'missing.gguf: there is no such model' $verify missing.gguf
head -c 100 tiny.safetensors > bad.safetensors
expect 1 - 'bad.safetensors: ' $verify ./bad.safetensors
expect 2 '' '' $verify
finish
