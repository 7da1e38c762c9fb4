#!/bin/bash
# The manual, the man page and the completion know every option, and every example in the manual works.
# usage: manual_test.sh <acrn-dm> <source directory> <acrn-reference, beside what it has made>
. "$(dirname "$0")/lib.sh"
tests=$(realpath "$(dirname "$0")")
dm=$1
manual=$2/docs/options.md
reference=$3
pages=${3%/*}
man=$pages/acrn-dm.8
completion=$pages/acrn-dm.bash

cd "$work" || exit 1
truncate -s 1M disk.img
bzimage vmlinuz
echo ramdisk >initrd.img
mkdir images run
cpus=$(nproc --all)

# --- every option is in every text
run "$dm" --help all
options=$(printf '%s\n' "$out" | sed -n 's/^  \(-.*\)/\1/p' | grep -oE -- '(^| )--?[a-zA-Z_]+' | tr -d ' ' | sort -u)
[ "$(printf '%s\n' "$options" | wc -l)" -gt 20 ] || fail "few options in --help: $options"
for option in $options; do
  grep -qE -- "[\`, ]$option[\` ,]" "$manual" || fail "$option is not in options.md"
  grep -qE -- "F[l] ${option#-}( |\$)" "$man" || fail "$option is not in acrn-dm.8"
  grep -qwe "$option" "$completion" || fail "$option is not in the completion"
done
run "$dm" -s 9,virtio-blk,disk.img,no_such_option_at_all vm1
keys=$(printf '%s\n' "$err" | sed -n 's/.*known: //p' | tr -d ',')
[ "$(printf '%s\n' "$keys" | wc -w)" -ge 14 ] || fail "few virtio-blk options in the message: $err"
for key in $keys; do
  grep -qE "^#### .*\`$key[\`=[]" "$manual" || fail "virtio-blk option $key has no section in options.md"
  grep -qE "^\.It Cm $key(=| |\$)" "$man" || fail "virtio-blk option $key is not in acrn-dm.8"
  grep -qwE "$key" "$completion" || fail "virtio-blk option $key is not in the completion"
done

# --- every example of the manual is right
examples=0
while IFS= read -r line; do
  examples=$((examples + 1))
  line=${line//\/run\/acrn/run}
  if [ "$cpus" = 1 ] && [[ $line == *@* || $line == *affinity* ]]; then
    echo "skipped: $line (there is but one CPU here)"
    continue
  fi
  eval "run \"\$dm\" --dry_run ${line#acrn-dm }"
  expect_equal "$line: exit code" "$status" 0
  expect_equal "$line: stderr" "$err" ""
done < <(grep '^acrn-dm ' "$manual")
[ "$examples" -gt 30 ] || fail "only $examples examples found"

# --- the tables of the manual are those of the program
run "$reference" "$manual"
expect_equal 'acrn-reference: stderr' "$err" ""
difference=$(diff "$manual" "$work/stdout") ||
  fail "options.md is not what the option tables say; run docs/refresh.sh: $difference"
echo '@no_such_name@' >template
run "$reference" template
expect_equal 'a template with an unknown name' "$status" 1

if command -v mandoc >/dev/null; then
  run mandoc -T lint "$man" "$pages/vblk.1"
  expect_equal 'mandoc -T lint' "$out$err" ""
else
  echo 'skipped: mandoc -T lint (mandoc is not installed)'
fi

# --- completion: complete_line <line> leaves the candidates in $candidates
. "$completion"
complete_line() {
  COMP_LINE=$1
  COMP_POINT=${#COMP_LINE}
  read -ra COMP_WORDS <<<"$COMP_LINE"
  local function=_acrn_${COMP_WORDS[0]##*[-]}
  COMPREPLY=()
  "$function"
  candidates=" ${COMPREPLY[*]-} "
}
expect_candidate() {
  complete_line "$1"
  expect_contains "completion of '$1'" "$candidates" " $2 "
}
expect_candidate 'acrn-dm --dr' --dry_run
expect_candidate 'acrn-dm --hypervisor ' kvm
expect_candidate 'acrn-dm -k vml' vmlinuz
expect_candidate 'acrn-dm -s 9,vir' 9,virtio-blk
expect_candidate 'acrn-dm -s 9,virtio-blk,di' 9,virtio-blk,disk.img
expect_candidate 'acrn-dm -s 9,virtio-blk,im' 9,virtio-blk,images/
expect_candidate 'acrn-dm -s 9,virtio-blk,nod' 9,virtio-blk,nodisk
expect_candidate 'acrn-dm -s 9,virtio-blk,disk.img,ro,writeb' 9,virtio-blk,disk.img,ro,writeback
expect_candidate 'acrn-dm -s 0:9:0,virtio-blk,disk.img,noc' 0,virtio-blk,disk.img,nocache
expect_candidate 'acrn-dm -s 9,virtio-blk,mq=2,di' 2,disk.img
expect_candidate 'acrn-dm -s 9,virtio-blk,disk.img,aio=t' threads
expect_candidate 'vblk ' bench
expect_candidate 'vblk co' copy
expect_candidate 'vblk bench --base' --baseline
expect_candidate 'vblk bench --direct-baseline pre' preadv
expect_candidate 'vblk info -s 3,virtio-blk,di' 3,virtio-blk,disk.img
for command in info copy convert read write flush discard zero bench check top report; do expect_candidate "vblk $command" "$command"; done

# --- zsh: what a line becomes by a tab
expect_zsh() {
  run zsh -f "$tests/complete.zsh" "$work/zsh" "$1"
  expect_equal "zsh: completion of '$1'" "$out" "$2"
}
if command -v zsh >/dev/null; then
  mkdir zsh
  cp "$pages/acrn-dm.zsh" zsh/_acrn-dm
  expect_zsh 'acrn-dm --dr' 'acrn-dm --dry_run '
  expect_zsh 'acrn-dm --hypervisor k' 'acrn-dm --hypervisor kvm '
  expect_zsh 'acrn-dm --hypervisor=k' 'acrn-dm --hypervisor=kvm '
  expect_zsh 'acrn-dm --serve vf' 'acrn-dm --serve vfio-user='
  expect_zsh 'acrn-dm -k vml' 'acrn-dm -k vmlinuz '
  expect_zsh 'acrn-dm -s 9,vir' 'acrn-dm -s 9,virtio-blk'
  expect_zsh 'acrn-dm -s 9,virtio-blk,di' 'acrn-dm -s 9,virtio-blk,disk.img'
  expect_zsh 'acrn-dm -s 9,virtio-blk,mq=2,di' 'acrn-dm -s 9,virtio-blk,mq=2,disk.img'
  expect_zsh 'acrn-dm -s 9,virtio-blk,disk.img,writeb' 'acrn-dm -s 9,virtio-blk,disk.img,writeback'
  expect_zsh 'acrn-dm -s 9,virtio-blk,disk.img -s 0:5:1,ho' 'acrn-dm -s 9,virtio-blk,disk.img -s 0:5:1,hostbridge'
  expect_zsh 'vblk cop' 'vblk copy '
  expect_zsh 'vblk bench --direct-b' 'vblk bench --direct-baseline='
  expect_zsh 'vblk info -s 3,virtio-blk,di' 'vblk info -s 3,virtio-blk,disk.img'
else
  echo 'skipped: completion in zsh (zsh is not installed)'
fi

# --- fish: it says the candidates
expect_fish() {
  run fish --no-config -c 'source $argv[1]; complete -C $argv[2] | string replace -r "\t.*" ""' "$pages/acrn-dm.fish" "$1"
  expect_contains "fish: completion of '$1'" $'\n'"$out"$'\n' $'\n'"$2"$'\n'
}
if command -v fish >/dev/null; then
  export HOME=$work
  expect_fish 'acrn-dm --dr' --dry_run
  expect_fish 'acrn-dm --hypervisor ' kvm
  expect_fish 'acrn-dm -k vml' vmlinuz
  expect_fish 'acrn-dm -s 9,vir' 9,virtio-blk
  expect_fish 'acrn-dm -s 9,virtio-blk,di' 9,virtio-blk,disk.img
  expect_fish 'acrn-dm -s 9,virtio-blk,im' 9,virtio-blk,images/
  expect_fish 'acrn-dm -s 9,virtio-blk,mq=2,di' 9,virtio-blk,mq=2,disk.img
  expect_fish 'acrn-dm -s 9,virtio-blk,disk.img,ro,writeb' 9,virtio-blk,disk.img,ro,writeback
  expect_fish 'vblk co' copy
  expect_fish 'vblk bench --base' --baseline
  expect_fish 'vblk info -s 3,virtio-blk,di' 3,virtio-blk,disk.img
else
  echo 'skipped: completion in fish (fish is not installed)'
fi
finish
