#!/usr/bin/env bash
# The ELF kernel inside a bzImage: get_vmlinux.sh <bzImage> <out>
# Where it is says the Linux x86 boot protocol: setup_sects at 0x1f1, payload_offset and payload_length at 0x248.
source "$(dirname "$0")/lib.sh"
[ $# = 2 ] || usage 64
word() { od -An -j "$2" -N "$3" -t u"$3" "$1" | tr -d ' '; } # word <file> <offset> <bytes>
sectors=$(word "$1" 0x1f1 1)
offset=$(((${sectors/#0/4} + 1) * 512 + $(word "$1" 0x248 4)))
length=$(word "$1" 0x24c 4)
case $(od -An -j "$offset" -N 4 -t x1 "$1" | tr -d ' ') in
  02214c18) need lz4 && unpack='lz4 -dc' ;;
  28b52ffd) need zstd && unpack='zstd -dc' ;;
  fd377a58) need xz-utils && unpack='xz -dc' ;;
  1f8b*) unpack='gzip -dc' ;;
  *) die 65 "$1: packed in a way that is not known here" ;;
esac
# Behind the packed kernel stands its size, which some of these programs take for garbage.
tail -c +"$((offset + 1))" "$1" | head -c "$((length - 4))" | $unpack >"$2" || [ -s "$2" ]
