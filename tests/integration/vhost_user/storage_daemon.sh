#!/usr/bin/env bash
# What QEMU's qos-test starts as qemu-storage-daemon: acrn-dm serves the disks in its place, on the same sockets.
#   storage_daemon.sh [--blockdev driver=file,node-name=<disk>,filename=<image>
#     --export type=vhost-user-blk,id=<name>,addr.type=fd,addr.str=<fd>,node-name=<disk>,writable=on,num-queues=<n>]...
# <fd>: a socket that listens already, which acrn-dm gets as systemd would give it.
# ACRN_QOS_DM: the acrn-dm. ACRN_QOS_STARTS: a file to which each start adds a line, the acrn-dm's command line.
set -eu

refuse() {
  echo "storage_daemon.sh: $*" >&2
  exit 64
}
# value <options> <key>: that of one key in key=value,...
value() {
  local word words
  IFS=, read -ra words <<<"$1"
  for word in "${words[@]}"; do
    case $word in "$2="*) echo "${word#*=}" && return ;; esac
  done
  refuse "no $2 in $1"
}

declare -A image
slots=() sockets=() names=''
while [ $# -ge 2 ]; do
  case $1 in
    --blockdev) image[$(value "$2" node-name)]=$(value "$2" filename) ;;
    --export)
      slot=$((9 + ${#sockets[@]}))
      case ,$2, in
        *,type=vhost-user-blk,*,addr.type=fd,*,writable=on,*) ;;
        *) refuse "$2: not as qos-test does it" ;;
      esac
      disk=$(value "$2" node-name) fd=$(value "$2" addr.str) queues=$(value "$2" num-queues)
      slots+=(-s "$slot,virtio-blk,${image[$disk]},writeback,mq=$queues")
      exec {copy}<&"$fd" {fd}<&- # above all that it may have to go to
      sockets+=("$copy")
      names+=${names:+:}vm1.$slot.0
      ;;
    *) refuse "$1: not as qos-test does it" ;;
  esac
  shift 2
done
[ $# = 0 ] || refuse "$1: no value"
[ ${#sockets[@]} -gt 0 ] || refuse 'no disk'
for i in "${!sockets[@]}"; do
  eval "exec $((3 + i))<&${sockets[i]} ${sockets[i]}<&-"
done
[ -z "${ACRN_QOS_STARTS:-}" ] || echo "${slots[*]}" >>"$ACRN_QOS_STARTS"
export LISTEN_PID=$$ LISTEN_FDS=${#sockets[@]} LISTEN_FDNAMES=$names
exec "$ACRN_QOS_DM" --serve vhost-user=. "${slots[@]}" vm1
