# What the kernels of samples/bare_metal show, on whatever machine they run. Goes on from lib.sh.
# shellcheck shell=sh
# run_kernel <kernel>: of the test; runs it to its end with disk.img, leaves <kernel>.console and, of what acrn-dm said,
# <kernel>.log.
new_disk() {
  rm -f disk.img
  truncate -s 64M disk.img
}

# lessons [<lesson>...]: those that every machine can give, and these.
lessons() {
  new_disk
  run_kernel lessons
  set -- find start identify 'write and read' flush errors 'any descriptors' 'index wrap' 'start again' indirect speed "$@"
  for lesson; do
    expect_contains 'the lessons' "$(console lessons)" "ok      $lesson "
  done
  expect_contains 'the lessons' "$(console lessons)" 'all is well'
  # It asks for what is not there on purpose.
  expect_equal 'the lessons: mistakes' "$(mistakes_of lessons)" 'sector-past-end unknown-type '
}

# mistakes_of <kernel>: the rules that it broke, as the device names them
mistakes_of() { sed -n 's/.*: guest mistake \([a-z-]*\) .*/\1/p; s/.*: queue 0 is stopped .*/stopped/p' "$1.log" | tr '\n' ' '; }

# mistake <kernel> <what the device says>: what the guest sees is on stdin. The right way works after it.
mistake() {
  new_disk
  run_kernel "$1"
  while read -r line; do
    expect_contains "$1" "$(console "$1" | tr -s ' ')" "$line"
  done
  expect_contains "$1" "$(console "$1" | tr -s ' ')" 'ok right the same, done well'
  expect_equal "$1: mistakes" "$(mistakes_of "$1")" "$2"
}
mistakes() {
  mistake one_descriptor 'header-too-short status-missing stopped ' <<'END'
wrong device writes status 1, IOERR
wrong device reads no status, nothing comes back
END
  mistake every_head 'header-too-short header-too-short ' <<'END'
wrong three heads 3 entries in the used ring for one request
END
  mistake wrong_address 'buffer-not-in-ram buffer-not-in-ram buffer-not-in-ram stopped ' <<'END'
wrong header status 1, IOERR
wrong data status 1, IOERR
wrong status no status, nothing comes back
END
  mistake used_index '' <<'END'
wrong idx == 1 waits for ever with request 2
wrong idx == entry waits for ever with request 64
wrong idx >= sent waits for ever with request 65536
END
}

# What a guest and a program of its host exchange by way of the disk. The second guest goes on where the first one was.
exchanges() {
  for exchange in mailbox ring; do
    new_disk
    answer disk.img $exchange 2>answer.err &
    echo $! >answer.pid
    for round in first second; do
      run_kernel $exchange
      expect_contains "the $round guest" "$(console $exchange)" "ok      $exchange "
      expect_equal "$exchange: mistakes" "$(mistakes_of $exchange)" ''
    done
    kill "$(cat answer.pid)"
    rm answer.pid
    expect_equal "$exchange: the host" "$(cat answer.err)" ''
  done
}
