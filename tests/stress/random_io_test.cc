// Random requests over many options and seeds, against a model of the disk. Each request in flight owns a region
// of its own, so that the model has one answer for every sector. ACRN_SOAK=<n> multiplies the rounds.
// COVERS(blk.read-write)
#include <signal.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <random>
#include <thread>

#include "dm/tools/session.h"
#include "tests/support/nbd_server.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

using namespace acrn;
using namespace acrn::test;

namespace {

constexpr uint64_t kDiskSectors = 16384;  // 8 MiB
constexpr uint32_t kMaxSectors = 64;      // of one request
constexpr unsigned kRequests = 1500;      // of one round, per queue

unsigned soak() {
  const char* factor = std::getenv("ACRN_SOAK");  // NOLINT(concurrency-mt-unsafe): one thread so far
  return factor != nullptr ? std::max(1, std::atoi(factor)) : 1;
}

// What each sector should hold: the stamp last written, 0 for zeroes, or kUnknown after a discard.
class Model {
 public:
  static constexpr uint32_t kUnknown = ~0u;
  explicit Model(uint64_t sectors) : stamps_(sectors, 0) {}

  void set(uint64_t sector, uint32_t count, uint32_t stamp) {
    std::fill_n(stamps_.begin() + static_cast<ptrdiff_t>(sector), count, stamp);
  }
  // A sector is its stamp and number, repeated.
  static void fill(std::byte* sector_bytes, uint64_t sector, uint32_t stamp) {
    const uint64_t word = stamp == 0 ? 0 : uint64_t{stamp} << 32 | sector;
    for (size_t i = 0; i < 512; i += 8) std::memcpy(sector_bytes + i, &word, 8);
  }
  bool matches(const std::byte* sector_bytes, uint64_t sector) const {
    if (stamps_[sector] == kUnknown) return true;
    std::byte expected[512];
    fill(expected, sector, stamps_[sector]);
    return std::memcmp(sector_bytes, expected, 512) == 0;
  }
  uint64_t sectors() const { return stamps_.size(); }

 private:
  std::vector<uint32_t> stamps_;
};

// Drives one queue; every tag works in its own slice of [first, first + count).
class RandomLoad {
 public:
  RandomLoad(LegacyDriver& driver, unsigned queue, Model& model, uint64_t first, uint64_t count, unsigned seed)
      : queue_(driver.queue(queue)),
        zeroes_(driver.accepted(VIRTIO_BLK_F_WRITE_ZEROES)),
        model_(model),
        first_(first),
        slice_(count / queue_.depth()),
        random_(seed),
        requests_(queue_.depth()) {}

  void run() {
    unsigned started = 0, in_flight = 0;
    for (uint16_t tag = 0; tag < queue_.depth(); tag++, started++, in_flight++) start(tag);
    queue_.kick();
    while (in_flight > 0) {
      const bool answered = queue_.reap([&](const DriverCompletion& done) {
        in_flight--;
        finish(done);
        if (started < kRequests) start(done.tag), started++, in_flight++;
      });
      EXPECT(answered);
      queue_.kick();
    }
  }

 private:
  struct Request {
    uint32_t type;
    uint64_t sector;
    uint32_t count;
    uint32_t stamp;
  };

  void start(uint16_t tag) {
    const auto count = static_cast<uint32_t>(1 + random_() % std::min<uint64_t>(kMaxSectors, slice_));
    Request& request = requests_[tag];
    request = {kind(), first_ + tag * slice_ + random_() % (slice_ - count + 1), count,
               static_cast<uint32_t>(1 + random_() % 0x7fffffff)};
    const GuestSlice data = queue_.data(tag);
    switch (request.type) {
      case VIRTIO_BLK_T_OUT:
        for (uint32_t i = 0; i < count; i++) {
          std::byte sector[512];
          Model::fill(sector, request.sector + i, request.stamp);
          data.copy_in(i * 512, sector, 512);
        }
        return queue_.start(tag, request.type, request.sector, count * 512, true);
      case VIRTIO_BLK_T_IN: return queue_.start(tag, request.type, request.sector, count * 512, false);
      case VIRTIO_BLK_T_FLUSH: return queue_.start(tag, request.type, 0, 0, true);
      default:
        data.store(0, VirtioBlkDiscardWriteZeroes{request.sector, count,
                                                  request.type == VIRTIO_BLK_T_DISCARD ? 0 : request.stamp & 1});
        return queue_.start(tag, request.type, 0, sizeof(VirtioBlkDiscardWriteZeroes), true);
    }
  }

  uint32_t kind() {
    const auto dice = random_() % 100;
    if (dice < 45) return VIRTIO_BLK_T_IN;
    if (dice < 85 || !zeroes_) return VIRTIO_BLK_T_OUT;
    if (dice < 90) return VIRTIO_BLK_T_WRITE_ZEROES;
    return dice < 95 ? VIRTIO_BLK_T_DISCARD : VIRTIO_BLK_T_FLUSH;
  }

  void finish(const DriverCompletion& done) {
    const Request& request = requests_[done.tag];
    EXPECT_EQ(done.status, VIRTIO_BLK_S_OK);
    EXPECT_EQ(done.written, request.type == VIRTIO_BLK_T_IN ? request.count * 512 + 1 : 1u);
    if (request.type == VIRTIO_BLK_T_OUT) model_.set(request.sector, request.count, request.stamp);
    if (request.type == VIRTIO_BLK_T_WRITE_ZEROES) model_.set(request.sector, request.count, 0);
    if (request.type == VIRTIO_BLK_T_DISCARD) model_.set(request.sector, request.count, Model::kUnknown);
    for (uint32_t i = 0; request.type == VIRTIO_BLK_T_IN && i < request.count; i++) {
      std::byte sector[512];
      queue_.data(done.tag).copy_out(i * 512, sector, 512);
      EXPECT(model_.matches(sector, request.sector + i));
    }
  }

  DriverQueue& queue_;
  bool zeroes_;
  Model& model_;
  uint64_t first_, slice_;
  std::mt19937 random_;
  std::vector<Request> requests_;
};

void run_round(Session& session, const DriverOptions& options, Model& model, unsigned seed) {
  auto driver = session.drive(0, options);
  EXPECT(driver.ok());
  const unsigned queues = driver.value()->queue_count();
  const uint64_t share = model.sectors() / queues;
  std::vector<std::exception_ptr> failures(queues);
  {
    std::vector<std::jthread> guests;
    for (unsigned q = 0; q < queues; q++) {
      guests.emplace_back([&, q] {
        try {
          RandomLoad(*driver.value(), q, model, q * share, share, seed * 100 + q).run();
        } catch (...) {
          failures[q] = std::current_exception();
        }
      });
    }
  }
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  EXPECT_EQ(driver.value()->flush().value(), VIRTIO_BLK_S_OK);
}

// A round of a disk that reads as zeroes, and what is then in the raw file `image` from `first_byte` on. `close` brings
// it there.
void match_round(
    const std::string& slot, const std::string& image, const DriverOptions& driver, uint64_t first_byte, unsigned seed,
    const std::function<void()>& close = [] {}) {
  Model model(kDiskSectors);
  {
    auto session = Session::open({.slots = {slot}}, 1);
    if (!session) throw Failure{"open", session.error().message};
    run_round(*session.value(), driver, model, seed);
    run_round(*session.value(), driver, model, seed + 1000);  // a second driver, on what the first one left
  }
  close();
  std::ifstream file(image, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(first_byte));
  for (uint64_t sector = 0; sector < kDiskSectors; sector++) {
    std::byte content[512];
    file.read(reinterpret_cast<char*>(content), 512);
    EXPECT(model.matches(content, sector));
  }
}

// `options` follow the path; the window of `first_byte` on holds kDiskSectors.
void match_model(const std::string& options, const DriverOptions& driver, uint64_t first_byte = 0) {
  TempDir dir;
  const uint64_t bytes = kDiskSectors * 512;
  const std::string image = dir.file("disk.img", bytes + 2 * first_byte);
  for (unsigned seed = 1; seed <= 2 * soak(); seed++) {
    std::filesystem::resize_file(image, 0);
    std::filesystem::resize_file(image, bytes + 2 * first_byte);
    match_round("3,virtio-blk," + image + options, image, driver, first_byte, seed);
  }
}

// The same on a server's export.
void match_model_on(const std::vector<std::string>& command, const std::string& image, const std::string& options,
                    const DriverOptions& driver) {
  const NbdServer server(command);
  match_round("3,virtio-blk," + server.uri() + options, image, driver, 0, 1);
}

constexpr DriverOptions kDriver{.depth = 32, .max_bytes = kMaxSectors * 512};

DriverOptions without(unsigned bit) {
  DriverOptions options = kDriver;
  options.features &= ~feature(bit);
  return options;
}

DriverOptions with(InterruptMode mode) {
  DriverOptions options = kDriver;
  options.interrupts = mode;
  return options;
}

}  // namespace

// COVERS(crash): long soak with a checker; its siblings in `tests/stress/`, too; `./tests/run.sh --full` runs them
//   longer
TEST(random_requests_match_the_model_in_writeback) { match_model(",writeback,discard", kDriver); }
TEST(random_requests_match_the_model_in_writethru) { match_model(",discard", kDriver); }
TEST(random_requests_match_the_model_with_nocache) { match_model(",nocache,writeback,discard", kDriver); }
TEST(random_requests_match_the_model_with_nocache_and_workers) {
  match_model(",nocache,writeback,discard,aio=threads", kDriver);
}
TEST(random_requests_match_the_model_on_a_cached_io_uring) { match_model(",writeback,discard,aio=io_uring", kDriver); }
TEST(random_requests_match_the_model_on_a_stable_io_uring) { match_model(",discard,aio=io_uring", kDriver); }
TEST(random_requests_match_the_model_with_kicks_served_inline) {
  match_model(",writeback,discard,kick=inline", kDriver);
}
TEST(random_requests_match_the_model_with_kicks_served_by_the_loop) {
  match_model(",writeback,discard,kick=loop", kDriver);
}
TEST(random_requests_match_the_model_in_a_window) {
  match_model(",writeback,discard,range=2048/16384", kDriver, 2048 * 512);
}
TEST(random_requests_match_the_model_with_4k_sectors) { match_model(",writeback,discard,sectorsize=4096", kDriver); }
TEST(random_requests_match_the_model_on_three_queues) { match_model(",writeback,discard,mq=3", kDriver); }
TEST(random_requests_match_the_model_with_iothreads) { match_model(",writeback,discard,mq=4,iothread=2", kDriver); }
TEST(random_requests_match_the_model_on_a_ring_of_2) { match_model(",writeback,queue_size=2", kDriver); }
TEST(random_requests_match_the_model_on_a_ring_of_8) { match_model(",writeback,discard,queue_size=8", kDriver); }
TEST(random_requests_match_the_model_on_a_ring_of_1024) {
  match_model(",writeback,discard,queue_size=1024", {.depth = 256, .max_bytes = kMaxSectors * 512});
}
TEST(random_requests_match_the_model_without_event_index) {
  match_model(",writeback,discard", without(VIRTIO_RING_F_EVENT_IDX));
}
TEST(random_requests_match_the_model_without_indirect_tables) {
  match_model(",writeback,discard", without(VIRTIO_RING_F_INDIRECT_DESC));
}
TEST(random_requests_match_the_model_by_intx) { match_model(",writeback,discard", with(InterruptMode::kIntx)); }
TEST(random_requests_match_the_model_on_an_nbd_server) {
  const TempDir dir;
  const std::string image = dir.file("disk.img", kDiskSectors * 512);
  match_model_on(NbdServer::file(image), image, ",discard", kDriver);
}
TEST(random_requests_match_the_model_on_several_connections_to_an_nbd_server) {
  const TempDir dir;
  const std::string image = dir.file("disk.img", kDiskSectors * 512);
  match_model_on(NbdServer::file(image), image, ",writeback,discard,mq=4,iothread=2", kDriver);
}
TEST(random_requests_match_the_model_on_an_nbd_server_of_large_blocks) {
  const TempDir dir;
  const std::string image = dir.file("disk.img", kDiskSectors * 512);
  match_model_on(
      {"nbdkit", "--foreground", "--exit-with-parent", "--unix", "SOCKET", "--filter=blocksize-policy", "file", image,
       "blocksize-minimum=4096", "blocksize-preferred=4096", "blocksize-maximum=65536", "blocksize-error-policy=error"},
      image, ",writeback,discard", kDriver);
}
TEST(random_requests_match_the_model_while_the_nbd_server_is_killed_again_and_again) {
  const TempDir dir;
  const std::string image = dir.file("disk.img", kDiskSectors * 512);
  NbdServer server(NbdServer::file(image));
  std::atomic<bool> done = false;
  std::exception_ptr failure;
  std::thread load([&] {
    try {
      match_round("3,virtio-blk," + server.uri() + ",discard,mq=2,iothread=2", image, kDriver, 0, 1);
    } catch (...) {
      failure = std::current_exception();
    }
    done = true;
  });
  // It has come as far as to write.
  const auto has_data = [&] {
    struct stat file;
    return ::stat(image.c_str(), &file) == 0 && file.st_blocks != 0;
  };
  EXPECT(wait_until([&] { return done || has_data(); }));
  std::mt19937 random(1);
  for (unsigned longest = 50; !done; longest += 10) {
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % longest));  // of load, between two kills
    server.end(SIGKILL);
    server.start();
  }
  load.join();
  if (failure) std::rethrow_exception(failure);
}
TEST(random_requests_match_the_model_in_a_qcow2_image) {
  const TempDir dir;
  const std::string path = dir.path("disk.qcow2"), raw = dir.path("disk.img");
  const auto qemu_img = [&](const std::string& words) {
    return std::system(("qemu-img " + words + " >/dev/null 2>&1").c_str()) == 0;  // NOLINT: a test's own words
  };
  if (!qemu_img("create -f qcow2 " + path + " 8M")) SKIP("qemu-img");
  match_round("3,virtio-blk," + path + ",format=qcow2,writeback,discard,mq=4,iothread=2", raw, kDriver, 0, 1,
              [&] { EXPECT(qemu_img("check " + path) && qemu_img("convert -O raw " + path + " " + raw)); });
}
// COVERS(B12): neither FLUSH nor CONFIG_WCE
TEST(random_requests_match_the_model_for_a_driver_that_never_flushes) {
  DriverOptions options = kDriver;
  options.features = feature(VIRTIO_BLK_F_SEG_MAX) | feature(VIRTIO_BLK_F_BLK_SIZE);
  match_model(",writeback", options);
}
