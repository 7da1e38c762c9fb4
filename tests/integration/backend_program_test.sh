#!/bin/bash
# acrn-dm as the back-end program vhost-user-blk, and sockets that it is started with.
# usage: backend_program_test.sh <acrn-dm> <vblk>
. "$(dirname "$0")/lib.sh"
dm=$1 vblk=$2
cd "$work" || exit 1
ln -s "$dm" vhost-user-blk
program=$work/vhost-user-blk
truncate -s 1M disk.img 'a,b.img'

# --- what it can, and what it refuses
run "$program" --print-capabilities
expect_equal 'exit status' "$status" 0
expect_equal 'capabilities' "$out" '{"type": "block", "features": ["read-only", "blk-file"]}'
run "$program" --help
expect_equal 'help: exit status' "$status" 0
expect_contains 'help' "$out" '--socket-path=<path>'
refused() {
  local code=$1 part=$2
  shift 2
  run "$program" "$@"
  expect_equal "$*: exit status" "$status" "$code"
  expect_contains "$*: message" "$err" "$part"
  expect_equal "$*: lines on stderr" "$(printf '%s\n' "$err" | wc -l)" 1
}
refused 64 'give one of --socket-path=<path> and --fd=<n>' --blk-file=disk.img
refused 64 'give one of --socket-path=<path> and --fd=<n>' --blk-file=disk.img --fd=3 --socket-path=s
refused 64 '--blk-file is missing' --socket-path=s
refused 64 '--blk-file: the value is missing' --socket-path=s --blk-file
refused 64 '--formt=raw: not an option of vhost-user-blk' --formt=raw
refused 64 'format=qcow: not a format; give raw, qcow2' --blk-file=disk.img --socket-path=s --format=qcow
refused 64 '--fd=x: give the number of a descriptor' --blk-file=disk.img --fd=x
refused 64 '--num-queues=0: give a number from 1 to' --blk-file=disk.img --socket-path=s --num-queues=0
refused 64 '--sandbox=maybe: give on, log or off' --blk-file=disk.img --socket-path=s --sandbox=maybe
refused 64 '--fd: descriptor 0: not a UNIX stream socket that listens or has a peer' --blk-file=disk.img --fd=0
refused 66 '/none/disk.img: cannot be opened' --blk-file=/none/disk.img --socket-path=s
expect_equal 'left behind' "$(find . -type s)" ''

# served <socket> <capacity>: a front end finds the disk there.
served() {
  local tries
  for ((tries = 0; tries < 200; tries++)); do [ ! -S "$1" ] || break; read -rt 0.05 <> <(:); done
  run "$vblk" info --json --connect "vhost-user=$1"
  expect_equal "$1: vblk's exit status ($err)" "$status" 0
  expect_contains "$1: the disk" "$out" "\"capacity_sectors\": $2"
  expect_contains "$1: a request fits into a ring of 128" "$out" '"seg_max": 126'
}
# ended <pid>: by SIGTERM, in good order
ended() {
  kill "$1"
  wait "$1"
  expect_equal 'exit status of SIGTERM' $? 0
}

# --- a path
"$program" --socket-path=path.sock --blk-file 'a,b.img' --read-only &
pid=$!
served path.sock 2048
"$vblk" write --connect vhost-user=path.sock <disk.img 2>/dev/null
expect_equal 'a write to a read-only disk' $? 74
ended $pid
expect_equal 'sockets left' "$(find . -type s)" ''

# --- a format
if have qemu-img qemu-nbd; then
  qemu-img create -q -f qcow2 disk.qcow2 8M
  "$program" --socket-path=qcow2.sock --blk-file=disk.qcow2 --format=qcow2 &
  pid=$!
  served qcow2.sock 16384
  ended $pid
else
  echo 'skipped: an image format (qemu-img or qemu-nbd is missing)'
fi

# --- sockets that it is started with: started <socket> <what sets the environment, in Python> <program> <argument>...
cat >starter.py <<'END'
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
exec(sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
END
python3 starter.py fd.sock '' "$program" --fd=3 --blk-file=disk.img &
pid=$!
served fd.sock 2048
ended $pid

# --- one whose peer is the VMM: it asks for the features, and leaves
python3 - "$program" <<'END' || fail 'a socket with a peer is not served until that leaves'
import os, socket, struct, subprocess, sys
vmm, other = socket.socketpair(socket.AF_UNIX)
server = subprocess.Popen([sys.argv[1], f"--fd={other.fileno()}", "--blk-file=disk.img"], pass_fds=[other.fileno()])
other.close()
vmm.sendall(struct.pack("<III", 1, 1, 0))
request, flags, size, features = struct.unpack("<IIIQ", vmm.recv(20, socket.MSG_WAITALL))
vmm.close()
sys.exit(0 if (request, flags, size) == (1, 5, 8) and features >> 32 & 1 and server.wait(10) == 0 else 1)
END

# --- one that gives its own end away, which would keep the connection
python3 - "$program" <<'END' || fail 'a peer that gives its own end of the socket away keeps the program'
import array, socket, struct, subprocess, sys
for request, payload in ((13, struct.pack("<Q", 0)), (21, b"")):  # SET_VRING_CALL, SET_BACKEND_REQ_FD
    vmm, other = socket.socketpair(socket.AF_UNIX)
    server = subprocess.Popen([sys.argv[1], f"--fd={other.fileno()}", "--blk-file=disk.img"], pass_fds=[other.fileno()])
    other.close()
    vmm.sendmsg([struct.pack("<III", request, 1, len(payload)) + payload],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [vmm.fileno()]))])
    vmm.close()
    if server.wait(10) != 0: sys.exit(1)
END

environment='os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")'
python3 starter.py ./vm1.9.0.sock "$environment" "$dm" --serve vhost-user=. -s 9,virtio-blk,disk.img vm1 &
pid=$!
served vm1.9.0.sock 2048
ended $pid
expect_equal "systemd's socket is left to it" "$(find . -name vm1.9.0.sock)" ./vm1.9.0.sock

environment='os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="vm2.9.0")'
python3 starter.py named.sock "$environment" "$dm" --serve vhost-user=. -s 9,virtio-blk,disk.img vm2 &
pid=$!
served named.sock 2048
ended $pid

# --- a service that says when it is ready
python3 - "$dm" <<'END' || fail 'it does not say that it is ready'
import os, signal, socket, subprocess, sys
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
told.bind("notify")
told.settimeout(10)
server = subprocess.Popen([sys.argv[1], "--serve", "vhost-user=.", "-s", "9,virtio-blk,disk.img", "vm3"],
                          env=dict(os.environ, NOTIFY_SOCKET=os.path.abspath("notify")))
ready = told.recv(64)
there = os.path.exists("vm3.9.0.sock")
server.terminate()
sys.exit(0 if ready == b"READY=1" and there and server.wait() == 0 else 1)
END
finish
