// Reads of the page cache by a mapping: of RawFile alone, over the file systems at hand.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string_view>

#include "dm/block/engines/inline_transfers.h"
#include "dm/block/sources/raw_file.h"
#include "dm/event/epoll_loop.h"
#include "dm/mem/bus_errors.h"
#include "tests/contract/block_rig.h"
#include "tests/contract/host_media.h"
#include "tests/support/must.h"
#include "tests/support/wait_until.h"

namespace acrn::test {
namespace {

using Access = MappedReads::Access;

constexpr uint64_t kSize = 4 << 20, kPage = 4096;

// A file that may be mapped, and how it is read.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path) : path_(path) {
    catch_bus_errors();
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    EXPECT(static_cast<bool>(fd));
    if (const auto why = MappedReads::unsuited(fd.fd(), false); !why.empty()) SKIP(path + ": " + why);
    struct stat status {};
    EXPECT_EQ(::fstat(fd.fd(), &status), 0);
    RawFileTraits traits;
    traits.name = path;
    traits.info.size = static_cast<uint64_t>(status.st_size);
    traits.map_reads = true;
    traits.info.discard_granularity = kPage;
    file_ = std::make_unique<RawFile>(std::move(fd), traits);
  }

  int write(uint64_t offset, const std::vector<uint8_t>& data) {
    return file_->execute(TestRequest::write(offset, data));
  }
  int execute(const TestRequest& request) { return file_->execute(request); }
  // What is in memory is known from then on. Nothing: it would have to be waited for, and has not been begun.
  std::optional<std::vector<uint8_t>> try_read(uint64_t offset, uint64_t length) {
    TestRequest request = TestRequest::read(offset, length);
    LapTimer timer;
    if (!file_->try_read(request, Access::kRandom, false, timer)) return std::nullopt;
    return request.data();
  }
  // Nothing: it is not known to be in memory. The copy counts from when `timer` was started.
  std::optional<std::vector<uint8_t>> read_mapped(uint64_t offset, uint64_t length, LapTimer timer = {},
                                                  Access access = Access::kRandom) {
    TestRequest request = TestRequest::read(offset, length);
    if (!file_->read_mapped(request, access, timer)) return std::nullopt;
    return request.data();
  }
  // The whole file, of which nothing is in memory then.
  void write_and_drop() {
    EXPECT_EQ(write(0, pattern(1, kSize)), 0);
    EXPECT_EQ(::fdatasync(fd()), 0);
    EXPECT_EQ(::posix_fadvise(fd(), 0, kSize, POSIX_FADV_DONTNEED), 0);
    if (pages_in_cache() != 0) SKIP("a host that drops pages when it is asked to");
  }
  // Those that are being read, too.
  uint64_t pages_in_cache() const {
    constexpr long kCachestat = 451;
    struct {
      uint64_t offset, length;
    } range{0, 0};
    std::array<uint64_t, 5> found{};
    if (::syscall(kCachestat, fd(), &range, &found, 0) != 0) SKIP("cachestat(2)");
    return found[0];
  }
  Result<uint64_t> refresh_size() { return file_->refresh_size(); }
  RawFile& raw() { return *file_; }
  const std::string& path() const { return path_; }
  int fd() const { return file_->fd(); }

 private:
  const std::string path_;
  std::unique_ptr<RawFile> file_;
};

// Of the calling thread.
long waits_for_pages() {
  struct rusage usage {};
  EXPECT_EQ(::getrusage(RUSAGE_THREAD, &usage), 0);
  return usage.ru_majflt;
}

// On a disk, and in memory.
void for_each_medium(void (*body)(MappedFile&)) {
  TempDir dir;
  SharedMemoryFile shared(kSize);
  for (const std::string& path : {dir.file("disk", kSize), shared.path()}) {
    MappedFile file(path);
    EXPECT_EQ(file.write(0, pattern(1, kSize)), 0);
    body(file);
  }
}

std::vector<uint8_t> part(uint64_t offset, uint64_t length) {
  const auto all = pattern(1, kSize);
  return {all.begin() + static_cast<ptrdiff_t>(offset), all.begin() + static_cast<ptrdiff_t>(offset + length)};
}

}  // namespace

TEST(what_was_read_without_waiting_is_mapped_from_then_on) {
  for_each_medium([](MappedFile& file) {
    EXPECT(!file.read_mapped(8192, 4096));
    EXPECT(file.try_read(8192, 4096).has_value());
    EXPECT(file.read_mapped(8192, 4096) == part(8192, 4096));
    EXPECT(file.read_mapped(8192 + 512, 1024) == part(8192 + 512, 1024));
    EXPECT(file.read_mapped(65536 - kPage, kPage) == part(65536 - kPage, kPage));  // its neighbours are known, too
  });
}

TEST(a_large_read_makes_its_whole_range_known) {
  for_each_medium([](MappedFile& file) {
    TestRequest read = TestRequest::read(kPage / 2, 2 << 20);
    EXPECT_EQ(file.execute(read), 0);
    EXPECT(file.read_mapped(kPage / 2, 2 << 20) == part(kPage / 2, 2 << 20));
  });
}

TEST(a_write_is_seen_by_the_next_read) {
  for_each_medium([](MappedFile& file) {
    EXPECT(file.try_read(0, 4096).has_value());
    EXPECT_EQ(file.write(512, pattern(7, 1024)), 0);
    EXPECT(file.read_mapped(512, 1024) == pattern(7, 1024));
    EXPECT_EQ(file.execute(TestRequest(BlockOp::kDiscard, 0, 65536)), 0);
    EXPECT(file.read_mapped(0, 65536).value_or(std::vector<uint8_t>(65536)) == std::vector<uint8_t>(65536));
  });
}

TEST(a_page_that_is_not_in_memory_is_neither_touched_nor_asked_for) {
  TempDir dir;
  MappedFile file(dir.file("disk", kSize));
  file.write_and_drop();
  std::vector<uint8_t> bytes(65536);
  const UniqueFd other(::open(file.path().c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(::posix_fadvise(other.fd(), 0, 0, POSIX_FADV_RANDOM), 0);
  EXPECT_EQ(::pread(other.fd(), bytes.data(), bytes.size(), 1 << 20), 65536);
  EXPECT(file.try_read((1 << 20) + kPage, kPage).has_value());
  EXPECT(file.read_mapped(1 << 20, 65536) == part(1 << 20, 65536));
  for (int i = 0; i < 3; i++) EXPECT(!file.try_read(kPage, kPage));
  EXPECT(!file.try_read((1 << 20) - kPage, 2 * kPage));  // half of it
  EXPECT(!file.read_mapped((1 << 20) - kPage, 2 * kPage));
  EXPECT_EQ(file.pages_in_cache(), 65536 / kPage);
}

TEST(only_reads_in_order_make_the_host_read_ahead) {
  TempDir dir;
  MappedFile file(dir.file("disk", kSize));
  file.write_and_drop();
  EXPECT_EQ(file.execute(TestRequest::read(0, kPage)), 0);
  const uint64_t read = file.pages_in_cache();
  if (read <= 1 || read == kSize / kPage) SKIP("a medium that Linux reads ahead of");
  for (uint64_t page = 0; page < read; page++) {  // which are on their way
    EXPECT(wait_until([&] { return file.try_read(page * kPage, kPage).has_value(); }));
  }
  EXPECT_EQ(file.pages_in_cache(), read);
  for (uint64_t page = 0; page < read; page++) {
    EXPECT(file.read_mapped(page * kPage, kPage, {}, Access::kOrder) == part(page * kPage, kPage));
  }
  EXPECT(file.pages_in_cache() > read);
}

TEST(a_process_that_has_given_up_its_rights_to_a_file_does_not_map_it) {
  TempDir dir;
  MappedFile file(dir.file("disk", kSize));
  file.write_and_drop();
  if (::geteuid() != 0) SKIP("root");
  constexpr uid_t kNobody = 65534, kKeep = static_cast<uid_t>(-1);
  EXPECT_EQ(::syscall(SYS_setresuid, kKeep, kNobody, kKeep), 0);  // this thread alone
  // The host would say that every page is in memory.
  const long waits = waits_for_pages();
  const bool read = file.try_read(kPage, kPage).has_value();
  const bool waited = waits_for_pages() != waits;
  EXPECT_EQ(::syscall(SYS_setresuid, kKeep, 0, kKeep), 0);
  EXPECT(!read);
  EXPECT(!waited);
}

// As an engine tries it inside submit().
InlineTransfers::Outcome attempt(InlineTransfers& inline_transfers, uint64_t offset, bool may_begin) {
  TestRequest read = TestRequest::read(offset, kPage);
  std::array<BlockRequest*, 1> batch{&read};
  inline_transfers.begin(batch, may_begin);
  return inline_transfers.attempt(read, false);
}

TEST(an_engine_begins_to_read_only_where_the_medium_is_not_busy) {
  TempDir dir;
  MappedFile file(dir.file("disk", kSize));
  file.write_and_drop();
  const auto loop = must(EpollLoop::create("queue", {}));
  for (const bool may_begin : {false, true}) {
    InlineTransfers inline_transfers(file.raw(), *loop);
    EXPECT(attempt(inline_transfers, 1 << 20, may_begin) == InlineTransfers::Outcome::kWouldWait);
    EXPECT_EQ(file.pages_in_cache() > 0, may_begin);
  }
}

TEST(an_engine_reads_ahead_for_reads_that_follow_each_other) {
  TempDir dir;
  for (const bool in_order : {false, true}) {
    MappedFile file(dir.file(in_order ? "order" : "random", kSize));
    file.write_and_drop();
    EXPECT_EQ(file.execute(TestRequest::read(0, kPage)), 0);
    const uint64_t read = file.pages_in_cache();
    if (read <= 2 || read == kSize / kPage) SKIP("a medium that Linux reads ahead of");
    const auto loop = must(EpollLoop::create("queue", {}));
    InlineTransfers inline_transfers(file.raw(), *loop);
    for (uint64_t at = 0; at < read; at++) {
      const uint64_t page = in_order ? at : read - 1 - at;
      EXPECT(wait_until(
          [&] { return attempt(inline_transfers, page * kPage, false) == InlineTransfers::Outcome::kDone; }));
    }
    EXPECT_EQ(file.pages_in_cache() > read, in_order);
  }
}

TEST(after_a_copy_that_had_to_wait_nothing_is_known_any_more) {
  TempDir dir;
  // Twice: of a thread's first slow copy nobody can tell whether it has waited.
  for (const char* const name : {"first", "second"}) {
    MappedFile file(dir.file(name, kSize));
    EXPECT_EQ(file.write(0, pattern(1, kSize)), 0);
    EXPECT_EQ(::fdatasync(file.fd()), 0);
    EXPECT_EQ(file.execute(TestRequest::read(0, kSize)), 0);
    EXPECT_EQ(::posix_fadvise(file.fd(), 0, kSize, POSIX_FADV_DONTNEED), 0);
    // However fast the medium is, it is slow here.
    const LapTimer timer;
    while (LapTimer::Clock::now() - timer.last() <= MappedReads::kSlow * (1 + kSize / MappedReads::kSlowBytes))
      continue;
    const long waits = waits_for_pages();
    EXPECT(file.read_mapped(0, kSize, timer) == part(0, kSize));
    if (waits_for_pages() == waits) SKIP("a host that drops pages when it is asked to");
    if (std::string_view(name) == "second") EXPECT(!file.read_mapped(0, kPage));
  }
}

TEST(a_shortened_file_is_an_error_behind_its_end_and_data_before_it) {
  for_each_medium([](MappedFile& file) {
    EXPECT_EQ(file.execute(TestRequest::read(0, kSize)), 0);
    constexpr uint64_t kEnd = 100 * kPage + 700;
    EXPECT_EQ(::truncate(file.path().c_str(), kEnd), 0);
    EXPECT(!file.read_mapped(100 * kPage + 512, 512));  // in its last page
    EXPECT_EQ(file.execute(TestRequest::read(100 * kPage + 512, 512)), EIO);
    EXPECT(file.read_mapped(100 * kPage, 512) == part(100 * kPage, 512));
    EXPECT(!file.read_mapped(101 * kPage, kPage));  // SIGBUS
    EXPECT_EQ(file.execute(TestRequest::read(101 * kPage, kPage)), EIO);
    EXPECT(!file.read_mapped(0, kPage));          // the mapping is gone
    EXPECT(file.try_read(0, kPage).has_value());  // the file is not
    EXPECT(!file.read_mapped(0, kPage));
  });
}

TEST(holes_of_a_file_in_memory_are_not_filled_by_reads) {
  SharedMemoryFile shared(kSize);
  MappedFile file(shared.path());
  for (int i = 0; i < 3; i++) EXPECT(file.try_read(65536, 65536).has_value());
  EXPECT(!file.read_mapped(65536, 4096));
  struct stat status {};
  EXPECT_EQ(::fstat(file.fd(), &status), 0);
  EXPECT_EQ(status.st_blocks, 0);
}

TEST(a_discarded_range_of_a_file_in_memory_stays_a_hole) {
  SharedMemoryFile shared(kSize);
  MappedFile file(shared.path());
  EXPECT_EQ(file.write(0, pattern(1, kSize)), 0);
  EXPECT_EQ(file.execute(TestRequest::read(0, kSize)), 0);
  EXPECT(file.read_mapped(0, kSize).has_value());
  EXPECT_EQ(file.execute(TestRequest(BlockOp::kDiscard, 0, kSize)), 0);
  EXPECT(!file.read_mapped(65536, 4096));
  EXPECT(file.try_read(65536, 65536).has_value());
  struct stat status {};
  EXPECT_EQ(::fstat(file.fd(), &status), 0);
  EXPECT_EQ(status.st_blocks, 0);
}

TEST(a_file_may_grow_and_have_more_than_one_window) {
  TempDir dir;
  const std::string path = dir.file("disk", MappedReads::kWindow + kSize);
  MappedFile file(path);
  const uint64_t border = MappedReads::kWindow - 4096;
  EXPECT_EQ(file.write(border, pattern(3, 8192)), 0);
  EXPECT(file.try_read(border, 8192).has_value());
  EXPECT(!file.read_mapped(border, 8192));  // in two windows: by system calls
  EXPECT(file.try_read(border, 4096).has_value());
  EXPECT(file.try_read(border + 4096, 4096).has_value());
  EXPECT(file.read_mapped(border + 4096, 4096).has_value());
  EXPECT_EQ(::truncate(path.c_str(), MappedReads::kWindow + 2 * kSize), 0);
  EXPECT(file.refresh_size().ok());
  EXPECT_EQ(file.write(MappedReads::kWindow + kSize, pattern(4, 4096)), 0);
  EXPECT(file.try_read(MappedReads::kWindow + kSize, 4096).has_value());
  EXPECT(!file.read_mapped(MappedReads::kWindow + kSize, 4096));
}

TEST(a_file_whose_pages_come_when_somebody_pleases_is_unsuited) {
  const UniqueFd proc(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(MappedReads::unsuited(proc.fd(), false), "its file system is none of ext4, XFS, Btrfs, F2FS and tmpfs");
}

}  // namespace acrn::test
