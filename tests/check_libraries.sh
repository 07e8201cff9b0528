#!/bin/bash
# Holds every #include <...> against tests/libraries.txt: a library is used behind one file, so that it can be replaced
# there, and a header that is neither standard nor in the table is a library without a home.
set -euo pipefail
cd "${ROOT:-$(dirname "$0")/..}"

table=tests/libraries.txt
declare -A standard=() cplusplus=()
patterns=() owners=()
while read -r first rest; do
    case "$first" in
        '' | '#'*) ;;
        standard) for name in $(set -f; echo $rest); do standard[$name]=1; done ;;
        c++) for name in $rest; do cplusplus[$name]=1; done ;;
        *) patterns+=("$first") owners+=("$rest") ;;
    esac
done < "$table"

# May this file include this header?
check() {
    local file=$1 header=$2 i owner found=
    [ -n "${standard[$header]:-}" ] && return 0
    [[ $header == sys/* ]] && return 0
    [[ $file == *.cc && -n "${cplusplus[$header]:-}" ]] && return 0
    for i in "${!patterns[@]}"; do
        # shellcheck disable=SC2053
        [[ $header == ${patterns[$i]} ]] || continue
        found=${owners[$i]}
        for owner in $(set -f; echo $found); do
            # shellcheck disable=SC2053
            [[ $file == $owner ]] && return 0
        done
    done
    if [ -n "$found" ]; then
        echo "$file: <$header> belongs to $found only ($table)"
    else
        echo "$file: <$header> is in no line of $table"
    fi
    return 1
}

wrong=0 count=0
while IFS=: read -r file line; do
    header=${line#*[<\"]}
    header=${header%%[>\"]*}
    count=$((count + 1))
    check "$file" "$header" || wrong=$((wrong + 1))
done < <(grep -rhoHE '^[[:space:]]*#[[:space:]]*include[[:space:]]+(<[^>]+>|"dcmtk/[^"]+")' \
    src include tests fuzz bench tools examples --include='*.c' --include='*.h' --include='*.cc' --include='*.cpp' 2> /dev/null)
echo "check_libraries: $count includes, $wrong wrong"
[ "$count" -gt 0 ] && [ "$wrong" -eq 0 ]
