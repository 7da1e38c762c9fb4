#!/usr/bin/env bash
# Fetches Debian's User Mode Linux, a kernel that runs as a process, and unpacks it; installs nothing and needs no root.
# Prints the folder.
#   get_uml.sh <folder>
# It is in <folder>/user-mode-linux, as get_kernel.sh leaves a kernel: linux (the program), release and lib/modules. If
# it is there already, nothing is fetched.
# Exit status 69: the package cannot be fetched.
source "$(dirname "$0")/lib.sh"

[ $# = 1 ] || usage 64
mkdir -p "$1"
to=$(cd "$1" && pwd)/user-mode-linux

fetch() {
  local work=$1 release
  apt-cache show user-mode-linux >/dev/null 2>&1 || own_lists "$work"
  mkdir -p "$work/debs" "$work/x" "$work/new/lib"
  (cd "$work/debs" && apt-get "${apt_options[@]}" download user-mode-linux) >"$work/log" 2>&1 ||
    die 69 "cannot fetch user-mode-linux: $(apt_reason "$work/log")"
  dpkg -x "$work"/debs/*.deb "$work/x"
  mv "$work/x/usr/bin/linux.uml" "$work/new/linux"
  mv "$work/x/usr/lib/uml/modules" "$work/new/lib/"
  release=$(ls "$work/new/lib/modules")
  need kmod
  depmod -b "$work/new" "$release"
  echo "$release" >"$work/new/release"
}
once "$to" linux fetch
echo "$to"
