// What vblk coach says: every rule that a driver breaks, by name, and habits that are slow, each with a driver that has
// it and one that nearly has.
#include "dm/tools/coach/coach.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include <set>

#include "dm/devices/device_table.h"
#include "dm/loopback/raw_guest.h"
#include "dm/tools/coach/rule_advice.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr uint32_t kSector = 512;
constexpr uint64_t kNoEventIndex = ~feature(VIRTIO_RING_F_EVENT_IDX);

template <class Drive>
void trace_driver(const std::string& path, const std::string& options, uint64_t features, Drive drive) {
  const PciSlotConfig config = must(parse_slot(concat("9,virtio-blk,ram:8M,trace=", path, options)));
  const auto board = must(LoopbackMachine::create(16 << 20));
  const auto loop = must(EpollLoop::create("virtio", {}, kQueueLoop));
  const DeviceEnvironment environment{.memory = board->memory(), .msi = board->msi(), .shared_loop = *loop};
  const auto device = must(create_device(config, environment, board->pin(config.address)));
  board->bus().attach(config.address, device->function());
  RawGuest guest = must(RawGuest::start(*board, config.address, features));
  drive(guest);
}

// What the coach says of a driver.
template <class Drive>
std::vector<Advice> advice_on(const std::string& options, uint64_t features, Drive drive) {
  TempDir dir;
  trace_driver(dir.path("t"), options, features, drive);
  return coach(must(Trace::load(dir.path("t"))));
}

std::set<std::string> names_of(const std::vector<Advice>& all) {
  std::set<std::string> names;
  for (const Advice& advice : all) names.insert(advice.name);
  return names;
}
using Names = std::set<std::string>;

// So many at a time, so often; the chains have `pieces` of data each.
struct Load {
  unsigned at_once = 1, rounds = 200, pieces = 1;
  uint32_t bytes = 4096;  // of data
  uint64_t sector = 0;    // the first one's
  uint64_t stride = 0;    // sectors from one to the next; 0: scattered
  uint32_t type = VIRTIO_BLK_T_IN;
  bool kick_each = false;
};

void run(RawGuest& guest, const Load& load) {
  const unsigned each = load.pieces + 2;
  std::vector<std::vector<RawGuest::Piece>> chains;
  std::vector<Gpa> headers;
  const bool reads = load.type == VIRTIO_BLK_T_IN;
  for (unsigned i = 0; i < load.at_once; i++) {
    headers.push_back(guest.header(load.type, 0));
    chains.push_back({{headers.back(), 16, false}});
    for (unsigned k = 0; k < load.pieces; k++) {
      chains.back().push_back({guest.memory(load.bytes / load.pieces), load.bytes / load.pieces, reads});
    }
    chains.back().push_back({guest.status(), 1, true});
  }
  for (unsigned round = 0, n = 0; round < load.rounds; round++) {
    for (unsigned i = 0; i < load.at_once; i++, n++) {
      const uint64_t sector = load.sector + (load.stride != 0 ? n * load.stride : n % 2 * 4096);
      guest.at(headers[i], 16).store(0, VirtioBlkOuthdr{load.type, 0, sector % 8192});
      const auto first = static_cast<uint16_t>(i * each);
      guest.chain(first, chains[i]);
      guest.offer(first);
      if (load.kick_each) guest.kick();
    }
    guest.kick();
    for (unsigned i = 0; i < load.at_once; i++) EXPECT(guest.next_used().has_value());
  }
}

}  // namespace

TEST(each_rule_has_a_cause_and_a_remedy) {
  for (size_t i = 0; i < kGuestRules; i++) {
    const RuleAdvice& advice = advice_of(static_cast<GuestRule>(i));
    EXPECT(advice.cause.ends_with('.') && advice.remedy.ends_with('.'));
  }
}

TEST(a_broken_rule_is_told_with_its_place_cause_and_remedy) {
  const auto all = advice_on("", ~uint64_t{0}, [](RawGuest& guest) {
    const RawGuest::Piece pieces[] = {{guest.header(VIRTIO_BLK_T_IN, 0), 16, false},
                                      {guest.memory(kSector), kSector, false},  // a read into what only may be read
                                      {guest.status(), 1, true}};
    for (int i = 0; i < 3; i++) EXPECT(guest.run(pieces).has_value());
  });
  EXPECT_EQ(all.size(), 1u);
  const Advice& advice = all.front();
  EXPECT_EQ(advice.name, "data-direction");
  EXPECT_CONTAINS(advice.seen, "3 times, first at ");
  EXPECT_CONTAINS(advice.seen, "request #1, head 0");
  EXPECT_EQ(advice.source, "virtio 1.2 5.2.6");
  EXPECT_CONTAINS(advice.cause, "lack WRITE");
  EXPECT_CONTAINS(advice.remedy, "set it for reads");
  for (const std::string& line : advice_lines(advice)) {
    for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
      end = line.find('\n', begin);
      EXPECT(std::min(end, line.size()) - begin <= 80);
    }
  }
}

TEST(one_request_at_a_time_is_told_and_several_are_not) {
  const auto one = advice_on("", ~uint64_t{0}, [](RawGuest& guest) { run(guest, {}); });
  EXPECT(names_of(one) == Names{"one-at-a-time"});
  EXPECT_CONTAINS(one.front().seen, "1.00 requests in flight");
  const auto few = advice_on("", ~uint64_t{0}, [](RawGuest& guest) { run(guest, {.rounds = 50}); });
  EXPECT(few.empty());
  const auto several = advice_on("", ~uint64_t{0}, [](RawGuest& guest) { run(guest, {.at_once = 4}); });
  EXPECT(!names_of(several).contains("one-at-a-time"));
}

TEST(a_flush_after_each_write_is_told_and_one_after_many_is_not) {
  const auto with_flushes = [](unsigned writes) {
    return advice_on(",writeback", ~uint64_t{0}, [&](RawGuest& guest) {
      std::vector<std::byte> data(4096);
      for (unsigned i = 0; i < 240; i++) {
        EXPECT(guest.request(VIRTIO_BLK_T_OUT, i % 2 * 4096, data).has_value());
        if (i % writes == 0) EXPECT(guest.flush().has_value());
      }
    });
  };
  EXPECT(names_of(with_flushes(1)).contains("flush-after-each-write"));
  EXPECT(!names_of(with_flushes(8)).contains("flush-after-each-write"));
}

TEST(writes_of_a_driver_without_flush_are_told) {
  const auto write = [](RawGuest& guest) { run(guest, {.at_once = 4, .type = VIRTIO_BLK_T_OUT}); };
  EXPECT(names_of(advice_on(",writeback", ~feature(VIRTIO_BLK_F_FLUSH), write)).contains("no-flush-accepted"));
  EXPECT(!names_of(advice_on(",writeback", ~uint64_t{0}, write)).contains("no-flush-accepted"));
}

TEST(long_chains_are_told_if_a_table_would_do) {
  const auto scatter = [](unsigned pieces) {
    return [pieces](RawGuest& guest) { run(guest, {.at_once = 2, .rounds = 100, .pieces = pieces, .bytes = 8192}); };
  };
  EXPECT(names_of(advice_on("", ~uint64_t{0}, scatter(16))).contains("long-chains-in-the-ring"));
  EXPECT(!names_of(advice_on("", ~uint64_t{0}, scatter(4))).contains("long-chains-in-the-ring"));
}

TEST(requests_within_blocks_are_told_of_a_disk_with_large_blocks) {
  const auto shifted = [](RawGuest& guest) { run(guest, {.at_once = 4, .sector = 1}); };
  EXPECT(names_of(advice_on(",sectorsize=512/4096", ~uint64_t{0}, shifted)).contains("unaligned"));
  EXPECT(!names_of(advice_on(",sectorsize=512/512", ~uint64_t{0}, shifted)).contains("unaligned"));
  const auto whole = [](RawGuest& guest) { run(guest, {.at_once = 4}); };
  EXPECT(!names_of(advice_on(",sectorsize=512/4096", ~uint64_t{0}, whole)).contains("unaligned"));
}

TEST(small_neighbours_are_told) {
  const auto follow = [](RawGuest& guest) { run(guest, {.at_once = 4, .stride = 8}); };
  EXPECT(names_of(advice_on("", ~uint64_t{0}, follow)).contains("small-and-adjacent"));
  const auto apart = [](RawGuest& guest) { run(guest, {.at_once = 4, .stride = 16}); };
  EXPECT(!names_of(advice_on("", ~uint64_t{0}, apart)).contains("small-and-adjacent"));
}

TEST(a_queue_that_is_used_alone_is_told_if_there_are_several) {
  const auto read = [](RawGuest& guest) { run(guest, {.at_once = 4}); };
  EXPECT(names_of(advice_on(",mq=2", ~uint64_t{0}, read)).contains("one-queue-of-several"));
  EXPECT(!names_of(advice_on("", ~uint64_t{0}, read)).contains("one-queue-of-several"));
}

TEST(kicks_that_find_nothing_are_told) {
  const auto twice = [](RawGuest& guest) {
    run(guest, {.at_once = 4, .rounds = 30});
    for (unsigned i = 0; i < 20000; i++) guest.kick();  // some become one, while the loop is awake
  };
  EXPECT(names_of(advice_on(",kick=inline", kNoEventIndex, twice)).contains("kicks-not-wanted"));
  const auto once = [](RawGuest& guest) { run(guest, {.at_once = 4}); };
  EXPECT(!names_of(advice_on(",kick=inline", kNoEventIndex, once)).contains("kicks-not-wanted"));
}

// A limit releases requests one by one, so each has its interrupt, if the driver wants it.
TEST(an_interrupt_for_each_request_is_told) {
  const auto drive = [](bool wanted) {
    return advice_on(",iops=2000,iops_burst=1", kNoEventIndex, [wanted](RawGuest& guest) {
      if (!wanted) guest.ring().disable_interrupts();
      run(guest, {.at_once = 16, .rounds = 20});
    });
  };
  EXPECT(names_of(drive(true)).contains("interrupt-for-each-request"));
  EXPECT(!names_of(drive(false)).contains("interrupt-for-each-request"));
}

TEST(a_request_without_an_answer_is_told) {
  TempDir dir;
  const std::string path = dir.path("t");
  const pid_t child = ::fork();
  if (child == 0) {
    trace_driver(path, ",iops=1,iops_burst=1", ~uint64_t{0}, [](RawGuest& guest) {
      for (const uint16_t first : {uint16_t{0}, uint16_t{3}}) {
        const RawGuest::Piece pieces[] = {{guest.header(VIRTIO_BLK_T_IN, 0), 16, false},
                                          {guest.memory(kSector), kSector, true},
                                          {guest.status(), 1, true}};
        guest.chain(first, pieces);
        guest.offer(first);
      }
      guest.kick();
      guest.next_used();
      ::raise(SIGKILL);  // the second has to wait for a second
    });
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(::flock(file.fd(), LOCK_EX), 0);  // the process that writes it is gone
  const auto all = coach(must(Trace::load(path)));
  EXPECT(names_of(all) == Names{"not-done-yet"});
  EXPECT_CONTAINS(all.front().seen, "1 request has no answer when the trace or its queue ends, first #2");
}

TEST(counts_of_a_machine_tell_of_rules) {
  DiskCounts disk;
  disk.guest_errors = {{"status-missing", 2}, {"ring-blank", 0}, {"of-a-later-version", 1}};
  const auto all = coach(disk);
  EXPECT(names_of(all) == (Names{"status-missing", "of-a-later-version"}));
}

}  // namespace acrn
