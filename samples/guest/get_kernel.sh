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

[ -e "$to/package" ] || (
  exec 9>"$to.lock"
  flock 9 # two tests may want the same kernel
  [ ! -e "$to/package" ] || exit 0
  work=$(mktemp -d "$to.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  apt_options=(-qq -o APT::Sandbox::User= -o Acquire::Retries=2 -o Acquire::http::Timeout=30)

  # Package lists of our own, when the machine's do not have the package: of the suite, from the mirror that the
  # machine uses for its own release, with Debian's keys.
  own_lists() {
    mkdir -p "$work"/apt/{lists/partial,cache/archives/partial}
    if [ -n "$suite" ]; then
      local mirror
      mirror=$(apt_mirror)
      [ -n "$mirror" ] || die 69 "apt has no mirror for this machine's release, so none is known for $suite"
      echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/apt/sources.list"
      apt_options+=(-o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null)
    fi
    apt_options+=(-o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o Debug::NoLocking=1)
    apt-get "${apt_options[@]}" -o APT::Update::Error-Mode=any update >"$work/log" 2>&1 && return
    if key=$(grep -o -m 1 'NO_PUBKEY [0-9A-F]*' "$work/log"); then
      die 69 "$suite is signed with a key that debian-archive-keyring does not have (${key#* })"
    fi
    die 69 "cannot fetch the package lists${suite:+ of $suite}: $(grep -m 1 -E '^[EW]:' "$work/log" || echo 'no reason given')"
  }

  depends() { apt-cache "${apt_options[@]}" show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Depends: //p'; }
  # The newest version that the lists have: security updates, not the first release.
  find_package() { apt-cache "${apt_options[@]}" show "$package" >/dev/null 2>&1; }
  if [ -n "$suite" ] || ! find_package; then
    own_lists
    find_package || die 69 "there is no package $package${suite:+ in $suite}"
  fi

  # A meta package has nothing but its dependencies; later kernels come in several packages.
  wanted=("$package")
  for ((i = 0; i < ${#wanted[@]}; ++i)); do
    for name in $(depends "${wanted[i]}" | tr ',|' '\n' | sed -nE 's/^ *(linux-(image|modules|binary|base)-[^ ]+).*/\1/p'); do
      case " ${wanted[*]} " in *" $name "*) ;; *) wanted+=("$name") ;; esac
    done
  done

  mkdir "$work/debs" "$work/x" "$work/kernel"
  (cd "$work/debs" && apt-get "${apt_options[@]}" download "${wanted[@]}") >"$work/log" 2>&1 ||
    die 69 "cannot fetch ${wanted[*]}: $(grep -m 1 -E '^[EW]:' "$work/log" || echo 'no reason given')"
  for deb in "$work"/debs/*.deb; do
    dpkg -x "$deb" "$work/x"
  done
  # Under /lib up to Debian 12, under /usr/lib since.
  image=$(find "$work/x" -name 'vmlinuz*' -type f -print -quit)
  [ -n "$image" ] || die 69 "$package has no kernel in it"
  modules=$(find "$work/x" -path '*/lib/modules/*' -type d -print -quit)
  [ -n "$modules" ] || die 69 "$package has no modules in it"
  release=$(basename "$modules")
  mkdir -p "$work/kernel/lib"
  mv "$image" "$work/kernel/vmlinuz"
  mv "$(dirname "$modules")" "$work/kernel/lib/"
  find "$work/x" -name 'config-*' -type f -exec mv {} "$work/kernel/config" \;
  rm -f "$work/kernel/lib/modules/$release"/{build,source}
  need kmod
  depmod -b "$work/kernel" "$release" # Debian's packages leave this to their installation
  echo "$release" >"$work/kernel/release"
  (cd "$work/debs" && printf '%s\n' *.deb) >"$work/kernel/package"
  rm -rf "$to"
  chmod 755 "$work/kernel"
  mv "$work/kernel" "$to"
)
echo "$to"
