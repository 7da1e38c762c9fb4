// What a request to a file or a block device means to the host, and how the host's failures come back: of RawFile
// alone, and of each engine over it.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "dm/block/engines/pool.h"
#include "dm/block/engines/uring.h"
#include "dm/block/sources/raw_file.h"
#include "tests/contract/block_rig.h"
#include "tests/contract/host_media.h"

namespace acrn::test {
namespace {

constexpr uint64_t kSize = 4 << 20;

std::unique_ptr<RawFile> raw(const std::string& path, uint64_t size, bool block_device, bool read_only) {
  RawFileTraits traits;
  traits.name = path;
  traits.info.size = size;
  traits.info.discard_granularity = 4096;
  traits.info.read_only = read_only;
  traits.block_device = block_device;
  UniqueFd fd(::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
  EXPECT(static_cast<bool>(fd));
  return std::make_unique<RawFile>(std::move(fd), traits);
}

// A way to have requests carried out.
class Served {
 public:
  virtual ~Served() = default;
  virtual int execute(const TestRequest& request) = 0;
  virtual Result<uint64_t> refresh_size() = 0;
};

class ServedAlone final : public Served {
 public:
  explicit ServedAlone(std::unique_ptr<RawFile> file) : file_(std::move(file)) {}
  int execute(const TestRequest& request) override { return file_->execute(request); }
  Result<uint64_t> refresh_size() override { return file_->refresh_size(); }

 private:
  std::unique_ptr<RawFile> file_;
};

class ServedByEngine final : public Served {
 public:
  explicit ServedByEngine(std::unique_ptr<BlockBackend> engine) : engine_(std::move(engine)), rig_(*engine_) {}
  int execute(const TestRequest& request) override { return rig_.run(const_cast<TestRequest&>(request)); }
  Result<uint64_t> refresh_size() override { return engine_->refresh_size(); }

 private:
  std::unique_ptr<BlockBackend> engine_;
  BlockRig rig_;
};

enum class Way { kAlone, kPool, kRing };
Way way = Way::kAlone;  // of the test that runs

bool try_read(RawFile& file, TestRequest& request) {
  LapTimer timer;
  return file.try_read(request, MappedReads::Access::kRandom, false, timer);
}

std::unique_ptr<Served> open_raw(const std::string& path, uint64_t size, bool block_device = false,
                                 bool read_only = false) {
  auto file = raw(path, size, block_device, read_only);
  if (way == Way::kAlone) return std::make_unique<ServedAlone>(std::move(file));
  if (way == Way::kPool) return std::make_unique<ServedByEngine>(std::make_unique<EnginePool>(std::move(file), "test"));
  if (EngineUring::unavailable() != 0) SKIP("io_uring");
  return std::make_unique<ServedByEngine>(std::make_unique<EngineUring>(std::move(file)));
}

template <Way which, void (*body)()>
void run_way() {
  way = which;
  body();
}

// One test for each way.
#define EACH_WAY(name)                                                                                 \
  static void name();                                                                                  \
  static const ::acrn::test::Registration alone_##name("alone__" #name, &run_way<Way::kAlone, &name>); \
  static const ::acrn::test::Registration pool_##name("pool__" #name, &run_way<Way::kPool, &name>);    \
  static const ::acrn::test::Registration ring_##name("ring__" #name, &run_way<Way::kRing, &name>);    \
  static void name()

TestRequest stable(TestRequest request) {
  request.stable = true;
  return request;
}

TestRequest zeroes(uint64_t offset, uint64_t length, bool may_unmap) {
  TestRequest request(BlockOp::kWriteZeroes, offset, length);
  request.may_unmap = may_unmap;
  return request;
}

const TestRequest kFlush(BlockOp::kFlush, 0, 0);

uint64_t size_on_disk(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return static_cast<uint64_t>(status.st_size);
}

}  // namespace

EACH_WAY(more_vectors_than_a_system_call_takes_are_moved) {
  TempDir dir;
  auto file = open_raw(dir.file("disk", kSize), kSize);
  const auto bytes = pattern(1, 3000 * 512);
  TestRequest write = TestRequest::write(1024, bytes);
  write.lay_out(512);
  EXPECT_EQ(file->execute(write), 0);
  TestRequest read = TestRequest::read(1024, bytes.size());
  read.lay_out(512);
  EXPECT_EQ(file->execute(read), 0);
  EXPECT(read.data() == bytes);
}

EACH_WAY(empty_vectors_among_others_are_skipped) {
  TempDir dir;
  auto file = open_raw(dir.file("disk", kSize), kSize);
  auto bytes = pattern(2, 1024);
  const iovec vectors[] = {{nullptr, 0}, {bytes.data(), 512}, {nullptr, 0}, {nullptr, 0}, {bytes.data() + 512, 512}};
  TestRequest request(BlockOp::kWrite, 0, 1024);
  request.iov = vectors;
  EXPECT_EQ(file->execute(request), 0);
  TestRequest read = TestRequest::read(0, 1024);
  EXPECT_EQ(file->execute(read), 0);
  EXPECT(read.data() == bytes);
}

// COVERS(B9): file truncated under the device; sparse tail
EACH_WAY(a_read_of_a_file_that_was_truncated_under_us_is_eio) {
  TempDir dir;
  const std::string path = dir.file("disk", kSize);
  auto file = open_raw(path, kSize);
  EXPECT_EQ(::truncate(path.c_str(), 8192 + 512), 0);
  TestRequest beyond = TestRequest::read(16384, 512), across = TestRequest::read(8192, 4096);
  EXPECT_EQ(file->execute(beyond), EIO);
  EXPECT_EQ(file->execute(across), EIO);
  EXPECT(!try_read(*raw(path, kSize, false, false), across));
  TestRequest before = TestRequest::read(0, 8192);
  EXPECT_EQ(file->execute(before), 0);
}

// COVERS(B9): file truncated under the device; sparse tail
EACH_WAY(a_sparse_tail_reads_as_zeroes) {
  TempDir dir;
  auto file = open_raw(dir.file("disk", kSize), kSize);
  TestRequest read = TestRequest::read(kSize - 8192, 8192);
  EXPECT_EQ(file->execute(read), 0);
  EXPECT(read.data() == std::vector<uint8_t>(8192));
}

EACH_WAY(no_request_changes_the_size_of_the_file) {
  TempDir dir;
  const std::string path = dir.file("disk", kSize);
  auto file = open_raw(path, kSize);
  EXPECT(file->execute(TestRequest::write(kSize - 512, pattern(1, 1024))) != 0);
  EXPECT(file->execute(TestRequest::write(kSize, pattern(1, 512))) != 0);
  EXPECT(file->execute(zeroes(kSize - 512, 8192, false)) != 0);
  EXPECT_EQ(file->execute(zeroes(kSize - 4096, 4096, false)), 0);
  EXPECT_EQ(file->execute(zeroes(kSize - 4096, 4096, true)), 0);
  EXPECT_EQ(file->execute(TestRequest(BlockOp::kDiscard, kSize - 4096, 4096)), 0);
  EXPECT_EQ(size_on_disk(path), kSize);
}

EACH_WAY(a_read_only_file_refuses_every_change_and_accepts_a_flush) {
  TempDir dir;
  const std::string path = dir.file("disk", kSize);
  EXPECT_EQ(open_raw(path, kSize)->execute(TestRequest::write(0, pattern(9, 8192))), 0);
  auto file = open_raw(path, kSize, false, true);
  EXPECT_EQ(file->execute(TestRequest::write(0, pattern(1, 512))), EROFS);
  EXPECT_EQ(file->execute(zeroes(0, 4096, true)), EROFS);
  EXPECT_EQ(file->execute(TestRequest(BlockOp::kDiscard, 0, 4096)), EROFS);
  EXPECT_EQ(file->execute(kFlush), 0);
  TestRequest read = TestRequest::read(0, 8192);
  EXPECT_EQ(file->execute(read), 0);
  EXPECT(read.data() == pattern(9, 8192));
}

EACH_WAY(a_discard_frees_the_whole_blocks_inside_it) {
  TempDir dir;
  const std::string path = dir.file("disk", kSize);
  auto file = open_raw(path, kSize);
  EXPECT_EQ(file->execute(stable(TestRequest::write(0, pattern(1, 1 << 20)))), 0);
  const uint64_t before = allocated_bytes(path);
  EXPECT_EQ(file->execute(TestRequest(BlockOp::kDiscard, 512, (1 << 20) - 1024)), 0);
  if (allocated_bytes(path) == before) SKIP("hole punching in " + path);
  EXPECT(allocated_bytes(path) <= before - (1 << 20) + 2 * 4096);
  TestRequest edge = TestRequest::read(0, 512);
  EXPECT_EQ(file->execute(edge), 0);
  const auto bytes = pattern(1, 1 << 20);
  EXPECT(edge.data() == std::vector<uint8_t>(bytes.begin(), bytes.begin() + 512));
}

EACH_WAY(a_discard_of_less_than_a_block_changes_nothing) {
  TempDir dir;
  auto file = open_raw(dir.file("disk", kSize), kSize);
  const auto bytes = pattern(1, 8192);
  EXPECT_EQ(file->execute(TestRequest::write(0, bytes)), 0);
  EXPECT_EQ(file->execute(TestRequest(BlockOp::kDiscard, 512, 7168)), 0);
  TestRequest read = TestRequest::read(0, 8192);
  EXPECT_EQ(file->execute(read), 0);
  EXPECT(read.data() == bytes);
}

EACH_WAY(zeroes_that_may_unmap_free_blocks_and_others_keep_them) {
  TempDir dir;
  SharedMemoryFile shared(kSize);
  for (const std::string& path : {dir.file("disk", kSize), shared.path()}) {
    auto file = open_raw(path, kSize);
    EXPECT_EQ(file->execute(stable(TestRequest::write(0, pattern(1, 1 << 20)))), 0);
    const uint64_t before = allocated_bytes(path);
    EXPECT_EQ(file->execute(stable(zeroes(0, 1 << 20, false))), 0);
    EXPECT(allocated_bytes(path) >= before);
    TestRequest read = TestRequest::read(0, 1 << 20);
    EXPECT_EQ(file->execute(read), 0);
    EXPECT(read.data() == std::vector<uint8_t>(1 << 20));
    EXPECT_EQ(file->execute(stable(zeroes(0, 1 << 20, true))), 0);
    EXPECT(allocated_bytes(path) + (1 << 20) <= before + 8192);
  }
}

// COVERS(B10): ENOSPC
EACH_WAY(a_full_file_system_fails_the_write_and_nothing_else) {
  SmallFileSystem fs(1 << 20);
  const std::string path = fs.file("disk", kSize);
  auto file = open_raw(path, kSize);
  EXPECT_EQ(file->execute(TestRequest::write(0, pattern(1, 65536))), 0);
  EXPECT_EQ(file->execute(stable(TestRequest::write(65536, pattern(2, 3 << 20)))), ENOSPC);
  EXPECT_EQ(file->execute(zeroes(65536, 3 << 20, false)), ENOSPC);
  EXPECT_EQ(file->execute(kFlush), 0);
  EXPECT_EQ(file->execute(TestRequest(BlockOp::kDiscard, 65536, 3 << 20)), 0);
  EXPECT_EQ(file->execute(stable(TestRequest::write(65536, pattern(3, 65536)))), 0);
  TestRequest read = TestRequest::read(0, 65536);
  EXPECT_EQ(file->execute(read), 0);
  EXPECT(read.data() == pattern(1, 65536));
}

// COVERS(B11): fsync fails once
EACH_WAY(a_failed_fsync_fails_every_later_flush) {
  // The loop device takes what its full file system cannot, so the cached write is lost at the fsync.
  SmallFileSystem fs(512 << 10);
  LoopDevice device(fs.file("disk", kSize), 512);
  auto file = open_raw(device.path(), kSize, true);
  EXPECT_EQ(file->execute(kFlush), 0);
  EXPECT_EQ(file->execute(TestRequest::write(0, pattern(1, 2 << 20))), 0);
  EXPECT_EQ(file->execute(kFlush), EIO);
  EXPECT_EQ(file->execute(kFlush), EIO);
  EXPECT_EQ(file->execute(stable(zeroes(0, 4096, false))) != 0, true);
  EXPECT_EQ(file->execute(kFlush), EIO);
  TestRequest read = TestRequest::read(3 << 20, 4096);
  EXPECT_EQ(file->execute(read), 0);
}

// COVERS(B11): fsync fails once
EACH_WAY(a_stable_write_that_fails_with_eio_fails_every_later_flush) {
  SmallFileSystem fs(512 << 10);
  LoopDevice device(fs.file("disk", kSize), 512);
  auto file = open_raw(device.path(), kSize, true);
  EXPECT_EQ(file->execute(stable(TestRequest::write(0, pattern(1, 2 << 20)))), EIO);
  EXPECT_EQ(file->execute(kFlush), EIO);
}

TEST(a_stable_write_is_not_told_what_others_have_lost_and_the_next_flush_is) {
  SmallFileSystem fs(512 << 10);
  LoopDevice device(fs.file("disk", kSize), 512);
  auto file = raw(device.path(), kSize, true, false);
  EXPECT_EQ(file->execute(stable(TestRequest::write(0, pattern(1, 65536)))), 0);
  EXPECT_EQ(file->execute(TestRequest::write(1 << 20, pattern(2, 2 << 20))), 0);
  // The host writes it back by itself.
  const UniqueFd host(::open(device.path().c_str(), O_RDWR | O_CLOEXEC));
  constexpr auto kAll = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  EXPECT(::sync_file_range(host.fd(), 1 << 20, 2 << 20, kAll) == -1 && errno == EIO);
  EXPECT_EQ(file->execute(stable(TestRequest::write(0, pattern(3, 65536)))), 0);
  EXPECT_EQ(file->execute(kFlush), EIO);
}

TEST(stable_writes_at_the_same_time_do_not_take_each_others_errors) {
  SmallFileSystem fs(512 << 10);
  LoopDevice device(fs.file("disk", kSize), 512);
  auto file = raw(device.path(), kSize, true, false);
  EXPECT_EQ(file->execute(stable(TestRequest::write(0, pattern(1, 4096)))), 0);
  std::atomic<bool> done = false;
  std::thread other([&] {
    const TestRequest good = stable(TestRequest::write(0, pattern(2, 4096)));
    while (!done) (void)file->execute(good);  // the kernel keeps one error for the file, so it may fail, too
  });
  unsigned failed = 0;
  constexpr unsigned kRounds = 100;
  for (unsigned round = 0; round < kRounds; round++) {
    failed += file->execute(stable(TestRequest::write(1 << 20, pattern(round, 2 << 20)))) == EIO ? 1 : 0;
  }
  done = true;
  other.join();
  EXPECT_EQ(failed, kRounds);
}

TEST(a_failed_sync_is_told_as_it_is_once_and_as_eio_from_then_on) {
  TempDir dir;
  RawFile file(UniqueFd(::open(dir.file("disk", kSize).c_str(), O_RDWR | O_CLOEXEC)),
               {.name = "disk", .info = {.size = kSize}});
  EXPECT_EQ(file.note_flush(0), 0);
  EXPECT_EQ(file.note_flush(ENOSPC), ENOSPC);
  EXPECT_EQ(file.note_flush(0), EIO);
}

EACH_WAY(a_block_device_is_discarded_and_zeroed) {
  TempDir dir;
  const std::string path = dir.file("disk", kSize);
  LoopDevice device(path, 512);
  auto file = open_raw(device.path(), kSize, true);
  for (const TestRequest& request : {zeroes(4096, 65536, false), zeroes(4096, 65536, true)}) {
    EXPECT_EQ(file->execute(stable(TestRequest::write(0, pattern(1, 1 << 20)))), 0);
    EXPECT_EQ(file->execute(stable(request)), 0);
    TestRequest read = TestRequest::read(4096, 65536);
    EXPECT_EQ(file->execute(read), 0);
    EXPECT(read.data() == std::vector<uint8_t>(65536));
  }
  const uint64_t before = allocated_bytes(path);
  EXPECT_EQ(file->execute(TestRequest(BlockOp::kDiscard, 512 << 10, 512 << 10)), 0);
  EXPECT(allocated_bytes(path) < before);
}

EACH_WAY(a_grown_file_serves_its_new_end_after_its_size_was_read_again) {
  TempDir dir;
  const std::string path = dir.file("disk", kSize);
  auto file = open_raw(path, kSize);
  EXPECT_EQ(::truncate(path.c_str(), kSize + 8192), 0);
  EXPECT(file->execute(TestRequest::write(kSize, pattern(1, 512))) != 0);
  auto size = file->refresh_size();
  EXPECT(size.ok());
  EXPECT_EQ(size.value(), kSize + 8192);
  EXPECT_EQ(file->execute(TestRequest::write(kSize, pattern(1, 512))), 0);
  EXPECT_EQ(::truncate(path.c_str(), kSize + 100), 0);
  auto odd = file->refresh_size();
  EXPECT(!odd.ok());
  EXPECT_CONTAINS(odd.error().message, "not a multiple of 512 bytes; give it 4194816");
  EXPECT_EQ(::truncate(path.c_str(), 0), 0);
  EXPECT_CONTAINS(file->refresh_size().error().message, "it is empty now");
}

// Of bytes in the file's page cache.
size_t pages_in_memory(const std::string& path, uint64_t size) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.fd(), 0);
  EXPECT(memory != MAP_FAILED);
  std::vector<unsigned char> present(size / 4096);
  EXPECT_EQ(::mincore(memory, size, present.data()), 0);
  ::munmap(memory, size);
  return static_cast<size_t>(
      std::count_if(present.begin(), present.end(), [](unsigned char each) { return each & 1; }));
}

TEST(with_dontcache_nothing_stays_in_the_page_cache) {
  TempDir dir;
  const std::string path = dir.file("disk", kSize);
  auto plain = raw(path, kSize, false, false);
  if (!RawFile::knows_dont_cache(plain->fd())) SKIP("RWF_DONTCACHE in " + path);
  EXPECT_EQ(plain->execute(TestRequest::write(0, pattern(1, kSize))), 0);
  EXPECT_EQ(plain->execute(kFlush), 0);
  EXPECT_EQ(::posix_fadvise(plain->fd(), 0, kSize, POSIX_FADV_DONTNEED), 0);
  RawFileTraits traits;
  traits.name = path;
  traits.info.size = kSize;
  traits.dont_cache = true;
  RawFile file(UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC)), traits);
  TestRequest read = TestRequest::read(0, kSize);
  EXPECT_EQ(file.execute(read), 0);
  EXPECT(read.data() == pattern(1, kSize));
  EXPECT_EQ(pages_in_memory(path, kSize), 0u);
  EXPECT_EQ(file.execute(stable(TestRequest::write(0, pattern(2, kSize)))), 0);
  EXPECT_EQ(file.execute(read), 0);
  EXPECT(read.data() == pattern(2, kSize));
}

TEST(a_cached_read_needs_no_worker) {
  TempDir dir;
  SharedMemoryFile shared(kSize);
  for (const std::string& path : {dir.file("disk", kSize), shared.path()}) {
    auto file = raw(path, kSize, false, false);
    EXPECT_EQ(file->execute(TestRequest::write(0, pattern(1, 65536))), 0);
    TestRequest read = TestRequest::read(0, 65536);
    if (!try_read(*file, read)) SKIP("RWF_NOWAIT in " + path);
    EXPECT(read.data() == pattern(1, 65536));
  }
}

}  // namespace acrn::test
