// COVERS(input): every option, wrong in every way
#include <map>

#include "dm/cli/command_line.h"
#include "dm/cli/command_options.h"
#include "dm/cli/help.h"
#include "dm/cli/option_table.h"
#include "dm/devices/block_device_options.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

using Arguments = std::vector<std::string>;

DmConfig config_of(const Arguments& arguments) {
  const ParseOutcome outcome = parse_command_line(arguments);
  if (const auto* error = std::get_if<Error>(&outcome.result)) test::expect(false, error->message, __FILE__, __LINE__);
  EXPECT(std::holds_alternative<DmConfig>(outcome.result));
  return std::get<DmConfig>(outcome.result);
}

// Checks on the way that the message is one line for exit code 64.
std::string message_of(const Error& error) {
  EXPECT(error.kind == ErrorKind::kUsage);
  EXPECT_EQ(error.message.find('\n'), std::string::npos);
  return error.message;
}

std::string error_of(const Arguments& arguments) {
  const ParseOutcome outcome = parse_command_line(arguments);
  const auto* error = std::get_if<Error>(&outcome.result);
  return error != nullptr ? message_of(*error) : "accepted";
}

BlockOptions block_of(std::string_view text) {
  const auto slot = parse_slot(concat("9,virtio-blk,", text));
  if (!slot) test::expect(false, slot.error().message, __FILE__, __LINE__);
  return *block_options(slot.value());
}

std::string slot_error_of(std::string_view text) {
  const auto slot = parse_slot(text);
  return slot ? "accepted" : message_of(slot.error());
}

// The error of a virtio-blk function in slot 9, without the "-s 9:0,virtio-blk: " that each starts with.
std::string block_error_of(std::string_view text) {
  constexpr std::string_view kPrefix = "-s 9:0,virtio-blk: ";
  const std::string message = slot_error_of(concat("9,virtio-blk", text.empty() ? "" : ",", text));
  return message.starts_with(kPrefix) ? message.substr(kPrefix.size()) : concat("unexpected: ", message);
}

std::string path_of(const BlockOptions& options) { return source_text(options.source); }

using CpuSets = std::vector<std::vector<unsigned>>;

}  // namespace

// Slots

TEST(slot_is_written_in_each_of_its_forms) {
  const struct {
    const char *text, *name;
  } rows[] = {
      {"9", "0:9:0"},     {"9:1", "0:9:1"},   {"9/1", "0:9:1"},   {"9.1", "0:9:1"},         {"1:9:2", "1:9:2"},
      {"1/9/2", "1:9:2"}, {"1.9.2", "1:9:2"}, {"1:9.2", "1:9:2"}, {"255:31:7", "255:31:7"}, {"0", "0:0:0"},
  };
  for (const auto& row : rows) {
    const auto slot = parse_slot(concat(row.text, ",lpc"));
    EXPECT(slot.ok());
    EXPECT_EQ(full_name(slot.value().address), row.name);
  }
}

TEST(slot_that_is_no_number_or_out_of_range_is_an_error) {
  for (const char* text :
       {"", "5x", "x5", "-1", "32", "9:8", "256:0:0", "0:32:0", "1:2:3:4", "9:", ":9", "0x9", " 9"}) {
    EXPECT_EQ(slot_error_of(concat(text, ",lpc")),
              concat("-s ", text, ",lpc: '", text,
                     "' is not a slot; give <slot>[:<func>] or <bus>:<slot>:<func> "
                     "with bus 0-255, slot 0-31, func 0-7, like 9 or 0:9:0"));
  }
}

TEST(emulation_is_one_of_the_known) {
  EXPECT_EQ(parse_slot("0,hostbridge").value().device->name, "hostbridge");
  EXPECT_EQ(parse_slot("31,lpc").value().device->name, "lpc");
  EXPECT(block_options(parse_slot("9,virtio-blk,nodisk").value()) != nullptr);
  EXPECT_EQ(slot_error_of("9"), "-s 9: the emulation is missing; give one, like -s 9,virtio-blk,disk.img");
  EXPECT_EQ(slot_error_of("9,"), "-s 9,: the emulation is missing; give one, like -s 9,virtio-blk,disk.img");
  EXPECT_EQ(
      slot_error_of("9,virtio-nt,tap0"),
      "-s 9:0,virtio-nt: 'virtio-nt' is not an emulation; known: virtio-blk, hostbridge, cloudhv_hostbridge, lpc");
  EXPECT_EQ(slot_error_of("0,hostbridge,x"),
            "-s 0:0,hostbridge: 'x': hostbridge takes no options; write just -s 0:0,hostbridge");
}

TEST(slots_must_not_share_a_place) {
  const auto clash = [](const char* first, const char* second) {
    const auto checked = check_slots({parse_slot(first).value(), parse_slot(second).value()}, 1);
    return checked ? "accepted" : message_of(checked.error());
  };
  EXPECT_EQ(clash("9,virtio-blk,/a.img", "9,virtio-blk,/b.img"),
            "-s 9:0,virtio-blk: slot 9:0 is already taken by virtio-blk (/a.img); choose another slot");
  EXPECT_EQ(clash("1:9:0,lpc", "1/9.0,virtio-blk,nodisk"),
            "-s 1:9:0,virtio-blk: slot 1:9:0 is already taken by lpc; choose another slot");
  EXPECT_EQ(clash("30,lpc", "31,lpc"), "-s 31:0,lpc: a machine has one LPC bridge, and slot 30:0 has it; remove one");
  EXPECT_EQ(clash("9,virtio-blk,/a.img", "9:1,virtio-blk,/a.img"), "accepted");
  EXPECT_EQ(clash("9,virtio-blk,/a.img", "1:9:0,virtio-blk,/a.img"), "accepted");
}

TEST(queues_are_at_most_the_vcpus) {
  const std::vector<PciSlotConfig> slots = {parse_slot("9,virtio-blk,nodisk,mq=4").value()};
  EXPECT(check_slots(slots, 4).ok());
  EXPECT_EQ(message_of(check_slots(slots, 2).error()),
            "-s 9:0,virtio-blk: mq=4: more queues than vCPUs (2); give mq=2 or --cpus 4");
}

// virtio-blk

TEST(block_defaults_are_those_of_the_manual) {
  const BlockOptions options = block_of("disk.img");
  EXPECT_EQ(path_of(options), "disk.img");
  EXPECT(!options.writeback && !options.read_only && !options.nocache && options.lock);
  EXPECT(!options.physical_sector && !options.range && !options.discard && !options.serial);
  EXPECT(options.engine == BlockEngine::kAuto && options.kick == KickMode::kAuto);
  EXPECT_EQ(options.logical_sector, 512u);
  EXPECT_EQ(options.iothreads, 0u);
  EXPECT_EQ(options.queues, 1u);
  EXPECT_EQ(options.queue_size, 64u);
}

TEST(block_source_is_a_path_nodisk_or_ram) {
  const struct {
    const char *text, *source;
  } rows[] = {
      {"disk.img", "disk.img"},
      {"/a dir/\xc3\xbc\xff,,x=1.img,ro", "/a dir/\xc3\xbc\xff,x=1.img"},
      {"nodisk", "nodisk"},
      {"/nodisk/disk.img", "/nodisk/disk.img"},
      {"nodisk.img", "nodisk.img"},
      {"ram:1M", "ram:1048576"},
      {"ram:512", "ram:512"},
      {"./ram:64M", "./ram:64M"},
      {"b,disk.img", "disk.img"},
      {"b,b,ro", "b"},
      {"b", "b"},
      {"./iothread", "./iothread"},
  };
  for (const auto& row : rows) EXPECT_EQ(path_of(block_of(row.text)), row.source);
  EXPECT(std::holds_alternative<NoDisk>(block_of("nodisk").source));
  EXPECT(std::holds_alternative<FilePath>(block_of("nodisk.img").source));
  EXPECT_EQ(path_of(block_of(std::string(4096, 'x'))).size(), 4096u);
}

TEST(block_flags_are_set) {
  EXPECT(block_of("d,writeback").writeback);
  EXPECT(block_of("d,ro").read_only);
  EXPECT(block_of("d,nocache").nocache);
  EXPECT(block_of("d,dontcache").dontcache);
  EXPECT(block_of("d,no_bst_block").lock);
  EXPECT(!block_of("d,lock=off").lock);
  EXPECT(block_of("d,lock=on").lock);
  EXPECT(block_of("d,aio=io_uring").engine == BlockEngine::kIoUring);
  EXPECT(block_of("d,aio=threads").engine == BlockEngine::kThreads);
  EXPECT(block_of("d,aio=threads,aio=auto").engine == BlockEngine::kAuto);
  EXPECT(block_of("d,kick=inline").kick == KickMode::kInline);
  EXPECT(block_of("d,kick=loop").kick == KickMode::kLoop);
  EXPECT(block_of("d,map=on").map == MapMode::kOn);
  EXPECT(block_of("d,map=off,nocache").map == MapMode::kOff);
}

TEST(a_time_to_poll_gives_a_disk_loops_of_its_own) {
  EXPECT(!block_of("d").poll);
  EXPECT_EQ(block_of("d,poll=0").poll.value_or(1), 0u);
  EXPECT_EQ(block_of("d,poll=200,mq=3").iothreads, 3u);
  EXPECT_EQ(block_of("d,poll=200,mq=3,iothread=2").iothreads, 2u);
}

TEST(limits_are_rates_with_bursts) {
  const BlockOptions options = block_of("d,iops=2000,iops_burst=5000,bps_rd=20M,throttle_group=gold");
  EXPECT(options.limits[LimitKind::kRequests] == (RateLimit{2000, 5000}));
  EXPECT(options.limits[LimitKind::kBytesRead] == (RateLimit{20 << 20, 0}));
  EXPECT_EQ(options.throttle_group, "gold");
  EXPECT(!block_of("d,iops=5,iops=0").limits.any());
  EXPECT_EQ(block_error_of("d,bps_wr_burst=5"), "bps_wr_burst: of no limit; give bps_wr=, or leave it out");
  EXPECT_EQ(block_error_of("d,throttle_group="),
            "throttle_group: the value is missing; give a name that slots share, like throttle_group=gold");
}

TEST(limits_are_changed_one_by_one) {
  const DiskLimits now = block_of("d,iops=2000,iops_burst=5000,bps=1M").limits;
  const auto change = [&](std::vector<std::string> fields) { return parse_limits(fields, now); };
  EXPECT(change({}).value() == now);
  EXPECT(change({"iops=0"}).value() == block_of("d,bps=1M").limits);
  EXPECT(change({"bps=2M", "bps_wr=5"}).value() == block_of("d,iops=2000,iops_burst=5000,bps=2M,bps_wr=5").limits);
  EXPECT_EQ(change({"iop=1"}).error().message, "'iop' is not a limit; did you mean iops?");
  EXPECT_EQ(change({"ro"}).error().message.substr(0, 20), "'ro' is not a limit;");
  EXPECT_EQ(change({"iops=x"}).error().message,
            "iops=x: not a limit; give a number, 0 to 1000000000, like 2000; 0: no limit");
  EXPECT_EQ(change({"bps_rd_burst=5"}).error().message, "bps_rd_burst: of no limit; give bps_rd=, or leave it out");
}

TEST(errors_of_writes_and_reads_have_a_policy_each) {
  EXPECT(block_of("d").write_errors == ErrorPolicy::kReport);
  EXPECT(block_of("d,werror=enospc,rerror=stop").write_errors == ErrorPolicy::kEnospc);
  EXPECT(block_of("d,werror=stop,rerror=stop").read_errors == ErrorPolicy::kStop);
  EXPECT_EQ(block_of("d,io_timeout=0").io_timeout, 0u);
}

TEST(block_values_are_read) {
  EXPECT_EQ(block_of("d,sectorsize=4096").logical_sector, 4096u);
  EXPECT(!block_of("d,sectorsize=4096").physical_sector);
  EXPECT_EQ(block_of("d,sectorsize=512/4096").physical_sector.value_or(0), 4096u);
  EXPECT_EQ(block_of("d,range=2048/4096").range->start, 2048u);
  EXPECT_EQ(block_of("d,range=2048/4096").range->size, 4096u);
  EXPECT_EQ(block_of("d,mq=4").queues, 4u);
  EXPECT_EQ(block_of("d,queue_size=1024").queue_size, 1024u);
  EXPECT_EQ(block_of("d,queue_size=2").queue_size, 2u);
  EXPECT_EQ(*block_of("d,serial=A b,,~01234567890123").serial, "A b,~01234567890123");
  EXPECT_EQ(block_of("d,discard").discard->max_sectors, 0u);
  const DiscardLimits limits = *block_of("d,discard=8192:256:8").discard;
  EXPECT_EQ(limits.max_sectors, 8192u);
  EXPECT_EQ(limits.max_segments, 256u);
  EXPECT_EQ(limits.alignment, 8u);
}

TEST(iothread_takes_a_count_and_cpus) {
  EXPECT_EQ(block_of("d,iothread").iothreads, 1u);
  EXPECT_EQ(block_of("d,iothread=2,mq=2").iothreads, 2u);
  const BlockOptions pinned = block_of("iothread=3@0:1:2/0:1,mq=4,d");
  EXPECT_EQ(pinned.iothreads, 3u);
  EXPECT(pinned.iothread_cpus == (CpuSets{{0, 1, 2}, {0, 1}}));
  EXPECT(block_of("iothread=1@4-6:0,d").iothread_cpus == (CpuSets{{4, 5, 6, 0}}));
}

TEST(iothreads_are_clamped_to_the_queues_wherever_mq_stands) {
  EXPECT_EQ(block_of("iothread=4,d").iothreads, 1u);
  EXPECT_EQ(block_of("iothread=4,mq=2,d").iothreads, 2u);
  EXPECT_EQ(block_of("iothread=4,d,mq=3").iothreads, 3u);
  EXPECT(block_of("iothread=2@0/1,d").iothread_cpus == (CpuSets{{0}}));
}

TEST(iothread_and_mq_stand_before_or_after_the_path) {
  for (const char* text : {"iothread=2,mq=2,d,ro", "mq=2,iothread=2,d,ro", "d,iothread=2,ro,mq=2",
                           "iothread=2,d,mq=2,ro", "b,iothread=2,mq=2,d,ro"}) {
    const BlockOptions options = block_of(text);
    EXPECT_EQ(path_of(options), "d");
    EXPECT(options.iothreads == 2 && options.queues == 2 && options.read_only);
  }
}

TEST(later_block_options_override_earlier_ones) {
  EXPECT(!block_of("d,writeback,writethru").writeback);
  EXPECT(block_of("d,writethru,writeback").writeback);
  EXPECT_EQ(block_of("mq=2,d,mq=3").queues, 3u);
  EXPECT(!block_of("d,sectorsize=512/4096,sectorsize=512").physical_sector);
  EXPECT(block_of("iothread=1@0,d,iothread=1").iothread_cpus.empty());
}

TEST(bad_block_sources_have_their_own_message) {
  const std::string missing =
      "the path is missing; give a file, a block device, nodisk, ram:<size>, an NBD URI, rbd:<pool>/<image> or "
      "vhost-user:<socket>";
  for (const char* text : {"", "iothread", "iothread=2,mq=2", "iothread,"}) EXPECT_EQ(block_error_of(text), missing);
  EXPECT_EQ(slot_error_of("9,virtio-blk,"), concat("-s 9:0,virtio-blk: ", missing));
  for (const char* text :
       {"ram:", "ram:0", "ram:1", "ram:513", "ram:x", "ram:-1", "ram:12Q", "ram:1M ", "ram:8589934592G"}) {
    EXPECT_EQ(block_error_of(text),
              concat(text, ": not a RAM disk; give bytes, a multiple of 512, or K, M or G, like ram:64M"));
  }
  EXPECT_EQ(block_error_of("fd:"),
            "fd: stands for a descriptor that comes with blkrescan; give a path (of such a file, ./fd:)");
  const auto with_nul = parse_slot(std::string_view("9,virtio-blk,disk\0.img", 22));
  EXPECT_CONTAINS(message_of(with_nul.error()), missing);
}

TEST(bad_block_values_have_their_own_message) {
  const struct {
    const char *key, *expects;
    std::vector<const char*> values;
  } rows[] = {
      {"sectorsize",
       "not a sector size; give <logical>[/<physical>] in bytes, powers of two with 512 <= logical <= "
       "physical, like sectorsize=512/4096",
       {"0", "256", "513", "512/", "/512", "4096/512", "512/513", "512/1024/2048", "512x", "4K", "2097152", "-512"}},
      {"range",
       "not a window; give <start>/<size> in logical sectors, like range=2048/4096",
       {"1", "/", "1/", "/1", "1/0", "a/b", "1/2/3", "1/2x", "-1/2", "18446744073709551616/1"}},
      {"discard",
       "not a set of discard limits; give <max_sectors>:<max_seg>:<alignment> with max_seg up to 256, like "
       "discard=8192:16:8, or just discard",
       {"1", "1:2", "1:2:3:4", "1:257:1", "4294967296:1:1", "a:b:c", "1:1:1x", "::"}},
      {"aio", "not an engine; give aio=auto, aio=threads or aio=io_uring", {"native", "Threads", "io_uring2"}},
      {"map", "not a way to read the page cache; give map=auto, map=on or map=off", {"yes", "On", "on1"}},
      {"kick", "not a way to serve kicks; give kick=auto, kick=inline or kick=loop", {"vcpu", "Loop", "inline2"}},
      {"iothread",
       "not a number of I/O threads; give 1 to 64, and CPUs for no more threads than that, like iothread=2 "
       "or iothread=2@0:1/2-3",
       {"0", "65", "x", "2@", "@0", "1@0/1", "1@0:0", "1@2-1", "1@1024", "1@a", "1@0/", "2@/0", "1@0@1"}},
      {"poll", "not a time to poll; give microseconds, 0 to 1000, like poll=200", {"1001", "x", "-1", "10us"}},
      {"iops", "not a limit; give a number, 0 to 1000000000, like 2000; 0: no limit", {"1000000001", "1K", "x", "-1"}},
      {"bps_wr", "not a limit; give bytes up to 1024G, like 20M; 0: no limit", {"1025G", "x", "1T"}},
      {"iops_rd_burst", "not a burst; give a number of requests, 1 to 1000000000, like 500", {"0", "1K"}},
      {"bps_burst", "not a burst; give bytes up to 1024G, like 4M", {"0", "x"}},
      {"io_timeout", "not a time; give seconds, 0 to 86400, like io_timeout=10", {"86401", "1s"}},
      {"werror", "not an error policy; give werror=report, werror=enospc or werror=stop", {"ignore", "Stop"}},
      {"rerror", "not an error policy; give rerror=report or rerror=stop", {"enospc", "ignore"}},
      {"mq", "not a number of queues; give 1 to 64, like mq=2", {"0", "65", "2x", "-1", "+2", "1.0"}},
      {"queue_size",
       "not a ring size; give a power of two from 2 to 1024, like queue_size=128",
       {"0", "1", "3", "100", "2048", "64K", "4294967360"}},
      {"serial",
       "not a serial; give 1 to 20 printable ASCII characters, like serial=DISK01",
       {"123456789012345678901", "\xc3\xbc", "a\tb", "a\nb"}},
      {"lock", "not a lock setting; give lock=on or lock=off", {"yes", "1", "ON"}},
  };
  for (const auto& row : rows) {
    for (const char* value : row.values) {
      const std::string option = concat(row.key, "=", value);
      const auto slot = parse_slot(concat("9,virtio-blk,disk.img,", option));
      EXPECT(!slot.ok());
      EXPECT_EQ(slot.error().message, concat("-s 9:0,virtio-blk: ", option, ": ", row.expects));
    }
    const std::string expects = std::string(row.expects).substr(std::string(row.expects).find("; give "));
    EXPECT_EQ(block_error_of(concat("disk.img,", row.key, "=")), concat(row.key, ": the value is missing", expects));
  }
}

TEST(faults_are_rules_that_stand_one_after_the_other) {
  const FaultRules faults =
      block_of("d,fault=write:EIO:sectors=8-15:skip=2:times=1+any:delay=20ms:chance=0.5:seed=7").faults;
  const FaultRule error{.op = BlockOp::kWrite, .error = EIO, .first = 8, .last = 15, .skip = 2, .times = 1};
  const FaultRule delay{.fault = FaultRule::Fault::kDelay, .delay = 20000, .chance = 0.5, .seed = 7};
  EXPECT(faults.rules == (std::vector{error, delay}));
  EXPECT(block_of("d,fault=read:short").faults.rules[0].fault == FaultRule::Fault::kShort);
  EXPECT_EQ(block_of("d,fault=any:ENOSPC:sectors=9").faults.rules[0].last, 9u);
}

TEST(the_word_of_a_fault_that_is_wrong_is_named) {
  const struct {
    const char *value, *expects;
  } rows[] = {
      {"write", "'write': give <operation>:<fault>[:<condition>...], like write:EIO:times=1"},
      {"writes:EIO", "'writes' is not an operation; did you mean write?"},
      {":EIO", "'' is not an operation; known: read, write, flush, discard, zero, any"},
      {"write:", "'': give an errno like EIO or ENOSPC, short, or delay=<time>"},
      {"write:EFOO", "'EFOO': give an errno like EIO or ENOSPC, short, or delay=<time>"},
      {"write:0", "'0': give an errno like EIO or ENOSPC, short, or delay=<time>"},
      {"read:delay=", "'delay=': give a time of at most a minute with us, ms or s, like delay=20ms"},
      {"read:delay=5", "'delay=5': give a time of at most a minute with us, ms or s, like delay=20ms"},
      {"read:delay=61s", "'delay=61s': give a time of at most a minute with us, ms or s, like delay=20ms"},
      {"any:short:", "'' is not a condition; known: sectors, skip, times, chance, seed"},
      {"any:EIO:sectors=9-8", "'sectors=9-8': give the first and the last, like sectors=8-15"},
      {"any:EIO:sectors=1-2-3", "'sectors=1-2-3': give the first and the last, like sectors=8-15"},
      {"any:EIO:chance=0", "'chance=0': give percent, more than 0 and at most 100"},
      {"any:EIO:chance=101", "'chance=101': give percent, more than 0 and at most 100"},
      {"any:EIO:times", "'times': give a number, like times=1"},
      {"any:EIO:times=0", "'times=0': give a number, like times=1"},
      {"any:EIO:skip=-1", "'skip=-1': give a number, like skip=1"},
      {"any:EIO:time=1", "'time' is not a condition; did you mean times?"},
      {"any:EIO:=", "'' is not a condition; known: sectors, skip, times, chance, seed"},
      {"read:EIO+", "'': give <operation>:<fault>[:<condition>...], like write:EIO:times=1"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(block_error_of(concat("disk.img,fault=", row.value)), concat("fault=", row.value, ": ", row.expects));
  }
  EXPECT_EQ(
      block_error_of("disk.img,fault="),
      "fault: the value is missing; give <operation>:<fault>[:<condition>...], like fault=write:EIO:sectors=0-7 or "
      "fault=read:delay=20ms:chance=1+flush:EIO:times=1");
}

TEST(block_options_that_need_a_value_say_so) {
  for (const char* key : {"sectorsize", "range", "aio", "mq", "queue_size", "serial", "lock"}) {
    EXPECT_CONTAINS(block_error_of(concat("disk.img,", key)), concat(key, ": the value is missing; give "));
  }
  for (const char* key : {"writethru", "writeback", "ro", "nocache", "dontcache", "no_bst_block"}) {
    EXPECT_EQ(block_error_of(concat("disk.img,", key, "=1")),
              concat(key, "=1: '", key, "' takes no value; write just ", key));
  }
}

TEST(unknown_block_options_name_the_nearest_known_one) {
  EXPECT_EQ(block_error_of("disk.img,discardfoo"), "'discardfoo' is not an option; did you mean discard?");
  EXPECT_EQ(block_error_of("disk.img,writethrough"), "'writethrough' is not an option; did you mean writethru?");
  EXPECT_EQ(block_error_of("disk.img,r"), "'r' is not an option; did you mean ro?");
  EXPECT_EQ(
      block_error_of("disk.img,RO"),
      "'RO' is not an option; known: writethru, writeback, ro, nocache, dontcache, "
      "no_bst_block, sectorsize, range, discard, aio, map, kick, iothread, poll, mq, queue_size, serial, lock, format, "
      "reader, backing, key, snapshot, share, reconnect, iops, iops_rd, iops_wr, bps, bps_rd, bps_wr, iops_burst, "
      "iops_rd_burst, iops_wr_burst, bps_burst, bps_rd_burst, bps_wr_burst, throttle_group, io_timeout, werror, "
      "rerror, log, fault, trace, conf, id");
  EXPECT_EQ(block_error_of("disk.img,queuesize=5"), "'queuesize' is not an option; did you mean queue_size?");
  EXPECT_EQ(block_error_of("disk.img,ro,"), "an option is empty; remove a comma (a comma in a path is written twice)");
}

TEST(memory_is_shared_only_with_a_program_that_serves_the_disk) {
  EXPECT(block_of("vhost-user:/run/disk.sock,share=on").share);
  EXPECT(block_of("disk.qcow2,format=qcow2,share=on").share);
  EXPECT(!block_of("disk.qcow2,format=qcow2").share);
  for (const char* const text : {"disk.img,share=on", "ram:1M,share=on", "rbd:rbd/vm1,share=on",
                                 "nbd://host/vm1,share=on", "disk.qcow2,format=qcow2,reader=qemu-nbd,share=on"}) {
    EXPECT_EQ(block_error_of(text),
              "share=on: for vhost-user: and for a format that qemu-storage-daemon reads; leave it out");
  }
}

TEST(window_past_what_a_file_can_be_is_an_error) {
  EXPECT_EQ(block_error_of("disk.img,range=9223372036854775807/2"),
            "range=9223372036854775807/2: ends past 18014398509481983, the last possible sector; give a "
            "smaller window");
  EXPECT_CONTAINS(block_error_of("disk.img,range=4503599627370495/1,sectorsize=4096"), "ends past 2251799813685247");
}

// The command line

TEST(defaults_of_the_command_line_are_those_of_the_manual) {
  const DmConfig config = config_of({"vm1"});
  EXPECT_EQ(config.vm_name, "vm1");
  EXPECT(config.uuid == uuid_of_name("vm1"));
  EXPECT_EQ(config.memory, uint64_t{256} << 20);
  EXPECT_EQ(config.vcpus, 1u);
  EXPECT(!config.kernel && !config.ramdisk && !config.hypervisor && !config.virtio_poll && !config.cmd_monitor);
  EXPECT(!config.metrics);
  EXPECT(!config.virtio_msi && !config.windows && !config.debug_exit && !config.dry_run);
  EXPECT(config.bootargs.empty() && config.serial_ports.empty() && config.cpu_affinity.empty());
  EXPECT(!config.logger.console && !config.logger.disk && !config.logger.kmsg);
  EXPECT(!config.sandbox && config.sandbox_paths.empty() && !config.user);
}

TEST(a_process_is_confined_where_that_was_tried) {
  const SandboxMode usual = kCanBeConfined ? SandboxMode::kOn : SandboxMode::kOff;
  EXPECT(sandbox_mode(config_of({"--hypervisor", "kvm", "vm1"})) == usual);
  EXPECT(sandbox_mode(config_of({"--serve", "nbd=.", "-s", "9,virtio-blk,a.img", "vm1"})) == usual);
  EXPECT(sandbox_mode(config_of({"--hypervisor", "acrn", "vm1"})) == SandboxMode::kOff);
  EXPECT(sandbox_mode(config_of({"--hypervisor", "acrn", "--sandbox", "on", "vm1"})) == SandboxMode::kOn);
  EXPECT(sandbox_mode(config_of({"--hypervisor", "kvm", "--sandbox", "off", "vm1"})) == SandboxMode::kOff);
  EXPECT(sandbox_mode(config_of({"--sandbox", "off", "--sandbox", "log", "vm1"})) == SandboxMode::kLog);
}

TEST(every_option_is_read_in_its_short_and_long_form) {
  const DmConfig config = config_of({"-s",
                                     "9,virtio-blk,a.img",
                                     "--pci_slot=10,virtio-blk,b.img",
                                     "--memsize",
                                     "1G",
                                     "-k",
                                     "bz",
                                     "--ramdisk=rd",
                                     "-B",
                                     "console=ttyS0 -- x",
                                     "-l",
                                     "com1,stdio",
                                     "--lpc",
                                     "com2,/dev/pts/3",
                                     "-U",
                                     "615db82a-e189-4b4f-8dbb-d321343e4ab3",
                                     "--cpus",
                                     "2",
                                     "--cpu_affinity",
                                     "3,1",
                                     "--hypervisor",
                                     "kvm",
                                     "-W",
                                     "--virtio_poll",
                                     "1000000",
                                     "--windows",
                                     "--debugexit",
                                     "--cmd_monitor",
                                     "/m.sock",
                                     "--metrics",
                                     "[::1]:9110",
                                     "--sandbox",
                                     "log",
                                     "--sandbox-path",
                                     "/images",
                                     "--sandbox-path=other.img",
                                     "--user",
                                     "nobody",
                                     "--logger_setting",
                                     "console,level=4;disk,level=5;kmsg,level=1",
                                     "--dry_run",
                                     "vm1"});
  EXPECT_EQ(config.slots.size(), 3u);
  EXPECT_EQ(path_of(*block_options(config.slots[2])), "b.img");
  EXPECT_EQ(config.memory, uint64_t{1} << 30);
  EXPECT_EQ(*config.kernel, "bz");
  EXPECT_EQ(*config.ramdisk, "rd");
  EXPECT_EQ(config.bootargs, "console=ttyS0 -- x");
  EXPECT_EQ(config.serial_ports.size(), 2u);
  EXPECT_EQ(config.serial_ports[1].backend, "/dev/pts/3");
  EXPECT_EQ(to_text(config.uuid), "615db82a-e189-4b4f-8dbb-d321343e4ab3");
  EXPECT(config.vcpus == 2 && config.cpu_affinity == (std::vector<unsigned>{3, 1}));
  EXPECT(config.hypervisor == HypervisorKind::kKvm);
  EXPECT(config.virtio_msi && config.windows && config.debug_exit && config.dry_run);
  EXPECT_EQ(config.virtio_poll.value_or(0), 1000000u);
  EXPECT_EQ(*config.cmd_monitor, "/m.sock");
  EXPECT_EQ(to_text(*config.metrics), "[::1]:9110");
  EXPECT(config.sandbox == SandboxMode::kLog);
  EXPECT(config.sandbox_paths == (std::vector<std::string>{"/images", "other.img"}));
  EXPECT_EQ(*config.user, "nobody");
  EXPECT(config.logger.console == 4 && config.logger.disk == 5 && config.logger.kmsg == 1);
  EXPECT(config_of({"--virtio_msi", "--hypervisor=acrn", "vm1"}).hypervisor == HypervisorKind::kAcrn);
}

TEST(memory_takes_units_and_is_rounded_up_to_two_mib) {
  const struct {
    const char* text;
    uint64_t mib;
  } rows[] = {
      {"256M", 256}, {"256m", 256}, {"512", 512}, {"1g", 1024},   {"1G", 1024},
      {"2048K", 2},  {"1k", 2},     {"3M", 4},    {"1025", 1026}, {"65536G", uint64_t{65536} << 10},
  };
  for (const auto& row : rows) EXPECT_EQ(config_of({"-m", row.text, "vm1"}).memory, row.mib << 20);
  EXPECT_EQ(config_of({"-m512M", "vm1"}).memory, uint64_t{512} << 20);
}

TEST(the_last_of_two_scalars_wins_and_slots_add_up) {
  EXPECT_EQ(config_of({"-m", "1G", "-m", "512M", "vm1"}).memory, uint64_t{512} << 20);
  const DmConfig config = config_of({"-l", "com1,stdio", "-l", "com1,/dev/pts/1", "vm1"});
  EXPECT_EQ(config.serial_ports.size(), 1u);
  EXPECT_EQ(config.serial_ports[0].backend, "/dev/pts/1");
}

TEST(values_may_look_like_options) {
  EXPECT_EQ(config_of({"-B", "--dry_run", "vm1"}).bootargs, "--dry_run");
  EXPECT_EQ(config_of({"-B", "[a,b]", "vm1"}).bootargs, "[a,b]");
  EXPECT_EQ(config_of({"-B", "", "vm1"}).bootargs, "");
  EXPECT_EQ(config_of({"-B", "--kernel=", "vm1"}).bootargs, "--kernel=");
  EXPECT_EQ(config_of({"--bootargs=", "vm1"}).bootargs, "");
  EXPECT_EQ(config_of({"--", "-vm"}).vm_name, "-vm");
}

TEST(a_missing_host_bridge_is_added_at_slot_zero) {
  const auto added = config_of({"-s", "9,virtio-blk,nodisk", "vm1"}).slots;
  EXPECT_EQ(added.size(), 2u);
  EXPECT_EQ(added[0].device->name, "hostbridge");
  EXPECT_EQ(full_name(added[0].address), "0:0:0");
  EXPECT_EQ(config_of({"-s", "0:0,hostbridge", "vm1"}).slots.size(), 1u);
  EXPECT_EQ(error_of({"-s", "0,virtio-blk,nodisk", "vm1"}),
            "-s 0:0,virtio-blk: slot 0:0 is the host bridge's; choose another slot for virtio-blk (nodisk)");
}

TEST(firmware_has_a_host_bridge_of_its_own) {
  for (const auto& slots : {config_of({"--ovmf", "CLOUDHV.fd", "vm1"}).slots,
                            config_of({"--ovmf", "CLOUDHV.fd", "-s", "0:0,hostbridge", "vm1"}).slots}) {
    EXPECT_EQ(slots.size(), 1u);
    EXPECT_EQ(slots[0].device->name, "cloudhv_hostbridge");
  }
}

TEST(affinity_counts_the_vcpus) {
  EXPECT_EQ(config_of({"--cpu_affinity", "0-3", "-s", "9,virtio-blk,nodisk,mq=4", "vm1"}).vcpus, 4u);
  EXPECT_EQ(error_of({"--cpu_affinity", "1,3", "--cpus", "3", "vm1"}),
            "--cpu_affinity 1,3: 2 host CPUs for 3 vCPUs; give one for each");
}

TEST(bad_values_of_the_command_line_have_their_own_message) {
  const struct {
    const char *option, *expects;
    std::vector<std::string> values;
  } rows[] = {
      {"-m",
       "not a memory size; give a number with K, M or G, like 512M",
       {"12Q", "0", "0G", "-1", "M", "1.5G", "65537G", "99999999999999999999", "512MB", " 512M"}},
      {"-B", "not a kernel command line; give at most 2047 bytes, like -B \"console=ttyS0\"", {std::string(2048, 'x')}},
      {"-l",
       "not a serial port; give com1 to com4 and stdio, a pty or a path, like -l com1,stdio",
       {"com1", "com1,", "com0,stdio", "com5,stdio", "com01,stdio", "com1,stdio,x", "lpt1,stdio", "bootrom,x"}},
      {"-U",
       "not a UUID; give 36 characters, like 615db82a-e189-4b4f-8dbb-d321343e4ab3",
       {"1", "615db82a-e189-4b4f-8dbb-d321343e4ab", "615db82ae1894b4f8dbbd321343e4ab3"}},
      {"--cpus", "not a number of vCPUs; give 1 to 16, like --cpus 2", {"0", "17", "2x", "-1"}},
      {"--cpu_affinity",
       "not a list of host CPUs; give up to 16 different numbers below 1024, like "
       "--cpu_affinity 0,2-3",
       {"a", "0,", "0,0", "3-1", "1024", "0-16"}},
      {"--hypervisor", "not a hypervisor; give acrn or kvm, like --hypervisor kvm", {"xen", "KVM", "kvm "}},
      {"--virtio_poll",
       "not a polling interval; give nanoseconds from 1 to 10000000, like --virtio_poll 1000000",
       {"0", "10000001", "1ms"}},
      {"--cmd_monitor",
       "not a socket path; give a path of 1 to 107 bytes, like --cmd_monitor /run/acrn/vm1.sock",
       {std::string(108, 'x')}},
      {"--metrics",
       "not a place for metrics; give the path of a socket, or a port of 127.0.0.1 or [::1], like --metrics "
       "127.0.0.1:9110",
       {"0", "65536", "0.0.0.0:9110", "10.0.0.1:9110", ":9110", "[::]:9110", "::1:9110", "localhost:9110",
        "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:0", std::string(108, 'x')}},
      {"--sandbox",
       "not a way to confine the process; give on, log or off, like --sandbox log",
       {"yes", "On", "1", "on "}},
      {"--logger_setting",
       "not a logger setting; give console, disk or kmsg with level=1 to 5, like "
       "\"console,level=4;disk,level=5\"",
       {"console", "console,4", "console,level=0", "console,level=4;", "file,level=4", "console,level=4,disk,level=4",
        "console,level=4x"}},
  };
  for (const auto& row : rows) {
    for (const std::string& value : row.values) {
      EXPECT_EQ(error_of({row.option, value, "vm1"}), concat(row.option, " ", value, ": ", row.expects));
    }
  }
}

TEST(a_log_level_above_the_highest_is_the_highest) {
  EXPECT_EQ(config_of({"--logger_setting", "kmsg,level=6", "vm1"}).logger.kmsg.value_or(0), 5);
}

TEST(what_acrn_alone_has_is_told_from_a_mistake) {
  EXPECT_EQ(slot_error_of("4,virtio-net,tap=tap0"),
            "-s 4:0,virtio-net: not supported by this device model; remove the slot");
  EXPECT_EQ(slot_error_of("5,virtio-console,@stdio:stdio_port"),
            "-s 5:0,virtio-console: not supported; give a serial port, like -l com1,stdio");
}

TEST(metrics_are_at_a_path_or_at_a_port_of_this_host) {
  const std::pair<const char*, const char*> rows[] = {
      {"9110", "127.0.0.1:9110"},     {"127.0.0.1:1", "127.0.0.1:1"},
      {"[::1]:65535", "[::1]:65535"}, {"/run/acrn/m.sock", "/run/acrn/m.sock"},
      {"./9110", "./9110"},           {"./a:9110", "./a:9110"},
      {"metrics", "metrics"}};
  for (const auto& [text, place] : rows) EXPECT_EQ(to_text(*config_of({"--metrics", text, "vm1"}).metrics), place);
}

TEST(empty_values_are_shown_as_such) {
  for (const char* option : {"-m", "-k", "-r", "-l", "-U", "--cpus", "--cmd_monitor", "--metrics", "--logger_setting",
                             "--sandbox", "--sandbox-path", "--user"}) {
    EXPECT_CONTAINS(error_of({option, "", "vm1"}), concat(option, " '': not a"));
  }
  EXPECT_CONTAINS(error_of({"--kernel=", "vm1"}), "-k '': not a path; give the path of a kernel");
}

TEST(stdio_serves_one_serial_port) {
  EXPECT_EQ(error_of({"-l", "com1,stdio", "-l", "com2,stdio", "vm1"}),
            "-l com2,stdio: stdio is already taken by another port; give a pty or a path, like -l com2,/dev/pts/3");
}

TEST(a_missing_value_names_what_would_be_right) {
  EXPECT_EQ(error_of({"vm1", "-m"}), "-m: the value is missing; give a number with K, M or G, like 512M");
  EXPECT_EQ(error_of({"vm1", "--pci_slot"}),
            "--pci_slot: the value is missing; give a PCI function, like -s 9,virtio-blk,disk.img");
  EXPECT_EQ(error_of({"vm1", "-G"}), "-G: the value is missing; give one");
  EXPECT_EQ(error_of({"--windows=1", "vm1"}), "--windows=1: --windows takes no value; write just --windows");
}

TEST(an_unknown_option_names_the_nearest_known_one) {
  EXPECT_EQ(error_of({"--memsiz", "512M", "vm1"}), "--memsiz: unknown option; did you mean --memsize?");
  EXPECT_EQ(error_of({"--dry-run=1", "vm1"}), "--dry-run: unknown option; did you mean --dry_run?");
  EXPECT_EQ(error_of({"-Q", "vm1"}), "-Q: unknown option; acrn-dm --help all lists the known ones");
  EXPECT_EQ(error_of({"-WQ", "vm1"}), "-Q: unknown option; acrn-dm --help all lists the known ones");
  EXPECT_EQ(error_of({"-", "vm1"}), "-: unknown option; acrn-dm --help all lists the known ones");
}

TEST(there_is_exactly_one_printable_vm_name) {
  EXPECT_EQ(error_of({}), "the VM name is missing; give it last, like acrn-dm -m 512M vm1");
  EXPECT_EQ(error_of({"a", "b"}), "two VM names, 'a' and 'b'; give one, and quote values that contain spaces");
  for (const std::string& name : {std::string(), std::string("a/b"), std::string("."), std::string(".."),
                                  std::string("a\x07"), std::string("\xc3\xbc"), std::string(64, 'x')}) {
    EXPECT_EQ(error_of({name}),
              concat("'", name, "': not a VM name; give 1 to 63 printable ASCII characters without '/', like vm1"));
  }
  EXPECT_EQ(config_of({std::string(63, 'x')}).vm_name.size(), 63u);
}

TEST(obsolete_options_of_acrn_warn_and_go_on) {
  const struct {
    Arguments arguments;
    const char* name;
  } rows[] = {
      {{"-A"}, "-A"},
      {{"--acpi"}, "-A"},
      {{"-Y"}, "-Y"},
      {{"--mptgen"}, "-Y"},
      {{"-G", "10 128 6"}, "-G"},
      {{"--gvtargs", "1 2 3"}, "-G"},
      {{"-i", "/run/ioc,0x20"}, "-i"},
      {{"--ioc_node=x"}, "-i"},
      {{"--vsbl", "VSBL.bin"}, "--vsbl"},
      {{"--part_info", "x"}, "--part_info"},
      {{"--mac_seed", "x"}, "--mac_seed"},
      {{"--pm_notify_channel", "uart"}, "--pm_notify_channel"},
      {{"--pm_by_vuart", "pty,/run/x"}, "--pm_by_vuart"},
  };
  for (const auto& row : rows) {
    Arguments arguments = row.arguments;
    arguments.push_back("vm1");
    EXPECT_EQ(config_of(arguments).vm_name, "vm1");
    const ParseOutcome outcome = parse_command_line(arguments);
    EXPECT_EQ(outcome.warnings.size(), 1u);
    EXPECT_EQ(outcome.warnings[0], concat(row.name, ": obsolete and ignored; remove it"));
  }
}

TEST(other_options_of_acrn_are_refused_not_ignored) {
  for (const ForeignOption& option : unsupported_options()) {
    for (const std::string_view name : split_at(option.names, ',')) {
      Arguments arguments = {std::string(name)};
      if (option.takes_value) arguments.push_back("value");
      arguments.push_back("vm1");
      EXPECT_EQ(error_of(arguments),
                concat(first_name(option.names), ": not supported by this device model; remove it"));
    }
  }
}

TEST(a_function_that_guests_cannot_find_is_a_warning) {
  const ParseOutcome outcome = parse_command_line({"-s", "9:1,virtio-blk,nodisk", "vm1"});
  EXPECT_EQ(outcome.warnings.size(), 1u);
  EXPECT_EQ(outcome.warnings[0], "-s 9:1,virtio-blk: guests will not find it, since 9:0 is empty");
  EXPECT(parse_command_line({"-s", "9:1,virtio-blk,nodisk", "-s", "9,virtio-blk,nodisk", "vm1"}).warnings.empty());
}

TEST(help_shows_every_option_with_an_example) {
  const ParseOutcome outcome = parse_command_line({"-h", "all"});
  const std::string help = std::get<Printout>(outcome.result).text;
  for (const CommandOption& option : command_options()) {
    for (const std::string_view name : split_at(option.names, ',')) EXPECT_CONTAINS(help, std::string(name));
    EXPECT_CONTAINS(help, std::string(option.example));
    EXPECT(option.example.starts_with("-"));
  }
}

TEST(each_option_is_in_one_topic_of_help) {
  std::map<std::string_view, int> topics;
  for (const HelpTopic& topic : help_topics()) {
    for (const std::string_view option : topic.options) {
      EXPECT_CONTAINS(*help_text(topic.name), concat("\n  ", option));
      topics[option]++;
    }
  }
  for (const CommandOption& option : command_options()) EXPECT_EQ(topics[first_name(option.names)], 1);
  for (const auto& row : block_option_rows()) EXPECT_EQ(topics[row.key], 1);
  EXPECT_EQ(topics.size(), command_options().size() + block_option_rows().size());
}

TEST(the_example_of_each_topic_of_help_is_accepted) {
  for (const HelpTopic& topic : help_topics()) {
    Arguments arguments;
    for (const std::string_view word : split_at(topic.example, ' ')) {
      if (!word.empty()) arguments.emplace_back(word);
    }
    arguments.push_back("vm1");
    config_of(arguments);
  }
}

TEST(a_wrong_topic_of_help_names_the_nearest_and_a_vm_name_is_none) {
  EXPECT_EQ(std::get<Printout>(parse_command_line({"-h", "disks", "images"}).result).text, *help_text("disks"));
  EXPECT_EQ(std::get<Printout>(parse_command_line({"-h", "format"}).result).text, *help_text("images"));
  EXPECT_EQ(std::get<Printout>(parse_command_line({"-h", "metrics"}).result).text, *help_text("operate"));
  EXPECT_EQ(error_of({"--help", "diks"}), "--help: 'diks' is not a topic; did you mean disks?");
  for (const Arguments& arguments : {Arguments{"-h"}, Arguments{"-m", "1G", "--help", "vm1"}, Arguments{"vm1", "-h"}}) {
    EXPECT_EQ(std::get<Printout>(parse_command_line(arguments).result).text, *help_text());
  }
}

TEST(help_and_version_need_nothing_else_to_be_right) {
  for (const Arguments& arguments : {Arguments{"--help", "-m", "12Q"}, Arguments{"-h", "--nonsense", "a", "b"}}) {
    EXPECT(std::holds_alternative<Printout>(parse_command_line(arguments).result));
  }
  EXPECT_EQ(std::get<Printout>(parse_command_line({"-v"}).result).text.substr(0, 8), "acrn-dm ");
  EXPECT(std::get<Printout>(parse_command_line({"--version"}).result).text.ends_with("\n"));
}

// What the manual says of the options of a disk (dm/reference).
TEST(a_default_value_in_the_table_is_what_holds_without_the_option) {
  unsigned defaults = 0;
  for (const auto& row : block_option_rows()) {
    if (row.default_value.empty()) continue;
    defaults++;
    EXPECT(block_of(concat("disk.img,", row.key, "=", row.default_value)) == block_of("disk.img"));
  }
  EXPECT_EQ(defaults, 15u);
}

TEST(map_on_is_for_what_has_a_page_cache_of_ours) {
  for (const char* text : {"ram:1M,map=on", "nbd://host,map=on", "disk,format=qcow2,map=on", "disk,snapshot,map=on"}) {
    EXPECT_CONTAINS(slot_error_of(concat("9,virtio-blk,", text)), "map=on: for a raw file or a block device");
  }
  EXPECT_CONTAINS(slot_error_of("9,virtio-blk,disk,nocache,map=on"),
                  "map=on: with nocache nothing is in the page cache; leave one of them out");
  EXPECT_CONTAINS(slot_error_of("9,virtio-blk,disk,dontcache,map=on"), "map=on: with dontcache nothing is in the page");
}

TEST(dontcache_is_for_what_has_a_page_cache_of_ours) {
  for (const char* text : {"ram:1M,dontcache", "nbd://host,dontcache", "disk,format=qcow2,dontcache"}) {
    EXPECT_CONTAINS(slot_error_of(concat("9,virtio-blk,", text)), "dontcache: for a raw file or a block device");
  }
  EXPECT_CONTAINS(slot_error_of("9,virtio-blk,disk,nocache,dontcache"),
                  "dontcache: nocache does without the page cache; leave one of them out");
}

TEST(an_rbd_image_has_a_pool_and_may_have_a_snapshot) {
  const auto name_of = [](std::string_view text) { return std::get<RbdName>(block_of(text).source); };
  EXPECT(name_of("rbd:rbd/vm1") == (RbdName{"rbd", "vm1", ""}));
  EXPECT(name_of("rbd:rbd/vm1@monday,ro,conf=ceph.conf,id=vm1") == (RbdName{"rbd", "vm1", "monday"}));
  for (const char* text :
       {"rbd:", "rbd:vm1", "rbd:/vm1", "rbd:rbd/", "rbd:rbd/vm1@", "rbd:rbd/@monday", "rbd:a/b/c", "rbd:r@d/vm1"}) {
    EXPECT_CONTAINS(slot_error_of(concat("9,virtio-blk,", text)),
                    concat(text, ": no RBD image; give rbd:<pool>/<image>"));
  }
  EXPECT_CONTAINS(slot_error_of("9,virtio-blk,rbd:rbd/vm1,nocache"), "nocache: how Ceph caches is its own choice");
  EXPECT_CONTAINS(slot_error_of("9,virtio-blk,rbd:rbd/vm1,aio=threads"), "aio: Ceph has an engine of its own");
  EXPECT_CONTAINS(slot_error_of("9,virtio-blk,rbd:rbd/vm1,snapshot"), "snapshot: for a file");
  EXPECT_CONTAINS(slot_error_of("9,virtio-blk,disk.img,id=vm1"), "id: for a disk of Ceph's");
  EXPECT_CONTAINS(slot_error_of("9,virtio-blk,disk.img,conf="), "like conf=/etc/ceph/ceph.conf");
}

TEST(a_luks_image_has_a_key_and_nothing_else_has) {
  EXPECT_EQ(block_of("disk,format=luks,key=vm1.key").key, "vm1.key");
  EXPECT_CONTAINS(slot_error_of("9,virtio-blk,disk,format=luks"),
                  "format=luks: its passphrase is missing; give key=<file>");
  EXPECT_CONTAINS(slot_error_of("9,virtio-blk,disk,format=luks,key="), "like key=/etc/acrn/vm1.key");
  EXPECT_CONTAINS(slot_error_of("9,virtio-blk,disk,key=vm1.key"), "key: for a LUKS image");
  EXPECT_CONTAINS(slot_error_of("9,virtio-blk,disk,format=luks,key=k,snapshot"), "snapshot: of a LUKS image");
}

TEST(each_word_that_a_shell_may_offer_is_accepted) {
  for (const auto& row : block_option_rows()) {
    EXPECT(!row.help.empty());
    EXPECT_EQ(row.argument.empty(), row.value == ValueRule::kNone);
    if (row.words.empty()) continue;
    for (const std::string_view word : split_at(row.words, ' ')) {
      block_of(concat("disk.img,", row.key, "=", word,
                      word == "luks"       ? ",key=file"
                      : row.key == "share" ? ",format=qcow2"
                                           : ""));
    }
  }
  for (const CommandOption& option : command_options()) {
    if (option.accept == nullptr || option.words == kPathWord || option.words == kTopicWord || option.words.empty()) {
      continue;
    }
    for (const std::string_view word : split_at(option.words, ' ')) {
      DmConfig config;
      const bool is_whole = !word.ends_with(',') && !word.ends_with('=');
      EXPECT_EQ(option.accept(config, word), is_whole);
    }
  }
}

}  // namespace acrn
