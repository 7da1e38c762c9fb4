#!/bin/bash
# The command line from outside: every mistake is one line on stderr with the right exit code, and no run,
# good or bad, creates, changes or locks anything.
# usage: command_line_test.sh <acrn-dm>
# COVERS(input): every option, wrong in every way
# COVERS(input): what a start refuses, a dry run refuses
. "$(dirname "$0")/lib.sh"
dm=$1

files=$work/files
mkdir -p "$files/dir"
cd "$files" || exit 1
head -c 1048576 /dev/urandom >disk.img
head -c 1000 /dev/zero >odd.img
: >empty.img
cp disk.img 'with, comma and space.img'
cp disk.img 'grün-диск.img'
bzimage kernel
{ printf 'QFI\373' && head -c 1020 /dev/zero; } >like.qcow2
mkfifo fifo
ln -s disk.img link.img
ln -s nowhere dangling.img

# Everything that a run could have changed: names, modes, sizes, times, contents.
snapshot() {
  find "$files" -printf '%P %y %m %s %T@ %C@\n' | sort
  find "$files" -type f -print0 | sort -z | xargs -0 sha256sum
}
before=$(snapshot)

expect_nothing_changed() {
  [ "$(snapshot)" = "$before" ] || fail "$1: something in the directory changed"
}

# refused <exit code> <part of the message> <argument...>
refused() {
  local code=$1 part=$2
  shift 2
  run "$dm" --dry_run "$@" vm1
  expect_refusal "$code" "$part" "$*"
}

expect_refusal() {
  expect_equal "$3: exit code" "$status" "$1"
  expect_equal "$3: stdout" "$out" ""
  expect_equal "$3: lines on stderr" "$(printf '%s\n' "$err" | wc -l)" 1
  expect_contains "$3" "$err" "acrn-dm: "
  expect_contains "$3" "$err" "$2"
  expect_nothing_changed "$3"
}

# accepted <part of the JSON> <argument...>
accepted() {
  local part=$1
  shift
  run "$dm" --dry_run "$@" vm1
  expect_equal "$*: exit code" "$status" 0
  expect_equal "$*: stderr" "$err" ""
  expect_contains "$*" "$out" "$part"
  expect_nothing_changed "$*"
}

block() {  # block <exit code> <part> <config>
  refused "$1" "$2" -s "9,virtio-blk,$3"
}

# --- the options of the command line
refused 64 '-m 12Q: not a memory size; give a number with K, M or G, like 512M' -m 12Q
refused 64 '-m 0: not a memory size' -m 0
refused 64 "-m '': not a memory size" --memsize=
refused 64 '-B xxx' -B "$(printf 'x%.0s' {1..2048})"
refused 64 '-l com5,stdio: not a serial port' -l com5,stdio
refused 64 '-l com2,stdio: stdio is already taken' -l com1,stdio -l com2,stdio
refused 64 '-U 42: not a UUID' -U 42
refused 64 '--cpus 0: not a number of vCPUs' --cpus 0
refused 64 '-s 1:9:0,virtio-blk: no bridge leads to bus 1; give a slot of bus 0, like 9' -s 1:9:0,virtio-blk,ram:1M
refused 64 '--cpu_affinity 0,x: not a list of host CPUs' --cpu_affinity 0,x
refused 64 '--cpu_affinity 0,1: 2 host CPUs for 3 vCPUs' --cpu_affinity 0,1 --cpus 3
refused 64 '--hypervisor xen: not a hypervisor; give acrn or kvm' --hypervisor xen
refused 64 '--virtio_poll 0: not a polling interval' --virtio_poll 0
refused 64 "--cmd_monitor '': not a socket path" --cmd_monitor ''
refused 64 '--metrics 0.0.0.0:9110: not a place for metrics; give the path of a socket, or a port of 127.0.0.1 or [::1], like --metrics 127.0.0.1:9110' --metrics 0.0.0.0:9110
refused 64 '--logger_setting disk,level=0: not a logger setting' --logger_setting disk,level=0
refused 64 '--memsiz: unknown option; did you mean --memsize?' --memsiz 1G
refused 64 '--windows=yes: --windows takes no value' --windows=yes
refused 64 "two VM names, 'a' and 'vm1'" a
refused 64 '--lapic_pt: not supported by this device model' --lapic_pt
refused 66 '-k missing: No such file or directory' -k missing
refused 66 '-k dir: not a regular file' -k dir
refused 66 '-k fifo: not a regular file' -k fifo
refused 66 '-r /dev/zero: not a regular file' -k kernel -r /dev/zero

run "$dm" --dry_run
expect_refusal 64 'the VM name is missing' 'no name'
run "$dm" --dry_run ''
expect_refusal 64 'not a VM name' 'empty name'
run "$dm" --dry_run ../vm
expect_refusal 64 'not a VM name' 'name with a slash'
run "$dm" vm1 -s
expect_refusal 64 '-s: the value is missing' '-s without a value'

# --- slots
refused 64 "'5x' is not a slot" -s 5x,virtio-blk,disk.img
refused 64 "'32' is not a slot" -s 32,virtio-blk,disk.img
refused 64 "'9:8' is not a slot" -s 9:8,virtio-blk,disk.img
refused 64 "'256:0:0' is not a slot" -s 256:0:0,virtio-blk,disk.img
refused 64 'the emulation is missing' -s 9
refused 64 "'virtio-nt' is not an emulation; known: virtio-blk, hostbridge, cloudhv_hostbridge, lpc" -s 9,virtio-nt
refused 64 'lpc takes no options' -s 31,lpc,x
refused 64 'slot 9:0 is already taken by virtio-blk (disk.img)' -s 9,virtio-blk,disk.img -s 0/9.0,lpc
refused 64 "slot 0:0 is the host bridge's" -s 0,virtio-blk,disk.img

# --- virtio-blk: options
block 64 "the path is missing" ''
block 64 "the path is missing" 'iothread=1'
block 64 "'discardfoo' is not an option; did you mean discard?" disk.img,discardfoo
block 64 'an option is empty' disk.img,
block 64 "'ro' takes no value" disk.img,ro=1
for option in sectorsize=513 sectorsize=4096/512 range=1 range=0/0 range=0/1x discard=1 aio=native iothread=0 \
  mq=0 queue_size=3 queue_size=2048 serial=123456789012345678901 lock=maybe; do
  block 64 "$option: not a" "disk.img,$option"
  block 64 "${option%%=*}: the value is missing; give " "disk.img,${option%%=*}="
done
block 64 'mq=2: more queues than vCPUs (1); give mq=1 or --cpus 2' disk.img,mq=2
block 64 'range=0/2049' disk.img,range=0/2049
block 64 'range=2048/1' disk.img,range=2048/1
block 64 'range=9223372036854775807/2' disk.img,range=9223372036854775807/2
block 64 'ram:513: not a RAM disk' ram:513
block 64 'ram:1T: not a RAM disk' ram:1T

# --- virtio-blk: files
block 66 missing.img missing.img
block 66 missing.img nodisk/missing.img
block 66 dangling.img dangling.img
block 66 dir dir
block 66 fifo fifo
block 66 fifo fifo,ro
block 66 /dev/zero /dev/zero
block 66 /dev/tty /dev/tty
block 66 empty.img empty.img
block 66 odd.img odd.img
block 66 disk.img disk.img/x
block 66 'File name too long' "$(printf 'x%.0s' {1..4096})"
# A file that may only be read: root may write everything, so somebody else runs this.
as_user=()
if [ "$(id -u)" -eq 0 ]; then
  as_user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
  chmod 0755 "$work"
fi
chmod 0444 disk.img
before=$(snapshot)
mkdir -m 777 "$work/gcov"  # a coverage build cannot write its counts beside itself as that user
as_user+=(env "GCOV_PREFIX=$work/gcov")
if "${as_user[@]}" "$dm" -v >/dev/null 2>&1; then
  run "${as_user[@]}" "$dm" --dry_run -s 9,virtio-blk,disk.img vm1
  expect_refusal 66 'ro' 'a read-only file without ro'
  run "${as_user[@]}" "$dm" --dry_run -s 9,virtio-blk,disk.img,ro vm1
  expect_equal 'a read-only file with ro: exit code' "$status" 0
  expect_contains 'a read-only file with ro' "$out" '"read_only": true'
else
  echo "skipped: a read-only file opened read-write (user 65534 cannot run $dm)"
fi
chmod 0644 disk.img
before=$(snapshot)

# --- what is right
accepted '"capacity_bytes": 1048576' -s 9,virtio-blk,disk.img
accepted '"source": "link.img"' -s 9,virtio-blk,b,link.img
accepted '"source": "with, comma and space.img"' -s '9,virtio-blk,with,, comma and space.img'
accepted '"source": "grün-диск.img"' -s 9,virtio-blk,grün-диск.img
accepted '"looks_like": "qcow2"' -s 9,virtio-blk,like.qcow2
accepted '"looks_like": null' -s 9,virtio-blk,disk.img
accepted '"medium": "nodisk"' -s 9,virtio-blk,nodisk
accepted '"capacity_bytes": 67108864' -s 9,virtio-blk,ram:64M
accepted '"memory_bytes": 536870912' -m 511m
accepted '"kernel": "kernel"' -k kernel
accepted '"uuid": "615db82a-e189-4b4f-8dbb-d321343e4ab3"' -U 615DB82A-e189-4b4f-8dbb-d321343e4ab3
accepted '"start_bytes": 8192' -s 9,virtio-blk,disk.img,range=2/4,sectorsize=4096
accepted '"serial": "MY DISK"' -s '9,virtio-blk,disk.img,serial=MY DISK'
accepted '"subsystem_vendor": "108e"' --windows -s 9,virtio-blk,nodisk
accepted '"emulation": "hostbridge"'
accepted '"metrics": "127.0.0.1:9110"' --metrics 9110
accepted '"disk": 5' --logger_setting disk,level=5

long=$files
while [ $((${#long} + 2 + 8)) -le 4086 ]; do long=$long/.; done
accepted '"capacity_bytes": 1048576' -s "9,virtio-blk,$long/disk.img"

run "$dm" --dry_run -s $'9,virtio-blk,new\nline.img' vm1
expect_refusal 66 'new\x0aline.img' 'a path with a newline'

# --- a path that is not UTF-8 still gives valid output
cp disk.img $'latin1-\xfc.img'
before=$(snapshot)
accepted 'latin1-' -s $'9,virtio-blk,latin1-\xfc.img'

# --- the offered features follow from the options
features() {
  run "$dm" --dry_run --cpus 2 -s "9,virtio-blk,$1" vm1
  printf '%s' "$out" | tr -d ' \n' | sed 's/.*"features":\[\([^]]*\)\].*/\1/; s/"//g'
}
always=ANY_LAYOUT,INDIRECT_DESC,EVENT_IDX
expect_equal 'features' "$(features disk.img)" "SEG_MAX,BLK_SIZE,FLUSH,TOPOLOGY,CONFIG_WCE,$always"
expect_equal 'features of ro' "$(features disk.img,ro,discard)" "SEG_MAX,RO,BLK_SIZE,TOPOLOGY,$always"
expect_equal 'features of mq and discard' "$(features mq=2,disk.img,discard)" \
  "SEG_MAX,BLK_SIZE,FLUSH,TOPOLOGY,CONFIG_WCE,MQ,DISCARD,WRITE_ZEROES,$always"

# --- the ID survives a change of options and differs between windows
serial() {
  run "$dm" --dry_run -s "9,virtio-blk,$1" vm1
  printf '%s\n' "$out" | grep '"serial": '
}
expect_contains 'ID' "$(serial disk.img)" 'ACRN--'
expect_equal 'ID of other options' "$(serial disk.img)" "$(serial link.img,writeback,discard)"
[ "$(serial disk.img)" != "$(serial disk.img,range=0/8)" ] || fail 'a window has the ID of the whole file'

# --- obsolete options
run "$dm" --dry_run -A -G '10 128 6' vm1
expect_equal 'obsolete options: exit code' "$status" 0
expect_equal 'obsolete options: lines on stderr' "$(printf '%s\n' "$err" | wc -l)" 2
expect_contains 'obsolete options' "$err" 'acrn-dm: warning: -A: obsolete and ignored; remove it'

# --- without --dry_run, help, a broken stdout
refused_start() { # <what> <exit code> <part of the message> <arguments...>
  local what=$1 code=$2 part=$3
  shift 3
  run "$dm" "$@" vm1
  expect_equal "$what: exit code" "$status" "$code"
  expect_contains "$what" "$err" "$part"
  expect_equal "$what: lines on stderr" "$(printf '%s\n' "$err" | wc -l)" 1
}
refused_start 'no kernel' 64 '-k: the kernel is missing'
refused_start 'a kernel that is not there' 66 "-k $work/none: No such file" -k "$work/none"
refused_start 'a kernel that is a folder' 66 'not a regular file' -k "$work"
mkfifo "$work/fifo"
refused_start 'a kernel that is a FIFO' 66 'not a regular file' -k "$work/fifo"
refused_start 'a kernel that is a script' 66 'not a bzImage' -k "$0"
run "$dm" --help
expect_equal '--help: exit code' "$status" 0
run "$dm" -v
expect_contains '-v' "$out" 'acrn-dm '
"$dm" --dry_run vm1 >/dev/full 2>"$work/stderr"
expect_equal 'a full stdout: exit code' "$?" 70
"$dm" --dry_run -s 9,virtio-blk,disk.img -A vm1 >&- 2>&- <&-
expect_nothing_changed 'no standard descriptors'

# --- what a start refuses a dry run refuses, with the same words
alike() { # <exit code> <part of the message> <arguments...>
  local code=$1 part=$2 said
  shift 2
  refused "$code" "$part" "$@"
  said=$err
  run "$dm" "$@" vm1
  expect_refusal "$code" "$part" "a start with $*"
  expect_equal "a start with $*: message" "$err" "$said"
}
# right: a dry run takes it, and a start goes on to look for a hypervisor or for a kernel
right() {
  accepted '"name": "vm1"' "$@"
  run "$dm" "$@" vm1
  case $err in
    *'-k: the kernel is missing'*) ;;
    *) fail "a start with $*: $err" ;;
  esac
  expect_nothing_changed "a start with $*"
}
cp disk.img other.img
ln other.img hard.img
ln -s dir here
mkdir -m 555 closed
before=$(snapshot)
alike 66 '-k /bin/ls: an ELF file with neither a PVH note' -k /bin/ls
alike 66 "-k $0: not a bzImage" -k "$0"
alike 66 "-E $0: not an ELF file; give a bzImage by -k" -E "$0"
alike 66 '-E /bin/ls: an ELF file with neither a PVH note nor a Multiboot header' --elf_file /bin/ls
alike 64 '-E x: the VM starts with -k kernel already; leave one of them out' -E x -k kernel
alike 64 '--ovmf x: the VM starts with -E kernel already' -E kernel --ovmf x
alike 66 "--ovmf $0: made for another board; give an ELF file with a PVH note, like CLOUDHV.fd" --ovmf "$0"
alike 64 '-m 16M: too little for this kernel; give at least 34M' -m 16M -k kernel
alike 64 '-m 36M: too little for this kernel and ramdisk' -m 36M -k kernel -r other.img -r "$dm"
alike 64 '-B: 101 bytes; this kernel takes at most 100' -k kernel -B "$(printf 'x%.0s' {1..101})"
alike 66 '-r empty.img: empty' -k kernel -r empty.img
alike 66 '-r dir: not a regular file' -k kernel -r dir
alike 64 '--cpu_affinity: there is no host CPU 1023 for us; the host has 0' --cpu_affinity 0,1023
alike 64 '-s 9:0: iothread: there is no host CPU 1023 for us' -s 9,virtio-blk,disk.img,iothread=1@0:1023
in_use='are in use by slot 8:0; free them, or give lock=off if they are meant to be shared'
alike 66 "-s 9:0: virtio-blk disk.img: bytes 0..1048575 $in_use" -s 8,virtio-blk,disk.img -s 9,virtio-blk,disk.img
alike 66 "$in_use" -s 8,virtio-blk,disk.img -s 9,virtio-blk,link.img,ro
alike 66 "$in_use" -s 8,virtio-blk,other.img -s 9,virtio-blk,hard.img,range=0/1
alike 66 "bytes 1024..2047 $in_use" -s 8,virtio-blk,disk.img,range=0/3 -s 9,virtio-blk,disk.img,range=2/2
right -s 8,virtio-blk,disk.img,ro -s 9,virtio-blk,disk.img,ro
right -s 8,virtio-blk,disk.img,range=0/2 -s 9,virtio-blk,disk.img,range=2/2
right -s 8,virtio-blk,disk.img -s 9,virtio-blk,disk.img,lock=off
alike 66 '-s 9:0: virtio-blk missing.img: cannot be opened' -s 9,virtio-blk,missing.img
alike 66 '--cmd_monitor none/c.sock: No such file or directory; give the path of a new socket' --cmd_monitor none/c.sock
alike 66 '--cmd_monitor disk.img: there is something that is not a socket' --cmd_monitor disk.img
alike 66 '--cmd_monitor disk.img/c.sock: Not a directory' --cmd_monitor disk.img/c.sock
alike 66 '--metrics none/m.sock: No such file or directory; give the path of a new socket or a free port' --metrics none/m.sock
alike 66 '--metrics disk.img: there is something that is not a socket' --metrics disk.img
alike 64 "--metrics ./dir/new: --cmd_monitor uses that already" --cmd_monitor dir/new --metrics ./dir/new
alike 66 '--serve none/vm1.9.0.sock: No such file or directory' --serve vfio-user=none -s 9,virtio-blk,disk.img
alike 66 '--serve disk.img/vm1.9.0.sock: Not a directory' --serve vfio-user=disk.img -s 9,virtio-blk,disk.img
alike 64 "slot 9:0 here/vm1.9.0.sock: --cmd_monitor uses that already" --cmd_monitor "$files/dir/vm1.9.0.sock" --serve vfio-user=here -s 9,virtio-blk,disk.img
alike 64 "--cmd_monitor ./dir/new: -l com1 uses that already" -l com1,here/new --cmd_monitor ./dir/new
alike 64 "-s 9:0: trace=./dir/new: slot 8:0 uses that already" -s 8,virtio-blk,disk.img,ro,trace=dir/new -s 9,virtio-blk,disk.img,ro,trace=./dir/new
alike 64 "-s 9:0: log=dir/new: --cmd_monitor uses that already" --cmd_monitor dir/new -s 9,virtio-blk,disk.img,log=dir/new
alike 64 '-l com1 disk.img: slot 9:0 has it as its disk; give another path' -l com1,disk.img -s 9,virtio-blk,disk.img
alike 64 '-l com2 ./other.img: -l com1 uses that already' -l com1,other.img -l com2,./other.img
right -l com1,/dev/null -l com2,/dev/null
alike 64 "-r other.img: a ramdisk without a kernel" -r other.img
alike 66 "--serve /proc/vm1.9.0.sock: Operation not permitted" --serve vfio-user=/proc -s 9,virtio-blk,disk.img
alike 66 '-l com1: none/console: No such file or directory' -l com1,none/console
alike 66 '-l com1: dir: it is a directory' -l com1,dir
alike 66 '-l com2: disk.img/console: Not a directory' -l com2,disk.img/console
right -l com1,dir/console -l com2,pty -l com3,fifo --cmd_monitor dir/c.sock --metrics dir/m.sock
if chattr +a other.img 2>/dev/null; then
  before=$(snapshot)
  alike 66 '-s 9:0: virtio-blk other.img: cannot be opened for writing: Operation not permitted; add ro' -s 9,virtio-blk,other.img
  chattr -a other.img
  before=$(snapshot)
else
  echo 'skipped: a file that may only be appended to (this file system has none)'
fi
# A folder where nothing new may be made, for somebody who is not root.
if "${as_user[@]}" "$dm" -v >/dev/null 2>&1; then
  for options in '--cmd_monitor closed/c.sock' '--serve vfio-user=closed -s 9,virtio-blk,disk.img,ro' '-l com1,closed/console'; do
    # shellcheck disable=SC2086
    run "${as_user[@]}" "$dm" --dry_run $options vm1
    expect_refusal 66 'Permission denied' "$options as another user"
  done
fi

# --- an image that another process holds is inspected without a lock of our own
exec 9<disk.img
flock -x 9
accepted '"lock": true' -s 9,virtio-blk,disk.img
exec 9<&-

# --- help: a screen for each topic
run "$dm" --help
topics=$(sed -n '/^acrn-dm --help <topic>:/,/^$/s/^  \([a-z]*\) .*/\1/p' <<<"$out")
expect_contains 'the topics of help' "$(tr '\n' ' ' <<<"$topics")" 'disks '
for topic in '' $topics; do
  # shellcheck disable=SC2086
  run "$dm" --help $topic
  expect_equal "--help $topic: exit code" "$status$err" 0
  expect_equal "--help $topic: wide lines" "$(awk 'length($0) > 80' <<<"$out")" ''
  [ "$topic" = all ] || [ "$(wc -l <<<"$out")" -le 24 ] || fail "--help $topic does not fit a screen: $(wc -l <<<"$out") lines"
done
run "$dm" --help diks
expect_refusal 64 "--help: 'diks' is not a topic; did you mean disks?" '--help diks'
run "$dm" -m 512M --help vm1
expect_contains 'help in a command line' "$out" '--help <topic>'
expect_nothing_changed 'at the end'
finish
