#!/bin/bash
# carina tokenizer: ids as the fixture has them, texts back, tokenizers made, and what is said of input that does not fit.
. "$ROOT/tests/cli/check.bash"
export CARINA_CACHE=$work/cache
gemma=$ROOT/tests/data/tokenizer/gemma.json
llama=$ROOT/tests/data/tokenizer/llama.json

feed() { local input=$1; shift; "$@" <"$input"; }
say() { local text=$1; shift; printf "$text" | "$@"; }
encode() { "$CARINA" tokenizer encode "$@"; }
decode() { "$CARINA" tokenizer decode "$@"; }

# every case of the fixture without line breaks in it
lines=$(sed -n 's/^{"text":"\([0-9a-f]*\)","ids":\[\([0-9,]*\)\].*/\1 \2/p' "${gemma%.json}.cases.json" | grep -vE '^([0-9a-f]{2})*0a')
[ "$(wc -l <<<"$lines")" -gt 80 ] || fail "only $(wc -l <<<"$lines") cases"
cut -d' ' -f1 <<<"$lines" | sed 's/../\\x&/g' | while IFS= read -r text; do printf "$text\n"; done >texts
cut -d' ' -f2 <<<"$lines" | tr , ' ' >wanted
encode "$gemma" <texts >ids || fail "encode"
cmp -s ids wanted || fail "ids: $(diff ids wanted | head -3)"

printf 'The right lung is clear.\nNo pleural effusion  or\tpneumothorax 🫁\r\n\r\n\n\0<start_of_turn>x<end_of_turn>\nno end' >plain
encode "$gemma" <plain | decode "$gemma" >back || fail "decode"
cmp -s back <(cat plain; echo) || fail "texts do not come back"
encode --special "$gemma" <plain | decode --skip-special "$gemma" | sed -n 5p | tr -d '\0' | grep -qx x || fail "special tokens are not left out"
[ "$(say 'x\n' encode -s "$gemma" | cut -d' ' -f1)" = 2 ] || fail "no <bos> in front"
[ "$(say '\xff\xe2\x82z\n' encode "$gemma" | decode "$gemma")" = '��z' ] || fail "bytes that are not UTF-8"
say 'The lung\n' encode --json "$gemma" | grep -q '^{"text": "The lung", "ids": \[[0-9, ]*\], "tokens": \["T", "he", "▁l", "u", "ng"\]}$' || fail "encode as JSON"
say '271 264 2\n' decode --json --skip-special "$gemma" | grep -qE '^\{"ids": \[271, 264, 2\], "text": ".\\n"\}$' || fail "decode as JSON: $(say '271 264 2\n' decode --json -s "$gemma")"
[ "$(say 'a b\n' encode "$llama" | decode "$llama")" = 'a b' ] || fail "a blank in front is not taken off"
cp "$ROOT/fuzz/corpus/bpe_gguf/gemma" model.gguf
[ "$(say 'abc aa\n' encode model.gguf)" = '9 11 10' ] || fail "ids by a GGUF file's tokenizer"
[ "$(say '9 11 10\n' decode model.gguf)" = 'abc aa' ] || fail "texts by a GGUF file's tokenizer"
cp "$ROOT/fuzz/corpus/bpe_gguf/gpt2" other.gguf
expect 1 - 'other.gguf: tokenizer.ggml.model: tokenizers of the kind "gpt2"' "$CARINA" tokenizer encode other.gguf
head -c 3000000 /dev/zero | tr '\0' a >long
[ "$(encode "$gemma" <long | decode "$gemma" | wc -c)" -eq 3000001 ] || fail "a line of 3 MB"

printf '<box>\n<bos>\n</box>\r\n' >tokens.txt
[ "$(say '<box>1</box><bos>\n' encode --add tokens.txt "$gemma" | tr ' ' '\n' | sed -n '1p;3,4p' | xargs)" = "900 901 2" ] || fail "added tokens"
say '<box>1</box>\n' encode --add tokens.txt "$gemma" | decode --add tokens.txt "$gemma" | grep -qx '<box>1</box>' || fail "added tokens decoded"

# A large file's compact form: made, used, made anew when it is damaged.
{ cat "$gemma"; head -c 1100000 /dev/zero | tr '\0' ' '; } >large.json
for round in 1 2; do encode large.json <texts | cmp -s - wanted || fail "ids of round $round with a cache"; done
[ "$(ls cache)" = "$(ls cache | grep -E '^tokenizer-[0-9a-f]{16}\.bpe$')" ] && [ -s cache/* ] || fail "no cache: $(ls cache)"
own=$(echo cache/*)
head -c 100 "$own" >cut && cp cut "$own"
encode large.json <texts | cmp -s - wanted || fail "ids with a damaged cache"
[ "$(stat -c %s cache/*)" -gt 1000 ] || fail "a damaged cache was not made anew"
for plant in 'cp victim' 'ln -sf ../victim'; do # what is no cache, and a link, are left alone
    echo rubbish >victim && $plant "$own"
    encode large.json <texts | cmp -s - wanted || fail "ids with rubbish for a cache"
    [ "$(cat "$own" victim)" = $'rubbish\nrubbish' ] || fail "replaced what is no cache ($plant)"
done
rm -r cache && CARINA_CACHE= encode large.json <texts | cmp -s - wanted || fail "ids without a cache"
[ ! -e cache ] || fail "a cache that nobody wanted"

# Making one: the same from the same lines, whatever their order.
for i in 1 2 3; do cat "$ROOT/README.md" "$ROOT/CHANGELOG.md"; done >text.txt
expect 0 '^new.json: 1000 tokens from [0-9]+ lines$' - "$CARINA" tokenizer train -n 1000 -o new.json text.txt
sort -r text.txt >sorted.txt
expect 0 '"tokens": 1000' - "$CARINA" tokenizer train -n 1000 -o other.json --json sorted.txt
cmp new.json other.json || fail "the order of lines matters"
expect 0 '^piped.json: 1000 tokens' - bash -c '"$0" tokenizer train -n 1000 -o piped.json - <text.txt' "$CARINA"
cmp new.json piped.json || fail "standard input gives another tokenizer"
printf '\n\n' >empty.txt
expect 1 - '^carina: empty.txt: no text to learn from' "$CARINA" tokenizer train -o x.json empty.txt
expect 1 - '^carina: standard input: no text to learn from' bash -c '"$0" tokenizer train -o x.json - </dev/null' "$CARINA"
encode new.json <"$ROOT/README.md" | decode new.json | cmp -s - "$ROOT/README.md" || fail "README does not come back"
[ "$(encode new.json <"$ROOT/README.md" | wc -w)" -lt $(($(wc -m <"$ROOT/README.md") / 2)) ] || fail "nothing was joined"

expect 2 - 'arguments|FILE' "$CARINA" tokenizer encode
expect 2 - 'required' "$CARINA" tokenizer train text.txt
expect 2 - 'vocabulary-size' "$CARINA" tokenizer train -o x.json -n 10 text.txt
expect 1 - 'missing.json: cannot open' "$CARINA" tokenizer encode missing.json
expect 1 - 'missing.txt: cannot open' "$CARINA" tokenizer train -o x.json missing.txt
expect 1 - 'missing.txt: cannot open' "$CARINA" tokenizer encode --add missing.txt "$gemma"
cp new.json text.json
expect 1 - 'text.json: is read by this command' "$CARINA" tokenizer train -o text.json text.json
expect 1 - 'plain: exists and is no tokenizer.json' "$CARINA" tokenizer train -o plain text.txt
echo '{"model": {"type": "BPE"}, "model_type": "gemma3"}' > config.json && cp config.json config.kept
expect 1 - '^carina: config.json: exists and is no tokenizer.json; give another --out$' "$CARINA" tokenizer train -o config.json text.txt
cmp -s config.json config.kept || fail "a config.json was written over"
expect 0 '^new.json: 1000 tokens' - "$CARINA" tokenizer train -n 1000 -o new.json text.txt # one of its own kind
expect 1 - 'fewer than bytes and characters' "$CARINA" tokenizer train -o x.json -n 270 text.txt
[ ! -e x.json ] || fail "left something behind"
head -c 20000 "$gemma" >cut.json
expect 1 - 'cut.json: .*not valid JSON' "$CARINA" tokenizer encode cut.json
sed 's/"type": "BPE"/"type": "Unigram"/' "$gemma" >unigram.json
expect 1 - 'unigram.json: model.type: "Unigram" is not known' "$CARINA" tokenizer encode unigram.json
echo '1 2 900' >ids.txt
expect 1 - 'line 1: .*gemma.json: no token has id 900 \(there are 0 to 899\)' feed ids.txt "$CARINA" tokenizer decode "$gemma"
printf '1 2\0 3\n' >ids.txt
expect 1 - 'standard input: line 1: a NUL byte is no id' feed ids.txt "$CARINA" tokenizer decode "$gemma"
printf '271 264\r\n' | decode "$gemma" | cmp -s - <(printf '271 264\n' | decode "$gemma") || fail "ids of a file with CRLF"
printf '<box>\0x\n' >nul.txt
expect 1 - 'nul.txt: has a NUL byte' "$CARINA" tokenizer encode --add nul.txt "$gemma"
echo '1 -1' >ids.txt
expect 1 - 'no token has id -1' feed ids.txt "$CARINA" tokenizer decode "$gemma"
echo '1 99999999999999999999' >ids.txt
expect 1 - 'line 1: "99999999999999999999" is no id' feed ids.txt "$CARINA" tokenizer decode "$gemma"
printf '1\n1 x\n' >ids.txt
expect 1 '' 'line 2: "x" is no id' feed ids.txt "$CARINA" tokenizer decode --json "$gemma"
for command in encode decode train; do expect 0 "carina tokenizer $command" - "$CARINA" tokenizer $command --help; done
expect 0 'tokenizer train' '' "$CARINA" tokenizer --help
finish
