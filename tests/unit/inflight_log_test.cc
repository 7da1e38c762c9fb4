// The log of what is in flight, read by the next process after one that has died at any moment.
#include "acrn/virtio/inflight_log.h"

#include <cstring>
#include <vector>

#include "tests/support/test.h"

namespace acrn {
namespace {

constexpr uint16_t kSize = 8;

// Memory that outlives the processes.
struct Area {
  Area() : memory(InflightLog::bytes(kSize) + 64) {}
  std::byte* data() { return memory.data() + (-address_of(memory.data()) % 64); }
  InflightLog log() { return InflightLog(data(), kSize); }
  std::vector<std::byte> memory;
};

using Heads = std::vector<uint16_t>;

TEST(what_was_taken_comes_again_in_that_order) {
  Area area;
  InflightLog first = area.log();
  EXPECT(first.recover(0).empty());
  for (const uint16_t head : Heads{5, 1, 7}) first.take(head);
  EXPECT(area.log().recover(0) == (Heads{5, 1, 7}));
  InflightLog second = area.log();
  second.recover(0);
  second.take(0);  // counts on
  EXPECT(area.log().recover(0) == (Heads{5, 1, 7, 0}));
}

TEST(what_was_shown_to_the_driver_does_not_come_again) {
  Area area;
  InflightLog log = area.log();
  log.recover(0);
  for (const uint16_t head : Heads{5, 1, 7}) log.take(head);
  log.use(1);
  log.use(5);
  log.publish(2);
  EXPECT(area.log().recover(2) == (Heads{7}));
}

TEST(a_used_entry_that_was_not_shown_comes_again) {
  Area area;
  InflightLog log = area.log();
  log.recover(0);
  log.take(3);
  log.use(3);
  EXPECT(area.log().recover(0) == (Heads{3}));
}

TEST(after_a_reset_nothing_comes_again) {
  Area area;
  InflightLog log = area.log();
  log.recover(0);
  for (const uint16_t head : Heads{5, 1, 7}) log.take(head);
  log.use(1);
  log.clear();
  EXPECT(area.log().recover(0).empty());
  log.recover(0);
  log.take(2);
  EXPECT(area.log().recover(0) == (Heads{2}));
}

// The process died between the used index and its log.
TEST(a_batch_that_was_shown_and_not_struck_off_does_not_come_again) {
  Area area;
  InflightLog log = area.log();
  log.recover(0xffff);
  for (const uint16_t head : Heads{2, 4, 6}) log.take(head);
  log.use(6);
  log.publish(0);
  log.use(2);
  log.use(4);
  EXPECT(area.log().recover(2).empty());
  EXPECT(area.log().recover(2).empty());
}

TEST(garbage_gives_heads_of_the_ring_and_each_once) {
  for (int fill = 1; fill < 256; fill++) {
    Area area;
    std::memset(area.data(), fill, InflightLog::bytes(kSize));
    const Heads heads = area.log().recover(static_cast<uint16_t>(fill * 257));
    EXPECT(heads.size() <= kSize);
    uint32_t seen = 0;
    for (const uint16_t head : heads) {
      EXPECT(head < kSize && (seen & 1u << head) == 0);
      seen |= 1u << head;
    }
  }
}

}  // namespace
}  // namespace acrn
