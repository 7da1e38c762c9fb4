// libacrn-blk as a library: what it leaves behind, what it says of a bad call, and what it does to its host.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "acrn/base/concat.h"
#include "acrn/virtio/virtio_spec.h"
#include "dm/loopback/legacy_driver.h"
#include "tests/support/library_host.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"
#include "tests/support/wait_until.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr PciAddress kAddress{0, 9, 0};
constexpr uint64_t kRam = 16 << 20;  // bytes

size_t entries(const char* folder) {
  DIR* const dir = ::opendir(folder);
  size_t count = 0;
  while (::readdir(dir) != nullptr) count++;
  ::closedir(dir);
  return count;
}

uint64_t resident_pages() {
  uint64_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident;
}

const acrn_blk_function_callbacks kDeaf{.struct_size = sizeof(kDeaf),
                                        .context = nullptr,
                                        .send_msi = [](void*, uint64_t, uint32_t) {},
                                        .set_intx = [](void*, int) {},
                                        .connect_msi = nullptr,
                                        .disconnect_msi = nullptr,
                                        .intx_fd = -1,
                                        .resample_fd = -1};

acrn_blk_disk disk_of(const char* options, unsigned vcpus = 0) {
  return {.struct_size = sizeof(acrn_blk_disk), .slot = "9", .options = options, .vcpus = vcpus};
}

// A handle that ends with the scope.
struct Handle {
  Handle() : blk(acrn_blk_new()) {}
  ~Handle() { acrn_blk_free(blk); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  int create(const char* options, unsigned vcpus = 0) const {
    const acrn_blk_disk disk = disk_of(options, vcpus);
    return acrn_blk_create_function(blk, &disk, &kDeaf);
  }
  std::string error() const { return acrn_blk_error(blk); }
  acrn_blk* const blk;
};

// A board with a function of the library, and a driver for it.
struct Guest {
  explicit Guest(const std::string& options)
      : board(must(LoopbackMachine::create(kRam))),
        function(make_whole_function(options, *board->memory().map(), board->pin(kAddress), board->msi())) {
    board->bus().attach(kAddress, *function);
  }
  std::unique_ptr<LegacyDriver> drive() { return must(LegacyDriver::start(*board, kAddress, {.depth = 4})); }
  std::unique_ptr<LoopbackMachine> board;
  std::unique_ptr<HostFunction> function;
};

TEST(a_thousand_disks_leave_nothing_behind) {
  const TempDir folder;
  const std::string path = folder.file("disk.img", 1 << 20);
  const auto once = [&](unsigned i) {
    const Handle handle;
    EXPECT_EQ(handle.create(i % 2 == 0 ? path.c_str() : "mq=2,iothread,ram:1M"), 0);
  };
  for (unsigned i = 0; i < 20; i++) once(i);
  const size_t descriptors = entries("/proc/self/fd"), threads = entries("/proc/self/task");
  [[maybe_unused]] const uint64_t before = resident_pages();
  for (unsigned i = 0; i < 1000; i++) once(i);
  EXPECT_EQ(entries("/proc/self/fd"), descriptors);
  // A thread that has been joined is there for a moment still.
  EXPECT(wait_until([&] { return entries("/proc/self/task") <= threads; }));
#ifndef __SANITIZE_ADDRESS__                // which keeps what was freed for a while
  EXPECT(resident_pages() < before + 500);  // less than half a page for each
#endif
}

TEST(a_bad_call_says_what_would_be_right) {
  const Handle handle;
  EXPECT_EQ(handle.create("/no/such/disk.img"), -ENOENT);
  EXPECT_CONTAINS(handle.error(), "/no/such/disk.img");
  EXPECT_EQ(handle.create("ram:1M,sectorsize=100"), -EINVAL);
  EXPECT_CONTAINS(handle.error(), "sectorsize=100: not a sector size");
  EXPECT_EQ(handle.create("mq=4,ram:1M", 2), -EINVAL);
  EXPECT_CONTAINS(handle.error(), "mq=4: more queues than vCPUs (2)");
  EXPECT_EQ(handle.create("ram:1M\n, extra"), -EINVAL);
  EXPECT(handle.error().find('\n') == std::string::npos);

  acrn_blk_disk disk = disk_of("ram:1M");
  EXPECT_EQ(acrn_blk_create_function(handle.blk, &disk, nullptr), -EINVAL);
  acrn_blk_function_callbacks half = kDeaf;
  half.connect_msi = [](void*, uint64_t, uint32_t, int) { return 0; };
  EXPECT_EQ(acrn_blk_create_function(handle.blk, &disk, &half), -EINVAL);
  EXPECT_CONTAINS(handle.error(), "connect_msi and disconnect_msi");
  acrn_blk_function_callbacks no_wire = kDeaf;
  no_wire.set_intx = nullptr;
  EXPECT_EQ(acrn_blk_create_function(handle.blk, &disk, &no_wire), -EINVAL);
  EXPECT_CONTAINS(handle.error(), "resample_fd");
  EXPECT_EQ(acrn_blk_create_function(handle.blk, nullptr, &kDeaf), -EINVAL);
  disk.struct_size = 4;
  EXPECT_EQ(acrn_blk_create_function(handle.blk, &disk, &kDeaf), -EINVAL);
  EXPECT_CONTAINS(handle.error(), "struct_size");
  EXPECT_EQ(acrn_blk_reset(handle.blk), -EINVAL);
  EXPECT_CONTAINS(handle.error(), "acrn_blk_create_*()");
  EXPECT_EQ(acrn_blk_flush(nullptr), -EINVAL);

  EXPECT_EQ(handle.create("ram:1M"), 0);
  EXPECT_EQ(handle.create("ram:1M"), -EINVAL);
  EXPECT_EQ(acrn_blk_rescan(handle.blk, "/dev/null"), -EINVAL);
  EXPECT_CONTAINS(handle.error(), "it has a disk already");
}

TEST(an_access_outside_of_it_is_all_ones) {
  const Handle handle;
  EXPECT_EQ(acrn_blk_bar_read(handle.blk, 0, 0, 4), ~uint64_t{0});
  EXPECT_EQ(acrn_blk_config_read(handle.blk, 0, 4), ~0u);
  EXPECT_EQ(handle.create("ram:1M"), 0);
  EXPECT_EQ(acrn_blk_config_read(handle.blk, 0, 4), 0x1001'1af4u);
  for (const unsigned size : {0u, 3u, 5u, 16u, ~0u}) {
    EXPECT_EQ(acrn_blk_config_read(handle.blk, 0, size), ~0u);
    EXPECT_EQ(acrn_blk_bar_read(handle.blk, 0, 0, size), ~uint64_t{0});
    acrn_blk_bar_write(handle.blk, 0, 0, size, 1);
  }
  EXPECT_EQ(acrn_blk_config_read(handle.blk, ~0u, 4), ~0u);
  EXPECT_EQ(acrn_blk_bar_read(handle.blk, 0, ~uint64_t{0}, 4), ~uint64_t{0});
  EXPECT_EQ(acrn_blk_bar_read(handle.blk, 77, 0, 4), ~uint64_t{0});
  EXPECT_EQ(acrn_blk_bar_size(handle.blk, 77), 0u);
  EXPECT_EQ(acrn_blk_bar_address(handle.blk, 77), UINT64_MAX);
}

TEST(regions_that_cannot_be_are_refused) {
  const Handle handle;
  const std::unique_ptr<std::byte, decltype(&std::free)> memory(static_cast<std::byte*>(std::aligned_alloc(4096, 8192)),
                                                                std::free);
  std::byte* const ram = memory.get();
  const auto set = [&](std::initializer_list<acrn_blk_region> regions) {
    return acrn_blk_set_memory(handle.blk, regions.begin(), regions.size(), sizeof(acrn_blk_region));
  };
  EXPECT_EQ(set({{0, 8192, ram, -1, 0}, {4096, 4096, ram, -1, 0}}), -EINVAL);
  EXPECT_CONTAINS(handle.error(), "overlap");
  EXPECT_EQ(set({{UINT64_MAX - 4095, 8192, ram, -1, 0}}), -EINVAL);
  EXPECT_EQ(set({{0, 0, ram, -1, 0}}), -EINVAL);
  EXPECT_EQ(set({{0, 4096, ram + 1, -1, 0}}), -EINVAL);  // a ring in it would have odd indices
  EXPECT_CONTAINS(handle.error(), "multiples of 4096");
  EXPECT_EQ(set({{2, 4096, ram, -1, 0}}), -EINVAL);
  EXPECT_EQ(set({{0, 4096, nullptr, -1, 0}}), -EINVAL);
  const int zero = ::open("/dev/zero", O_RDWR | O_CLOEXEC);
  EXPECT_EQ(set({{0, 4096, nullptr, zero, 0}}), -EINVAL);
  ::close(zero);
  EXPECT_EQ(acrn_blk_set_memory(handle.blk, nullptr, 1, sizeof(acrn_blk_region)), -EINVAL);
  EXPECT_EQ(acrn_blk_set_memory(handle.blk, nullptr, 0, 4), -EINVAL);
  EXPECT_EQ(set({{0, 4096, ram, -1, 0}, {4096, 4096, ram, -1, 0}}), 0);
}

// A region at that address of the guest.
acrn_blk_region region_at(uint64_t gpa, void* host) {
  return {.gpa = gpa, .size = kRam, .host = host, .fd = -1, .offset = 0};
}

TEST(memory_that_is_taken_away_comes_back_with_its_ring) {
  Guest guest("ram:1M");
  const auto driver = guest.drive();
  const LibraryDisk& disk = guest.function->disk();
  std::vector<std::byte> data(4096, std::byte{7});
  EXPECT_EQ(must(driver->write(8, data)), VIRTIO_BLK_S_OK);
  DriverQueue& queue = driver->queue(0);
  const uint16_t used = queue.ring().used_index();
  disk.expect_ok(acrn_blk_set_memory(disk.get(), nullptr, 0, sizeof(acrn_blk_region)));
  const MemoryRegion& ram = guest.board->memory().map()->regions()[0];
  queue.start(0, VIRTIO_BLK_T_IN, 8, 4096, true);
  queue.kick();
  disk.expect_ok(acrn_blk_flush(disk.get()));
  EXPECT_EQ(queue.ring().used_index(), used);  // nobody reaches the ring
  const acrn_blk_region region = region_at(raw(ram.base), ram.host);
  disk.expect_ok(acrn_blk_set_memory(disk.get(), &region, 1, sizeof(region)));
  EXPECT(wait_until([&] { return queue.ring().used_index() != used; }));
}

// What acrn_blk_set_memory() has returned from is no longer used, whatever the disk was told before.
TEST(the_old_memory_is_let_go_of_after_a_quiesce_and_a_reset) {
  Guest guest("ram:1M");
  const LibraryDisk& disk = guest.function->disk();
  disk.expect_ok(acrn_blk_quiesce(disk.get()));
  disk.expect_ok(acrn_blk_reset(disk.get()));
  const auto driver = guest.drive();  // it runs, since a reset ends a quiesce
  std::vector<std::byte> data(4096, std::byte{7});
  EXPECT_EQ(must(driver->write(8, data)), VIRTIO_BLK_S_OK);
  DriverQueue& queue = driver->queue(0);
  const uint16_t used = queue.ring().used_index();
  disk.expect_ok(acrn_blk_set_memory(disk.get(), nullptr, 0, sizeof(acrn_blk_region)));
  queue.start(0, VIRTIO_BLK_T_IN, 8, 4096, true);
  queue.kick();
  disk.expect_ok(acrn_blk_flush(disk.get()));
  EXPECT_EQ(queue.ring().used_index(), used);
}

TEST(the_interrupt_is_low_after_a_reset_and_after_the_end) {
  const TempDir folder;
  for (const bool ends : {false, true}) {
    Guest guest(folder.file("disk.img", 1 << 20));
    const LoopbackPin& pin = guest.board->pin(kAddress);
    acrn_blk_bar_write(guest.function->disk().get(), 0, VIRTIO_PCI_STATUS, 1, VIRTIO_CONFIG_S_DRIVER_OK);
    guest.function->disk().resize();  // a change of the configuration
    EXPECT(pin.level());
    ends ? guest.function.reset() : guest.function->reset();
    EXPECT(!pin.level());
  }
}

// What an operator does at any time, while virtual CPUs do what they like.
TEST(control_calls_and_accesses_go_on_at_once) {
  Guest guest("ram:1M");
  const LibraryDisk& disk = guest.function->disk();
  const MemoryRegion& ram = guest.board->memory().map()->regions()[0];
  std::atomic<bool> over{false};
  std::thread vcpu([&] {
    for (unsigned i = 0; !over; i++) {
      const unsigned offset = i * 7 % 32;
      acrn_blk_bar_write(disk.get(), 0, offset, 1u << i % 3, i % 5 == 0 ? 0 : i);
      acrn_blk_bar_read(disk.get(), 0, offset, 4);
      acrn_blk_config_write(disk.get(), i % 256, 2, i);
      acrn_blk_bar_write(disk.get(), 0, VIRTIO_PCI_QUEUE_PFN, 4, (raw(ram.base) >> 12) + i % 4);
      acrn_blk_bar_write(disk.get(), 0, VIRTIO_PCI_QUEUE_NOTIFY, 2, 0);
    }
  });
  for (unsigned i = 0; i < 300; i++) {
    const acrn_blk_region region = region_at(raw(ram.base) + i % 2 * kRam, ram.host);
    disk.expect_ok(acrn_blk_set_memory(disk.get(), &region, 1, sizeof(region)));
    if (i % 3 == 0) disk.expect_ok(acrn_blk_reset(disk.get()));
    disk.expect_ok(acrn_blk_flush(disk.get()));
    disk.stats();
    if (i % 4 == 0) disk.resize();
  }
  over = true;
  vcpu.join();
}

TEST(a_quiesced_disk_takes_nothing_until_it_is_resumed) {
  Guest guest("ram:1M");
  const auto driver = guest.drive();
  acrn_blk* const blk = guest.function->disk().get();
  guest.function->disk().expect_ok(acrn_blk_quiesce(blk));
  DriverQueue& queue = driver->queue(0);
  queue.start(0, VIRTIO_BLK_T_IN, 0, 512, false);
  queue.kick();
  guest.function->disk().expect_ok(acrn_blk_flush(blk));
  EXPECT_EQ(queue.ring().used_index(), 0u);
  guest.function->disk().expect_ok(acrn_blk_resume(blk));
  EXPECT(wait_until([&] { return queue.ring().used_index() == 1; }));
}

// What each signal does to this process.
std::vector<void (*)(int)> signal_handlers() {
  std::vector<void (*)(int)> handlers;
  for (int signal = 1; signal < NSIG; signal++) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) == 0) handlers.push_back(action.sa_handler);
  }
  return handlers;
}

// Threads of this process that block SIGTERM and SIGUSR1.
unsigned threads_that_block() {
  unsigned blocked = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    std::string line;
    while (std::getline(status, line)) {
      if (!line.starts_with("SigBlk:")) continue;
      const uint64_t mask = std::stoull(line.substr(7), nullptr, 16);
      blocked += (mask & 1ull << (SIGTERM - 1)) != 0 && (mask & 1ull << (SIGUSR1 - 1)) != 0 ? 1 : 0;
    }
  }
  return blocked;
}

TEST(its_threads_leave_the_hosts_signals_alone) {
  const auto before = signal_handlers();
  const unsigned blocked = threads_that_block();
  const Handle handle;
  const int fd = ::memfd_create("ram", MFD_CLOEXEC);
  EXPECT(fd >= 0 && ::ftruncate(fd, kRam) == 0);
  const acrn_blk_region region{.gpa = 0, .size = kRam, .host = nullptr, .fd = fd, .offset = 0};
  EXPECT_EQ(acrn_blk_set_memory(handle.blk, &region, 1, sizeof(region)), 0);
  ::close(fd);
  EXPECT_EQ(handle.create("iothread,ram:1M"), 0);
  EXPECT(signal_handlers() == before);
  EXPECT_EQ(threads_that_block(), blocked + 1);  // the loop; that of the queue starts with it
}

volatile sig_atomic_t bus_errors = 0;
void on_bus_error(int, siginfo_t* info, void*) {
  if (acrn_blk_handle_sigbus(info->si_addr) == 0) _exit(99);
  bus_errors = 1;
}

// In a process of its own, since the handler is the process's.
TEST(a_host_that_catches_bus_errors_survives_a_file_that_shrinks) {
  const pid_t child = ::fork();
  if (child == 0) {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    ::sigaction(SIGBUS, &action, nullptr);
    const int fd = ::memfd_create("ram", MFD_CLOEXEC);
    if (fd < 0 || ::ftruncate(fd, kRam) != 0) ::_exit(1);
    const Handle handle;
    const acrn_blk_region region{.gpa = 0, .size = kRam, .host = nullptr, .fd = fd, .offset = 0};
    if (acrn_blk_set_memory(handle.blk, &region, 1, sizeof(region)) != 0) ::_exit(2);
    if (handle.create("ram:1M") != 0) ::_exit(3);
    if (::ftruncate(fd, 0) != 0) ::_exit(4);
    acrn_blk_bar_write(handle.blk, 0, VIRTIO_PCI_QUEUE_PFN, 4, 1);
    acrn_blk_bar_write(handle.blk, 0, VIRTIO_PCI_QUEUE_NOTIFY, 2, 0);
    if (acrn_blk_reset(handle.blk) != 0) ::_exit(5);
    ::_exit(bus_errors != 0 ? 0 : 6);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(a_child_makes_disks_of_its_own) {
#ifdef __SANITIZE_THREAD__
  SKIP("ThreadSanitizer ends a child that starts threads");
#endif
  const Handle parent;
  EXPECT_EQ(parent.create("ram:1M"), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const Handle own;
    ::_exit(own.create("ram:1M") == 0 && acrn_blk_flush(own.blk) == 0 ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(acrn_blk_flush(parent.blk), 0);
}

TEST(another_copy_of_the_library_lives_beside_it) {
  Dl_info info{};
  EXPECT(::dladdr(reinterpret_cast<void*>(&acrn_blk_new), &info) != 0);
  const TempDir folder;
  std::filesystem::copy_file(info.dli_fname, folder.path("other.so"));
  void* const other = ::dlopen(folder.path("other.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  EXPECT(other != nullptr);
  const auto other_new = reinterpret_cast<decltype(&acrn_blk_new)>(::dlsym(other, "acrn_blk_new"));
  const auto other_free = reinterpret_cast<decltype(&acrn_blk_free)>(::dlsym(other, "acrn_blk_free"));
  const auto other_create =
      reinterpret_cast<decltype(&acrn_blk_create_function)>(::dlsym(other, "acrn_blk_create_function"));
  EXPECT(other_new != acrn_blk_new);
  acrn_blk* const blk = other_new();
  const acrn_blk_disk disk = disk_of("ram:1M");
  EXPECT_EQ(other_create(blk, &disk, &kDeaf), 0);
  const Handle ours;
  EXPECT_EQ(ours.create("ram:1M"), 0);
  other_free(blk);
  EXPECT_EQ(acrn_blk_reset(ours.blk), 0);
}

TEST(the_log_goes_where_the_host_wants_it) {
  std::string lines;
  acrn_blk_set_log(
      5, [](void* to, int, const char* line) { static_cast<std::string*>(to)->append(line).append("\n"); }, &lines);
  {
    const Handle handle;
    EXPECT_EQ(handle.create("ram:1M"), 0);
    acrn_blk_bar_write(handle.blk, 0, VIRTIO_PCI_QUEUE_NOTIFY, 2, 77);
  }
  acrn_blk_set_log(0, nullptr, nullptr);
  EXPECT_CONTAINS(lines, "virtio-blk 0:9:0");
}

TEST(what_goes_wrong_is_told_ever_more_rarely) {
  const TempDir folder;
  const std::string path = folder.file("disk.img", 1 << 20);
  Guest guest(path);
  const LibraryDisk& disk = guest.function->disk();
  for (int i = 0; i < 7; i++) acrn_blk_bar_write(disk.get(), 0, VIRTIO_PCI_QUEUE_NOTIFY, 2, 77);
  const std::vector<std::string> rare{"1 notify-unknown-queue 1 77", "1 notify-unknown-queue 2 77",
                                      "1 notify-unknown-queue 3 77", "1 notify-unknown-queue 4 77"};
  EXPECT(disk.events() == rare);

  const auto driver = guest.drive();
  std::filesystem::resize_file(path, 0);  // behind its back
  std::vector<std::byte> data(4096);
  EXPECT_EQ(must(driver->read(8, data)), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.events().back(), concat("3 read 1 ", EIO));
  EXPECT_EQ(acrn_blk_set_events(disk.get(), nullptr, nullptr), -EINVAL);
}

TEST(a_queue_that_is_stopped_is_told) {
  Guest guest("ram:1M");
  const auto driver = guest.drive();
  const LibraryDisk& disk = guest.function->disk();
  driver->queue(0).ring().write_avail_index(1000);
  acrn_blk_bar_write(disk.get(), 0, VIRTIO_PCI_QUEUE_NOTIFY, 2, 0);
  const std::vector<std::string> told{"1 avail-index-jump 1 1000", "2 queue 1 0"};
  EXPECT(wait_until([&] { return disk.events() == told; }));
}

// A new size may come in while another virtual CPU resets the device: the driver that it was for is gone.
TEST(no_interrupt_is_left_over_when_a_resize_meets_a_reset) {
  const TempDir folder;
  Guest guest(folder.file("disk.img", 1 << 20));
  const LibraryDisk& disk = guest.function->disk();
  std::atomic<bool> over{false};
  std::thread operator_of_it([&] {
    while (!over) disk.resize();
  });
  for (unsigned i = 0; i < 2000; i++) {
    acrn_blk_bar_write(disk.get(), 0, VIRTIO_PCI_STATUS, 1, VIRTIO_CONFIG_S_DRIVER_OK);
    acrn_blk_bar_write(disk.get(), 0, VIRTIO_PCI_STATUS, 1, 0);
    EXPECT(!guest.board->pin(kAddress).level());
  }
  over = true;
  operator_of_it.join();
}

TEST(a_version_and_what_it_can) {
  EXPECT_EQ(acrn_blk_version(), ACRN_BLK_VERSION);
  EXPECT_EQ(acrn_blk_has("registers"), 1);
  EXPECT_EQ(acrn_blk_has("time-travel"), 0);
  EXPECT_EQ(acrn_blk_has(nullptr), 0);
}

}  // namespace
}  // namespace acrn
