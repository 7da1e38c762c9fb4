#!/usr/bin/env bash
# Installs what is missing through apt, then configures and builds.
#   ./bootstrap.sh [--install] [--target name]... [preset...]      all targets, unless some are named
# --install: installs only.
# Presets: release (default), dev, tsan, clang, fuzz, coverage; see CMakePresets.json.
set -euo pipefail
cd "$(dirname "$0")"

packages=(cmake ninja-build g++ pkgconf libcli11-dev nlohmann-json3-dev libfmt-dev libspdlog-dev libcmocka-dev
          liburing-dev libnbd-bin libnbd-dev librbd-dev libseccomp-dev libpciaccess-dev uuid-dev libssl-dev acpica-tools btrfs-progs dosfstools e2fsprogs fdisk clang-format spin python3
          abigail-tools dpkg-dev file nbdkit qemu-system-common qemu-utils socat strace ceph-mon ceph-osd ceph-common
          furo python3-myst-parser python3-prometheus-client lintian mandoc zsh fish)
presets=() targets=() install_only=
while [ $# -gt 0 ]; do
  case $1 in
    --install) install_only=1; shift ;;
    --target) targets+=(--target "${2:?--target needs a name}"); shift 2 ;;
    *) presets+=("$1"); shift ;;
  esac
done
[ ${#presets[@]} -gt 0 ] || presets=(release)
for preset in "${presets[@]}"; do
  case $preset in
    clang) packages+=(clang clang-tidy) ;;
    fuzz) packages+=(clang libclang-rt-14-dev) ;;
    coverage) packages+=(gcovr) ;;
  esac
done

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing: ${missing[*]}"
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

[ -z "$install_only" ] || exit 0

for preset in "${presets[@]}"; do
  echo "building: $preset"
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" "${targets[@]}" -- --quiet
done
