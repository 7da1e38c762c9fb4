#!/usr/bin/env bash
# Builds a busybox initramfs; the same input gives the same bytes. Needs no root.
#   make_initrd.sh <out.gz> --kernel <folder of get_kernel.sh> [--init <script>] [--module <name>]...
#                  [--file <host path or program>[:<guest path>]]...
# Its /init mounts /dev, /proc, /sys, /run and /tmp, loads the modules with what they depend on, and goes on, as
# process 1, with the script (default: a shell on the console); when that ends the machine is powered off.
# A word module.parameter=value of the kernel's command line is given to the module when it is loaded
# (kvm_amd.npt=0: with an underscore).
# --module: one that is built into the kernel is left out. --file: as for make_root.sh.
source "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] || usage 64
case $1 in -*) usage 64 ;; esac
out=$1 kernel='' script='' modules=() files=()
shift
while [ $# -gt 0 ]; do
  case $1 in
    --kernel) kernel=${2:?--kernel needs a folder}; shift 2 ;;
    --init) script=${2:?--init needs a script}; shift 2 ;;
    --module) modules+=("${2:?--module needs a name}"); shift 2 ;;
    --file) files+=("${2:?--file needs a path}"); shift 2 ;;
    *) usage 64 ;;
  esac
done
[ -e "$kernel/release" ] || die 66 "'$kernel' is not a folder of get_kernel.sh"
need cpio kmod

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
new_root "$root"

# A kernel takes unsigned modules too, and under emulation a signature costs it 0.1 s. Layout: <signature> <12 bytes,
# the last four its length, big endian> <this text and a line feed>.
drop_signature() {
  local length
  [ "$(tail -c 28 "$1" | tr '\0' .)" = '~Module signature appended~' ] || return 0
  length=$(tail -c 32 "$1" | head -c 4 | od -An -tx1 | tr -d ' \n')
  truncate -s -$((16#$length + 40)) "$1"
}

# modprobe names what to load in order: "insmod <path>" or "builtin <name>".
release=$(cat "$kernel/release")
mkdir -p "$root/lib/modules"
: >"$root/lib/modules/load"
for module in "${modules[@]}"; do
  modprobe -C /dev/null -d "$kernel" -S "$release" --show-depends "$module" >"$work/depends" 2>/dev/null ||
    die 66 "$release has no module $module"
  while read -r action path _; do
    [ "$action" = insmod ] || continue
    name=$(basename "$path")
    name=${name%%.ko*}
    grep -q "^$name " "$root/lib/modules/load" && continue
    case $path in
      *.xz) xz -dc "$path" ;;
      *.zst) zstd -dcq "$path" ;;
      *.gz) gzip -dc "$path" ;;
      *) cat "$path" ;;
    esac >"$root/lib/modules/$name.ko"
    drop_signature "$root/lib/modules/$name.ko"
    echo "$name ${name//-/_}" >>"$root/lib/modules/load"
  done <"$work/depends"
done

cat >"$root/init" <<'END'
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
read -r line </proc/cmdline
while read -r file name; do
  parameters=
  for word in $line; do
    case $word in "$name".*=*) parameters="$parameters ${word#*.}" ;; esac
  done
  insmod "/lib/modules/$file.ko" $parameters
done </lib/modules/load
if [ -e /init.script ]; then
  . /init.script
else
  setsid cttyhack sh
fi
poweroff -f
END
chmod 755 "$root/init"
[ -z "$script" ] || cp "$script" "$root/init.script"
for file in "${files[@]}"; do
  add_file "$root" "$file"
done

find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . -print0 | sort -z | cpio --null --quiet --reproducible -o -H newc -R 0:0) | gzip -n -6 >"$work/out"
mkdir -p "$(dirname "$out")"
chmod 644 "$work/out"
cp "$work/out" "$out.$$" # complete or not there at all
mv "$out.$$" "$out"
