#!/bin/bash
# What `make install` gives: a program, a library that shows only its public names, headers, carina.pc, completions,
# a manual page; and the example compiles and runs against it.
set -u
. "$ROOT/tests/cli/check.bash"
build=$(dirname "$CARINA")
prefix=$work/prefix

expect 0 '' '' cmake --install "$build" --prefix "$prefix"
expect 0 'carina 0\.' '' "$prefix/bin/carina" --version
for file in include/carina/locate.h include/carina/error.h share/man/man1/carina.1 \
    share/bash-completion/completions/carina share/doc/carina/LICENSE; do
    [ -s "$prefix/$file" ] || fail "$file was not installed"
done
for header in "$ROOT"/include/carina/*.h; do
    [ -s "$prefix/include/carina/$(basename "$header")" ] || fail "$(basename "$header") was not installed"
done

# Every name of the library that the linker can see is declared in the public headers, and the other way round.
library=$(find "$prefix" -name 'libcarina.so' | head -1)
[ -n "$library" ] || { fail "no libcarina.so"; finish; }
nm -D --defined-only "$library" | awk '{print $3}' | LC_ALL=C sort > seen.txt
grep -ohE 'CARINA_API [^;]*\(' "$ROOT"/include/carina/*.h | grep -oE 'carina_[a-z0-9_]+\($' | tr -d '(' |
    LC_ALL=C sort -u > declared.txt
[ "$(wc -l < declared.txt)" -ge 8 ] || fail "only $(wc -l < declared.txt) public functions were found in the headers"
diff declared.txt seen.txt > names.txt || fail "public names (<) and names in the library (>) differ: $(cat names.txt)"
readelf -d "$library" | grep -q 'SONAME.*libcarina\.so\.0' || fail "the library has no SONAME libcarina.so.0"

# The example against the installation.
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$library")/pkgconfig
expect 0 '^0\.' '' pkg-config --modversion carina
flags=$(pkg-config --cflags --libs carina)
sanitize=
"$CARINA" --version | grep -q sanitize && sanitize=-fsanitize=address,undefined
# shellcheck disable=SC2086
expect 0 '' - "${CC:-cc}" -std=c99 -Wall -Wextra -Werror $sanitize "$ROOT/examples/locate.c" $flags -o example
export LD_LIBRARY_PATH
LD_LIBRARY_PATH=$(dirname "$library")
expect 2 '' 'usage: locate' ./example
expect 1 '' 'locate: ' ./example "$ROOT/README.md"

# It finds the regions of a bundled film, as the installed program does: with the shipped model, which the installation
# finds by itself, and with a model named in the environment.
film=$ROOT/demo/films/phantom-1.jpg
"$build/tests/make_model" apm-small.safetensors || fail "no model"
expect 0 'right lower lung zone' - env CARINA_MODELS="$work" ./example "$film"
cp expect.out by_library.txt
expect 0 'right lower lung zone' '' env CARINA_MODELS="$work" "$prefix/bin/carina" locate "$film"
boxes() { grep -oE '(lung|atrium|carina|spine) .*[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+$' "$1" | tr -s ' '; }
[ "$(boxes by_library.txt)" = "$(boxes expect.out)" ] || fail "library and program disagree"
if ls "$ROOT"/models/*.safetensors > /dev/null 2>&1; then
    expect 0 'right lower lung zone' - ./example "$film"
    expect 0 'right lower lung zone' '' "$prefix/bin/carina" locate "$film"
    expect 0 "$prefix/share/carina/models" '' "$prefix/bin/carina" doctor
fi
finish
