#!/usr/bin/env bash
# Exit status 0 if /dev/kvm can run a 64-bit guest, else 1 and one line that says why not.
#   kvm_usable.sh [<kvm_probe>]
# The answer is kvm_probe's (kvm_probe.cc); without one that is built, it is compiled.
source "$(dirname "$0")/lib.sh"

probe=${1:-}
for preset in release dev coverage; do
  [ -n "$probe" ] || [ ! -x "$guest_dir/../../build/$preset/samples/guest/kvm_probe" ] ||
    probe=$guest_dir/../../build/$preset/samples/guest/kvm_probe
done
if [ -z "$probe" ]; then
  need g++ libc6-dev
  probe=$guest_cache/kvm_probe
  mkdir -p "$guest_cache"
  [ "$probe" -nt "$guest_dir/kvm_probe.cc" ] || {
    g++ -std=c++20 -O1 -o "$probe.$$" "$guest_dir/kvm_probe.cc"
    mv "$probe.$$" "$probe"
  }
fi
timeout -k 1 10 "$probe"
