# bash completion for acrn-dm and vblk.

_acrn_dm_options='-s --pci_slot -m --memsize -k --kernel -r --ramdisk -B --bootargs -l --lpc -U --uuid --cpus
  --cpu_affinity --hypervisor -W --virtio_msi --virtio_poll --windows --debugexit --cmd_monitor --serve --logger_setting
  --dry_run -h --help -v --version'
_acrn_slot_options='writethru writeback ro nocache no_bst_block sectorsize= range= discard discard= aio=auto aio=threads
  aio=io_uring kick=auto kick=inline kick=loop iothread iothread= mq= queue_size= serial= lock=on lock=off'
_acrn_vblk_commands='info copy read write flush discard zero bench check'

# Sets $word, which is being completed, and $previous. Not from COMP_WORDS: bash cuts those at ':' and '='.
_acrn_words() {
  local line=${COMP_LINE:0:COMP_POINT}
  word=${line##*[[:space:]]}
  line=${line%"$word"}
  line=${line%"${line##*[![:space:]]}"}
  previous=${line##*[[:space:]]}
}

# _acrn_offer <prefix> <start> <compgen option...>: candidates, less what bash has cut off $word.
_acrn_offer() {
  local prefix=$1 start=$2 cut=${word%"${word##*[:=]}"} candidate
  shift 2
  while IFS= read -r candidate; do
    if [[ $1 == -f && -d $candidate ]]; then candidate+=/; fi
    candidate=$prefix$candidate
    COMPREPLY+=("${candidate#"$cut"}")
  done < <(compgen "$@" -- "$start")
}

# What follows -s: the emulation, then a path, then options; all in one comma-separated word.
_acrn_offer_slot() {
  local start=${word##*,} fields path_given=
  local before=${word%"$start"}
  IFS=, read -ra fields <<<"$before"
  if [[ -z $before ]]; then return; fi
  compopt -o nospace 2>/dev/null
  if [[ ${#fields[@]} -eq 1 ]]; then
    _acrn_offer "$before" "$start" -W 'virtio-blk hostbridge lpc'
  elif [[ ${fields[1]} == virtio-blk ]]; then
    local field
    for field in "${fields[@]:2}"; do
      if [[ $field != iothread* && $field != mq=* && $field != b ]]; then path_given=1; fi
    done
    if [[ $path_given ]]; then
      _acrn_offer "$before" "$start" -W "$_acrn_slot_options"
    else
      _acrn_offer "$before" "$start" -f
      _acrn_offer "$before" "$start" -W 'nodisk ram: iothread iothread= mq='
    fi
  fi
}

_acrn_dm() {
  local word previous
  COMPREPLY=()
  _acrn_words
  case $previous in
    -s | --pci_slot) _acrn_offer_slot ;;
    -k | --kernel | -r | --ramdisk | --cmd_monitor) _acrn_offer '' "$word" -f ;;
    -m | --memsize) _acrn_offer '' "$word" -W '256M 512M 1G 2G' ;;
    -l | --lpc) _acrn_offer '' "$word" -W 'com1,stdio com2, com3, com4,' ;;
    --serve) _acrn_offer '' "$word" -W 'vfio-user=' ;;
    --hypervisor) _acrn_offer '' "$word" -W 'acrn kvm' ;;
    --logger_setting) _acrn_offer '' "$word" -W 'console,level= disk,level= kmsg,level=' ;;
    -B | --bootargs | -U | --uuid | --cpus | --cpu_affinity | --virtio_poll) ;;
    *) _acrn_offer '' "$word" -W "$_acrn_dm_options" ;;
  esac
}

_acrn_vblk() {
  local word previous
  COMPREPLY=()
  _acrn_words
  case $previous in
    -s | --pci_slot) _acrn_offer_slot ;;
    --interrupts) _acrn_offer '' "$word" -W 'intx msi msix' ;;
    --rw) _acrn_offer '' "$word" -W 'read write randread randwrite randrw' ;;
    --direct-baseline | --baseline) _acrn_offer '' "$word" -W 'best preadv io_uring' ;;
    vblk | */vblk) _acrn_offer '' "$word" -W "$_acrn_vblk_commands --help --version" ;;
    --sector | --count | --rwmixread | --bs | --qd | --iodepth | --numjobs | --size | --seed) ;;
    --seconds | --runtime | --ramp | --ramp_time) ;;
    *)
      local options='-s --pci_slot --interrupts --no-event-idx --no-indirect --virtio_msi --windows --help'
      case ${COMP_WORDS[1]} in
        info | check) options+=' --json' ;;
        copy) options+=' --no-verify --json' ;;
        read | discard) options+=' --sector --count' ;;
        write) options+=' --sector --count --acknowledge' ;;
        zero) options+=' --sector --count --keep' ;;
        bench)
          options+=' --rw --rwmixread --bs --qd --iodepth --numjobs --size --seconds --runtime --ramp --ramp_time --seed'
          options+=' --verify --direct-baseline --baseline --cold --json'
          ;;
      esac
      _acrn_offer '' "$word" -W "$options"
      ;;
  esac
}

complete -F _acrn_dm acrn-dm
complete -F _acrn_vblk vblk
