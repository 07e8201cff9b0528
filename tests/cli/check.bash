# Sourced by the scripts here: runs commands and compares exit status, standard output and standard error.
# Each script works in a folder of its own below the build folder.
failures=0
checks=0
work=$(mktemp -d "${TMPDIR:-/tmp}/carina-test-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect STATUS OUT-PATTERN ERR-PATTERN COMMAND...: extended regular expressions; an empty pattern asks for nothing,
# "-" for no output at all.
expect() {
    local status=$1 out=$2 err=$3 got
    shift 3
    checks=$((checks + 1))
    "$@" > expect.out 2> expect.err < /dev/null
    got=$?
    [ "$got" -eq "$status" ] || fail "exit status $got instead of $status: $*: $(head -c 300 expect.err)"
    expect_text "$out" expect.out "$*"
    expect_text "$err" expect.err "$*"
}

expect_text() {
    [ -z "$1" ] && return
    if [ "$1" = - ]; then
        [ -s "$2" ] && fail "output where none was wanted: $3: $(head -c 300 "$2")"
    else
        grep -qE -- "$1" "$2" || fail "no '$1' in ${2#expect.}: $3: $(head -c 300 "$2")"
    fi
}

# Asks for the shared films: ends the script as skipped when they are not there.
need_shared() {
    [ -d "$SHARED/data" ] && return
    echo "skipped: shared data not found"
    exit 77
}

finish() {
    echo "$checks commands, $failures failures"
    [ "$failures" -eq 0 ]
    exit
}
