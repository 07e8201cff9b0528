#!/bin/bash
# The program itself: help of every command, version, completion, doctor, usage errors and exit status.
set -u
. "$ROOT/tests/cli/check.bash"

expect 0 'carina 0\.' '' "$CARINA" --version
expect 0 '"commit": "' '' "$CARINA" version --json
expect 0 'not a medical device' '' "$CARINA" help
expect 0 'not a medical device' '' "$CARINA" --help
expect 2 '' 'which command' "$CARINA"
expect 2 '' "did you mean 'doctor'" "$CARINA" docter
expect 2 '' "unknown command 'xyzzy'; .carina help. lists" "$CARINA" xyzzy
expect 2 '' 'did you mean --json' "$CARINA" doctor --jsno
expect 2 '' "unexpected argument 'film.png'" "$CARINA" doctor film.png
expect 2 '' 'CARINA_MAX_ISA is .avx1024.' env CARINA_MAX_ISA=avx1024 "$CARINA" --version
expect 0 'using generic' '' env CARINA_MAX_ISA=generic "$CARINA" --version
expect 2 '' 'not one of bash, zsh, fish' "$CARINA" completion tcsh

# Every command explains itself, with examples, in both ways.
"$CARINA" help | sed -n '/^Commands:/,/^$/s/^  \([a-z]* \{0,1\}[a-z]*\)  .*/\1/p' > commands.txt
[ "$(wc -l < commands.txt)" -ge 4 ] || fail "the list of commands is too short: $(cat commands.txt)"
while read -r command; do
    expect 0 "Usage: carina $command " '' "$CARINA" $command --help
    expect 0 '^Examples:' '' "$CARINA" help $command
    expect 2 '' 'unknown option --no-such-option' "$CARINA" $command --no-such-option
done < commands.txt

# Completion: commands, options and choices come out of the sourced script.
expect 0 '^doctor$' '' bash -c 'source <("$0" completion bash); COMP_WORDS=(carina doc); COMP_CWORD=1; _carina; echo "${COMPREPLY[@]}"' "$CARINA"
expect 0 '^--json$' '' bash -c 'source <("$0" completion bash); COMP_WORDS=(carina doctor --js); COMP_CWORD=2; _carina; echo "${COMPREPLY[@]}"' "$CARINA"
expect 0 'complete -c carina' '' "$CARINA" completion fish
expect 0 '^#compdef carina' '' "$CARINA" completion zsh
expect 0 '^\.TH CARINA 1' '' "$CARINA" help --man

# Doctor says what is missing, and that it is.
mkdir -p empty && cd empty || exit 1
"$CARINA" doctor > ../doctor.txt
status=$?
if grep -q '^missing:' ../doctor.txt; then wanted=1; else wanted=0; fi
[ $status -eq $wanted ] || fail "doctor ended with $status, its text asks for $wanted"
"$CARINA" doctor --json > ../doctor.json
grep -q '"isa_machine"' ../doctor.json || fail "doctor --json lacks isa_machine"
cd ..

# A full disk is noticed.
if [ -w /dev/full ]; then
    "$CARINA" help > /dev/full 2> full.txt && fail "writing to a full disk went unnoticed"
    grep -q 'cannot write standard output' full.txt || fail "a full disk has no message: $(cat full.txt)"
fi
finish
