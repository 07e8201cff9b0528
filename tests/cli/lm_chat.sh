#!/bin/bash
# carina lm chat from a pipe: turns, commands, what is read again, an interrupt, and what does not fit.
set -u
. "$ROOT/tests/cli/check.bash"
export CARINA_CACHE=
"$(dirname "$CARINA")/tests/make_language_model" lm || fail "no model"
rows=$(grep -oE '"vocab_size": [0-9]+' lm/config.json | grep -oE '[0-9]+')
echo "{\"eos_token_id\": $((rows - 1))}" > lm/generation_config.json # a row that pads: answers never end by themselves
chat() { "$CARINA" lm chat -m lm -n 10 -t 1 "$@"; }
say() { local text=$1; shift; printf "$text" > said; checks=$((checks + 1)); chat "$@" < said > out 2> err; }
numbers() { grep -aoE "\"$1\": [0-9]+" out | sed 's/.*: //' | xargs; }

say 'The heart is large.\nNo pleural\\\neffusion?\n' --json || fail "two turns: $(cat err)"
[ "$(numbers prompt)" = '1 2' ] || fail "turns: $(cat out)"
read -r first second <<< "$(numbers prompt_tokens)"
read -r none reused <<< "$(numbers reused_tokens)"
[ "$none" = 0 ] && [ "$reused" -ge $((first - 1)) ] && [ "$second" -gt "$reused" ] || fail "read $first, $second, of it again $none, $reused"
say 'x\n' && cp out x.out
say 'The heart is large.\n/reset\nx\n' || fail "reset"
tail -c "$(stat -c %s x.out)" out | cmp -s - x.out || fail "a reset conversation goes on"
say 'x\n/quit\ny\n' && cmp -s out x.out || fail "quit"
say 'x\n/save talk.json\n' || fail "save: $(cat err)"
grep -q '^talk.json: 2 messages$' err || fail "what was saved: $(cat err)"
tr -d '\n' < talk.json | grep -qE '"messages": \[ *\{ *"role": "user", *"content": "x" *\}, *\{ *"role": "assistant"' || fail "saved: $(cat talk.json)"

# Templates: the model's own comes before Gemma's, and --template before it.
printf "{{ messages[-1].content }}" > own.jinja
say 'x\n' --template own.jinja --json && [ "$(numbers prompt_tokens)" = 1 ] || fail "--template: $(cat out err)"
cp own.jinja lm/chat_template.jinja
say 'x\n' --json && [ "$(numbers prompt_tokens)" = 1 ] || fail "chat_template.jinja"
rm lm/chat_template.jinja

# With an adapter other words, and a second turn that goes on where the first ended.
say 'x\n' --lora lm/adapter && ! cmp -s out x.out || fail "an adapter without effect: $(cat err)"
say 'The heart is large.\nx\n' --lora lm/adapter --json || fail "two turns with an adapter: $(cat err)"
[ "$(numbers reused_tokens | cut -d' ' -f2)" -gt 5 ] || fail "nothing was reused: $(cat out)"
say 'x\n' --lora none && fail "an adapter that is not there"

# An interrupt ends the answer, not the conversation.
mkfifo turns
"$CARINA" lm chat -m lm -t 1 -n 200000 -c 100 --slide 20 < turns > out 2> err &
pid=$!
exec 3> turns
echo 'The heart' >&3
for _ in $(seq 600); do [ -s out ] && break; sleep 0.05; done
kill -INT $pid
echo '/save stopped.json' >&3
exec 3>&-
wait $pid || fail "interrupted: exit status $?: $(cat err)"
grep -q '^stopped$' err || fail "not stopped: $(cat err)"
grep -q assistant stopped.json || fail "what was said until then is lost"

# Turns that do not come about.
say 'x\nThe heart is of normal size and the lungs are clear. The heart is of normal size and the lungs are clear.\ny\n' -c 60 --json
[ $? -eq 1 ] || fail "a turn that does not fit is no failure"
grep -q 'prompt 2: the prompt has .* the context has room for 60' err || fail "what does not fit: $(cat err)"
[ "$(grep -ac '"ended": "max_tokens"' out)" = 2 ] || fail "the conversation did not go on: $(cat out)"
say '/nonsense\nx\n'
[ $? -eq 1 ] && grep -q "'/nonsense': /reset, /save FILE and /quit are known" err && cmp -s out x.out || fail "a command that is none"
say 'x\n/save lm/tokenizer.json\n/save none/talk.json\n'
[ $? -eq 1 ] && grep -q 'tokenizer.json' err && grep -q 'none/talk.json' err || fail "saved over the model: $(cat err)"
mkdir other beside && cp lm/tokenizer.json beside
cp lm/config.json other/config.json && cp talk.json beside/talk.json
say 'x\n/save other/config.json\n'
[ $? -eq 1 ] && grep -q 'other/config.json: exists and is no saved conversation; give another /save' err || fail "another JSON: $(cat err)"
cmp -s lm/config.json other/config.json || fail "saved over another JSON"
say 'x\n/save talk.json\n' || fail "a conversation is not saved again: $(cat err)"
say 'x\n/save beside/talk.json\n' --tokenizer beside/tokenizer.json
[ $? -eq 1 ] && grep -q 'talk.json: exists in beside, which this command reads' err || fail "beside the tokenizer: $(cat err)"
printf '{%% nonsense %%}' > bad.jinja
expect 1 - 'bad.jinja' chat --template bad.jinja
expect 1 - 'none.jinja' chat --template none.jinja
expect 2 - 'model is required' "$CARINA" lm chat
expect 0 - - chat
expect 0 '/reset' - "$CARINA" lm chat --help
finish
