// What a driver does is traced, by its chains as the device has read them, and the trace outlives what writes it.
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "dm/devices/device_table.h"
#include "dm/loopback/raw_guest.h"
#include "dm/tools/trace/trace_file.h"
#include "dm/tools/trace/views.h"
#include "dm/trace/trace_recorder.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"
#include "tests/support/wait_until.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr uint32_t kSector = 512;

// A disk in slot 9, and the driver of its queue 0.
class TracedDisk {
 public:
  explicit TracedDisk(const std::string& slot) {
    const PciSlotConfig config = must(parse_slot(slot));
    const DeviceEnvironment environment{.memory = board_->memory(), .msi = board_->msi(), .shared_loop = *loop_};
    device_ = must(create_device(config, environment, board_->pin(config.address)));
    board_->bus().attach(config.address, device_->function());
    guest_.emplace(must(RawGuest::start(*board_, config.address)));
  }
  RawGuest& guest() { return *guest_; }
  DiskControl& control() { return *device_->disk(); }

 private:
  std::unique_ptr<LoopbackMachine> board_ = must(LoopbackMachine::create(4 << 20));
  std::unique_ptr<EpollLoop> loop_ = must(EpollLoop::create("virtio", {}, kQueueLoop));
  std::unique_ptr<Device> device_;
  std::optional<RawGuest> guest_;
};

// What is written when `drive` is done and the disk, with those options too, is gone.
template <class Drive>
Trace trace_of(const std::string& path, Drive drive, const std::string& options = "") {
  {
    TracedDisk disk(concat("9,virtio-blk,ram:1M,trace=", path, options));
    drive(disk);
  }
  return must(Trace::load(path));
}

std::vector<TraceEvent> events_of(const Trace& trace, uint32_t request) {
  std::vector<TraceEvent> events;
  for (const TraceItem& item : trace.items()) {
    if (item.request == request) events.push_back(item.event());
  }
  return events;
}

std::string drawing(const Trace& trace, uint32_t request) {
  std::string all;
  for (const std::string& line : draw_chain(trace, trace.requests()[request], false)) all += line + "\n";
  return all;
}

std::string lines_of(const Trace& trace) {
  std::string all;
  for (const TraceItem& item : trace.items()) all += trace_line(trace, item) + "\n";
  return all;
}

Error error_of(const std::string& slot) {
  const std::unique_ptr<LoopbackMachine> board = must(LoopbackMachine::create(1 << 20));
  const std::unique_ptr<EpollLoop> loop = must(EpollLoop::create("virtio", {}, kQueueLoop));
  const PciSlotConfig config = must(parse_slot(slot));
  const DeviceEnvironment environment{.memory = board->memory(), .msi = board->msi(), .shared_loop = *loop};
  auto device = create_device(config, environment, board->pin(config.address));
  EXPECT(!device);
  return device ? Error{} : device.error();
}

}  // namespace

TEST(a_request_is_traced_from_ring_to_ring) {
  TempDir dir;
  std::vector<std::byte> data(4 * kSector);
  const Trace trace = trace_of(dir.path("t"), [&](TracedDisk& disk) {
    EXPECT_EQ(disk.guest().request(VIRTIO_BLK_T_OUT, 8, data)->status, VIRTIO_BLK_S_OK);
  });
  EXPECT_EQ(trace.slot(), "0:9:0");
  EXPECT_EQ(trace.disk(), "ram:1048576");
  EXPECT_EQ(uint64_t{trace.header().capacity}, 2048u);
  EXPECT_EQ(trace.damage(), "");
  EXPECT_EQ(trace.requests().size(), 1u);
  const TracedRequest& write = trace.requests()[0];
  EXPECT_EQ(request_type(write.type), "write");
  EXPECT_EQ(write.sector, 8u);
  EXPECT_EQ(write.bytes, 4 * kSector);
  EXPECT_EQ(write.status, VIRTIO_BLK_S_OK);
  EXPECT(write.stable);
  EXPECT(write.waiting_since <= write.taken && write.taken <= write.done);
  EXPECT_EQ(write.avail_index, 0u);
  EXPECT_EQ(write.ring_entries, 64u);
  EXPECT(events_of(trace, 0) == (std::vector{TraceEvent::kChain, TraceEvent::kSubmit, TraceEvent::kUsed}));
  const auto descriptors = trace.items()[write.chain].descriptors();
  EXPECT_EQ(descriptors.size(), 3u);
  EXPECT_EQ(uint32_t{descriptors[1].len}, 4 * kSector);
  const std::string lines = lines_of(trace);
  for (const char* const part : {"device features", "device queue_start queue 0, 64 entries", "q0     turn",
                                 "used.idx is 1", "q0     interrupt   sent"}) {
    EXPECT_CONTAINS(lines, part);
  }
}

TEST(a_chain_is_drawn_with_what_is_wrong_where_it_is) {
  TempDir dir;
  const Trace trace = trace_of(dir.path("t"), [&](TracedDisk& disk) {
    RawGuest& guest = disk.guest();
    // The data is far behind the end of RAM.
    const RawGuest::Piece outside[] = {{guest.header(VIRTIO_BLK_T_IN, 0), 16, false},
                                       {Gpa{uint64_t{1} << 40}, kSector, true},
                                       {guest.status(), 1, true}};
    EXPECT(guest.run(outside).has_value());
    // The status byte is where the table has no descriptor. There is nobody to tell: the queue stops.
    guest.set(0, guest.header(VIRTIO_BLK_T_IN, 0), 16, VRING_DESC_F_NEXT, 777);
    guest.offer(0);
    guest.kick();
  });
  EXPECT_EQ(trace.requests().size(), 2u);
  EXPECT_EQ(trace.requests()[0].status, VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(trace.requests()[0].errors, 1u);
  const std::string first = drawing(trace, 0);
  EXPECT_CONTAINS(first, "0x010000000000");
  const size_t data = first.find("0x010000000000"), rule = first.find("X buffer-not-in-ram"),
               status = first.find("1 B");
  EXPECT(data < rule && rule < status);
  EXPECT_CONTAINS(first, "a buffer lies in guest RAM");
  EXPECT_CONTAINS(first, "virtio 0.9.5 2.3.2");
  const std::string second = drawing(trace, 1);
  EXPECT_CONTAINS(second, "X next-out-of-range (value 0x309)");
  EXPECT_CONTAINS(second, "when its queue was stopped or reset");
}

TEST(an_indirect_table_is_drawn_as_one) {
  TempDir dir;
  const Trace trace = trace_of(dir.path("t"), [&](TracedDisk& disk) {
    RawGuest& guest = disk.guest();
    const Gpa table = guest.memory(3 * sizeof(VringDesc));
    const VringDesc entries[] = {{raw(guest.header(VIRTIO_BLK_T_IN, 0)), 16, VRING_DESC_F_NEXT, 1},
                                 {raw(guest.memory(kSector)), kSector, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2},
                                 {raw(guest.status()), 1, VRING_DESC_F_WRITE, 0}};
    for (size_t i = 0; i < 3; i++) guest.at(table, sizeof(entries)).store(i * sizeof(VringDesc), entries[i]);
    guest.set(5, table, sizeof(entries), VRING_DESC_F_INDIRECT);
    EXPECT(guest.run(5).has_value());
  });
  const std::string drawn = drawing(trace, 0);
  EXPECT_CONTAINS(drawn, "   5 ");
  EXPECT_CONTAINS(drawn, "a table of descriptors");
  EXPECT_CONTAINS(drawn, "   2 in the table");
  EXPECT_CONTAINS(drawn, "status");
}

TEST(rules_that_registers_break_are_the_devices) {
  TempDir dir;
  const Trace trace = trace_of(dir.path("t"), [&](TracedDisk& disk) {
    disk.guest().write_config(0, 4, 0x1234);  // the capacity
  });
  EXPECT_CONTAINS(lines_of(trace), "device error       config-read-only");
}

TEST(a_trace_is_switched_off_and_on) {
  TempDir dir;
  std::vector<std::byte> data(kSector);
  const auto read = [&](TracedDisk& disk, uint64_t sector) {
    EXPECT_EQ(disk.guest().request(VIRTIO_BLK_T_IN, sector, data)->status, VIRTIO_BLK_S_OK);
  };
  const Trace trace = trace_of(dir.path("t"), [&](TracedDisk& disk) {
    read(disk, 1);
    EXPECT(disk.control().set_trace(false).ok());
    read(disk, 2);
    EXPECT(disk.control().set_trace(true).ok());
    read(disk, 3);
  });
  EXPECT_EQ(trace.requests().size(), 2u);
  EXPECT_EQ(trace.requests()[0].sector, 1u);
  EXPECT_EQ(trace.requests()[1].sector, 3u);
  TracedDisk without("9,virtio-blk,ram:1M");
  EXPECT_CONTAINS(without.control().set_trace(true).error().message, "start it with trace=<file>");
}

TEST(a_request_that_is_tried_again_is_one_and_in_the_ring_where_it_was) {
  TempDir dir;
  std::vector<std::byte> data(kSector);
  const auto drive = [&](TracedDisk& disk) {
    RawGuest& guest = disk.guest();
    const Gpa status = guest.status();
    guest.set(10, guest.header(VIRTIO_BLK_T_OUT, 3), 16, VRING_DESC_F_NEXT, 11);
    guest.set(11, guest.memory(kSector), kSector, VRING_DESC_F_NEXT, 12);
    guest.set(12, status, 1, VRING_DESC_F_WRITE);
    guest.offer(10);
    guest.kick();
    EXPECT(wait_until([&] { return disk.control().stats()[0].held == 1; }));
    EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, 1, data)->status, VIRTIO_BLK_S_OK);
    disk.control().retry_held();
    EXPECT(wait_until([&] { return guest.byte(status) == VIRTIO_BLK_S_OK; }));
  };
  const Trace trace = trace_of(dir.path("t"), drive, ",werror=stop,fault=write:ENOSPC:times=1");
  EXPECT_EQ(trace.requests().size(), 2u);
  for (uint16_t number = 0; number < 2; number++) EXPECT_EQ(trace.requests()[number].avail_index, number);
  EXPECT_EQ(trace.requests()[0].status, VIRTIO_BLK_S_OK);
}

TEST(a_process_that_is_killed_leaves_its_trace) {
  TempDir dir;
  const std::string path = dir.path("t");
  const pid_t child = ::fork();
  if (child == 0) {
    TracedDisk disk(concat("9,virtio-blk,ram:1M,trace=", path));
    std::vector<std::byte> data(kSector);
    for (unsigned i = 0; i < 1000; i++) disk.guest().request(VIRTIO_BLK_T_IN, i, data);
    ::raise(SIGKILL);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT(WIFSIGNALED(status));
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(::flock(file.fd(), LOCK_EX), 0);  // the process that writes it is gone
  const Trace trace = must(Trace::load(path));
  EXPECT_EQ(trace.requests().size(), 1000u);
  EXPECT_EQ(trace.requests().back().sector, 999u);
}

TEST(a_file_that_cannot_grow_costs_entries_and_keeps_nobody_waiting) {
  TempDir dir;
  rlimit before{};
  EXPECT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = 20000, .rlim_max = before.rlim_max};
  {
    const auto recorder = must(TraceRecorder::create(dir.path("t"), 1));
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    const auto started = recorder->start({}, nullptr);
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);  // the process that writes the trace keeps the small one
    EXPECT(started.ok());
    for (unsigned i = 0; i < 100'000; i++) recorder->trace().write(TraceEvent::kReset, 0, 0, 0);
  }
  const Trace cut = must(Trace::load(dir.path("t")));
  EXPECT(cut.items().size() < 20000 / sizeof(TraceRecord));
}

TEST(what_is_no_trace_is_not_replaced) {
  TempDir dir;
  const std::string mine = dir.file("mine", 100);
  const std::string slot = "9,virtio-blk,ram:1M,trace=";
  EXPECT_CONTAINS(error_of(slot + mine).message, "it is there and no trace, so it is not replaced");
  struct stat status {};
  EXPECT_EQ(::stat(mine.c_str(), &status), 0);
  EXPECT_EQ(status.st_size, 100);
  EXPECT_CONTAINS(error_of(slot + dir.path("none/t")).message, "trace=");
  EXPECT_CONTAINS(error_of(slot + "/dev/null").message, "no regular file");
  TracedDisk disk(slot + dir.path("t"));
  EXPECT_CONTAINS(error_of(slot + dir.path("t")).message, "another disk writes it");
}

TEST(a_ring_without_room_counts_what_is_lost) {
  TraceCursors cursors;
  std::vector<std::byte> memory(2 * TraceRing::kLargestRecord + kTraceAlignment);
  void* begin = memory.data();
  size_t left = memory.size();
  std::align(kTraceAlignment, 2 * TraceRing::kLargestRecord, begin, left);
  TraceRing ring(cursors, {static_cast<std::byte*>(begin), 2 * TraceRing::kLargestRecord});
  const TraceRecord record{.bytes = {},
                           .event = static_cast<uint8_t>(TraceEvent::kReset),
                           .detail = 0,
                           .head = {},
                           .number = {},
                           .time = {}};
  const size_t room = 2 * TraceRing::kLargestRecord / sizeof(TraceRecord);
  for (size_t i = 0; i < room + 3; i++) ring.write(record);
  ring.commit();
  EXPECT_EQ(cursors.written.load(), room * sizeof(TraceRecord));
  cursors.read = cursors.written.load();
  EXPECT(ring.write(record) != nullptr);
  ring.commit();
  const auto* const lost = static_cast<const TraceRecord*>(begin);
  EXPECT_EQ(lost->event, static_cast<uint8_t>(TraceEvent::kLost));
  EXPECT_EQ(uint64_t{reinterpret_cast<const TraceValue*>(lost + 1)->value}, 3u);
}

TEST(what_a_reset_ends_is_not_with_the_device_any_more) {
  TempDir dir;
  std::vector<std::byte> data(kSector);
  const Trace trace = trace_of(dir.path("t"), [&](TracedDisk& disk) {
    RawGuest& guest = disk.guest();
    guest.request(VIRTIO_BLK_T_IN, 0, data);
    guest.set(0, guest.header(VIRTIO_BLK_T_IN, 0), 16, VRING_DESC_F_NEXT, 777);
    guest.offer(0);
    guest.kick();
  });
  EXPECT_EQ(trace.requests().size(), 2u);
  EXPECT_EQ(trace.requests()[0].lost, 0u);
  const TracedRequest& ended = trace.requests()[1];
  EXPECT_EQ(ended.done, 0u);
  EXPECT(ended.lost >= ended.taken && ended.lost <= trace.items().back().time);
  EXPECT_EQ(ended.avail_index, 1u);
}

TEST(a_header_that_lies_is_refused) {
  TempDir dir;
  const std::string path = dir.path("t");
  trace_of(path, [](TracedDisk&) {});
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const Le32 entries = 32769;
  file.seekp(offsetof(TraceFileHeader, queue_size));
  // SAFETY: bytes may be read of anything.
  file.write(reinterpret_cast<const char*>(&entries), sizeof(entries));
  file.close();
  EXPECT_CONTAINS(Trace::load(path).error().message, "a trace whose header makes no sense");
}

TEST(a_chain_of_no_queue_is_damage) {
  TempDir dir;
  const std::string path = dir.path("t");
  trace_of(path, [](TracedDisk& disk) {
    std::vector<std::byte> data(kSector);
    disk.guest().request(VIRTIO_BLK_T_IN, 0, data);
  });
  std::ifstream in(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  for (size_t at = sizeof(TraceFileHeader); at < bytes.size();) {
    TraceChunk chunk{};
    std::memcpy(&chunk, &bytes[at], sizeof(chunk));
    chunk.source = kTraceDevice;
    std::memcpy(&bytes[at], &chunk, sizeof(chunk));
    at += sizeof(chunk) + chunk.bytes;
  }
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  const Trace trace = must(Trace::load(path));
  EXPECT_CONTAINS(trace.damage(), "is damaged");
  lines_of(trace);
  for (const TraceItem& item : trace.items()) trace_json(trace, item);
}

TEST(a_damaged_trace_is_read_up_to_the_damage) {
  TempDir dir;
  const std::string path = dir.path("t");
  std::vector<std::byte> data(kSector);
  trace_of(path, [&](TracedDisk& disk) {
    for (unsigned i = 0; i < 5; i++) disk.guest().request(VIRTIO_BLK_T_IN, i, data);
  });
  std::ifstream in(path, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  const auto load = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    auto trace = Trace::load(path);
    if (!trace) return trace.error().message;
    lines_of(trace.value());
    trace_stats_lines(trace.value());
    for (uint32_t i = 0; i < trace.value().requests().size(); i++) drawing(trace.value(), i);
    return trace.value().damage();
  };
  for (size_t size = 0; size < whole.size(); size += 8) load(whole.substr(0, size));
  EXPECT_CONTAINS(load(whole.substr(0, whole.size() - 8)), "is not complete");
  EXPECT_CONTAINS(load(whole.substr(0, 100)), "no trace");
  EXPECT_CONTAINS(load("another"), "no trace");
  for (size_t at = 0; at < whole.size(); at++) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      load(damaged);
    }
  }
}

}  // namespace acrn
