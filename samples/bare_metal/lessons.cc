// The lessons, one after the other, with a line for each. They overwrite the first blocks of the disk.
#include "clock.h"
#include "cpu.h"
#include "disk.h"
#include "interrupts.h"
#include "report.h"

namespace {

// What a request moves. A buffer for each head, and the block of the disk with the same number.
constexpr uint32_t kBlock = 4096;
alignas(kBlock) uint32_t buffers[Queue::kMaxSize][kBlock / 4];
uint32_t written[Queue::kMaxSize];  // in which round the block was written last
constexpr uint32_t kGroup = 8;      // requests that one interrupt is for
constexpr uint64_t sector_of(uint32_t block) { return uint64_t{block} * (kBlock / kSector); }

// A pattern that says to which block it belongs, and when it was written.
uint32_t word(uint32_t block, uint32_t i) { return (block << 16 | i) ^ written[block] * 0x9e3779b9; }
void fill(uint32_t block) {
  for (uint32_t i = 0; i < kBlock / 4; ++i) buffers[block][i] = word(block, i);
}
bool holds(uint32_t buffer, uint32_t block) {
  for (uint32_t i = 0; i < kBlock / 4; ++i) {
    if (buffers[buffer][i] != word(block, i)) return false;
  }
  return true;
}

void start(const char* lesson, Disk& disk, uint32_t wanted) {
  const char* wrong = disk.start(wanted);
  if (wrong == nullptr && disk.queue().size() < kGroup) wrong = "the ring is too short for the lessons";
  if (wrong == nullptr && (disk.offered() & kReadOnly) != 0) wrong = "the disk is read-only, and the lessons write";
  if (wrong != nullptr) {
    report(lesson, false, wrong);
    power_off(false);
  }
  report(lesson, true, "features ", Hex{disk.offered()}, ", accepted ", Hex{disk.accepted()}, "; ring of ",
         uint32_t{disk.queue().size()});
}

void identify(Disk& disk) {
  char id[21] = {};  // 20 bytes, and no 0 behind them if they are all used
  const Status status = disk.run(Type::kGetId, 0, id, 20);
  report("identify", status == Status::kOk, id[0] != 0 ? id : "no serial number", ", ",
         static_cast<uint32_t>(disk.sectors() / 2048), " MiB");
}

void write_and_read(Disk& disk) {
  constexpr uint32_t kCount = 16;
  bool ok = true;
  for (uint32_t block = 0; block < kCount; ++block) {
    ++written[block];
    fill(block);
    ok = ok && disk.run(Type::kWrite, sector_of(block), buffers[block], kBlock) == Status::kOk;
  }
  for (uint32_t block = 0; block < kCount; ++block) {
    ok = ok && disk.run(Type::kRead, sector_of(block), buffers[kCount], kBlock) == Status::kOk && holds(kCount, block);
  }
  report("write and read", ok, kCount, " blocks of ", kBlock, " bytes, one at a time");
}

void flush(Disk& disk) {
  // Until then a write may be in a cache only, if the device has one (appendix D).
  report("flush", disk.run(Type::kFlush, 0, nullptr, 0) == Status::kOk, "what was written is on the medium");
}

void errors(Disk& disk) {
  const Status past_end = disk.run(Type::kRead, disk.sectors(), buffers[0], kBlock);
  const Status unknown = disk.run(Type{99}, 0, buffers[0], kBlock);
  report("errors", past_end == Status::kError && unknown == Status::kUnsupported, "status ", uint32_t(past_end),
         " past the end, ", uint32_t(unknown), " for an unknown type");
}

// As many requests as the ring has room for, told of by one kick. They come back in any order. How many; 0: not as they
// should.
uint32_t full_ring(Disk& disk, Type type) {
  const unsigned descriptors = (disk.accepted() & kIndirect) != 0 ? 1 : 3;
  uint32_t count = 0;
  for (; disk.queue().free() >= descriptors; ++count) {
    const uint16_t block = disk.queue().next_head();
    if (type == Type::kWrite) {
      ++written[block];
      fill(block);
    }
    disk.submit(type, sector_of(block), buffers[block], kBlock);
  }
  disk.kick();
  bool ok = true;
  for (uint32_t back = 0; back < count; ++back) {
    uint16_t block;
    Status status;
    if (!wait_ms(10000, [&] { return disk.done(block, status); })) return 0;
    ok = ok && status == Status::kOk && (type == Type::kWrite || written[block] == 0 || holds(block, block));
  }
  return ok ? count : 0;
}

// Which descriptors a chain is made of, and which chain is at which entry, has no meaning.
void full_rings(const char* lesson, Disk& disk) {
  uint32_t requests = 0;
  const uint32_t kicks = disk.kicks();
  bool ok = true;
  for (int round = 0; round < 16 && ok; ++round) {
    disk.queue().shuffle();
    const uint32_t count = full_ring(disk, round % 2 == 0 ? Type::kWrite : Type::kRead);
    ok = count != 0;
    requests += count;
  }
  report(lesson, ok, "requests ", requests, ", kicks ", disk.kicks() - kicks);
}

// The indices of the ring have 16 bits, and begin at 0. So it takes many requests.
void wrap(Disk& disk) {
  bool ok = disk.run_many(0xfff0 - disk.queue().next_index());
  const uint16_t before = disk.queue().used().index;
  for (int round = 0; round < 16 && ok; ++round) ok = full_ring(disk, Type::kRead) != 0;
  const uint16_t after = disk.queue().used().index;
  report("index wrap", ok && after < before, "the used index went from ", uint32_t{before}, " to ", uint32_t{after});
}

Disk* interrupting;
uint32_t interrupts;
void on_interrupt() {
  // Bit 0: of the queue. Without it, another function on the same line.
  if ((interrupting->acknowledge() & 1) != 0) ++interrupts;
}

// Asks to be told when a group of requests is done, and sleeps until then. With more than one in a group that takes the
// event index.
void by_interrupt(const char* lesson, Disk& disk, uint32_t group) {
  constexpr uint32_t kRequests = 64;
  bool ok = true;
  uint32_t all = 0;
  disk.acknowledge();  // what came while nobody slept
  for (uint32_t sent = 0; sent < kRequests && ok; sent += group) {
    interrupts = 0;
    disk.queue().want_interrupt_after(static_cast<uint16_t>(group));
    for (uint32_t i = 0; i < group; ++i) disk.submit(Type::kRead, sector_of(i), buffers[i], kBlock);
    disk.kick();
    while (interrupts == 0) sleep_until_interrupt();
    all += interrupts;
    uint16_t head;
    Status status;
    for (uint32_t i = 0; i < group; ++i) ok = ok && disk.done(head, status) && status == Status::kOk;
    for (uint32_t i = 0; i < group; ++i) ok = ok && holds(i, i);
  }
  disk.queue().want_no_interrupt();
  report(lesson, ok && all == kRequests / group, "requests ", kRequests, ", interrupts ", all);
}

// Reads of a block, so many at a time, for a fifth of a second.
void speed(const char* how, Disk& disk, uint32_t depth) {
  const uint64_t limit = uint64_t{200} * cycles_per_ms(), begin = cycles();
  const uint32_t kicks = disk.kicks();
  uint32_t sent = 0, back = 0;
  uint64_t took = 0;
  bool ok = true;
  do {
    for (; took < limit && sent - back < depth && disk.queue().free() >= 3; ++sent) {
      disk.submit(Type::kRead, sector_of(sent % 16), buffers[sent % 16], kBlock);
    }
    disk.kick();
    ok = disk.wait() == Status::kOk;
    ++back;
    took = cycles() - begin;
  } while (ok && (took < limit || back < sent));
  const uint32_t us = microseconds(took);
  report("speed", ok, how, ", ", depth, " deep: ", divide(uint64_t{back} * 1000000, us), " reads/s, ", us / back, ".",
         us % back * 10 / back, " us, kicks ", disk.kicks() - kicks);
}

}  // namespace

extern "C" void kernel_main() {
  measure_clock();
  print("A driver of a legacy virtio-blk; ", cycles_per_ms() / 1000, " cycles are a microsecond\n");

  Disk* const disk = find_disk();
  if (disk == nullptr) {
    report("find", false, "there is no function 1af4:1001 on bus 0");
    power_off(false);
  }
  report("find", true, "1af4:1001 in slot ", uint32_t{disk->function().slot}, ", ports from ", Hex{disk->registers()},
         ", line ", uint32_t{disk->line()});

  start("start", *disk, kCanFlush);
  identify(*disk);
  write_and_read(*disk);
  flush(*disk);
  errors(*disk);
  full_rings("any descriptors", *disk);
  interrupting = disk;
  const bool line = handle_line(disk->line(), on_interrupt);
  if (line) by_interrupt("interrupts", *disk, 1);
  wrap(*disk);
  speed("polled", *disk, 1);
  speed("polled", *disk, 16);

  // A reset, and the same once more with what a newer device can do.
  start("start again", *disk, kCanFlush | kIndirect | kEventIndex);
  full_rings("indirect", *disk);
  wrap(*disk);
  if (line) {
    by_interrupt("event index", *disk, kGroup);
    disk->wait_by_interrupt(true);
    speed("by interrupt", *disk, 1);
    disk->wait_by_interrupt(false);
  }
  speed("polled", *disk, 16);

  if (!line) print("        no interrupts: line ", uint32_t{disk->line()}, " is none of the 8259's\n");
  print(all_well() ? "all is well\n" : "something FAILED\n");
  power_off(all_well());
}
