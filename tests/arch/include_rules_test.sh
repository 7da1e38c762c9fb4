#!/usr/bin/env bash
# The dependency directions of docs/architecture.md: who must not include what, each third-party library in its
# own home, and every seam header compiles alone. Usage: include_rules_test.sh <source folder> <C++ compiler>
set -u
cd "$1" || exit 2
compiler=$2
failures=0

# forbid <what> <pattern> <folder or file>...
forbid() {
  local what=$1 pattern=$2
  shift 2
  local hits
  hits=$(grep -rnE "^\s*#\s*include\s*[<\"]($pattern)" --include='*.h' --include='*.cc' "$@")
  [ -z "$hits" ] && return
  echo "FAILED: $what:"
  echo "$hits"
  failures=$((failures + 1))
}

# home <library> <pattern> <where it may be included>: nowhere else.
home() {
  local hits
  hits=$(grep -rlE "^\s*#\s*include\s*[<\"]($2)" --include='*.h' --include='*.cc' include hw dm samples | grep -vE "^($3)")
  [ -z "$hits" ] && return
  echo "FAILED: $1 is included outside its home: $hits"
  failures=$((failures + 1))
}

forbid "the guest's world includes the host's" 'dm/|unistd\.h|sys/ioctl\.h|thread' hw
dm_parts=$(find dm -name '*.h' -o -name '*.cc' | grep -vE '^dm/(main|registry)\.(h|cc)$')
# shellcheck disable=SC2086
forbid "the host's world includes the guest's" 'hw/' $dm_parts
forbid "a backend knows of guests" 'acrn/(mem|virtio|pci)/' dm/block
forbid "a device knows a transport" 'hw/pci/virtio/virtio_pci' hw/pci/virtio/blk_* hw/pci/virtio/virtio_blk.*
forbid "the control socket knows a machine" 'dm/(machine|hypervisor|loopback|block)/' dm/control
forbid "the ring knows a device" 'hw/pci/virtio/(blk_|virtio_blk)' hw/pci/virtio/virtqueue.*
forbid "a seam includes more than seams and the standard library" 'hw/|dm/|CLI|nlohmann|fmt/|spdlog|openssl|uuid|liburing|pciaccess|cmocka' include

forbid "the machine knows a hypervisor" 'dm/hypervisor/|linux/kvm\.h|linux/acrn\.h' dm/machine dm/serial dm/control
home "KVM's interface" 'linux/kvm\.h' 'dm/hypervisor/kvm/'
home "ACRN's interface" 'linux/acrn\.h' 'dm/hypervisor/acrn/'
forbid "one hypervisor knows another" 'dm/hypervisor/acrn/' dm/hypervisor/kvm dm/hypervisor/*.h dm/hypervisor/*.cc
forbid "one hypervisor knows another" 'dm/hypervisor/kvm/' dm/hypervisor/acrn dm/hypervisor/*.h dm/hypervisor/*.cc
home liburing 'liburing\.h' 'dm/server/vfio_user/irq_trigger\.cc|dm/block/engine_uring\.cc|dm/tools/bench_ring\.cc'
forbid "a server knows a machine or a disk" 'dm/(machine|hypervisor|loopback|block|control)/' dm/server
home OpenSSL 'openssl/' 'dm/ident/sha256\.cc'
home libuuid 'uuid/' 'dm/ident/vm_uuid\.cc'
home spdlog 'spdlog/' 'dm/base/log\.cc'
home CLI11 'CLI/' 'dm/config\.cc|dm/tools/vblk_main\.cc'
home nlohmann-json 'nlohmann/' 'dm/dry_run\.cc|dm/control/control_session\.cc|dm/tools/cmd_'
home fmt 'fmt/' 'dm/tools/'
home libpciaccess 'pciaccess' 'samples/vblk_probe\.cc'
if hits=$(grep -rl 'cmocka\.h' tests --include='*.h' --include='*.cc' | grep -v '^tests/support/test_main\.cc$'); then
  echo "FAILED: cmocka is included outside tests/support/test_main.cc: $hits"
  failures=$((failures + 1))
fi

headers=0
while read -r header; do
  headers=$((headers + 1))
  if ! echo "#include \"${header#include/}\"" | "$compiler" -std=c++20 -Wall -Wextra -Werror -Iinclude -fsyntax-only -x c++ -; then
    echo "FAILED: $header does not compile alone"
    failures=$((failures + 1))
  fi
done < <(find include -name '*.h')
echo "$headers seam headers compile alone, $failures rules broken"
[ "$failures" = 0 ]
