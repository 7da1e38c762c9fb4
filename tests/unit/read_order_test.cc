// ReadOrder: which reads go on where another one has ended.
#include "dm/block/engines/read_order.h"

#include "tests/support/test.h"

namespace acrn {

TEST(a_read_goes_on_where_the_last_one_has_ended) {
  ReadOrder order;
  EXPECT(!order.goes_on(1 << 20, 4096));
  EXPECT(order.goes_on((1 << 20) + 4096, 8192));
  EXPECT(order.goes_on((1 << 20) + 12288, 512));
  EXPECT(!order.goes_on((1 << 20) + 12288, 512));  // again
  EXPECT(!order.goes_on(4096, 4096));
}

TEST(the_beginning_of_a_disk_is_the_beginning_of_a_stream) {
  ReadOrder order;
  EXPECT(order.goes_on(0, 4096));
  EXPECT(order.goes_on(4096, 4096));
}

TEST(four_streams_are_followed_at_a_time) {
  ReadOrder order;
  constexpr uint64_t kApart = 1 << 30, kLength = 65536;
  for (uint64_t stream = 1; stream <= 4; stream++) EXPECT(!order.goes_on(stream * kApart, kLength));
  for (uint64_t at = kLength; at < 8 * kLength; at += kLength) {
    for (uint64_t stream = 1; stream <= 4; stream++) EXPECT(order.goes_on(stream * kApart + at, kLength));
  }
  EXPECT(!order.goes_on(5 * kApart, kLength));  // instead of the first
  EXPECT(!order.goes_on(kApart + 8 * kLength, kLength));
}

}  // namespace acrn
