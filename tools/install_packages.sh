#!/bin/bash
# Installs the Debian 12 packages that Carina needs and this machine lacks; quick, silent and without the network when
# nothing is missing. Needs root or sudo. Further packages can be named: tools/install_packages.sh clang-format
set -euo pipefail

packages=(
    gcc g++ cmake ninja-build pkg-config        # build
    libdnnl-dev                                 # convolutions and matrix products
    libdcmtk-dev libopenjp2-7-dev               # DICOM, JPEG 2000 inside it
    libpng-dev libturbojpeg0-dev zlib1g-dev     # PNG, JPEG, zip
    libjansson-dev libyaml-dev                  # JSON, YAML
    libsqlite3-dev                              # the sentence database
    libcairo2-dev fonts-dejavu-core             # pictures with names in them
    libcmocka-dev                               # tests
    "$@"
)

if ! command -v dpkg-query > /dev/null; then
    echo "install_packages: not a Debian system; the build needs what these packages hold: ${packages[*]}" >&2
    exit 0
fi

# Packages that are installed, one a line, against those wanted.
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2> /dev/null | sed -n 's/^installed //p' || true)
missing=()
for package in "${packages[@]}"; do
    grep -qxF "$package" <<< "$installed" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo > /dev/null || {
        echo "install_packages: needs root or sudo to install: ${missing[*]}" >&2
        exit 1
    }
    as_root=(sudo)
fi
echo "installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { "${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" > "$log" 2>&1; }
# The package lists may be there and fresh enough; if not, get them and try again.
install || { "${as_root[@]}" apt-get update -q >> "$log" 2>&1 && install; } || {
    cat "$log" >&2
    echo "install_packages: apt-get could not install: ${missing[*]}" >&2
    exit 1
}
