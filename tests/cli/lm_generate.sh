#!/bin/bash
# carina lm generate: prompts from everywhere, answers in their order, forms of answers, and what is said of input that
# does not fit. A tiny random model: what it says makes no sense, but it is always the same.
set -u
. "$ROOT/tests/cli/check.bash"
export CARINA_CACHE=
"$(dirname "$CARINA")/tests/make_language_model" lm || fail "no model"
generate() { "$CARINA" lm generate -m lm "$@"; }
field() { grep -aoE "\"$1\": [^,}]*" | sed 's/^[^:]*: //'; }

generate -p 'The heart is' -n 12 > alone || fail "generate"
[ "$(generate -p 'The heart is' -n 12)" = "$(cat alone)" ] || fail "not the same twice"
[ "$(printf 'The heart is\n' | generate -p - -n 12)" = "$(cat alone)" ] || fail "standard input"
generate -p 'The heart is' -n 12 --json > one.json
grep -q '"ended": "max_tokens"' one.json || fail "how it ended: $(cat one.json)"
[ "$(sed 's/.*"tokens": \[\([^]]*\)\].*/\1/' one.json | tr , '\n' | wc -l)" = 12 ] || fail "not 12 tokens"
[ "$(sed 's/.*"tokens": \[\([^]]*\)\].*/\1/; s/,//g' one.json | "$CARINA" tokenizer decode -s lm/tokenizer.json)" = "$(cat alone)" ] ||
    fail "tokens and text differ"
for key in prompt text prompt_tokens reused_tokens first_token_s tokens_per_s; do
    grep -q "\"$key\": " one.json || fail "no $key"
done

# A batch: each as by itself, whatever the number of threads; the beginning in common is read once.
printf 'The heart is large; the lungs are not %s\n' clear. large. seen. small. of size left right side > questions.txt
while IFS= read -r question; do generate -w q8 -n 9 -t 1 --json -p "$question"; done < questions.txt |
    sed 's/.*"text": \(.*\), "tokens": \(.*\]\), "prompt_tokens".*/\1 \2/' > single
for threads in 1 2; do
    generate -w q8 -n 9 -f questions.txt -t $threads --json > batch.json || fail "batch"
    sed 's/.*"text": \(.*\), "tokens": \(.*\]\), "prompt_tokens".*/\1 \2/' batch.json | cmp -s - single || fail "a batch says other things"
done
[ "$(field prompt < batch.json | xargs)" = '1 2 3 4 5 6 7 8 9' ] || fail "order"
[ "$(field reused_tokens < batch.json | sort -n | sed -n 2p)" -ge 8 ] || fail "nothing was reused: $(field reused_tokens < batch.json | xargs)"
generate -w q8 -n 9 -f questions.txt -b 2 | grep -ac '^== [1-9] ==$' | grep -qx 9 || fail "headings"

# Draws: the same from a seed, whoever else is there.
draw() { generate --temperature 1.5 --top-k 50 --top-p 0.9 --min-p 0.01 --repetition-penalty 1.1 -w q4 -n 15 "$@"; }
draw -p 'No pleural' -s 5 > drawn
[ "$(draw -p x -p 'No pleural' -s 5 | sed '1,/== 2 ==/d')" = "$(cat drawn)" ] || fail "draws depend on the batch"
[ "$(draw -p 'No pleural' -s 6)" != "$(cat drawn)" ] || fail "a seed without effect"

# What is allowed, and no good idea.
expect 0 '' 'warning: 5001 tokens, but the model was trained for 5000' generate -p x -n 1 -c 5001
[ "$(nproc)" -ge 1000 ] || expect 0 '' 'warning: 1000 threads on [0-9]+ processors' generate -p x -n 1 -t 1000
expect 0 '' - generate -p x -n 1 -c 5000

# GGUF: another order of layers than the folder says, so other words; but the same each time.
gguf() { "$CARINA" lm generate -m lm/model.gguf --tokenizer lm/tokenizer.json -p 'The heart is' -n 12 "$@"; }
gguf > from.gguf && [ -s from.gguf ] && [ "$(gguf -t 1)" = "$(cat from.gguf)" ] || fail "GGUF"
expect 1 - "weights stay as it has them" gguf -w q4

# An adapter changes what is said, the same for a folder and for packed weights read alone and in a batch.
adapted() { generate -w q8 --lora lm/adapter -n 12 "$@"; }
adapted -p 'The heart is' > adapted || fail "an adapter"
[ "$(cat adapted)" != "$(generate -w q8 -p 'The heart is' -n 12)" ] || fail "an adapter without effect"
[ "$(adapted -p x -p 'The heart is' -t 2 | sed '1,/== 2 ==/d')" = "$(cat adapted)" ] || fail "an adapter in a batch"
expect 1 - 'none/adapter_config.json' generate -p x --lora none

stop=$(grep -aoE '[a-z)(/]{2}' alone | tail -1)
expect 0 '"ended": "stop", "stop": 2' - generate -p 'The heart is' -n 12 --stop 'never' --stop "$stop" --json
grep -qF -- "$stop" <(field text < expect.out) && fail "the stop string is in the text"
expect 0 '"logprobs": \[\{"id": [0-9]+, "token": ".*", "logprob": -[0-9.]+, "top": \[\{"id"' - generate -p x -n 3 --json --logprobs 2
expect 0 '^(Yes|yes|No|no)\.?$' - generate -p 'Is it?' --answers yes-no
expect 0 '"text": "(left lung|heart)", "ended": "end"' - generate -p 'Where?' --answers label --label heart --label 'left lung' --json
expect 0 '^(<ref>.*</ref>)?<box>\([0-9]+,[0-9]+\),\([0-9]+,[0-9]+\)</box>$' - generate -p 'Where?' --answers box -n 300
printf 'root ::= "a" [b-d]{3} "e"' > answer.gbnf
expect 0 '^a[bcd]{3}e$' - generate -p x --grammar answer.gbnf
# Control characters are a terminal's alone to fear: a pipe has them as they are.
printf 'root ::= "a\\x1b[31mb\\x07"' > control.gbnf
generate -p x --grammar control.gbnf > control || fail "control characters"
printf 'a\033[31mb\a\n' | cmp -s - control || fail "a pipe got $(od -c control)"
script -qec "'$CARINA' lm generate -m lm -p x --grammar control.gbnf" /dev/null < /dev/null > shown
grep -qaF 'a^[[31mb^G' shown || fail "a terminal got $(od -c shown)"
printf '{"type": "object", "properties": {"size": {"type": "integer", "minimum": 10, "maximum": 99}}, "required": ["size"]}' > schema.json
expect 0 '^\{"size": ?[0-9]{2}\}$' - generate -p x --json-schema schema.json

# Output that does not arrive: said with its reason, once; work for a reader that has gone away ends.
if [ -w /dev/full ]; then
    for form in --raw --json; do
        generate -p x $form -f questions.txt > /dev/full 2> err && fail "a full disk went unnoticed"
        [ "$(cat err)" = 'carina: cannot write standard output: No space left on device' ] || fail "a full disk, $form: $(cat err)"
    done
fi
cp -r lm endless # the token that ends an answer is a row that pads: it never comes
echo "{\"eos_token_id\": $(($(grep -oE '"vocab_size": [0-9]+' lm/config.json | grep -oE '[0-9]+') - 1))}" > endless/generation_config.json
for form in --raw --json; do
    timeout 20 "$CARINA" lm generate -m endless -p x -c 100 --slide 1 -n 1000000 $form 2> err | true
    [ "${PIPESTATUS[0]}" = 141 ] && [ ! -s err ] || fail "works on without a reader, $form: $(cat err)"
done

# Full contexts: an end that is said, or sliding.
expect 1 '' 'prompt 1: the prompt has [0-9]+ tokens, the context has room for 4; make it larger' generate -p 'The lungs are clear.' -c 4
expect 1 '"ended": "context"' 'prompt 1: the context is full: the answer is not complete' generate -p 'The lungs' -c 12 --json
expect 0 '"tokens": \[([0-9]+, ){20}' - generate -p 'The lungs are' -c 12 --slide 1 -n 50 --json
expect 1 '"ended": "max_tokens"' 'prompt 2: the prompt has' generate -p x -p 'The lungs are clear. The heart is of normal size.' -c 9 -n 3 --json

expect 2 '' 'model is required' "$CARINA" lm generate -p x
expect 2 '' 'prompt or --prompts is required' generate
expect 2 '' 'empty TEXT' generate -p ''
expect 2 '' 'exclude each other' generate -p x --answers box --grammar answer.gbnf
expect 2 '' 'label TEXT' generate -p x --answers labels
expect 2 '' 'label is of' generate -p x --label heart
expect 2 '' 'logprobs wants --json' generate -p x --logprobs 2
expect 2 '' 'temperature' generate -p x --temperature -1
expect 1 - 'standard input: an empty prompt' generate -p -
expect 1 - 'standard input: cannot read: Is a directory' bash -c '"$CARINA" lm generate -m lm -p - < /'
# A terminal's end is given once (the second one is script's own, when its input ends), and an interrupt ends the waiting.
type_prompt() {
    printf 'The heart is\n\4'
    for _ in $(seq 100); do [ -s terminal ] && touch once && return; sleep 0.1; done
}
type_prompt | script -qec "'$CARINA' lm generate -m lm -n 12 -p - > terminal" /dev/null > shown
[ -e once ] && cmp -s terminal alone || fail "a prompt from a terminal: $(cat shown)"
mkfifo waiting
"$CARINA" lm generate -m lm -p - < waiting > out 2> err &
reader=$!
exec 9> waiting
head -c 100000 /dev/zero >&9 # more than a pipe holds: when this is over it reads
for _ in $(seq 100); do sleep 0.1; grep -q '^State:.S' /proc/$reader/status && break; done
kill -TERM $reader
for _ in $(seq 100); do kill -0 $reader 2> /dev/null || break; sleep 0.1; done
kill -0 $reader 2> /dev/null && fail "an interrupt does not end the reading"
exec 9>&-
wait $reader
[ $? = 1 ] && grep -q '^carina: interrupted$' err || fail "interrupted while it reads: $(cat err)"
printf 'a\n\nb\n' > gap.txt
expect 1 - 'gap.txt: line 2: an empty prompt' generate -f gap.txt
expect 1 - 'gap.text: cannot open' generate -f gap.text
: > nothing.txt
expect 1 - 'nothing.txt: no prompt' generate -f nothing.txt
printf 'root ::= box' > bad.gbnf
expect 1 - 'bad.gbnf:1:10: .*box' generate -p x --grammar bad.gbnf
printf '{"type": "tuple"}' > bad.json
expect 1 - 'bad.json' generate -p x --json-schema bad.json
expect 1 - 'none: there is no such model' "$CARINA" lm generate -m none -p x
expect 1 - 'alone: neither a folder' "$CARINA" lm generate -m alone -p x
cp -r lm bare && rm bare/tokenizer.json
expect 1 - 'bare: no tokenizer.json in this folder; name one with --tokenizer' "$CARINA" lm generate -m bare -p x
[ "$("$CARINA" lm generate -m bare --tokenizer lm/tokenizer.json -p 'The heart is' -n 12)" = "$(cat alone)" ] || fail "--tokenizer"
expect 1 - 'the tokenizer is of another model: its token' "$CARINA" lm generate -m bare --tokenizer "$ROOT/tests/data/tokenizer/gemma.json" -p x
echo GGUF > empty.gguf
[ "$("$CARINA" lm generate -m lm/model.gguf -p 'The heart is' -n 12)" = "$(cat from.gguf)" ] || fail "a tokenizer.json beside the file"
mkdir lone && cp lm/model.gguf lone
expect 1 - 'lone/model.gguf: has no tokenizer .*no tokenizer.json lies beside it' "$CARINA" lm generate -m lone/model.gguf -p x
expect 1 - 'empty.gguf: ' "$CARINA" lm generate -m empty.gguf -p x
expect 1 - 'empty.gguf' "$CARINA" lm generate -m empty.gguf --tokenizer lm/tokenizer.json -p x
expect 0 'carina lm generate' - "$CARINA" lm generate --help
cp expect.out help.txt
generate -p x --json --logprobs 1 -n 2 > fields.json
generate -p 'The heart is' -n 12 --stop "$stop" --json >> fields.json
generate -p 'The lungs are clear.' -c 4 --json >> fields.json 2> /dev/null
for key in $(grep -oE '"[a-z_]+": ' fields.json | tr -d '":' | sort -u); do
    grep -qw -- "$key" <(sed -n '/object a line:/,/^Log-prob/p' help.txt) || fail "--help does not explain $key"
done
for key in stop error top; do grep -q "\"$key\": " fields.json || fail "no $key"; done
finish
