// log=: each write is in the log with its data, in an order in which a crash could have kept it.
#include "dm/block/filters/write_log.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <optional>
#include <thread>

#include "dm/block/log_writes.h"
#include "dm/block/open.h"
#include "tests/contract/block_rig.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"

namespace acrn::test {
namespace {

constexpr uint64_t kSize = 1 << 20;

// An entry as any reader of the format has it.
struct Logged {
  uint64_t flags = 0, sector = 0, sectors = 0;
  std::string data;  // or a mark's text
};

std::vector<Logged> read_log(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  LogWritesSuper super{};
  EXPECT(bytes.size() >= kLogWritesSector);
  std::memcpy(&super, bytes.data(), sizeof(super));
  EXPECT_EQ(uint64_t{super.magic}, kLogWritesMagic);
  EXPECT_EQ(uint64_t{super.version}, 1u);
  EXPECT_EQ(uint32_t{super.sector_size}, 512u);
  std::vector<Logged> entries;
  size_t at = kLogWritesSector;
  for (uint64_t i = 0; i < super.entries; i++) {
    LogWritesEntry entry{};
    EXPECT(bytes.size() - at >= kLogWritesSector);
    std::memcpy(&entry, &bytes[at], sizeof(entry));
    Logged logged{entry.flags, entry.sector, entry.sectors, bytes.substr(at + sizeof(entry), entry.data_bytes)};
    at += kLogWritesSector;
    if ((logged.flags & (LogWritesEntry::kDiscard | LogWritesEntry::kMark)) == 0) {
      logged.data = bytes.substr(at, logged.sectors * 512);
      EXPECT_EQ(logged.data.size(), logged.sectors * 512);
      at += logged.data.size();
    }
    entries.push_back(std::move(logged));
  }
  EXPECT_EQ(at, bytes.size());
  return entries;
}

std::string text(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }
std::vector<std::byte> filled(char c, size_t size = 512) { return {size, static_cast<std::byte>(c)}; }

// A RAM disk whose writes are logged, and its rig.
struct LoggedDisk {
  explicit LoggedDisk(const std::string& path) {
    BlockOptions options;
    options.source = RamDiskSource{kSize};
    options.log = path;
    disk = must(open_disk(options, "0:9:0"));
    rig.emplace(*disk.backend);
  }
  int run(TestRequest&& request) { return rig->run(request); }
  int run(TestRequest& request) { return rig->run(request); }

  OpenedDisk disk;
  std::optional<BlockRig> rig;
};

TestRequest stable(TestRequest request) {
  request.stable = true;
  return request;
}

// What the entries are, by a letter of each one's data: '|' a flush, '!' stable, '-' a discard, '(m)' a mark.
std::string order_of(const std::string& path) {
  std::string order;
  for (const Logged& entry : read_log(path)) {
    switch (entry.flags) {
      case LogWritesEntry::kFlush: order += "| "; break;
      case LogWritesEntry::kMark: order += "(" + entry.data + ") "; break;
      case LogWritesEntry::kFua: order += std::string(1, entry.data[0]) + "! "; break;
      case LogWritesEntry::kDiscard: order += "- "; break;
      default: order += std::string(1, entry.data[0]) + " ";
    }
  }
  return order;
}

}  // namespace

TEST(a_log_has_each_write_with_its_data_flushes_and_discards) {
  TempDir dir;
  const std::string path = dir.path("log");
  {
    LoggedDisk disk(path);
    EXPECT_EQ(disk.run(TestRequest::write(4096, pattern(1, 1024))), 0);
    EXPECT_EQ(disk.run(TestRequest(BlockOp::kFlush, 0, 0)), 0);
    EXPECT_EQ(disk.run(stable(TestRequest::write(0, pattern(2, 512)))), 0);
    EXPECT_EQ(disk.run(TestRequest(BlockOp::kDiscard, 8192, 65536)), 0);
    EXPECT_EQ(disk.run(TestRequest(BlockOp::kWriteZeroes, 512, 2048)), 0);
    EXPECT_EQ(disk.run(TestRequest::read(0, 4096)), 0);
    EXPECT(disk.disk.log->mark("the end").ok());
  }
  const auto entries = read_log(path);
  EXPECT_EQ(entries.size(), 6u);
  EXPECT_EQ(entries[0].sector, 8u);
  EXPECT(entries[0].data == text(pattern(1, 1024)));
  EXPECT_EQ(entries[1].flags, LogWritesEntry::kFlush);
  EXPECT_EQ(entries[2].flags, LogWritesEntry::kFua);
  EXPECT(entries[2].data == text(pattern(2, 512)));
  EXPECT_EQ(entries[3].flags, LogWritesEntry::kDiscard);
  EXPECT_EQ(entries[3].sectors, 128u);
  EXPECT(entries[4].data == std::string(2048, '\0'));
  EXPECT_EQ(entries[5].data, "the end");
}

TEST(the_log_made_again_is_the_disk) {
  TempDir dir;
  const std::string path = dir.path("log");
  std::string expected(kSize, '\0');
  {
    LoggedDisk disk(path);
    uint32_t random = 1;
    for (int i = 0; i < 400; i++) {
      random = random * 1664525 + 1013904223;
      const uint64_t offset = random >> 8 & (kSize - 65536) & ~511u, length = (random % 16 + 1) * 512;
      if (i % 7 == 6) EXPECT_EQ(disk.run(TestRequest(BlockOp::kFlush, 0, 0)), 0);
      std::vector<TestRequest> several;
      several.push_back(TestRequest::write(offset, pattern(random, length)));
      several.push_back(TestRequest::write((offset + 65536) % (kSize - 65536), pattern(random + 1, length)));
      disk.rig->run(several);
      for (const TestRequest& each : several) EXPECT_EQ(each.error, 0);
    }
    TestRequest all = TestRequest::read(0, kSize);
    EXPECT_EQ(disk.rig->run(all), 0);
    expected = text(all.data());
  }
  std::string made(kSize, '\0');
  for (const Logged& entry : read_log(path)) made.replace(entry.sector * 512, entry.data.size(), entry.data);
  EXPECT(made == expected);
}

// Each on a loop and in a half of the disk of its own, which they write again and again.
TEST(several_queues_have_one_log) {
  TempDir dir;
  const std::string path = dir.path("log");
  std::string expected;
  {
    LoggedDisk disk(path);
    BlockRig other(*disk.disk.backend);
    const auto write_half = [](BlockRig& rig, uint64_t begin) {
      for (uint64_t i = 0; i < 200; i++) {
        std::vector<TestRequest> several;
        for (uint64_t k = 0; k < 4; k++) {
          several.push_back(TestRequest::write(begin + (i * 7 + k) % 64 * 4096, pattern(begin + i * 4 + k, 4096)));
        }
        if (i % 5 == 0) several.emplace_back(BlockOp::kFlush, 0, 0);
        rig.run(several);
        for (const TestRequest& each : several) EXPECT_EQ(each.error, 0);
      }
    };
    std::thread second(write_half, std::ref(other), kSize / 2);
    write_half(*disk.rig, 0);
    second.join();
    TestRequest all = TestRequest::read(0, kSize);
    EXPECT_EQ(disk.run(all), 0);
    expected = text(all.data());
  }
  std::string made(kSize, '\0');
  for (const Logged& entry : read_log(path)) made.replace(entry.sector * 512, entry.data.size(), entry.data);
  EXPECT(made == expected);
}

// Calls of a log as channels make them.
TEST(a_flush_stands_behind_what_was_done_before_it_was_issued_and_before_the_rest) {
  TempDir dir;
  const std::string path = dir.path("log");
  {
    const auto log = must(WriteLog::create(path));
    const auto write = [&](char c, uint64_t offset, bool is_stable = false) {
      EXPECT_EQ(log->write_done(BlockOp::kWrite, is_stable, offset, 512, filled(c)), 0);
    };
    write('a', 0);
    const uint64_t first = log->flush_begins();
    write('b', 512);
    const uint64_t second = log->flush_begins();
    write('c', 1024);
    EXPECT(log->mark("m").ok());
    EXPECT_EQ(log->flush_ends(first, true), 0);
    write('d', 1536);
    EXPECT_EQ(log->flush_ends(second, true), 0);
    write('e', 2048);
  }
  EXPECT_EQ(order_of(path), "a | b | c (m) d e ");
}

TEST(what_is_done_while_a_flush_is_under_way_stands_behind_it) {
  TempDir dir;
  const std::string path = dir.path("log");
  {
    const auto log = must(WriteLog::create(path));
    const uint64_t flush = log->flush_begins();
    EXPECT_EQ(log->write_done(BlockOp::kWrite, false, 0, 1024, filled('a', 1024)), 0);
    EXPECT_EQ(log->write_done(BlockOp::kWrite, true, 512, 512, filled('b')), 0);
    EXPECT_EQ(log->flush_ends(flush, true), 0);
  }
  EXPECT_EQ(order_of(path), "| a b! ");
}

TEST(a_flush_that_failed_or_never_ended_is_a_discard_of_nothing) {
  TempDir dir;
  const std::string path = dir.path("log");
  {
    const auto log = must(WriteLog::create(path));
    const uint64_t flush = log->flush_begins();
    EXPECT_EQ(log->write_done(BlockOp::kWrite, false, 0, 512, filled('a')), 0);
    EXPECT_EQ(log->flush_ends(flush, false), 0);
    log->flush_begins();
  }
  EXPECT_EQ(order_of(path), "- a - ");
}

// 64 MiB, from one page of memory.
TEST(a_large_write_needs_little_memory) {
  TempDir dir;
  constexpr size_t kPage = 4096, kPages = 16384;
  BlockOptions options;
  options.source = FilePath{dir.file("disk", kPage * kPages)};
  options.log = dir.path("log");
  {
    OpenedDisk disk = must(open_disk(options, "0:9:0"));
    BlockRig rig(*disk.backend);
    std::vector<std::byte> page = filled('x', kPage);
    const std::vector<iovec> vectors(kPages, iovec{page.data(), page.size()});
    TestRequest request(BlockOp::kWrite, 0, kPage * kPages);
    request.iov = vectors;
    rusage before{}, after{};
    EXPECT_EQ(::getrusage(RUSAGE_SELF, &before), 0);
    EXPECT_EQ(rig.run(request), 0);
    EXPECT_EQ(::getrusage(RUSAGE_SELF, &after), 0);
    EXPECT(after.ru_maxrss - before.ru_maxrss < 32 << 10);  // KiB
  }
  const auto entries = read_log(options.log);
  EXPECT_EQ(entries.size(), 64u);
  for (const Logged& entry : entries) EXPECT(entry.data == std::string(1 << 20, 'x'));
}

TEST(a_logged_disk_leaves_sinks_alone_that_it_has_told) {
  TempDir dir;
  LoggedDisk disk(dir.path("log"));
  expect_a_sink_to_be_left_alone(*disk.rig);
}

TEST(many_writes_at_once_wait_for_room_and_are_all_done) {
  TempDir dir;
  const std::string path = dir.path("log");
  LoggedDisk disk(path);
  std::vector<TestRequest> several;
  for (int i = 0; i < 40; i++) several.push_back(TestRequest::write(0, pattern(i, kSize)));
  disk.rig->run(several);
  for (const TestRequest& each : several) EXPECT_EQ(each.error, 0);
  EXPECT_EQ(read_log(path).size(), several.size());
}

TEST(what_the_log_has_no_room_for_is_not_said_to_be_done) {
  TempDir dir;
  const std::string path = dir.path("log");
  rlimit before{};
  EXPECT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, SIG_IGN);
  {
    LoggedDisk disk(path);
    EXPECT_EQ(disk.run(TestRequest::write(0, pattern(1, 4096))), 0);
    const rlimit small{.rlim_cur = 8192, .rlim_max = before.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT_EQ(disk.run(TestRequest::write(0, pattern(2, 16384))), EFBIG);
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_EQ(disk.run(TestRequest::write(0, pattern(3, 512))), EFBIG);  // it stays so
    EXPECT_EQ(disk.run(TestRequest(BlockOp::kFlush, 0, 0)), EFBIG);
    EXPECT_EQ(disk.run(TestRequest::read(0, 512)), 0);
  }
  ::truncate(path.c_str(), 512 + 512 + 4096);  // what is behind the complete entries counts for nothing
  EXPECT_EQ(read_log(path).size(), 1u);
}

TEST(an_older_log_is_there_until_the_first_entry) {
  TempDir dir;
  const std::string path = dir.path("log");
  {
    const auto log = must(WriteLog::create(path));
    EXPECT(log->mark("one").ok() && log->mark("two").ok());
  }
  EXPECT(WriteLog::create(path).ok());  // by a start that failed, say
  EXPECT_EQ(read_log(path).size(), 2u);
  const auto log = must(WriteLog::create(path));
  EXPECT_EQ(read_log(path).size(), 2u);
  EXPECT(log->mark("three").ok());
  EXPECT_EQ(read_log(path).size(), 1u);
}

TEST(a_disk_and_a_log_are_not_one_file) {
  TempDir dir;
  const std::string path = dir.path("log");
  const auto log = must(WriteLog::create(path));
  EXPECT(log->mark("one").ok());
  BlockOptions reader = options_for(path);
  reader.read_only = true;
  EXPECT_CONTAINS(open_disk(reader, "0:9:0").error().message, "in use by another disk or process");
  const std::string served = dir.path("served");
  must(WriteLog::create(served));
  reader = options_for(served);
  reader.read_only = true;
  const auto disk = must(open_disk(reader, "0:9:0"));
  EXPECT_CONTAINS(WriteLog::create(served).error().message, "a disk or another process uses it");
}

TEST(what_is_no_log_is_not_replaced) {
  TempDir dir;
  const std::string mine = dir.file("mine", 4096);
  EXPECT_CONTAINS(WriteLog::create(mine).error().message, "it is there and no log of writes, so it is not replaced");
  EXPECT_CONTAINS(WriteLog::check(mine).error().message, "no log of writes");
  const auto log = must(WriteLog::create(dir.path("log")));
  EXPECT_CONTAINS(WriteLog::create(dir.path("log")).error().message, "another disk writes it");
  EXPECT(!log->mark("").ok());
  EXPECT(!log->mark(std::string(481, 'x')).ok());
  const std::string link = dir.path("link");
  EXPECT_EQ(::symlink(dir.path("log").c_str(), link.c_str()), 0);
  EXPECT_CONTAINS(WriteLog::check(link).error().message, "a symbolic link; name the file itself");
  EXPECT_CONTAINS(WriteLog::create(link).error().message, "a symbolic link; name the file itself");
  log->end("EIO");
  EXPECT_CONTAINS(log->mark("late").error().message, "has ended, since the disk failed a write");
}

}  // namespace acrn::test
