#!/usr/bin/env bash
# Fetches a Debian kernel and unpacks it; installs nothing and needs no root. Prints the folder.
#   get_kernel.sh <package>[/<suite>] <folder>
# <package>: e.g. linux-image-cloud-amd64 or linux-image-amd64 (the newest of its kind), or a versioned one.
# <suite>: another Debian release, e.g. bookworm-backports, trixie, forky; it need not be configured in apt.
# The kernel is in <folder>/<package>[_<suite>]: vmlinuz, config, release (its version), package (what it came from)
# and lib/modules. If it is there already, nothing is fetched: delete the folder for a newer one.
# Exit status 69: the package cannot be fetched.
source "$(dirname "$0")/lib.sh"

[ $# = 2 ] || usage 64
package=${1%%/*} suite=''
case $1 in */*) suite=${1#*/} ;; esac
mkdir -p "$2"
to=$(cd "$2" && pwd)/$package${suite:+_$suite}

depends() { apt-cache "${apt_options[@]}" show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Depends: //p'; }
# The newest version that the lists have: security updates, not the first release.
find_package() { apt-cache "${apt_options[@]}" show "$package" >/dev/null 2>&1; }

fetch() {
  local work=$1 wanted=("$package") i name deb image modules release
  if [ -n "$suite" ] || ! find_package; then
    own_lists "$work" ${suite:+"$suite"}
    find_package || die 69 "there is no package $package${suite:+ in $suite}"
  fi

  # A meta package has nothing but its dependencies; later kernels come in several packages.
  for ((i = 0; i < ${#wanted[@]}; ++i)); do
    for name in $(depends "${wanted[i]}" | tr ',|' '\n' | sed -nE 's/^ *(linux-(image|modules|binary|base)-[^ ]+).*/\1/p'); do
      case " ${wanted[*]} " in *" $name "*) ;; *) wanted+=("$name") ;; esac
    done
  done

  mkdir -p "$work/debs" "$work/x" "$work/new/lib"
  (cd "$work/debs" && apt-get "${apt_options[@]}" download "${wanted[@]}") >"$work/log" 2>&1 ||
    die 69 "cannot fetch ${wanted[*]}: $(apt_reason "$work/log")"
  for deb in "$work"/debs/*.deb; do
    dpkg -x "$deb" "$work/x"
  done
  # Under /lib up to Debian 12, under /usr/lib since.
  image=$(find "$work/x" -name 'vmlinuz*' -type f -print -quit)
  [ -n "$image" ] || die 69 "$package has no kernel in it"
  modules=$(find "$work/x" -path '*/lib/modules/*' -type d -print -quit)
  [ -n "$modules" ] || die 69 "$package has no modules in it"
  release=$(basename "$modules")
  mv "$image" "$work/new/vmlinuz"
  mv "$(dirname "$modules")" "$work/new/lib/"
  find "$work/x" -name 'config-*' -type f -exec mv {} "$work/new/config" \;
  rm -f "$work/new/lib/modules/$release"/{build,source}
  need kmod
  depmod -b "$work/new" "$release" # Debian's packages leave this to their installation
  echo "$release" >"$work/new/release"
  (cd "$work/debs" && printf '%s\n' *.deb) >"$work/new/package"
}
once "$to" package fetch
echo "$to"
