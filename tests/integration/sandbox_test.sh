#!/bin/bash
# Confined programs do all that they can be asked to, and no more: their calls are traced, and looked up in the table of
# docs/confinement.md, which is the one of the program.
# usage: sandbox_test.sh <acrn-dm> <vblk> <source directory> <acrn-reference>
. "$(dirname "$0")/lib.sh"
tests=$(realpath "$(dirname "$0")")
dm=$1 vblk=$2 page=$3/docs/confinement.md reference=$4
cd "$work" || exit 1
run "$dm" --dry_run --sandbox on --serve nbd=. -s 9,virtio-blk,ram:1M vm1
case $err in *'built with a sanitizer'*) echo 'skipped: a build with a sanitizer is not confined'; exit 77 ;; esac
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$work"' EXIT

# --- the page has the table of the program
run "$reference" "$page"
difference=$(diff "$page" "$work/stdout") || fail "confinement.md is not what the table says; run docs/refresh.sh: $difference"

# traced <what it is started with, as the page says it> <option>...: in the background; leaves $pid. Waits for $awaited.
# As what $as makes of it.
parts='' traces=0 as=()
traced() {
  parts=$1 traces=$((traces + 1))
  shift
  rm -f "$awaited"
  if [ -n "$strace" ]; then
    "${as[@]}" strace -D -f -qq -o "trace.$traces" "$dm" "$@" 2>log &
  else
    "${as[@]}" "$dm" "$@" 2>log &
  fi
  pid=$!
  await_socket "$awaited" "$pid"
}
# stopped <what>: it ends in good order, and was seen to do nothing that is not in the table.
stopped() {
  local status=0
  kill -TERM "$pid"
  wait "$pid" || status=$?
  pid=
  expect_equal "$1: exit status of SIGTERM (159: a call was refused)" "$status" 0
  expect_equal "$1: sockets left" "$(find . -type s)" ''
  [ -n "$strace" ] || return
  # The tracer ends a little later than what it traces.
  for ((tries = 0; tries < 100; tries++)); do
    [ -n "$(find /proc/[0-9]*/cmdline -exec grep -l "trace.$traces" {} + 2>/dev/null)" ] || break
    read -rt 0.05 <> <(:)
  done
  run python3 "$tests/sandbox_trace.py" "$page" "$parts" "trace.$traces"
  expect_equal "$1: $out$err" "$status" 0
}
ask() { printf '%s\n' "$1" | socat -t 5 - UNIX-CONNECT:control; }
strace=
if have strace python3 && strace -D -f -qq -o trace.0 true 2>/dev/null; then
  strace=yes
else
  echo 'skipped: traces (strace or python3 is not there, or may not trace)'
fi

truncate -s 16M disk.img direct.img
head -c 2M /dev/urandom >data
# --- a virtio device for other VMMs: everything that a driver can ask for
awaited=control
for server in vhost-user vfio-user; do
  traced '--serve,--cmd_monitor' --serve $server=. --cmd_monitor control -s 3,virtio-blk,disk.img,writeback,discard \
    -s 4,virtio-blk,direct.img,nocache,aio=io_uring,mq=2 -s 5,virtio-blk,ram:8M,iothread vm1
  for ((tries = 0; tries < 100; tries++)); do [ ! -S vm1.5.0.sock ] || break; read -rt 0.05 <> <(:); done
  for slot in 3 4 5; do
    [ $server = vhost-user ] || break # vblk speaks no vfio-user; QEMU does, in vfio_user/
    run "$vblk" check --connect $server=vm1.$slot.0.sock
    expect_equal "$server, slot $slot: vblk check ($out$err)" "$status" 0
    run "$vblk" bench --connect $server=vm1.$slot.0.sock --rw randrw --runtime 1
    expect_equal "$server, slot $slot: vblk bench ($err)" "$status" 0
  done
  truncate -s 32M disk.img
  if command -v socat >/dev/null; then
    expect_contains resize "$(ask '{"command": "resize", "arguments": "3"}')" '"ok":true'
    expect_contains stats "$(ask '{"command": "stats"}')" '"ok":true'
    expect_contains 'what is no command' "$(ask 'x')" '"ok":false'
  fi
  stopped "$server"
  truncate -s 16M disk.img
done

# --- an export for NBD clients, several at a time, on worker threads and on io_uring
if have nbdcopy nbdinfo; then
  awaited=vm1.4.0.sock
  traced '--serve' --serve nbd=. -s 3,virtio-blk,disk.img,writeback,discard -s 4,virtio-blk,direct.img,nocache vm1
  for slot in 3 4; do
    uri="nbd+unix:///?socket=$work/vm1.$slot.0.sock"
    run nbdcopy --connections=4 data "$uri"
    expect_equal "nbdcopy to slot $slot ($err)" "$status" 0
    run nbdcopy --connections=4 "$uri" copy
    cmp -n 2097152 data copy || fail "nbdcopy from slot $slot"
    run nbdinfo --map "$uri"
    expect_equal "nbdinfo of slot $slot ($err)" "$status" 0
  done
  stopped 'nbd'
else
  echo 'skipped: an export (libnbd-bin is not installed)'
fi

# --- a server over TCP with TLS, by its host's name, that is lost and comes back: the keys are read again, which nobody else may
if have nbdkit openssl; then
  # serve_tls <option of nbdkit>...: leaves $nbd
  serve_tls() {
    rm -f nbd.pid
    nbdkit --foreground --exit-with-parent --pidfile nbd.pid --ipaddr 127.0.0.1 --port "$port" --tls=require "$@" \
      file disk.img 2>>nbd.log &
    nbd=$!
    for ((tries = 0; tries < 200; tries++)); do
      [ ! -s nbd.pid ] || return 0
      kill -0 $nbd 2>/dev/null || return 1
      read -rt 0.05 <> <(:)
    done
    return 1
  }
  # comes_back <what> <user of the URI> <query of the URI> <option of nbdkit>...
  comes_back() {
    local what=$1 user=$2 query=$3 round try
    shift 3
    for try in 1 2 3 4 5; do
      port=$((20000 + RANDOM % 10000))
      serve_tls "$@" && break
    done
    awaited=vm1.3.0.sock
    traced '--serve,nbd:,nbd: over TCP' --serve vhost-user=. --sandbox on \
      -s "3,virtio-blk,nbds://${user}localhost:$port/?$query,writeback" vm1
    for round in 1 2; do
      kill -9 $nbd
      wait $nbd 2>/dev/null
      serve_tls "$@" || fail "$what: the server does not come back: $(tail -n 1 nbd.log)"
      head -c 4096 /dev/urandom >sectors
      timeout -k 5 20 "$vblk" write --connect vhost-user=vm1.3.0.sock <sectors || fail "$what, round $round: vblk write"
      run "$vblk" flush --connect vhost-user=vm1.3.0.sock
      expect_equal "$what, round $round: vblk flush ($err)" "$status" 0
      cmp -n 4096 sectors disk.img || fail "$what, round $round: what was written"
    done
    stopped "$what"
    expect_equal "$what: on stderr" "$(grep -vc 'the server is lost' log)" 0
    kill -9 $nbd
    wait $nbd 2>/dev/null
  }
  mkdir 'the keys'
  (
    cd 'the keys' || exit
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca-key.pem -out ca-cert.pem
    for who in server client; do
      openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout $who-key.pem -out $who.csr
      openssl x509 -req -in $who.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -days 2 \
        -extfile <(echo subjectAltName=DNS:localhost) -out $who-cert.pem
    done
  ) >openssl.log 2>&1
  comes_back certificates '' "tls-certificates=$work/the%20keys" --tls-certificates="$work/the keys" --tls-verify-peer
  # Where the URI names no folder it is the user's, unless that is root.
  mkdir -p home/.pki
  cp -r 'the keys' home/.pki/libnbd
  chmod -R a+rX home
  chmod 777 .
  as=(env "HOME=$work/home")
  [ "$(id -u)" != 0 ] || as=(setpriv --reuid nobody --clear-groups "${as[@]}")
  comes_back "the user's certificates" '' '' --tls-certificates="$work/the keys" --tls-verify-peer
  as=()
  chmod 755 .
  printf '%s:0123456789abcdef0123456789abcdef\n' guest root >'the keys/psk'
  comes_back 'a key' guest@ "tls-psk-file=$work/the%20keys/psk" --tls-psk="$work/the keys/psk"
  # Nobody is logged in to a test that a service runs.
  [ "$(id -u)" != 0 ] || { echo 0 >/proc/self/loginuid; } 2>/dev/null
  if [ "$(logname 2>/dev/null)" = root ]; then
    comes_back 'a key of who is logged in' '' "tls-psk-file=$work/the%20keys/psk" --tls-psk="$work/the keys/psk"
  else
    echo 'skipped: a key of who is logged in (root is not)'
  fi
else
  echo 'skipped: a server with TLS (nbdkit or openssl is not installed)'
fi

# --- a disk that comes later, from a folder that was named and from none
if command -v socat >/dev/null; then
  mkdir images elsewhere
  truncate -s 1M images/later.img images/logged.img elsewhere/other.img
  : >images/log
  ln -s ../elsewhere/other.img images/link.img
  awaited=control
  traced '--serve,--cmd_monitor,--sandbox-path' --serve vhost-user=. --cmd_monitor control --sandbox-path images \
    -s 3,virtio-blk,nodisk -s 4,virtio-blk,nodisk vm1
  rescan() { ask "{\"command\": \"blkrescan\", \"arguments\": \"3,$1\"}"; }
  for other in elsewhere/other.img images/link.img missing.img; do
    expect_contains "$other" "$(rescan $other)" "a confined process opens only what is in a folder that it was started with"
  done
  expect_contains 'an image' "$(rescan images/later.img,format=qcow2)" 'a confined process starts no program'
  expect_contains 'a server' "$(rescan nbd://localhost)" 'a confined process starts no program and connects to nothing new'
  expect_contains 'io_uring' "$(rescan images/later.img,nocache,aio=io_uring)" 'aio=io_uring'
  expect_contains 'a file' "$(rescan images/later.img,nocache)" '"ok":true'
  head -c 1M data | "$vblk" write --connect vhost-user=vm1.3.0.sock || fail 'vblk write'
  cmp -n 1048576 data images/later.img || fail 'what was written'
  logged=$(ask '{"command": "blkrescan", "arguments": "4,images/logged.img,log=images/log"}')
  expect_contains 'a log' "$logged" '"ok":true'
  head -c 4096 data | "$vblk" write --connect vhost-user=vm1.4.0.sock || fail 'vblk write to a disk with a log'
  expect_equal 'the log has it' "$(($(stat -c %s images/log) >= 4096))" 1
  run "$vblk" check --connect vhost-user=vm1.3.0.sock
  expect_equal "vblk check ($out$err)" "$status" 0
  stopped 'a later disk'
else
  echo 'skipped: a later disk (socat is not installed)'
fi

# --- a disk that comes later as an open file, where no folder was named; a block device, too
if command -v python3 >/dev/null && command -v socat >/dev/null; then
  # send <file> <open flags> <blkrescan's arguments>
  send() {
    python3 - "$@" <<'END'
import json, os, socket, sys
path, flags, arguments = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as client:
    client.connect("control")
    line = json.dumps({"command": "blkrescan", "arguments": arguments}) + "\n"
    socket.send_fds(client, [line.encode()], [os.open(path, getattr(os, flags))])
    print(client.makefile().readline())
END
  }
  cp data sent.img
  truncate -s 1M device.img
  device=$(losetup -f --show device.img 2>/dev/null) || echo 'skipped: a block device that is sent (no loop device)'
  awaited=control
  traced '--serve,--cmd_monitor' --serve vhost-user=. --cmd_monitor control -s 3,virtio-blk,nodisk \
    -s 4,virtio-blk,nodisk,discard -s 5,virtio-blk,nodisk vm1
  expect_contains 'by its path' "$(ask '{"command": "blkrescan", "arguments": "3,sent.img"}')" 'a confined process opens only'
  expect_contains 'none' "$(ask '{"command": "blkrescan", "arguments": "3,fd:"}')" 'no descriptor came with the command'
  expect_contains 'a directory' "$(send . O_RDONLY 3,fd:)" 'a directory; a disk is a regular file or a block device'
  expect_contains 'read-only' "$(send sent.img O_RDONLY 3,fd:)" 'open for reading or for writing only'
  expect_contains 'io_uring' "$(send sent.img O_RDWR 3,fd:,aio=io_uring)" 'aio=io_uring'
  expect_contains 'a file' "$(send sent.img O_RDWR 3,fd:)" '"ok":true'
  expect_contains 'a file in use' "$(send sent.img O_RDWR 5,fd:)" 'are in use by another disk or process'
  "$vblk" read --connect vhost-user=vm1.3.0.sock >read.img
  cmp read.img data || fail 'a file that was sent holds something else'
  run "$vblk" check --connect vhost-user=vm1.3.0.sock
  expect_equal "vblk check ($out$err)" "$status" 0
  if [ -n "$device" ]; then
    expect_contains 'a block device' "$(send "$device" O_RDWR 4,fd:)" '"ok":true'
    losetup -d "$device" # once nobody has it open any more
    run "$vblk" check --connect vhost-user=vm1.4.0.sock
    expect_equal "vblk check of a block device ($out$err)" "$status" 0
  fi
  stopped 'an open file'
else
  echo 'skipped: a later disk that is sent (python3 or socat is not installed)'
fi

# --- another user
if [ "$(id -u)" = 0 ] && id nobody >/dev/null 2>&1; then
  strace=
  awaited=vm1.3.0.sock
  chmod 755 .
  traced '' --serve vhost-user=. --user nobody -s 3,virtio-blk,disk.img,writeback vm1
  run "$vblk" check --connect vhost-user=vm1.3.0.sock
  expect_equal "vblk check ($out$err)" "$status" 0
  # Its socket is there before; a client gets in when all is done.
  expect_equal 'its user' "$(stat -c %U "/proc/$pid/task")" nobody
  expect_equal 'the owner of its socket' "$(stat -c %U vm1.3.0.sock)" nobody
  kill -TERM "$pid"
  wait "$pid"
  expect_equal 'another user: exit status' $? 0
  pid=
  rm -f vm1.3.0.sock # the folder is root's
  if command -v qemu-img >/dev/null; then
    qemu-img create -q -f qcow2 own.qcow2 1M && chown nobody own.qcow2
    qemu-img create -q -f qcow2 roots.qcow2 1M && chmod 600 roots.qcow2
    run "$dm" --serve vhost-user=. --user nobody -s 3,virtio-blk,roots.qcow2,format=qcow2 vm1
    expect_contains 'an image that the user may not read' "$err" 'Permission denied'
    for options in format=qcow2 format=qcow2,snapshot; do
      traced '' --serve vhost-user=. --user nobody -s "3,virtio-blk,own.qcow2,$options" vm1
      run "$vblk" check --connect vhost-user=vm1.3.0.sock
      expect_equal "vblk check of an image ($out$err)" "$status" 0
      child=$(pgrep -P "$pid" -f qemu)
      expect_equal 'the user of what reads an image' "$(stat -c %U "/proc/$child")" nobody
      kill -TERM "$pid"
      wait "$pid"
      expect_equal 'an image of another user: exit status' $? 0
      pid=
      rm -f vm1.3.0.sock
      [ ! -e "/proc/$child" ] || fail 'what reads the image is still there'
    done
  else
    echo 'skipped: an image of another user (qemu-img is not installed)'
  fi
else
  echo 'skipped: another user (only root can become one)'
fi

# --- what is refused
refused() {
  run "$dm" "${@:3}" --serve nbd=. -s 9,virtio-blk,ram:1M vm1
  expect_equal "$*: exit status" "$status" "$1"
  expect_contains "$*" "$err" "$2"
}
refused 64 '--sandbox yes: not a way to confine the process; give on, log or off, like --sandbox log' --sandbox yes
refused 64 '--user no-such-user: there is no such user; give one of this host, like --user nobody' --user no-such-user
refused 66 '--sandbox-path none: there is no such file or folder; name one, like --sandbox-path /var/lib/images' --sandbox-path none
mkdir logs
late=(--dry_run --serve vhost-user=. -s 8,virtio-blk,nodisk,log=logs/new vm1)
run "$dm" "${late[@]}"
expect_equal 'a log for a later disk: exit status' "$status" 64
expect_contains 'a log for a later disk' "$err" '-s 8:0: log=logs/new: a confined process opens it when the disk comes, and only in a '
run "$dm" --sandbox-path logs "${late[@]}"
expect_equal 'a log where files may be opened' "$status$err" 0

finish
