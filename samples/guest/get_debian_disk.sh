#!/usr/bin/env bash
# A disk of make_debian_disk.sh, made once. Prints its path; what boots it takes a copy.
#   get_debian_disk.sh <folder>
# Exit status 69: it cannot be made.
source "$(dirname "$0")/lib.sh"

[ $# = 1 ] || usage 64
mkdir -p "$1"
to=$(cd "$1" && pwd)/debian
make() { "$guest_dir/make_debian_disk.sh" "$1/new/debian.img"; }
once "$to" debian.img make
echo "$to/debian.img"
