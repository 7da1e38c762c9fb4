# Shared by the tests of front ends, which get <acrn-dm> <source folder>: $acrn_dm, $source and $cache; in a folder of their own.
# shellcheck shell=bash disable=SC2034  # for the tests
acrn_dm=$(realpath "$1") source=$(realpath "$2")
. "$source/tests/integration/lib.sh"
cd "$work" || exit 1
cache=${ACRN_GUEST_CACHE:-$source/build/guest}

skip() {
  echo "skipped: $*"
  exit 77
}

# A Debian kernel as $kernel, and a new QEMU as $new beside the one that is installed.
get_qemus() {
  {
    (. "$source/samples/guest/lib.sh" && need qemu-system-x86 busybox-static cpio kmod) &&
      kernel=$("$source/samples/guest/get_kernel.sh" linux-image-cloud-amd64 "$cache") &&
      new=$("$source/samples/guest/get_qemu.sh" "$cache")
  } 2>why || skip "$(tail -n 1 why)"
}
