#!/bin/bash
# Perplexity of texts by a tiny language model: figures, windows, several texts of which one is bad, adapters, input from
# elsewhere, and what is refused.
set -u
. "$ROOT/tests/cli/check.bash"
"$(dirname "$CARINA")/tests/make_language_model" model || fail "no model"
perplexity="$CARINA lm perplexity -m model -q --threads 1"
echo 'The heart is of normal size and the lungs are clear.' > clear.txt
printf 'No pleural effusion or pneumothorax is seen.\nThe heart is large; the lungs are not clear.\n' > large.txt

# figure FILE KEY: the last one of that name in JSON
figure() { grep -o "\"$2\": [0-9.]*" "$1" | tail -n 1 | cut -d' ' -f2; }

expect 0 '^clear.txt +[0-9]+ +[0-9.]+ +[0-9.]+ +[0-9.]+$' - $perplexity clear.txt
expect 0 '^all +[0-9]+ ' - $perplexity clear.txt large.txt
expect 0 '"perplexity": [0-9]' - $perplexity --json clear.txt
cp expect.out plain.json
[ "$(figure plain.json bytes)" -eq "$(wc -c < clear.txt)" ] || fail "bytes: $(figure plain.json bytes)"
awk -v n="$(figure plain.json nats_per_token)" -v p="$(figure plain.json perplexity)" -v t="$(figure plain.json tokens)" \
    -v b="$(figure plain.json bytes)" -v bits="$(figure plain.json bits_per_byte)" \
    'function off(x, y) { return x > y * 1.0001 || x < y * 0.9999 }
     BEGIN { exit off(p, exp(n)) || off(bits, n * t / log(2) / b) }' || fail "figures do not belong together: $(cat plain.json)"
checks=$((checks + 1))

# ---- windows: every token is scored once, whatever the window
expect 0 '"window": 12' - $perplexity --json --window 12 --stride 5 clear.txt
[ "$(figure expect.out tokens)" -eq "$(figure plain.json tokens)" ] || fail "tokens with a window"
[ "$(figure expect.out perplexity)" != "$(figure plain.json perplexity)" ] || fail "the window has no effect"
expect 0 '"stride": 6' - $perplexity --json --window 12 clear.txt
expect 0 '"stride": 1' - $perplexity --json --window 2 --stride 1 clear.txt

# ---- packed weights, and an adapter
expect 0 '"perplexity"' - $perplexity --json -w q8 clear.txt
expect 1 - "adapter_config.json" $perplexity --lora nowhere clear.txt
expect 1 - 'has no such matrix|the model wants' $perplexity --lora "$ROOT/tests/data/lora/plain" clear.txt

# ---- standard input, bad texts
expect 0 '^standard input ' - bash -c "$perplexity - < clear.txt"
expect 1 - 'standard input: cannot read: Is a directory' bash -c "$perplexity - < /"
: > empty.txt
expect 1 '^clear.txt ' 'missing.txt' $perplexity missing.txt clear.txt
expect 1 '^clear.txt ' 'empty.txt: the text has no token' $perplexity clear.txt empty.txt
expect 1 '"error": "missing.txt' 'missing.txt' $perplexity --json missing.txt clear.txt
grep -q '"total"' expect.out || fail "no total beside a bad text"
expect 1 - 'missing.txt' $perplexity missing.txt
expect 1 - 'nowhere: there is no such model' "$CARINA" lm perplexity -m nowhere clear.txt
expect 1 - 'no tokenizer.json' bash -c "mkdir bare && cp model/config.json model/model.safetensors bare && $CARINA lm perplexity -m bare clear.txt"
expect 2 '' 'PATH is missing' "$CARINA" lm perplexity clear.txt
expect 2 '' 'stride is not less' $perplexity --window 8 --stride 8 clear.txt
expect 2 '' '' $perplexity
finish
