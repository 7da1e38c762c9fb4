#!/usr/bin/env bash
# Prepares a root folder for emulated_host.sh: busybox with its applets, and programs of this machine.
#   make_root.sh <folder> [--file <host path or program>[:<guest path>]]...
# --file: copies a file, or a folder with its contents, to the same place or to the one named. A program brings its
# shared libraries; one without a slash is looked for in PATH and the sbin folders. It replaces busybox's applet of
# the same name. May be repeated on the same folder, to add more; needs no root.
source "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] || usage 64
case $1 in -*) usage 64 ;; esac
root=$1 files=()
shift
while [ $# -gt 0 ]; do
  case $1 in
    --file) files+=("${2:?--file needs a path}"); shift 2 ;;
    *) usage 64 ;;
  esac
done
new_root "$root"
for file in "${files[@]}"; do
  add_file "$root" "$file"
done
