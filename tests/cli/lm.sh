#!/bin/bash
# The language model's engine with random weights: figures, every kind of weights, and what it refuses.
set -u
. "$ROOT/tests/cli/check.bash"
bench="$CARINA lm bench --shape gemma3-tiny --prompt 20 --decode 3"
expect 0 '^decode of 3 tokens .* tokens/s' '' $bench
for weights in q8 bf16; do
    expect 0 "\"weights\": \"$weights\"" '' $bench --weights $weights --json --threads 1
    [ "$(grep -cE '"(prompt_tokens": 20|decode_tokens": 3),' expect.out)" = 2 ] || fail "no numbers of tokens"
    for key in prompt_tokens_per_s reused_first_token_s read_gb_per_s decode_tokens_per_s weights_gb_per_s memory_gb_per_s prompt_gop_per_s register_gop_per_s peak_rss_gb; do
        grep -qE "\"$key\": [0-9]" expect.out || fail "no $key with $weights"
    done
done
# Each sort of weights is held against its own instruction; a capped processor has only the plain ones.
instruction() { grep -oE '"register_instruction": "[^"]*"' expect.out | cut -d'"' -f4; }
CARINA_MAX_ISA=generic expect 0 '' '' $bench --json --decode 1
plain=$(instruction)
CARINA_MAX_ISA=generic expect 0 '' '' $bench --json --decode 1 --weights bf16
if [ "$(uname -m)" = x86_64 ]; then
    [ "$plain $(instruction)" = 'pmaddwd mulps' ] || fail "plain instructions: $plain $(instruction)"
fi
expect 0 "^prompt of 20 tokens .* Gop/s in products; registers do [0-9.]+ now \\(.*\\)" '' $bench
# Two operations for each weight of the 7 layers and token; of the last layer all but keys and values, and the head, are for
# the last token alone: Gop/s by tokens a second.
expect 0 '' '' $bench --json --decode 1
number() { grep -oE "\"$1\": [0-9.e+-]+" expect.out | cut -d' ' -f2; }
keys=$((64 * 32 * (4 + 4)))
others=$((64 * 32 * (8 + 8) + 3 * 64 * 64))
awk -v gop="$(number prompt_gop_per_s)" -v tokens="$(number prompt_tokens_per_s)" -v every=$((7 * keys + 6 * others)) -v once=$((others + 500 * 64)) \
    'BEGIN { want = 2e-9 * tokens * (every + once / 20); exit !(gop > 0.999 * want && gop < 1.001 * want) }' ||
    fail "operations of the prompt: $(number prompt_gop_per_s) at $(number prompt_tokens_per_s) tokens/s"
# What a token reads of keys and values: 6 layers of a window of 16, 1 of all that was seen, 4 heads of 32 in bf16.
keys() { grep -oE '"keys_gb_per_token": [0-9.e-]+' expect.out | awk '{ printf "%.0f", $2 * 1e9 }'; }
expect 0 '' '' $bench --json --decode 1
[ "$(keys)" = $(((6 * 16 + 21) * 4 * 32 * 2 * 2)) ] || fail "keys of a token: $(keys)"
expect 0 '' '' $bench --json --decode 1 --prompt 1
[ "$(keys)" = $((7 * 2 * 4 * 32 * 2 * 2)) ] || fail "keys of a short text: $(keys)"
expect 2 '' 'shape' "$CARINA" lm bench --shape gemma2
expect 2 '' 'decode' "$CARINA" lm bench --decode 0
finish
