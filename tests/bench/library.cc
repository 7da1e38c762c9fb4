// What libacrn-blk costs: the same load on the same disk, driven inside the process, through the library as a whole
// function, and through its register block, in turns. Prints requests a second (medians) and the ratio to the first.
//   bench_library [seconds of a turn (0.2)] [turns (9)]
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "dm/loopback/legacy_driver.h"
#include "tests/contract/pci_access_path.h"

namespace {

using namespace acrn;        // NOLINT(google-build-using-namespace)
using namespace acrn::test;  // NOLINT(google-build-using-namespace)
using Clock = std::chrono::steady_clock;

constexpr uint32_t kBlock = 4096;      // bytes
constexpr uint64_t kBlocks = 16 << 8;  // of the disk, 16 MiB
constexpr const char* kDisk = "ram:16M,writeback";

// A driver that keeps its queue full for a while.
class Load {
 public:
  Load(std::unique_ptr<AccessPath> path, unsigned depth, bool reads) : path_(std::move(path)), reads_(reads) {
    auto driver = LegacyDriver::start(path_->board(), AccessPath::kAddress, {.depth = depth, .max_bytes = kBlock});
    if (!driver) throw Failure{"driver", driver.error().message};
    driver_ = std::move(driver).value();
  }

  // Requests a second.
  double run(double seconds) {
    DriverQueue& queue = driver_->queue(0);
    const auto begin = Clock::now();
    const auto end = begin + std::chrono::duration<double>(seconds);
    uint64_t done = 0;
    unsigned in_flight = queue.depth();
    for (unsigned tag = 0; tag < queue.depth(); tag++) start(static_cast<uint16_t>(tag));
    queue.kick();
    while (in_flight > 0) {
      const bool more = Clock::now() < end;
      const bool answered = queue.reap([&](const DriverCompletion& completion) {
        done++;
        if (completion.status != VIRTIO_BLK_S_OK) throw Failure{"request", "it failed"};
        more ? start(completion.tag) : static_cast<void>(in_flight--);
      });
      if (!answered) throw Failure{"queue", "no answer"};
      queue.kick();
    }
    return static_cast<double>(done) / std::chrono::duration<double>(Clock::now() - begin).count();
  }

 private:
  void start(uint16_t tag) {
    driver_->queue(0).start(tag, reads_ ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, random_() % kBlocks * (kBlock / 512),
                            kBlock, !reads_);
  }

  const std::unique_ptr<AccessPath> path_;
  const bool reads_;
  std::unique_ptr<LegacyDriver> driver_;
  std::minstd_rand random_{1};  // NOLINT(bugprone-random-generator-seed): the same load each time
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void measure(bool reads, unsigned depth, double seconds, unsigned turns) {
  constexpr std::array<MakeReach, 3> kPaths{reach_directly, reach_by_the_library, reach_by_its_registers};
  std::array<std::vector<double>, kPaths.size()> rates;
  for (unsigned turn = 0; turn < turns; turn++) {
    for (size_t i = 0; i < kPaths.size(); i++) {
      const size_t path = (i + turn) % kPaths.size();
      rates[path].push_back(Load(kPaths[path]({.disk = kDisk, .loop = kQueueLoop}), depth, reads).run(seconds));
    }
  }
  const double inside = median(rates[0]), function = median(rates[1]), registers = median(rates[2]);
  std::printf("%-6s %5u %10.0f %10.0f %5.2f %10.0f %5.2f\n", reads ? "read" : "write", depth, inside, function,
              function / inside, registers, registers / inside);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 0.2;
  const int turns = argc > 2 ? std::atoi(argv[2]) : 9;
  if (seconds <= 0 || turns <= 0) {
    std::fprintf(stderr, "usage: bench_library [seconds of a turn] [turns]\n");
    return 64;
  }
  std::printf("4 KiB random, requests/s, medians of %d turns\n", turns);
  std::printf("%-6s %5s %10s %10s %5s %10s %5s\n", "", "depth", "inside", "function", "ratio", "registers", "ratio");
  try {
    for (const bool reads : {true, false}) {
      for (const unsigned depth : {1u, 16u, 32u}) measure(reads, depth, seconds, static_cast<unsigned>(turns));
    }
  } catch (const Failure& failure) {
    std::fprintf(stderr, "bench_library: %s: %s\n", failure.where.c_str(), failure.what.c_str());
    return 70;
  }
  return 0;
}
