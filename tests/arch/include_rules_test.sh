#!/usr/bin/env bash
# The dependency directions of docs/architecture.md: who must not include what, each third-party library in its
# own home, and every seam header compiles alone. Usage: include_rules_test.sh <source folder> <C++ compiler>
# COVERS(docs/architecture.md): who includes what
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
home "the guest's world" 'hw/' 'hw/|dm/(devices|plugin)/'

# The floors of dm/, from the top; who is not named here is beneath all of them. option_table is a leaf, which any may use.
forbid "a floor includes a higher one" 'dm/(run|tools|reference|plugin)/' dm/cli dm/devices dm/server dm/control dm/boot dm/machine dm/hypervisor dm/block dm/serial dm/socket dm/vhost_user dm/driver dm/loopback dm/event dm/mem dm/base dm/ident
forbid "a floor includes a higher one" 'dm/(cli/(command|dry)|control/|server/)' dm/devices dm/hypervisor dm/machine dm/block dm/serial dm/socket dm/vhost_user dm/driver dm/loopback dm/event dm/mem dm/base dm/ident
home "a hypervisor's own header" 'dm/hypervisor/(kvm|acrn)/' 'dm/hypervisor/|samples/guest/'
forbid "a floor includes a higher one" 'dm/(devices|cli)/' dm/server dm/hypervisor dm/machine dm/block dm/serial dm/socket dm/vhost_user dm/driver dm/loopback dm/event dm/mem dm/base dm/ident
forbid "a floor includes a higher one" 'dm/(block|serial|socket|vhost_user|driver|boot|machine|hypervisor|loopback)/' dm/event dm/mem dm/base dm/ident
forbid "the reference is made from more than tables" 'hw/|acrn/(pci|virtio|mem)/|dm/(run|machine|hypervisor|block|control|event|loopback)/' dm/reference
forbid "the options of a disk open nothing" 'dm/(block|event|machine|hypervisor)/' dm/devices/slot.h dm/devices/slot.cc dm/devices/block_device_options.h dm/devices/block_device_options.cc
# But for the one that is a driver itself.
forbid "a backend knows of guests" 'acrn/(mem|virtio|pci)/' dm/block/*.* dm/block/engines dm/block/filters dm/block/sources/*.* dm/block/sources/image dm/block/sources/nbd
forbid "a backend knows of guests" 'acrn/(pci/|virtio/virtio_device)' dm/block
forbid "what both ends of vhost-user use knows one of them" 'dm/(block|server|tools|mem|event)/' dm/vhost_user
forbid "a device knows a transport" 'hw/pci/virtio/virtio_pci' hw/pci/virtio/blk_* hw/pci/virtio/virtio_blk.*
forbid "the control socket knows a machine" 'dm/(machine|hypervisor|loopback|block)/' dm/control
forbid "the ring knows a device" 'hw/pci/virtio/(blk_|virtio_blk)' hw/pci/virtio/virtqueue.*
forbid "a seam includes more than seams and the standard library" 'hw/|dm/|CLI|nlohmann|fmt/|spdlog|openssl|uuid|liburing|pciaccess|cmocka' include

forbid "what is booted knows a machine" 'dm/(machine|hypervisor)/' dm/boot
forbid "the machine knows a hypervisor" 'dm/hypervisor/|linux/kvm\.h|linux/acrn\.h' dm/machine dm/boot dm/serial dm/control
home "KVM's interface" 'linux/kvm\.h' 'dm/hypervisor/kvm/'
home "ACRN's interface" 'linux/acrn\.h' 'dm/hypervisor/acrn/'
forbid "one hypervisor knows another" 'dm/hypervisor/acrn/' dm/hypervisor/kvm dm/hypervisor/msi_routes.* dm/hypervisor/vcpu_signal.h
forbid "one hypervisor knows another" 'dm/hypervisor/kvm/' dm/hypervisor/acrn dm/hypervisor/msi_routes.* dm/hypervisor/vcpu_signal.h
home liburing 'liburing\.h' 'dm/base/io_ring\.h'
home threads 'pthread\.h' 'dm/base/thread\.h|dm/main\.cc'
forbid "a server knows a machine or a disk" 'dm/(machine|hypervisor|loopback|block|control)/' dm/server
home Ceph 'ra(dos|bd)/|rbd/lib' 'dm/block/sources/rbd/rbd_(disk|image|watch)\.'
home OpenSSL 'openssl/' 'dm/ident/sha256\.cc'
home libnbd 'libnbd\.h' 'dm/block/sources/nbd/'
home libuuid 'uuid/' 'dm/ident/vm_uuid\.cc'
home spdlog 'spdlog/' 'dm/base/log\.cc'
home CLI11 'CLI/' 'dm/cli/command_line\.cc|dm/tools/vblk_main\.cc'
home nlohmann-json 'nlohmann/' 'dm/block/sources/image/|dm/cli/dry_run\.cc|dm/devices/(device(_report)?\.h|(block_device|device_report)_json\.cc)|dm/control/control_(session|event)\.cc|dm/tools/(commands|bench|check|coach|crash|monitor|trace)/'
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
