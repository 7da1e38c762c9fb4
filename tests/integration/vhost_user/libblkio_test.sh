#!/usr/bin/env bash
# libblkio, a library of disk drivers, uses disks over vhost-user: see libblkio_client.cc. Usage: libblkio_test.sh <acrn-dm> <source folder>
# COVERS(guest): libblkio over vhost-user: two queues, events and polling, memory of any size that comes and goes under load, discard, zeroes, read-only
. "$(dirname "$0")/lib.sh"
here=$source/tests/integration/vhost_user
command -v g++ >/dev/null || skip 'there is no g++'
library=$("$here/get_libblkio.sh" "$cache" 2>why) || skip "$(tail -n 1 why)"
g++ -std=c++20 -O1 -Wall -Wextra -Werror -I"$library" "$here/libblkio_client.cc" -o client \
  -L"$library" -lblkio -Wl,-rpath,"$library" || { fail 'the client is not compiled' && finish; }

truncate -s 16M disk.img
dd if=/dev/urandom of=other.img bs=512 count=2049 status=none
sum=$(sha256sum other.img)
"$acrn_dm" --serve vhost-user=. -s 9,virtio-blk,disk.img,writeback,discard,mq=2 -s 10,virtio-blk,other.img,ro vm1 \
  >server.out 2>server.err &
server=$!
until [ -S vm1.9.0.sock ] && [ -S vm1.10.0.sock ]; do
  kill -0 $server 2>/dev/null || { fail "acrn-dm does not serve: $(cat server.err)" && finish; }
  read -rt 0.05 <> <(:)
done

timeout -k 5 60 ./client vm1.9.0.sock expected
expect_equal "the client's exit status" $? 0
cmp expected disk.img || fail 'the file is not what was written'
timeout -k 5 30 ./client vm1.10.0.sock other.img read-only
expect_equal "the client's exit status with a read-only disk" $? 0
expect_equal 'the read-only file' "$(sha256sum other.img)" "$sum"

kill $server
wait $server
expect_equal "acrn-dm's exit status" $? 0
# Of ADD_MEM_REG, number 37: the client tried one region more than there may be.
expect_equal 'on stderr' "$(cat server.err)" \
  'acrn-dm: warning: vhost-user: request 37 of the front end was refused: No space left on device (number 1)'
expect_equal 'on stdout' "$(cat server.out)" ''
expect_equal 'sockets left' "$(find . -name '*.sock')" ''
finish
