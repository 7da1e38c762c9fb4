#!/usr/bin/env bash
# Runs a command in a folder on a host with KVM: here, if /dev/kvm can run a 64-bit guest, else in an emulated host.
#   kvm_host.sh <folder> [--file <program>]... [--get <file>]... -- <command...>
# The programs of this project's release build are in its PATH. --file: a program of this machine that the command
# needs. --get: a file of the folder that the command changes; the emulated host works on a copy of the folder.
# Needs no root of its own; where /dev/kvm is for root or a group, neither does the emulated host.
source "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] || usage 64
folder=$(cd "$1" && pwd)
shift
files=() gets=()
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    --file) files+=(--file "$2"); shift 2 ;;
    --get) gets+=(--get "/vm/$2:$folder/$2"); shift 2 ;;
    *) usage 64 ;;
  esac
done
[ $# -ge 1 ] || usage 64
build=$(cd "$guest_dir/../.." && pwd)/build/release

if "$guest_dir/kvm_usable.sh" 2>/dev/null; then
  cd "$folder"
  PATH="$build/dm:$build/dm/tools:$PATH" exec "$@"
fi
say "KVM cannot run a 64-bit guest here, so the host is emulated, and slow"
root=$(mktemp -d "${TMPDIR:-/tmp}/kvm-host-XXXXXX")
trap 'rm -rf "$root"' EXIT
"$guest_dir/make_root.sh" "$root" --file "$build/dm/acrn-dm:/usr/bin/acrn-dm" --file "$folder:/vm" "${files[@]}"
# Half of the program is for its debugger.
strip "$root/usr/bin/acrn-dm" 2>/dev/null || true
# One processor: with two of them, one guest in five hangs somewhere in its boot.
"$guest_dir/emulated_host.sh" run --cpus 1 --root "$root" "${gets[@]}" -- sh -c 'cd /vm && exec "$@"' sh "$@"
