#!/bin/bash
# --serve nbd: what people do with an export, by the programs that they do it with.
# usage: serve_nbd_test.sh <acrn-dm> <vblk>
. "$(dirname "$0")/lib.sh"
dm=$1 vblk=$2
cd "$work" || exit 1
for program in qemu-img qemu-io nbdcopy nbdinfo; do
  command -v "$program" >/dev/null || { echo "skipped: $program is not installed"; exit 77; }
done
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$work"' EXIT

# serve <option>...: in the background; leaves $pid.
serve() {
  "$dm" --serve nbd=. "$@" vm1 >server.log 2>&1 &
  pid=$!
  await_socket vm1.9.0.sock "$pid"
}
stop() {
  local status=0
  kill -TERM "$pid"
  wait "$pid" || status=$?
  pid=
  expect_equal 'SIGTERM: exit status' "$status" 0
  expect_equal 'SIGTERM: left behind' "$(ls ./*.sock 2>/dev/null)" ''
  expect_equal 'messages' "$(cat server.log)" ''
}
uri="nbd+unix:///?socket=$work/vm1.9.0.sock"
# 24 MiB of data in a disk of 64 MiB
head -c 24M /dev/urandom >data
truncate -s 64M data disk.img

# --- a file is filled, read, converted and checked
serve -s 9,virtio-blk,disk.img,writeback,discard
run nbdinfo --json "$uri"
expect_contains 'size' "$out" '"export-size": 67108864'
expect_contains 'several connections' "$out" '"can_multi_conn": true'
expect_contains 'smallest request' "$out" '"block_size_minimum": 512'
run nbdcopy data "$uri"
expect_equal 'nbdcopy to it: exit status' "$status" 0
run nbdcopy "$uri" copy
cmp data copy || fail 'nbdcopy from it'
run qemu-img convert -f raw -O qcow2 "$uri" copy.qcow2
run qemu-img compare -f raw -F qcow2 data copy.qcow2
expect_equal 'qemu-img convert from it' "$out" 'Images are identical.'
run qemu-io -f raw -c 'write -P 7 4096 8192' -c 'read -P 7 4096 8192' -c 'write -z 0 64k' -c 'discard 64k 64k' -c flush \
  -c 'read -P 0 0 64k' "$uri"
expect_equal "qemu-io: $out" "$status" 0
run nbdinfo --map --totals "$uri"
expect_contains 'its zeroes' "$out" 'hole,zero'
run qemu-img map --output=json -f raw "$uri"
expect_contains 'its zeroes, to qemu-img' "$out" '"zero": true'
run "$vblk" check -s "9,virtio-blk,$uri"
expect_equal "vblk check: $err" "$status" 0
stop
run cmp -n 65536 disk.img /dev/zero
expect_equal 'what was written is in the file' "$status" 0

# --- a new size: who subscribes is told of it, once, and who connects then sees it
if command -v python3 >/dev/null; then
  serve -s 9,virtio-blk,disk.img --cmd_monitor control
  out=$(python3 - <<'END'
import json, os, socket
with socket.socket(socket.AF_UNIX) as client:
    client.connect("control")
    lines = client.makefile("rw")
    def ask(command, arguments=None):
        lines.write(json.dumps({"command": command, "arguments": arguments}) + "\n")
        lines.flush()
        return json.loads(lines.readline())
    ask("subscribe", ["resized", "paused"])
    assert ask("resize", "9")["result"]["bytes"] == 64 << 20
    os.truncate("disk.img", 65 << 20)
    # The event may come before the reply.
    told = [ask("resize", "9"), json.loads(lines.readline())]
    event = next(line for line in told if "event" in line)
    del event["time"]
    print(json.dumps(event), sum("ok" in line for line in told))
END
)
  expect_equal 'a new size' "$out" '{"event": "resized", "slot": "0:9:0", "bytes": 68157440} 1'
  run nbdinfo --json "$uri"
  expect_contains 'the new size' "$out" '"export-size": 68157440'
  stop
  truncate -s 64M disk.img
else
  echo 'skipped: a new size (python3 is not installed)'
fi

# --- a window of an image in a format of its own, that nobody can write
serve -s 9,virtio-blk,copy.qcow2,format=qcow2,ro,range=2048/4096
run nbdcopy "$uri" window
run qemu-img map --output=json -f raw "$uri"
expect_contains 'of an image nothing is known' "$out" '"zero": false, "data": true'
cmp <(tail -c +1048577 data | head -c 2M) window || fail 'a window of a qcow2 image'
run qemu-io -f raw -c 'write 0 4096' "$uri"
expect_contains 'a read-only export' "$out$err" 'Permission denied'
stop

# --- what is refused
run "$dm" --dry_run --serve nbd=. -s 9,virtio-blk,disk.img vm1
expect_contains 'dry run' "$out" '"nbd": "./vm1.9.0.sock"'
for dry in '' --dry_run; do
  # shellcheck disable=SC2086
  run "$dm" $dry --serve nbd=. -s 9,virtio-blk,nodisk vm1
  expect_equal "no disk, $dry: exit status" "$status" 64
  expect_contains "no disk, $dry" "$err" '-s 9:0: nodisk: --serve nbd serves disks that are there; name one, like disk.img'
done

finish
