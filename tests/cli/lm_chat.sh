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

# A conversation goes on in another run as it would have in one.
part() { tail -n 1 "$1" | sed -E 's/"(prompt|first_token_s|tokens_per_s)": [^,}]*,? ?//g'; }
say 'The heart is large.\nNo pleural effusion?\n' --json && cp out whole || fail "two turns"
say 'The heart is large.\n' --json --session talk.session || fail "a session: $(cat err)"
grep -q '^talk.session: 2 messages$' err || fail "what was kept: $(cat err)"
say 'No pleural effusion?\n' --json --session talk.session || fail "it goes on: $(cat err)"
grep -qE '^talk.session: 2 messages, [1-9][0-9]* tokens known$' err || fail "what was read: $(cat err)"
[ "$(part out)" = "$(part whole)" ] && [ "$(numbers reused_tokens)" -gt 5 ] || fail "not as in one run: $(part out) $(part whole)"
grep -q '^talk.session: 4 messages$' err || fail "what was kept then: $(cat err)"
cp talk.session four.session
say '/save all.json\n' --session talk.session && [ "$(grep -c '"role"' all.json)" = 4 ] || fail "a run without a turn: $(cat err)"
cmp -s talk.session four.session || fail "a run without a turn changes the session"
say 'x\n' --json --session talk.session -c 300 || fail "another context: $(cat err)"
[ "$(numbers reused_tokens)" = 0 ] && grep -q '6 messages' err || fail "another context reads again: $(cat out err)"
say '/reset\n' --session talk.session && grep -q '^talk.session: 0 messages$' err || fail "reset: $(cat err)"
grep -q 'heart' talk.session && fail "a reset conversation is still in the file"
[ "$(stat -c %s talk.session)" -lt 4000 ] || fail "the keys of a reset conversation are still in the file"

# Which one it is: the model's, the adapter's, the system's.
cp four.session talk.session
refused() { [ $? -eq 1 ] && grep -qE "$1" err && [ "$(wc -l < err)" = 1 ] && cmp -s four.session talk.session || fail "$2: $(cat err)"; }
say 'x\n' --session talk.session -w q8; refused 'talk.session: a session of the model' "another precision"
say 'x\n' --session talk.session --lora lm/adapter; refused 'talk.session: a session with no adapter' "another adapter"
say 'x\n' --session talk.session --system 'Be brief.'; refused 'began with no --system; leave --system out' "another system"
say 'x\n' --system 'The lungs.' --session system.session || fail "with a system: $(cat err)"
say '/reset\n/save reset.json\n' --session system.session && grep -q 'The lungs' reset.json || fail "the system's words are lost: $(cat err)"
say 'x\n' --system 'The lungs.' --session system.session || fail "the same system: $(cat err)"
head -c 3000 four.session > cut.session
say 'x\n' --session cut.session && fail "a session that is cut off"
say 'x\n' --session talk.json; [ $? -eq 1 ] && grep -q 'talk.json: exists and is no saved session; give another --session' err || fail "no session: $(cat err)"
say 'x\n' --session lm/talk.session && say '/quit\n' --session lm/talk.session || fail "a file beside the model: $(cat err)"
say 'x\n' --session lm/adapter/adapter_model.safetensors && fail "an adapter is replaced"
say 'x\n/save new.session\n' --session new.session
[ $? -eq 1 ] && grep -q 'new.session: is read by this command; give another /save' err || fail "two outputs in one file: $(cat err)"

# Ended by a signal, it is kept all the same; what waits for a word is told that way.
rm -f talk.session turns
mkfifo turns
"$CARINA" lm chat -m lm -t 1 -n 5 --session talk.session < turns > out 2> err &
pid=$!
exec 3> turns
echo 'The heart' >&3
for _ in $(seq 600); do [ -s out ] && break; sleep 0.05; done
sleep 0.3
kill -INT $pid
echo 'x' >&3
for _ in $(seq 600); do [ "$(wc -l < out)" -ge 2 ] && break; sleep 0.05; done
kill -TERM $pid
wait $pid
[ $? -eq 1 ] || fail "a signal is no failure: $(cat err)"
exec 3>&-
grep -qE '^talk.session: [24] messages$' err || fail "not kept after a signal: $(cat err)"

# No line that comes behind an interrupt is lost; the first signal that asks the program itself to end is no second one,
# and an interrupt may be repeated.
start() { # OPTION...: a chat that reads from descriptor 3
    rm -f turns && mkfifo turns
    "$CARINA" lm chat -m lm -t 1 "$@" < turns > out 2> err &
    pid=$!
    exec 3> turns
    echo 'The heart' >&3
    for _ in $(seq 600); do [ -s out ] && break; sleep 0.05; done
}
start -n 1 -c 4000 --json
for _ in $(seq 20); do
    kill -INT $pid
    echo 'x' >&3
done
exec 3>&-
wait $pid || fail "interrupted between turns: exit status $?: $(cat err)"
[ "$(wc -l < out)" -eq 21 ] || fail "lines are lost behind an interrupt: $(wc -l < out) answers of 21"
for signals in HUP 'HUP HUP' 'INT INT INT TERM' 'INT HUP HUP'; do
    rm -f talk.session
    start -n 200000 -c 100 --slide 20 --session talk.session
    for signal in $signals; do kill -"$signal" $pid; done
    exec 3>&-
    wait $pid
    [ $? -eq 1 ] && [ -s talk.session ] || fail "not kept after $signals: $(cat err)"
done

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
