#!/usr/bin/env bash
# Exit status 0 if /dev/kvm can run a 64-bit guest, else 1 and one line that says why not.
#   kvm_usable.sh [<kvm_probe>]     default: that of the release build
source "$(dirname "$0")/lib.sh"

probe=${1:-$guest_dir/../../build/release/samples/guest/kvm_probe}
[ -x "$probe" ] || die 64 "there is no kvm_probe yet; run ./bootstrap.sh --target kvm_probe"
timeout -k 1 10 "$probe"
