#!/bin/bash
# Every header compiles on its own, with nothing included before it; the public ones as C and as C++ too.
# (*_body.h are no headers but texts that several files are made of.)
#   CC, CXX: the compilers; DEFINITIONS: -D options of the build
set -uo pipefail
cd "${ROOT:-$(dirname "$0")/..}"

wrong=0 count=0
try() { # COMPILER... HEADER
    local header=${*: -1}
    count=$((count + 1))
    "${@:1:$#-1}" -fsyntax-only -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-const-variable \
        -Iinclude "$header" || { echo "$header: does not compile on its own with ${*:1:$#-1}"; wrong=$((wrong + 1)); }
}
for header in $(find src -name '*.h' ! -name '*_body.h' | LC_ALL=C sort); do
    try "${CC:-cc}" -x c -std=c17 -D_GNU_SOURCE -DCARINA_VERSION='"0"' -Isrc "$header"
done
for header in include/carina/*.h; do
    try "${CC:-cc}" -x c -std=c99 -pedantic "$header"
    try "${CXX:-c++}" -x c++ -std=c++11 -pedantic "$header"
done
echo "check_headers: $count compilations, $wrong failed"
[ "$count" -gt 0 ] && [ "$wrong" -eq 0 ]
