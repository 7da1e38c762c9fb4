#include "dm/block/filters/kept_channels.h"

#include <array>
#include <utility>

#include "dm/event/epoll_loop.h"
#include "tests/support/must.h"

namespace acrn {
namespace {

using test::must;

struct Counts {
  unsigned opened = 0, open = 0, submitted = 0;
};

class CountedChannel final : public BlockChannel {
 public:
  explicit CountedChannel(Counts& counts) : counts_(counts) {
    counts_.opened++;
    counts_.open++;
  }
  ~CountedChannel() override { counts_.open--; }
  void submit(std::span<BlockRequest* const> batch) override {
    counts_.submitted += static_cast<unsigned>(batch.size());
  }

 private:
  Counts& counts_;
};

// A disk that has `most` channels.
class CountedDisk final : public BlockBackend {
 public:
  CountedDisk(Counts& counts, unsigned most) : counts_(counts), most_(most) {}
  BlockInfo info() const override { return {.size = 4096}; }
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop&, unsigned) override {
    if (counts_.open == most_) return Error{ErrorKind::kInternal, "no more"};
    return std::unique_ptr<BlockChannel>(std::make_unique<CountedChannel>(counts_));
  }
  Result<uint64_t> refresh_size() override { return uint64_t{4096}; }

 private:
  Counts& counts_;
  const unsigned most_;
};

TEST(channels_are_made_beforehand_and_lent_again_and_again) {
  Counts counts;
  const auto loop = must(EpollLoop::create("lender", {}));
  auto disk = make_kept_channels(std::make_unique<CountedDisk>(counts, 3), *loop, 2, 8);
  EXPECT_EQ(counts.opened, 2u);
  EXPECT_EQ(disk->info().size, 4096u);
  for (unsigned times = 0; times < 3; times++) {
    loop->run([&] {
      auto first = disk->open_channel(*loop, 8), second = disk->open_channel(*loop, 1);
      if (!first || !second) return;
      BlockRequest request;
      BlockRequest* const batch[] = {&request};
      first.value()->submit(batch);
      second.value()->submit(batch);
    });
    EXPECT_EQ(counts.submitted, 2 * (times + 1));
  }
  EXPECT_EQ(counts.opened, 2u);
  disk.reset();
  EXPECT_EQ(counts.open, 0u);
}

TEST(one_more_than_is_kept_is_made_where_the_disk_has_it) {
  Counts counts;
  const auto loop = must(EpollLoop::create("lender", {}));
  auto disk = make_kept_channels(std::make_unique<CountedDisk>(counts, 3), *loop, 2, 8);
  bool third = false, fourth = true;
  loop->run([&] {
    std::array<Result<std::unique_ptr<BlockChannel>>, 4> channels{
        disk->open_channel(*loop, 8), disk->open_channel(*loop, 8), disk->open_channel(*loop, 8),
        disk->open_channel(*loop, 8)};
    third = channels[2].ok();
    fourth = channels[3].ok();
  });
  EXPECT(third && !fourth);
  EXPECT_EQ(counts.opened, 3u);
}

}  // namespace
}  // namespace acrn
