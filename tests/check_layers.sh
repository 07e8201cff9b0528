#!/bin/bash
# Holds every #include "folder/file.h" under src and include against src/LAYERS: a folder includes itself, the public
# headers, and the folders its line names; lines name only folders above them, so there can be no circle.
set -euo pipefail
cd "${ROOT:-$(dirname "$0")/..}"

list=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' src include --include='*.c' --include='*.h' --include='*.cc')
[ -n "$list" ] || { echo "check_layers: no includes found"; exit 1; }
folders=$(cd src && for folder in */; do echo "${folder%/}"; done)

awk -v folders="$folders" '
function wrong(text) { print text; bad++ }
FNR == NR {
    if ($0 ~ /^[[:space:]]*(#|$)/) next
    name = $0; sub(/:.*/, "", name)
    rest = $0; sub(/^[^:]*:/, "", rest)
    count = split(rest, words, " ")
    for (i = 1; i <= count; i++) {
        if (!(words[i] in known)) wrong("src/LAYERS: " name " names " words[i] ", which no line above it declares")
        allowed[name, words[i]] = 1
    }
    known[name] = 1
    next
}
{
    split($0, part, ":"); file = part[1]
    target = $0; sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
    split(file, path, "/")
    from = path[1] == "include" ? "carina" : path[2]
    into = target; sub(/\/.*/, "", into)
    checked++
    if (target !~ /\//) {
        if (target != "carina_build_info.h") wrong(file ":" part[2] ": \"" target "\" must be written with its folder")
    } else if (into == "carina" || into == from) next
    else if (from == "carina") wrong(file ":" part[2] ": a public header includes only public headers, not " target)
    else if (into == "dcmtk") next # named in the table of libraries
    else if (!((from, into) in allowed)) wrong(file ":" part[2] ": " from " may not include " into " (" target "); see src/LAYERS")
}
END {
    count = split(folders, all, "\n")
    for (i = 1; i <= count; i++) if (!(all[i] in known)) wrong("src/" all[i] ": has no line in src/LAYERS")
    printf "check_layers: %d includes in %d folders, %d wrong\n", checked, count, bad
    exit bad > 0
}' src/LAYERS <(printf '%s\n' "$list")
