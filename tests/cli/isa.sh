#!/bin/bash
# Every instruction set that this processor has, one after the other: the tests of everything that computes run with
# the kernels capped at generic, avx2, avx512 and amx, and the program finds the same regions with each. Where there are
# no AMX tiles, programs are taken that emulate them (tests/CMakeLists.txt).
set -u
. "$ROOT/tests/cli/check.bash"
build=$(dirname "$CARINA")

# What computes: these unit tests, where they exist.
tests=$(find "$build/tests" -maxdepth 1 -type f -executable -name 'test_*' | LC_ALL=C sort |
    grep -E '/test_(kernels|tensor|graph|ops?|gradients?|convolution|attention|dnnl|apm|bert|model|resnet|detr|layers|locate)[a-z0-9_]*$' | grep -v '_on_tiles$')

film=$ROOT/demo/films/phantom-1.jpg
"$build/tests/make_model" tiny.safetensors || fail "no model"
has() { "$1" version --json | grep -q "\"isa_used\": \"$2\""; }
for level in generic avx2 avx512 amx; do
    export CARINA_MAX_ISA=$level
    if ! has "$CARINA" $level; then
        emulating=$build/tests/carina_on_tiles
        if [ $level != amx ] || [ ! -x "$emulating" ] || ! has "$emulating" amx; then
            echo "skipped: this processor has no $level"
            continue
        fi
        CARINA=$emulating
        tests=$(for test in $tests; do [ ! -x "${test}_on_tiles" ] || echo "${test}_on_tiles"; done)
    fi
    for test in $tests; do
        expect 0 '' '' "$test"
    done
    expect 0 'right lung' '' "$CARINA" locate --threads 1 --json -m ./tiny.safetensors "$film"
    cp expect.out "$level.json"
    expect 0 'right lung' '' "$CARINA" locate --dtype bf16 --json -m ./tiny.safetensors "$film"
    echo "$level: $(echo "$tests" | wc -w) test programs"
done
unset CARINA_MAX_ISA

# In f32 the levels differ by rounding only: no edge by more than half a pixel.
numbers() { grep -oE '"box": ?\[[^]]*\]' "$1" | tr -c '0-9.\n' ' '; }
for other in avx2 avx512 amx; do
    [ -s generic.json ] && [ -s $other.json ] || continue
    paste -d ' ' <(numbers generic.json) <(numbers $other.json) | awk '
        { half = NF / 2; for (i = 1; i <= half; i++) { d = $i - $(i + half); if (d < 0) d = -d; if (d > worst) worst = d } }
        END { exit !(NR > 0 && worst <= 0.5) }' || fail "generic and $other disagree"
done
finish
