#!/usr/bin/env bash
# qemu-storage-daemon as QEMU's qos-test starts it, for the test; in its place acrn-dm serves the same disks on the same sockets.
#   storage_daemon.sh [--blockdev driver=file,node-name=<disk>,filename=<image>
#                      --export type=vhost-user-blk,id=<name>,addr.type=fd,addr.str=<fd>,node-name=<disk>,writable=on|off,num-queues=<n>]...
# <fd>: a socket that listens already, which acrn-dm gets as systemd would give it.
# ACRN_QOS_DM: the acrn-dm. ACRN_QOS_STARTS: a file to which each start adds a line, the acrn-dm's command line.
set -eu

refuse() {
  echo "storage_daemon.sh: $*" >&2
  exit 64
}
# value <options> <key> [<default>]: that of one key in key=value,...
value() {
  local word words
  IFS=, read -ra words <<<"$1"
  for word in "${words[@]}"; do
    case $word in "$2="*) echo "${word#*=}" && return ;; esac
  done
  [ $# -gt 2 ] || refuse "no $2 in $1"
  echo "$3"
}

declare -A image
slots=() sockets=() names=''
while [ $# -ge 2 ]; do
  case $1 in
    --blockdev) image[$(value "$2" node-name)]=$(value "$2" filename) ;;
    --export)
      slot=$((9 + ${#sockets[@]}))
      [ "$(value "$2" type)" = vhost-user-blk ] && [ "$(value "$2" addr.type)" = fd ] || refuse "not as qos-test does it: $2"
      read_only=''
      [ "$(value "$2" writable off)" = on ] || read_only=,ro
      disk=$(value "$2" node-name)
      slots+=(-s "$slot,virtio-blk,${image[$disk]},writeback,mq=$(value "$2" num-queues 1)$read_only")
      fd=$(value "$2" addr.str)
      exec {copy}<&"$fd" {fd}<&- # above all that it may have to go to
      sockets+=("$copy")
      names+=${names:+:}vm1.$slot.0
      ;;
    *) refuse "$1: not as qos-test does it" ;;
  esac
  shift 2
done
[ $# = 0 ] && [ ${#sockets[@]} -gt 0 ] || refuse 'not as qos-test does it'
for i in "${!sockets[@]}"; do
  eval "exec $((3 + i))<&${sockets[i]} ${sockets[i]}<&-"
done
[ -z "${ACRN_QOS_STARTS:-}" ] || echo "${slots[*]}" >>"$ACRN_QOS_STARTS"
export LISTEN_PID=$$ LISTEN_FDS=${#sockets[@]} LISTEN_FDNAMES=$names
exec "$ACRN_QOS_DM" --serve vhost-user=. "${slots[@]}" vm1
