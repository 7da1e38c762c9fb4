// open_disk() and inspect_disk(): what is refused, how it is said, and that nothing happens then.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>

#include "acrn/base/concat.h"
#include "dm/block/engines/uring.h"
#include "dm/block/open.h"
#include "dm/block/sources/device_identity.h"
#include "tests/contract/block_rig.h"
#include "tests/contract/host_media.h"

namespace acrn::test {
namespace {

// The one line of a disk that neither function takes.
std::string refusal(const BlockOptions& options, ErrorKind kind = ErrorKind::kNoInput) {
  auto opened = open_disk(options, "0:9:0");
  EXPECT(!opened.ok());
  EXPECT_EQ(static_cast<int>(opened.error().kind), static_cast<int>(kind));
  auto inspected = inspect_disk(options, "0:9:0");
  EXPECT(!inspected.ok());
  EXPECT_EQ(inspected.error().message, opened.error().message);
  EXPECT(opened.error().message.find('\n') == std::string::npos);
  return opened.error().message;
}

DiskFacts facts_of(const BlockOptions& options) {
  auto opened = open_disk(options, "0:9:0");
  if (!opened) expect(false, opened.error().message, __FILE__, __LINE__);
  auto inspected = inspect_disk(options, "0:9:0");
  EXPECT(inspected.ok());
  const DiskFacts& a = opened.value().facts;
  const DiskFacts& b = inspected.value();
  EXPECT_EQ(a.identity, b.identity);
  EXPECT_EQ(a.medium, b.medium);
  EXPECT_EQ(a.info.size, b.info.size);
  EXPECT_EQ(a.info.physical_block, b.info.physical_block);
  EXPECT_EQ(a.info.offset_alignment, b.info.offset_alignment);
  if (opened.value().backend != nullptr) {
    const BlockInfo info = opened.value().backend->info();
    EXPECT_EQ(info.size, a.info.size);
    EXPECT_EQ(info.physical_block, a.info.physical_block);
    EXPECT_EQ(info.offset_alignment, a.info.offset_alignment);
    EXPECT_EQ(info.memory_alignment, a.info.memory_alignment);
    EXPECT_EQ(info.discard_granularity, a.info.discard_granularity);
    EXPECT_EQ(info.read_only, a.info.read_only);
  }
  return a;
}

BlockOptions with_range(const std::string& path, uint64_t start, uint64_t size) {
  BlockOptions options = options_for(path);
  options.range = BlockRange{start, size};
  return options;
}

BlockOptions read_only(BlockOptions options) {
  options.read_only = true;
  return options;
}

}  // namespace

TEST(a_path_that_is_missing_is_refused_and_not_created) {
  TempDir dir;
  EXPECT_CONTAINS(refusal(options_for(dir.path("no"))), "cannot be opened: No such file");
  EXPECT(!std::filesystem::exists(dir.path("no")));
}

// COVERS(input): FIFOs, directories, devices as images
TEST(what_is_no_disk_is_refused_without_waiting) {
  TempDir dir;
  EXPECT_EQ(::mkfifo(dir.path("fifo").c_str(), 0600), 0);
  EXPECT_CONTAINS(refusal(options_for(dir.path("fifo"))), "a FIFO; a disk is a regular file or a block device");
  EXPECT_CONTAINS(refusal(read_only(options_for(dir.path("fifo")))), "a FIFO");
  EXPECT_CONTAINS(refusal(options_for("/dev/zero")), "a character device");
  EXPECT_CONTAINS(refusal(options_for(dir.path("."))), "a directory");
}

TEST(a_file_of_a_wrong_size_is_refused_with_the_right_one) {
  TempDir dir;
  EXPECT_CONTAINS(refusal(options_for(dir.file("empty", 0))), "is empty");
  const std::string odd = dir.file("odd", 1000), name = "virtio-blk " + odd + ": ";
  EXPECT_EQ(refusal(options_for(odd)), name +
                                           "size 1000 is not a multiple of 512 bytes; truncate -s 1024 makes it one, "
                                           "range=0/1 leaves the last 488 bytes out");
  EXPECT_EQ(refusal(read_only(options_for(odd))),
            name + "size 1000 is not a multiple of 512 bytes; range=0/1 leaves the last 488 bytes out");
  EXPECT_CONTAINS(refusal(read_only(options_for(dir.file("tiny", 100)))), "it has not even one sector");
  EXPECT_EQ(std::filesystem::file_size(odd), 1000u);
}

TEST(what_is_served_must_fit_and_not_the_file) {
  TempDir dir;
  const std::string path = dir.file("odd", 123'456'789);
  for (const bool nocache : {false, true}) {
    BlockOptions options = read_only(with_range(path, 0, 1000));
    options.nocache = nocache;
    auto opened = open_disk(options, "0:9:0");
    if (nocache && !opened) SKIP(opened.error().message);
    EXPECT(opened.ok());
    EXPECT_EQ(opened.value().backend->info().size, 512'000u);
    EXPECT_EQ(opened.value().backend->refresh_size().value(), 512'000u);
  }
  EXPECT_EQ(facts_of(read_only(with_range(path, 0, 241'126))).info.size, 241'126u * 512);
  EXPECT_CONTAINS(refusal(read_only(with_range(path, 0, 241'127)), ErrorKind::kUsage), "there are 241126 sectors");
}

TEST(a_size_that_does_not_fit_the_sector_is_refused) {
  TempDir dir;
  BlockOptions options = options_for(dir.file("disk", 4096 + 512));
  options.logical_sector = 4096;
  EXPECT_CONTAINS(refusal(options, ErrorKind::kUsage),
                  "sectorsize=4096: size 4608 is not a multiple of it; truncate -s 8192 makes it one, range=0/1");
}

TEST(a_range_past_the_end_is_refused) {
  TempDir dir;
  const std::string path = dir.file("disk", 1 << 20);
  for (auto [start, size] : {std::pair<uint64_t, uint64_t>{0, 2049},
                             {2048, 1},
                             {2049, 0},
                             {~uint64_t{0}, 2},
                             {1, ~uint64_t{0}},
                             {uint64_t{1} << 55, 1},
                             {5, 0}}) {
    EXPECT_CONTAINS(refusal(with_range(path, start, size), ErrorKind::kUsage), "there are 2048 sectors of 512 bytes");
  }
  EXPECT_EQ(facts_of(with_range(path, 2047, 1)).info.size, 512u);
}

// COVERS(B16): io_uring not permitted, also run where it is forbidden
TEST(cached_disks_have_workers_and_direct_ones_a_ring_unless_they_are_told_otherwise) {
  TempDir dir;
  BlockOptions options = options_for(dir.file("disk", 1 << 20));
  const auto engine = [&] { return facts_of(options).engine; };
  EXPECT(engine() == BlockEngine::kThreads);
  options.engine = BlockEngine::kIoUring;
  if (EngineUring::unavailable() != 0) {
    EXPECT_CONTAINS(refusal(options, ErrorKind::kUnavailable),
                    "aio=io_uring: this host has none for us (Operation not permitted); give aio=threads, or allow it");
    options.engine = BlockEngine::kAuto;
    options.nocache = true;
    EXPECT(engine() == BlockEngine::kThreads);
    EXPECT(open_disk(options, "0:9:0").ok());
    return;
  }
  EXPECT(engine() == BlockEngine::kIoUring);
  options.nocache = true;
  EXPECT(engine() == BlockEngine::kIoUring);
  options.engine = BlockEngine::kThreads;
  EXPECT(engine() == BlockEngine::kThreads);
  options.engine = BlockEngine::kAuto;
  EXPECT(engine() == BlockEngine::kIoUring);
}

TEST(a_block_device_that_is_discarded_has_workers) {
  TempDir dir;
  LoopDevice device(dir.file("disk", 1 << 20), 512);
  BlockOptions options = options_for(device.path());
  options.nocache = true;
  const bool ring = EngineUring::unavailable() == 0;
  EXPECT(facts_of(options).engine == (ring ? BlockEngine::kIoUring : BlockEngine::kThreads));
  options.discard = DiscardLimits{};
  EXPECT(facts_of(options).engine == BlockEngine::kThreads);
}

// COVERS(device page, 2): a disk that cannot be written names `ro`
TEST(a_disk_that_cannot_be_written_names_ro) {
  TempDir dir;
  LoopDevice device(dir.file("disk", 1 << 20), 512, true);
  EXPECT_CONTAINS(refusal(options_for(device.path())), "cannot be opened for writing: Read-only file system; add ro");
  EXPECT(open_disk(read_only(options_for(device.path())), "0:9:0").ok());
}

TEST(a_file_without_write_permission_names_ro) {
  // The super-user may write any file, so it steps down for a moment.
  struct Unprivileged {
    Unprivileged() : was_root(::geteuid() == 0) {
      if (was_root) EXPECT_EQ(::seteuid(65534), 0);
    }
    ~Unprivileged() {
      if (was_root) [[maybe_unused]]
        const int back = ::seteuid(0);
    }
    const bool was_root;
  };
  TempDir dir;
  const std::string path = dir.file("disk", 1 << 20);
  std::filesystem::permissions(dir.path("."), std::filesystem::perms(0755));
  std::filesystem::permissions(path, std::filesystem::perms(0444));
  const Unprivileged unprivileged;
  EXPECT_CONTAINS(refusal(options_for(path)), "cannot be opened for writing: Permission denied; add ro");
  EXPECT(open_disk(read_only(options_for(path)), "0:9:0").ok());
}

TEST(facts_say_what_is_served) {
  TempDir dir;
  const std::string path = dir.file("disk", 1 << 20);
  std::filesystem::create_symlink(path, dir.path("link"));
  const std::string real = std::filesystem::canonical(path);
  EXPECT_EQ(facts_of(options_for(path)).identity, "file:" + real + ":whole");
  EXPECT_EQ(facts_of(options_for(dir.path("link"))).identity, "file:" + real + ":whole");
  EXPECT_EQ(facts_of(with_range(path, 8, 16)).identity, "file:" + real + ":4096+8192");
  BlockOptions options = options_for(path);
  options.nocache = true;
  options.physical_sector = 8192;
  EXPECT_EQ(facts_of(options).info.physical_block, 8192u);
  EXPECT_EQ(facts_of(options).identity, "file:" + real + ":whole");
  EXPECT_EQ(facts_of(options).medium, "file");
}

TEST(disks_without_a_file_are_named_by_their_slot) {
  BlockOptions ram;
  ram.source = RamDiskSource{1 << 20};
  EXPECT_EQ(facts_of(ram).identity, "ram:0:9:0");
  ram.range = BlockRange{1, 7};
  EXPECT_EQ(facts_of(ram).info.size, 7u * 512);
  ram.source = RamDiskSource{1000};
  EXPECT_CONTAINS(refusal(ram, ErrorKind::kUsage), "ram:1000");
  BlockOptions none;
  EXPECT_EQ(facts_of(none).identity, "nodisk:0:9:0");
  EXPECT_EQ(facts_of(none).info.size, 0u);
}

TEST(a_block_device_tells_its_blocks_and_its_medium) {
  TempDir dir;
  const std::string file = dir.file("disk", 1 << 20);
  LoopDevice device(file, 4096);
  const DiskFacts facts = facts_of(options_for(device.path()));
  EXPECT_EQ(facts.medium, "block device");
  EXPECT_EQ(facts.identity, "loop:" + file + ":whole");
  EXPECT_EQ(facts.info.physical_block, 4096u);
}

TEST(a_window_that_its_file_no_longer_holds_is_told_of_at_a_resize) {
  TempDir dir;
  const std::string path = dir.file("disk", 1 << 20);
  auto opened = open_disk(with_range(path, 8, 16), "0:9:0");
  EXPECT(opened.ok());
  BlockBackend& backend = *opened.value().backend;
  std::filesystem::resize_file(path, 24 * 512 + 100);
  EXPECT_EQ(backend.refresh_size().value(), 16u * 512);
  std::filesystem::resize_file(path, 24 * 512 - 1);
  EXPECT_CONTAINS(backend.refresh_size().error().message,
                  "the window of bytes 4096..12287 ends outside: 12287 bytes are left");
}

// COVERS(input): devices that change their numbers
TEST(a_device_keeps_its_identity_when_numbers_are_handed_out_anew) {
  TempDir dir;
  const std::string first = dir.file("first", 1 << 20), second = dir.file("second", 1 << 20);
  std::map<std::string, std::string> identity;
  for (const bool again : {false, true}) {
    std::vector<LoopDevice> devices;
    for (const std::string& file : {again ? second : first, again ? first : second}) {
      devices.emplace_back(file, 512);
      const std::string found = facts_of(options_for(devices.back().path())).identity;
      EXPECT_EQ(found, again ? identity[file] : found);
      identity[file] = found;
    }
  }
  EXPECT(identity[first] != identity[second]);
}

// Host folders as the kernel makes them, for devices that no test machine has.
// COVERS(input): devices that change their numbers
TEST(a_device_is_known_by_what_belongs_to_its_medium) {
  TempDir dir;
  struct {
    const char* name;
    std::vector<std::pair<const char*, const char*>> attributes;
    const char* identity;
  } const devices[] = {
      {"sda", {{"device/wwid", "naa.5000c500a1b2c3d4\n"}}, "wwid:naa.5000c500a1b2c3d4"},
      {"sdb", {{"device/wwid", "  t10.ATA     DISK   S1\n"}, {"device/serial", "S1\n"}}, "wwid:t10.ATA     DISK   S1"},
      {"nvme0n1", {{"wwid", "eui.0025385b71b0a1c3\n"}, {"device/serial", "S4EV\n"}}, "wwid:eui.0025385b71b0a1c3"},
      {"vda", {{"serial", "20066432\n"}}, "serial:20066432"},
      {"vdb", {{"serial", "\n"}}, "device:/dev/vdb"},
      {"mmcblk0", {{"device/cid", "0353445344333247\n"}, {"device/serial", "0x1\n"}}, "serial:0353445344333247"},
      {"dm-0", {{"dm/uuid", "LVM-abc\n"}, {"dm/name", "vg-lv\n"}}, "dm:LVM-abc"},
      {"dm-1", {{"dm/uuid", "\n"}, {"dm/name", "plain\n"}}, "device:/dev/dm-1"},
      {"md0", {{"md/uuid", "1-2-3-4\n"}}, "md:1-2-3-4"},
      {"loop3",
       {{"loop/backing_file", "/a b.img\n"}, {"loop/offset", "0\n"}, {"loop/sizelimit", "0\n"}},
       "loop:/a b.img"},
      {"loop4",
       {{"loop/backing_file", "/a.img\n"}, {"loop/offset", "512\n"}, {"loop/sizelimit", "1024\n"}},
       "loop:/a.img:512+1024"},
      {"zram0", {}, "device:/dev/zram0"},
      {"nbd0", {}, "device:/dev/nbd0"},
  };
  for (const auto& device : devices) {
    const std::string folder = dir.path(device.name), part = folder + "/part2";
    std::filesystem::create_directories(part);
    std::ofstream(part + "/partition") << "2\n";
    for (const auto& [name, text] : device.attributes) {
      std::filesystem::create_directories(std::filesystem::path(folder + "/" + name).parent_path());
      std::ofstream(folder + "/" + name) << text;
    }
    EXPECT_EQ(device_identity(folder, concat("/dev/", device.name)), device.identity);
    const std::string of_part = device_identity(part, concat("/dev/", device.name, "p2"));
    EXPECT_EQ(of_part, std::string_view(device.identity).starts_with("device:") ? concat(device.identity, "p2")
                                                                                : concat(device.identity, ":part2"));
  }
}

TEST(nocache_refuses_a_window_that_cuts_a_block) {
  TempDir dir;
  LoopDevice device(dir.file("disk", 1 << 20), 4096);
  BlockOptions options = with_range(device.path(), 1, 16);
  options.nocache = true;
  EXPECT_CONTAINS(refusal(options, ErrorKind::kUsage), "nocache: direct I/O here works in blocks of 4096 bytes");
}

// COVERS(B18): one image twice; overlapping windows; readers
TEST(bytes_are_served_once) {
  TempDir dir;
  const std::string path = dir.file("disk", 1 << 20);
  auto whole = open_disk(options_for(path), "0:9:0");
  EXPECT(whole.ok());
  for (const BlockOptions& options : {options_for(path), read_only(options_for(path)), with_range(path, 2, 2)}) {
    auto second = open_disk(options, "0:10:0");
    EXPECT(!second.ok());
    EXPECT_CONTAINS(second.error().message, path + ": bytes ");
    EXPECT_CONTAINS(second.error().message, "lock=off");
  }
  BlockOptions unlocked = options_for(path);
  unlocked.lock = false;
  EXPECT(open_disk(unlocked, "0:10:0").ok());
  EXPECT(inspect_disk(options_for(path), "0:10:0").ok());
}

// COVERS(B18): one image twice; overlapping windows; readers
TEST(windows_may_be_neighbours_but_not_overlap) {
  TempDir dir;
  const std::string path = dir.file("disk", 1 << 20);
  auto first = open_disk(with_range(path, 0, 100), "0:9:0");
  EXPECT(first.ok());
  EXPECT(open_disk(with_range(path, 100, 100), "0:10:0").ok());
  auto overlapping = open_disk(with_range(path, 99, 100), "0:10:0");
  EXPECT(!overlapping.ok());
  EXPECT_CONTAINS(overlapping.error().message, "bytes 50688..101887 are in use");
  EXPECT(!open_disk(options_for(path), "0:10:0").ok());
}

// COVERS(B18): one image twice; overlapping windows; readers
TEST(readers_share_a_disk) {
  TempDir dir;
  const std::string path = dir.file("disk", 1 << 20);
  auto first = open_disk(read_only(options_for(path)), "0:9:0");
  EXPECT(first.ok());
  EXPECT(open_disk(read_only(options_for(path)), "0:10:0").ok());
  EXPECT(!open_disk(options_for(path), "0:10:0").ok());
}

// COVERS(B18): one image twice; overlapping windows; readers
TEST(an_open_file_that_was_sent_to_two_processes_is_served_by_one) {
  TempDir dir;
  const std::string path = dir.file("disk", 1 << 20);
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  BlockOptions options = with_range(path, 0, 100), neighbour = with_range(path, 100, 100);
  options.source = neighbour.source = sent_file(file.fd());
  // The same open file, as SCM_RIGHTS would give it.
  const auto other_process_gets = [](const BlockOptions& wanted) {
    const pid_t child = ::fork();
    if (child == 0) {
      const bool got = open_disk(wanted, "0:10:0").ok();
      ::_exit(got ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return status == 0;
  };
  EXPECT(other_process_gets(options));
  {
    auto disk = open_disk(options, "0:9:0");
    EXPECT(disk.ok());
    auto second = open_disk(neighbour, "0:10:0");
    EXPECT(second.ok());
    EXPECT(!other_process_gets(options));
    disk.value().backend.reset();
    EXPECT(other_process_gets(options));
    EXPECT(!other_process_gets(neighbour));  // its lock is another one
  }
  EXPECT(other_process_gets(options_for(path)));
}

// COVERS(B18): one image twice; overlapping windows; readers
TEST(another_process_is_kept_out_until_the_disk_is_closed) {
  TempDir dir;
  const std::string path = dir.file("disk", 1 << 20);
  // The child asks for a lock on the same bytes and exits with the answer.
  const auto taken_elsewhere = [&path] {
    const pid_t child = ::fork();
    if (child == 0) {
      const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
      struct flock lock {};
      lock.l_type = F_WRLCK;
      lock.l_start = 512;
      lock.l_len = 512;
      ::_exit(fd >= 0 && ::fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
  };
  EXPECT(!taken_elsewhere());
  {
    auto disk = open_disk(options_for(path), "0:9:0");
    EXPECT(disk.ok());
    EXPECT(taken_elsewhere());
  }
  EXPECT(!taken_elsewhere());
}

TEST(a_refused_disk_leaves_no_lock_behind) {
  TempDir dir;
  const std::string path = dir.file("disk", 1 << 20);
  EXPECT(!open_disk(with_range(path, 0, 4096), "0:9:0").ok());
  auto window = open_disk(with_range(path, 0, 100), "0:9:0");
  EXPECT(window.ok());
  EXPECT(!open_disk(options_for(path), "0:10:0").ok());
  EXPECT(open_disk(with_range(path, 100, 100), "0:10:0").ok());
}

TEST(the_bytes_of_a_grown_file_are_locked_too) {
  TempDir dir;
  const std::string path = dir.file("disk", 1 << 20);
  auto disk = open_disk(options_for(path), "0:9:0");
  EXPECT(disk.ok());
  std::filesystem::resize_file(path, 2 << 20);
  EXPECT(open_disk(with_range(path, 2048, 10), "0:10:0").ok());
  EXPECT(disk.value().backend->refresh_size().ok());
  EXPECT(!open_disk(with_range(path, 2048, 10), "0:10:0").ok());
}

TEST(a_read_only_disk_leaves_its_file_as_it_was) {
  TempDir dir;
  const std::string path = dir.file("disk", 1 << 20);
  std::ofstream(path, std::ios::binary | std::ios::in).write("content", 7);
  auto before = std::filesystem::last_write_time(path);
  auto disk = open_backend(read_only(options_for(path)));
  EXPECT(disk->info().read_only);
  BlockRig rig(*disk);
  EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 512))), EROFS);
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kDiscard, 0, 4096)), EROFS);
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kWriteZeroes, 0, 4096)), EROFS);
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), 0);
  TestRequest read = TestRequest::read(0, 512);
  EXPECT_EQ(rig.run(read), 0);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(read.data().data()), 7), "content");
  EXPECT(std::filesystem::last_write_time(path) == before);
}

}  // namespace acrn::test
