# Shared by the scripts of this folder.
# shellcheck shell=bash
set -euo pipefail
umask 022
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

guest_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Kernels and what is derived from them; safe to delete.
# shellcheck disable=SC2034  # for the scripts
guest_cache=${ACRN_GUEST_CACHE:-$(cd "$guest_dir/../.." && pwd)/build/guest}

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
die() {
  local status=$1
  shift
  say "$*"
  exit "$status"
}

# usage <status>: the comment at the head of the script.
usage() {
  sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0" >&2
  exit "$1"
}

# need <package...>: installs the packages that are missing, as root or with sudo. Exit status 69 when that fails.
need() {
  local package missing=() as_root=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing: ${missing[*]}"
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  install_missing() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null
  }
  install_missing 2>/dev/null || { "${as_root[@]}" apt-get update -qq && install_missing; } ||
    die 69 "cannot install ${missing[*]}"
}

# The mirror that apt uses for this machine's own release; nothing if there is none.
apt_mirror() {
  local codename
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  apt-get update --print-uris 2>/dev/null | sed -n "s|^'\(.*\)/dists/$codename/InRelease' .*|\1|p" | head -n 1
}

# What apt-get is given, by get_kernel.sh and get_qemu.sh.
apt_options=(-qq -o APT::Sandbox::User= -o Acquire::Retries=2 -o Acquire::http::Timeout=30)
# own_lists <work folder> [<suite>...]: package lists in the work folder, instead of the machine's: of these suites, from
# the mirror that the machine uses for its own release, with Debian's keys; without a suite, of what apt is set up for.
# $apt_types: "deb deb-src" for sources as well.
own_lists() {
  local work=$1 suites="${*:2}" suite type mirror key
  mkdir -p "$work"/apt/{lists/partial,cache/archives/partial}
  if [ -n "$suites" ]; then
    mirror=$(apt_mirror)
    [ -n "$mirror" ] || die 69 "apt has no mirror for this machine's release, so none is known for $suites"
    for suite in $suites; do
      for type in ${apt_types:-deb}; do
        echo "$type [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
      done
    done >"$work/apt/sources.list"
    apt_options+=(-o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
      -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null)
  fi
  apt_options+=(-o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o Debug::NoLocking=1)
  apt-get "${apt_options[@]}" -o APT::Update::Error-Mode=any update >"$work/log" 2>&1 && return
  if key=$(grep -o -m 1 'NO_PUBKEY [0-9A-F]*' "$work/log"); then
    die 69 "$suites is signed with a key that debian-archive-keyring does not have (${key#* })"
  fi
  die 69 "cannot fetch the package lists${suites:+ of $suites}: $(apt_reason "$work/log")"
}
apt_reason() { grep -m 1 -E '^[EW]:' "$1" || echo 'no reason given'; }

# once <folder> <file in it> <function>: unless the folder has the file, the function is called with a work folder; what is
# in "new" there becomes the folder, when that is complete. Several callers wait for each other.
once() {
  local work
  [ ! -e "$1/$2" ] || return 0
  (
    exec 9>"$1.lock"
    flock 9
    [ ! -e "$1/$2" ] || exit 0
    work=$(mktemp -d "$1.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mkdir "$work/new"
    "$3" "$work"
    rm -rf "$1"
    chmod 755 "$work/new"
    mv "$work/new" "$1"
  )
}

# fetch_package <work folder> <package> [<suite>]: what is in it is in <work folder>/x then; for once.
fetch_package() {
  local work=$1 package=$2
  own_lists "$work" ${3:+"$3"}
  mkdir -p "$work/x"
  (cd "$work" && apt-get "${apt_options[@]}" download "$package") >"$work/log" 2>&1 ||
    die 69 "cannot fetch $package: $(apt_reason "$work/log")"
  dpkg -x "$work"/*.deb "$work/x"
}

# add_file <root> <host path or program name>[:<guest path>]: copies it, to the same place unless another is named,
# and the shared libraries that a program needs; a folder with all that is in it.
add_file() {
  local root=$1 from=${2%%:*} to='' library
  case $2 in *:*) to=${2#*:} ;; esac
  case $from in
    */*) ;;
    *) [ -e "$from" ] || from=$(command -v "$from") || die 66 "no file or program '${2%%:*}'" ;;
  esac
  [ -e "$from" ] || die 66 "no file '$from'"
  [ -n "$to" ] || to=$(realpath -s "$from")
  mkdir -p "$root$(dirname "$to")"
  if [ -d "$from" ]; then
    cp -rT --remove-destination --preserve=mode,links "$from" "$root$to"
    return
  fi
  cp -L --remove-destination --preserve=mode "$from" "$root$to"
  # "name => /path (0x...)" and "/lib64/ld-linux-x86-64.so.2 (0x...)"; nothing for a script or a static program.
  { ldd "$from" 2>/dev/null || true; } | sed -nE 's|.*not found.*|&|p; s|^[^/]*(/[^ ]+) \(0x.*|\1|p' | while read -r library; do
    case $library in
      *'not found'*) die 66 "$from needs ${library%% *}, which is not here" ;;
      /tmp/* | /run/*) to=/usr/lib/${library##*/} ;; # a build there; the guest mounts other file systems on these
      *) to=$library ;;
    esac
    [ -e "$root$to" ] || {
      mkdir -p "$root$(dirname "$to")"
      cp -L --preserve=mode "$library" "$root$to"
    }
  done
}

# new_root <root>: the folders (merged /usr, as Debian has it) and busybox with its applets.
new_root() {
  local root=$1 busybox name
  need busybox-static
  busybox=$(command -v busybox)
  mkdir -p "$root"/{usr/{bin,sbin,lib,lib64},dev,proc,sys,tmp,run,root,etc,mnt,var/tmp}
  for name in bin sbin lib lib64; do
    ln -sfn "usr/$name" "$root/$name"
  done
  cp -L --remove-destination --preserve=mode "$busybox" "$root/usr/bin/busybox"
  "$busybox" --list | while read -r name; do
    # What is already there is a real program, from an earlier call.
    [ "$name" = busybox ] || [ -e "$root/usr/bin/$name" ] || echo "$name"
  done | (cd "$root/usr/bin" && xargs -r -n 1 ln -sf busybox)
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
}

# serve <protocol> <socket> <argument>...: acrn-dm serves disks by it in the current folder, until serve_end or the
# script's end; the socket is there when this returns.
serve() {
  local protocol=$1 socket=$2
  shift 2
  acrn-dm --serve "$protocol=." "$@" &
  server=$!
  trap 'kill "$server" 2>/dev/null || true' EXIT
  until [ -S "$socket" ]; do
    kill -0 "$server" 2>/dev/null || die 1 "acrn-dm does not serve"
    sleep 0.1
  done
}
serve_end() {
  trap - EXIT
  kill "$server"
  wait "$server"
}
