// CompletionPublisher: when a driver sees what is done, and when it is interrupted.
#include "hw/pci/virtio/completion_publisher.h"

#include <vector>

#include "tests/support/test.h"

namespace acrn {
namespace {

constexpr uint16_t kRing = 64;
constexpr Gpa kRingAddress{0x1000};

// A driver with chains in a ring, and a device that completes them.
class Bench final : private VirtioInterruptSink {
 public:
  // `chains` available ones.
  explicit Bench(uint16_t chains) : memory_(16384), errors_("bench"), ring_(errors_) {
    auto map = std::make_shared<const MemoryMap>(
        std::vector<MemoryRegion>{{kRingAddress, memory_.size(), memory_.data(), nullptr}});
    EXPECT(ring_.start(map, {.ring = legacy_ring(kRingAddress, kRing), .size = kRing}));
    const RingLayout layout = ring_layout(kRing);
    avail_ = GuestSlice(memory_.data() + layout.avail, layout.avail_bytes);
    used_ = GuestSlice(memory_.data() + layout.used, layout.used_bytes);
    for (uint16_t head = 0; head < chains; head++) avail_.store16(avail_entry(head), head, __ATOMIC_RELAXED);
    avail_.store16(kRingIndex, chains, __ATOMIC_RELEASE);
    publisher.connect(*this);
  }

  // Takes and completes that many of so many bytes each, with `in_flight` others that are not done.
  void complete(unsigned count, unsigned in_flight = 0, uint64_t bytes = 512) {
    for (unsigned i = 0; i < count; i++) {
      auto chain = ring_.pop();
      EXPECT(chain.has_value());
      chain->complete(1);
      const auto now = CompletionPublisher::Clock::now();
      publisher.add(DiskRequestKind::kWrite, {now, now}, bytes, in_flight);
    }
  }
  void refuse_interrupts() { avail_.store16(kRingFlags, VRING_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELAXED); }
  uint16_t used_index() const { return used_.load16(kRingIndex, __ATOMIC_ACQUIRE); }
  uint64_t times() const {
    const QueueStats stats = counters_.snapshot();
    const auto write = static_cast<size_t>(DiskRequestKind::kWrite);
    const uint64_t count = stats.latency_of(write, LatencyStage::kEngine).count();
    EXPECT_EQ(stats.latency_of(LatencyStage::kAll).count(), count);
    return count;
  }
  uint64_t counted_interrupts() const { return counters_.interrupts.value(); }

  unsigned interrupts = 0;

 private:
  void queue_interrupt(unsigned queue) override {
    EXPECT_EQ(queue, 3u);
    interrupts++;
  }
  void config_interrupt() override {}

  std::vector<std::byte> memory_;
  GuestErrors errors_;
  GuestSlice avail_, used_;
  Virtqueue ring_;
  BlkCounters counters_;

 public:
  CompletionPublisher publisher{ring_, counters_, 3};
};

}  // namespace

TEST(a_lone_completion_is_shown_and_told_at_the_end_of_its_batch) {
  Bench bench(1);
  bench.complete(1);
  EXPECT_EQ(bench.used_index(), 0);
  EXPECT(!bench.publisher.empty());
  bench.publisher.flush();
  EXPECT(bench.publisher.empty());
  EXPECT_EQ(bench.used_index(), 1);
  EXPECT_EQ(bench.interrupts, 1u);
  EXPECT_EQ(bench.counted_interrupts(), 1u);
  EXPECT_EQ(bench.times(), 1u);
}

TEST(completions_are_shown_in_groups_and_told_in_larger_ones) {
  Bench bench(64);
  for (unsigned done = 1; done <= 16; done++) {
    bench.complete(1);
    EXPECT_EQ(bench.used_index(), done / 4 * 4);
    EXPECT_EQ(bench.times(), done / 4 * 4);
    EXPECT_EQ(bench.interrupts, done / 16);
  }
  bench.publisher.flush();  // all of it has been told
  EXPECT_EQ(bench.interrupts, 1u);
}

TEST(large_completions_are_shown_one_by_one) {
  Bench bench(4);
  bench.complete(1, 0, 64 << 10);
  EXPECT_EQ(bench.used_index(), 1);
  EXPECT_EQ(bench.interrupts, 0u);  // three are left
  bench.complete(1, 0, 64 << 10);
  EXPECT_EQ(bench.used_index(), 2);
  EXPECT_EQ(bench.interrupts, 1u);
}

TEST(a_driver_is_told_when_half_of_what_the_device_has_is_done) {
  struct Case {
    uint16_t chains;      // in the ring
    unsigned in_flight;   // besides
    unsigned told_after;  // completions, a multiple of 4
  };
  for (const Case& each : {Case{8, 0, 4}, Case{16, 0, 8}, Case{12, 4, 8}, Case{16, 8, 12}, Case{40, 0, 16}}) {
    Bench bench(each.chains);
    unsigned done = 0;
    while (bench.interrupts == 0) bench.complete(1, each.in_flight), done++;
    EXPECT_EQ(done, each.told_after);
  }
}

TEST(a_driver_that_wants_no_interrupt_gets_none) {
  Bench bench(64);
  bench.refuse_interrupts();
  bench.complete(20);
  bench.publisher.flush();
  EXPECT_EQ(bench.used_index(), 20);
  EXPECT_EQ(bench.interrupts, 0u);
  EXPECT_EQ(bench.counted_interrupts(), 0u);
}

}  // namespace acrn
