#include "dm/devices/block_device_options.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <utility>

#include "dm/cli/option_table.h"
#include "dm/devices/fault_rules.h"

namespace acrn {
namespace {

using Row = OptionRow<BlockOptions>;
using Text = std::string_view;

constexpr uint64_t kMaxBytes = std::numeric_limits<int64_t>::max();  // what an off_t can reach
constexpr uint32_t kMaxSector = 1 << 20;
constexpr uint32_t kMostSeconds = 86400;
constexpr uint32_t kLongestPoll = 1000;             // microseconds
constexpr uint64_t kMostRequests = 1'000'000'000;   // a second
constexpr uint64_t kMostBytes = uint64_t{1} << 40;  // a second
constexpr size_t kMaxSerial = 20;                   // VIRTIO_BLK_ID_BYTES

bool printable(Text text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

std::optional<uint32_t> parse_number32(Text text, uint32_t low, uint32_t high) {
  const auto number = parse_number(text, low, high);
  if (!number) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

std::optional<uint32_t> parse_power_of_two(Text text, uint32_t low, uint32_t high) {
  const auto number = parse_number32(text, low, high);
  return number && std::has_single_bit(*number) ? number : std::nullopt;
}

bool accept_sectorsize(BlockOptions& options, Text value) {
  const auto parts = split_at(value, '/');
  const auto logical = parse_power_of_two(parts[0], 512, kMaxSector);
  if (!logical || parts.size() > 2) return false;
  std::optional<uint32_t> physical;
  if (parts.size() == 2) {
    physical = parse_power_of_two(parts[1], *logical, kMaxSector);
    if (!physical) return false;
  }
  options.logical_sector = *logical;
  options.physical_sector = physical;
  return true;
}

bool accept_range(BlockOptions& options, Text value) {
  const auto parts = split_at(value, '/');
  if (parts.size() != 2) return false;
  const auto start = parse_number(parts[0], 0, kMaxBytes);
  const auto size = parse_number(parts[1], 1, kMaxBytes);
  if (!start || !size) return false;
  options.range = BlockRange{*start, *size};
  return true;
}

bool accept_discard(BlockOptions& options, Text value) {
  DiscardLimits limits;
  if (!value.empty()) {
    const auto parts = split_at(value, ':');
    if (parts.size() != 3) return false;
    const auto max_sectors = parse_number32(parts[0], 0, std::numeric_limits<uint32_t>::max());
    const auto max_segments = parse_number32(parts[1], 0, kMaxDiscardSegments);
    const auto alignment = parse_number32(parts[2], 0, std::numeric_limits<uint32_t>::max());
    if (!max_sectors || !max_segments || !alignment) return false;
    limits = {*max_sectors, *max_segments, *alignment};
  }
  options.discard = limits;
  return true;
}

template <auto member, const auto& words>
bool accept_choice(BlockOptions& options, Text value) {
  const auto choice = choice_of(words, value);
  if (choice) options.*member = *choice;
  return choice.has_value();
}

// "" or "K" or "K@cpus/cpus/...": the CPUs of the n-th thread, each set like "0:2-3".
bool accept_iothread(BlockOptions& options, Text value) {
  const size_t at = value.find('@');
  const auto count = value.empty() ? 1 : parse_number32(value.substr(0, at), 1, kMaxIoThreads);
  if (!count) return false;
  std::vector<std::vector<unsigned>> cpus;
  if (at != Text::npos) {
    for (const Text set : split_at(value.substr(at + 1), '/')) {
      const auto parsed = parse_cpus(set, ':');
      if (!parsed || cpus.size() == *count) return false;
      cpus.push_back(*parsed);
    }
  }
  options.iothreads = *count;
  options.iothread_cpus = std::move(cpus);
  return true;
}

// Its rules are read with all options, so that the word that is wrong can be named.
bool accept_faults(BlockOptions& options, Text value) {
  options.faults = {.text = std::string(value), .rules = {}};
  return true;
}

bool accept_poll(BlockOptions& options, Text value) {
  const auto time = parse_number32(value, 0, kLongestPoll);
  if (time) options.poll = *time;
  return time.has_value();
}

bool accept_queues(BlockOptions& options, Text value) {
  const auto queues = parse_number32(value, 1, kMaxQueues);
  if (queues) options.queues = *queues;
  return queues.has_value();
}

bool accept_queue_size(BlockOptions& options, Text value) {
  const auto size = parse_power_of_two(value, 2, 1024);
  if (size) options.queue_size = *size;
  return size.has_value();
}

bool accept_serial(BlockOptions& options, Text value) {
  if (value.size() > kMaxSerial || !printable(value)) return false;
  options.serial = std::string(value);
  return true;
}

template <auto member>
bool accept_switch(BlockOptions& options, Text value) {
  if (value != "on" && value != "off") return false;
  options.*member = value == "on";
  return true;
}

// One of `names`, which are in the order of their values.
template <auto member, const auto& names>
bool accept_name(BlockOptions& options, Text value) {
  const auto found = std::find(names.begin(), names.end(), value);
  if (found == names.end()) return false;
  using Value = std::remove_reference_t<decltype(options.*member)>;
  options.*member = static_cast<Value>(found - names.begin());
  return true;
}

bool accept_backing(BlockOptions& options, Text value) {
  options.follow_backing = value == "follow";
  return options.follow_backing || value == "none";
}

// A text that a library or another program gets as it is.
template <std::string BlockOptions::*member>
bool accept_text(BlockOptions& options, Text value) {
  options.*member = value;
  return !value.empty() && value.find('\0') == Text::npos;
}

bool accept_snapshot(BlockOptions& options, Text) { return options.snapshot = true; }

template <unsigned BlockOptions::*member>
bool accept_seconds(BlockOptions& options, Text value) {
  const auto time = parse_number32(value, 0, kMostSeconds);
  if (time) options.*member = *time;
  return time.has_value();
}

// A number of requests, or of bytes.
std::optional<uint64_t> parse_amount(LimitKind kind, Text value) {
  if (!counts_bytes(kind)) return parse_number(value, 0, kMostRequests);
  const auto bytes = parse_size(value, 1);
  return bytes && *bytes <= kMostBytes ? bytes : std::nullopt;
}

template <LimitKind kind>
bool accept_limit(BlockOptions& options, Text value) {
  const auto rate = parse_amount(kind, value);
  if (!rate) return false;
  options.limits[kind].rate = *rate;
  if (*rate == 0) options.limits[kind] = {};
  return true;
}

template <LimitKind kind>
bool accept_burst(BlockOptions& options, Text value) {
  const auto burst = parse_amount(kind, value);
  if (burst) options.limits[kind].burst = *burst;
  return burst && *burst != 0;
}

bool accept_writethru(BlockOptions& options, Text) { return !(options.writeback = false); }
bool accept_writeback(BlockOptions& options, Text) { return options.writeback = true; }
bool accept_ro(BlockOptions& options, Text) { return options.read_only = true; }
bool accept_nocache(BlockOptions& options, Text) { return options.nocache = true; }
bool accept_dontcache(BlockOptions& options, Text) { return options.dontcache = true; }
// ACRN's ordering of adjacent requests, which nothing here needs to be told to leave out.
bool accept_nothing(BlockOptions&, Text) { return true; }

constexpr Text kRateExpects = "a number, 0 to 1000000000, like 2000; 0: no limit";
constexpr Text kBytesExpects = "bytes up to 1024G, like 20M; 0: no limit";
constexpr Text kBurstExpects = "a number of requests, 1 to 1000000000, like 500";
constexpr Text kBytesBurstExpects = "bytes up to 1024G, like 4M";

template <LimitKind kind>
constexpr Row limit_row(Text key, Text help) {
  return {.key = key,
          .value = ValueRule::kRequired,
          .accept = accept_limit<kind>,
          .kind = "a limit",
          .expects = counts_bytes(kind) ? kBytesExpects : kRateExpects,
          .argument = "<n>",
          .help = help};
}

template <LimitKind kind>
constexpr Row burst_row(Text key, Text help) {
  return {.key = key,
          .value = ValueRule::kRequired,
          .accept = accept_burst<kind>,
          .kind = "a burst",
          .expects = counts_bytes(kind) ? kBytesBurstExpects : kBurstExpects,
          .argument = "<n>",
          .help = help};
}

constexpr Row kRows[] = {
    {.key = "writethru",
     .accept = accept_writethru,
     .help = "a write completes when it is on stable storage; the default",
     .manual = "A write completes when it is on stable storage. This is the default."},
    {.key = "writeback",
     .accept = accept_writeback,
     .help = "a write completes in the host's page cache, and a flush makes it stable"},
    {.key = "ro", .accept = accept_ro, .help = "serve the disk read-only"},
    {.key = "nocache", .accept = accept_nocache, .help = "direct I/O, past the host's page cache"},
    {.key = "dontcache",
     .accept = accept_dontcache,
     .help = "through the host's page cache, but nothing stays there; Linux 6.14 or newer"},
    {.key = "no_bst_block", .accept = accept_nothing, .help = "accepted for ACRN's sake, without effect"},
    {.key = "sectorsize",
     .value = ValueRule::kRequired,
     .accept = accept_sectorsize,
     .kind = "a sector size",
     .expects = "<logical>[/<physical>] in bytes, powers of two with 512 <= logical <= physical, like "
                "sectorsize=512/4096",
     .argument = "<logical>[/<physical>]",
     .default_value = "512",
     .help = "the sizes of a sector in bytes, powers of two from 512 to 1048576",
     .manual =
         "The sizes of a sector in bytes, powers of two from 512 to 1048576. The default is 512, and the physical "
         "size of the file or device."},
    {.key = "range",
     .value = ValueRule::kRequired,
     .accept = accept_range,
     .kind = "a window",
     .expects = "<start>/<size> in logical sectors, like range=2048/4096",
     .argument = "<start>/<size>",
     .help = "serve a window only, in logical sectors"},
    {.key = "discard",
     .value = ValueRule::kOptional,
     .accept = accept_discard,
     .kind = "a set of discard limits",
     .expects = "<max_sectors>:<max_seg>:<alignment> with max_seg up to 256, like discard=8192:16:8, or just discard",
     .argument = "<max_sectors>:<max_seg>:<alignment>",
     .help = "offer DISCARD and WRITE_ZEROES",
     .manual =
         "Offer DISCARD and WRITE_ZEROES. The limits are sectors of 512 bytes, segments, up to 256, and sectors of "
         "512 bytes; 0 is the device's default."},
    {.key = "aio",
     .value = ValueRule::kRequired,
     .accept = accept_choice<&BlockOptions::engine, kEngineWords>,
     .kind = "an engine",
     .expects = "aio=auto, aio=threads or aio=io_uring",
     .argument = "auto|threads|io_uring",
     .default_value = "auto",
     .help = "the engine: up to 8 worker threads for each disk, or io_uring",
     .manual =
         "The engine. By default io_uring with nocache where the host allows it, and up to 8 worker threads otherwise.",
     .words = "auto threads io_uring"},
    {.key = "map",
     .value = ValueRule::kRequired,
     .accept = accept_choice<&BlockOptions::map, kMapWords>,
     .kind = "a way to read the page cache",
     .expects = "map=auto, map=on or map=off",
     .argument = "auto|on|off",
     .default_value = "auto",
     .help = "read what is in the page cache by a mapping of the file, without a system call",
     .words = "auto on off"},
    {.key = "kick",
     .value = ValueRule::kRequired,
     .accept = accept_choice<&BlockOptions::kick, kKickWords>,
     .kind = "a way to serve kicks",
     .expects = "kick=auto, kick=inline or kick=loop",
     .argument = "auto|inline|loop",
     .default_value = "auto",
     .help = "where a kick is served: on the thread that kicks, or on the queue's loop",
     .words = "auto inline loop"},
    {.key = "iothread",
     .value = ValueRule::kOptional,
     .accept = accept_iothread,
     .kind = "a number of I/O threads",
     .expects = "1 to 64, and CPUs for no more threads than that, like iothread=2 or iothread=2@0:1/2-3",
     .argument = "<K>[@<cpus>[/<cpus>...]]",
     .help = "K event loops for the queues, 1 without a number, and the host CPUs of each",
     .manual = "K event loops for the queues, 1 without a number, and the host CPUs of each, like 2@0:1/2-3."},
    {.key = "poll",
     .value = ValueRule::kRequired,
     .accept = accept_poll,
     .kind = "a time to poll",
     .expects = "microseconds, 0 to 1000, like poll=200",
     .argument = "<us>",
     .help = "the longest that a loop of the disk's own polls for kicks before it sleeps; 0: it never does"},
    {.key = "mq",
     .value = ValueRule::kRequired,
     .accept = accept_queues,
     .kind = "a number of queues",
     .expects = "1 to 64, like mq=2",
     .argument = "<Q>",
     .default_value = "1",
     .help = "queues, 1 to 64, at most the vCPUs"},
    {.key = "queue_size",
     .value = ValueRule::kRequired,
     .accept = accept_queue_size,
     .kind = "a ring size",
     .expects = "a power of two from 2 to 1024, like queue_size=128",
     .argument = "<N>",
     .default_value = "64",
     .help = "ring entries, a power of two from 2 to 1024; with vhost-user the most that a driver may choose, and at "
             "least 256"},
    {.key = "serial",
     .value = ValueRule::kRequired,
     .accept = accept_serial,
     .kind = "a serial",
     .expects = "1 to 20 printable ASCII characters, like serial=DISK01",
     .argument = "<text>",
     .help = "the disk's ID, 1 to 20 printable ASCII characters; by default made from what is served"},
    {.key = "lock",
     .value = ValueRule::kRequired,
     .accept = accept_switch<&BlockOptions::lock>,
     .kind = "a lock setting",
     .expects = "lock=on or lock=off",
     .argument = "on|off",
     .default_value = "on",
     .help = "lock exactly the bytes served, shared for ro",
     .words = "on off"},
    {.key = "format",
     .value = ValueRule::kRequired,
     .accept = accept_name<&BlockOptions::format, kImageFormatNames>,
     .kind = "a format",
     .expects = "raw, qcow2, vmdk, vdi, vpc, vhdx or luks, like format=qcow2",
     .argument = "raw|qcow2|vmdk|vdi|vpc|vhdx|luks",
     .default_value = "raw",
     .help = "the image format of a file or block device; it is never guessed",
     .words = "raw qcow2 vmdk vdi vpc vhdx luks"},
    {.key = "reader",
     .value = ValueRule::kRequired,
     .accept = accept_name<&BlockOptions::reader, kImageReaderNames>,
     .kind = "a program that reads images",
     .expects = "reader=auto, reader=qemu-nbd or reader=qemu-storage-daemon",
     .argument = "auto|qemu-nbd|qemu-storage-daemon",
     .default_value = "auto",
     .help = "the program that reads an image's format; auto: qemu-storage-daemon where it is installed",
     .words = "auto qemu-nbd qemu-storage-daemon"},
    {.key = "backing",
     .value = ValueRule::kRequired,
     .accept = accept_backing,
     .kind = "a way with backing files",
     .expects = "backing=none or backing=follow",
     .argument = "none|follow",
     .default_value = "none",
     .help = "whether an image's header may name files that it is an overlay of",
     .words = "none follow"},
    {.key = "key",
     .value = ValueRule::kRequired,
     .accept = accept_text<&BlockOptions::key>,
     .kind = "a file with a passphrase",
     .expects = "the path of a file whose bytes are the passphrase, like key=/etc/acrn/vm1.key",
     .argument = "<file>",
     .help = "the file that holds the passphrase of a LUKS image"},
    {.key = "snapshot",
     .accept = accept_snapshot,
     .help = "writes go to a temporary file that is gone at the end; the image is not changed"},
    {.key = "share",
     .value = ValueRule::kRequired,
     .accept = accept_switch<&BlockOptions::share>,
     .kind = "a setting",
     .expects = "share=on or share=off",
     .argument = "on|off",
     .default_value = "off",
     .help = "the program that serves the disk sees the guest's memory, so that nothing is copied",
     .words = "on off"},
    {.key = "reconnect",
     .value = ValueRule::kRequired,
     .accept = accept_seconds<&BlockOptions::reconnect>,
     .kind = "a time",
     .expects = "seconds, 0 to 86400, like reconnect=60",
     .argument = "<seconds>",
     .default_value = "30",
     .help = "how long requests wait for a server that was lost before they fail; 0: they fail at once"},
    limit_row<LimitKind::kRequests>("iops", "requests in a second"),
    limit_row<LimitKind::kReads>("iops_rd", "reads in a second"),
    limit_row<LimitKind::kWrites>("iops_wr", "writes in a second, with flushes, discards and zeroes"),
    limit_row<LimitKind::kBytes>("bps", "bytes read and written in a second"),
    limit_row<LimitKind::kBytesRead>("bps_rd", "bytes read in a second"),
    limit_row<LimitKind::kBytesWritten>("bps_wr", "bytes written in a second"),
    burst_row<LimitKind::kRequests>("iops_burst", "what of iops= may be saved up"),
    burst_row<LimitKind::kReads>("iops_rd_burst", "what of iops_rd= may be saved up"),
    burst_row<LimitKind::kWrites>("iops_wr_burst", "what of iops_wr= may be saved up"),
    burst_row<LimitKind::kBytes>("bps_burst", "what of bps= may be saved up"),
    burst_row<LimitKind::kBytesRead>("bps_rd_burst", "what of bps_rd= may be saved up"),
    burst_row<LimitKind::kBytesWritten>("bps_wr_burst", "what of bps_wr= may be saved up"),
    {.key = "throttle_group",
     .value = ValueRule::kRequired,
     .accept = accept_text<&BlockOptions::throttle_group>,
     .kind = "a group",
     .expects = "a name that slots share, like throttle_group=gold",
     .argument = "<name>",
     .help = "slots of one name share one set of limits"},
    {.key = "io_timeout",
     .value = ValueRule::kRequired,
     .accept = accept_seconds<&BlockOptions::io_timeout>,
     .kind = "a time",
     .expects = "seconds, 0 to 86400, like io_timeout=10",
     .argument = "<seconds>",
     .default_value = "30",
     .help = "after how long a request that is not done is told of; 0: never"},
    {.key = "werror",
     .value = ValueRule::kRequired,
     .accept = accept_choice<&BlockOptions::write_errors, kWriteErrorWords>,
     .kind = "an error policy",
     .expects = "werror=report, werror=enospc or werror=stop",
     .argument = "report|enospc|stop",
     .default_value = "report",
     .help = "what a failed write does: the guest is told, or the request is held until resume, for want of space or "
             "always",
     .words = "report enospc stop"},
    {.key = "rerror",
     .value = ValueRule::kRequired,
     .accept = accept_choice<&BlockOptions::read_errors, kReadErrorWords>,
     .kind = "an error policy",
     .expects = "rerror=report or rerror=stop",
     .argument = "report|stop",
     .default_value = "report",
     .help = "what a failed read does: the guest is told, or the request is held until resume",
     .words = "report stop"},
    {.key = "log",
     .value = ValueRule::kRequired,
     .accept = accept_text<&BlockOptions::log>,
     .kind = "a file",
     .expects = "the path of a file, like log=/tmp/vm1.log",
     .argument = "<file>",
     .help = "each write, in the order in which a crash could have kept it, as dm-log-writes logs it"},
    {.key = "fault",
     .value = ValueRule::kRequired,
     .accept = accept_faults,
     .kind = "a set of faults",
     .expects = "<operation>:<fault>[:<condition>...], like fault=write:EIO:sectors=0-7 or "
                "fault=read:delay=20ms:chance=1+flush:EIO:times=1",
     .argument = "<rule>[+<rule>...]",
     .help = "what the disk does wrong on purpose: errors, delays, requests done by half"},
    {.key = "trace",
     .value = ValueRule::kRequired,
     .accept = accept_text<&BlockOptions::trace>,
     .kind = "a file",
     .expects = "the path of a file, like trace=/tmp/vm1.trace",
     .argument = "<file>",
     .help = "what the driver does, chain by chain, into a file that vblk trace reads"},
    {.key = "conf",
     .value = ValueRule::kRequired,
     .accept = accept_text<&BlockOptions::conf>,
     .kind = "a configuration file",
     .expects = "the path of Ceph's configuration file, like conf=/etc/ceph/ceph.conf",
     .argument = "<file>",
     .help = "Ceph's configuration file; by default where Ceph looks for it"},
    {.key = "id",
     .value = ValueRule::kRequired,
     .accept = accept_text<&BlockOptions::id>,
     .kind = "a client",
     .expects = "the name of a Ceph client without \"client.\", like id=vm1",
     .argument = "<client>",
     .help = "as which client Ceph is asked; by default admin"},
};

Result<BlockSource> parse_ram(const std::string& text, Text rest) {
  const auto size = parse_size(rest, 1);
  if (size && *size != 0 && *size % 512 == 0 && *size <= kMaxBytes) return BlockSource(RamDiskSource{*size});
  return usage_error(concat(text, ": not a RAM disk; give bytes, a multiple of 512, or K, M or G, like ram:64M"));
}

Result<BlockSource> parse_vhost_user(const std::string& text, Text rest) {
  if (!rest.empty()) return BlockSource(VhostUserSocket{std::string(rest)});
  return usage_error(concat(text, ": the socket is missing; give its path, like vhost-user:/run/disk.sock"));
}

// <pool>/<image>[@<snapshot>]
Result<BlockSource> parse_rbd(const std::string& text, Text rest) {
  const size_t slash = rest.find('/'), at = rest.find('@');
  const bool has_snapshot = at != Text::npos;
  const Text pool = rest.substr(0, slash), snapshot = has_snapshot ? rest.substr(at + 1) : Text();
  const Text image = slash != Text::npos ? rest.substr(slash + 1, at - slash - 1) : Text();
  const bool good = !pool.empty() && !image.empty() && image.find('/') == Text::npos &&
                    snapshot.empty() != has_snapshot && pool.find('@') == Text::npos &&
                    snapshot.find('/') == Text::npos;
  if (good) return BlockSource(RbdName{std::string(pool), std::string(image), std::string(snapshot)});
  return usage_error(concat(text, ": no RBD image; give rbd:<pool>/<image>[@<snapshot>], like rbd:rbd/vm1"));
}

Result<BlockSource> parse_source(const std::string& text) {
  if (text.empty() || text.find('\0') != std::string::npos) {
    return usage_error(
        "the path is missing; give a file, a block device, nodisk, ram:<size>, an NBD URI, rbd:<pool>/<image> or "
        "vhost-user:<socket>");
  }
  if (text == "nodisk") return BlockSource(NoDisk());
  if (text == "fd:") return BlockSource(SentFile());
  for (const Text scheme : {"nbd://", "nbds://", "nbd+unix://", "nbds+unix://"}) {
    if (text.starts_with(scheme)) return BlockSource(NbdUri{text});
  }
  struct Prefix {
    Text text;
    Result<BlockSource> (*parse)(const std::string& text, Text rest);
  };
  for (const auto& [prefix, parse] :
       {Prefix{"ram:", parse_ram}, Prefix{"vhost-user:", parse_vhost_user}, Prefix{"rbd:", parse_rbd}}) {
    if (text.starts_with(prefix)) return parse(text, Text(text).substr(prefix.size()));
  }
  return BlockSource(FilePath{text});
}

// Who has the disk, if it is not this host.
std::string_view server_of(const BlockSource& source) {
  if (std::holds_alternative<NbdUri>(source)) return "an NBD server";
  if (std::holds_alternative<VhostUserSocket>(source)) return "a vhost-user server";
  return std::holds_alternative<RbdName>(source) ? "Ceph" : "";
}

Result<void> check_bursts(const DiskLimits& limits) {
  for (size_t i = 0; i < limits.limits.size(); i++) {
    if (limits.limits[i].burst == 0 || limits.limits[i].rate != 0) continue;
    return usage_error(concat(kLimitNames[i], "_burst: of no limit; give ", kLimitNames[i], "=, or leave it out"));
  }
  return {};
}

// It is a file, or may become one.
bool is_file(const BlockOptions& options) {
  return std::holds_alternative<FilePath>(options.source) || std::holds_alternative<NoDisk>(options.source);
}

// The host has its bytes as the guest has them, in its page cache.
bool is_raw(const BlockOptions& options) {
  const bool may_be = is_file(options) || std::holds_alternative<SentFile>(options.source);
  return may_be && !options.is_image();
}

Result<void> check_window(const BlockOptions& options) {
  const auto& range = options.range;
  const uint64_t most = kMaxBytes / options.logical_sector;
  if (!range || (range->start <= most && range->size <= most - range->start)) return {};
  return usage_error(concat("range=", range->start, "/", range->size, ": ends past ", most,
                            ", the last possible sector; give a smaller window"));
}

Result<void> check_format(const BlockOptions& options) {
  if (!is_file(options) && options.is_image()) {
    return usage_error(concat(options.snapshot ? "snapshot" : "format", ": for a file with a path; leave it out"));
  }
  const bool luks = options.format == ImageFormat::kLuks;
  if (luks && options.key.empty()) {
    return usage_error("format=luks: its passphrase is missing; give key=<file>, like key=/etc/acrn/vm1.key");
  }
  if (!luks && !options.key.empty()) return usage_error("key: for a LUKS image; give format=luks, or leave it out");
  if (luks && options.snapshot) {
    return usage_error("snapshot: of a LUKS image it would be a file that is not encrypted; leave it out");
  }
  return {};
}

Result<void> check_server(const BlockOptions& options) {
  const std::string_view server = server_of(options.source);
  if (!server.empty() && options.nocache) {
    return usage_error(concat("nocache: how ", server, " caches is its own choice; leave it out"));
  }
  if (!server.empty() && options.engine != BlockEngine::kAuto) {
    return usage_error(concat("aio: ", server, " has an engine of its own; leave it out"));
  }
  const bool over_vhost_user =
      std::holds_alternative<VhostUserSocket>(options.source) || (is_file(options) && !is_raw(options));
  if (options.share && (!over_vhost_user || options.reader == ImageReader::kQemuNbd)) {
    return usage_error("share=on: for vhost-user: and for a format that qemu-storage-daemon reads; leave it out");
  }
  if (!std::holds_alternative<RbdName>(options.source) && !(options.conf.empty() && options.id.empty())) {
    return usage_error(concat(options.conf.empty() ? "id" : "conf", ": for a disk of Ceph's; leave it out"));
  }
  return {};
}

Result<void> check_page_cache(const BlockOptions& options) {
  const bool map = options.map == MapMode::kOn;
  if ((map || options.dontcache) && !is_raw(options)) {
    return usage_error(concat(map ? "map=on" : "dontcache", ": for a raw file or a block device; leave it out"));
  }
  if (options.dontcache && options.nocache) {
    return usage_error("dontcache: nocache does without the page cache; leave one of them out");
  }
  if (map && (options.nocache || options.dontcache)) {
    return usage_error(concat("map=on: with ", options.nocache ? "nocache" : "dontcache",
                              " nothing is in the page cache; leave one of them out"));
  }
  return {};
}

// What single options cannot see.
Result<void> check_together(BlockOptions& options) {
  for (const auto check : {check_window, check_format, check_server, check_page_cache}) {
    if (auto checked = check(options); !checked) return checked;
  }
  if (!options.log.empty() && options.read_only) {
    return usage_error("log: nothing is written to a disk that is ro; leave one of them out");
  }
  if (!options.faults.text.empty()) {
    auto rules = parse_fault_rules(options.faults.text);
    if (!rules) return rules.error();
    options.faults = std::move(rules).value();
  }
  if (auto checked = check_bursts(options.limits); !checked) return checked;
  if (options.poll && options.iothreads == 0) options.iothreads = options.queues;
  options.iothreads = std::min(options.iothreads, options.queues);
  if (options.iothread_cpus.size() > options.iothreads) options.iothread_cpus.resize(options.iothreads);
  return {};
}

// ACRN's `b,` says "bootable" to a firmware that is not there.
std::span<const std::string> without_boot_mark(std::span<const std::string> fields) {
  return fields.size() > 1 && fields[0] == "b" ? fields.subspan(1) : fields;
}

// Into `options`, after what is there.
Result<void> apply_fields(std::span<const std::string> fields, BlockOptions& options) {
  const auto path = std::find_if_not(fields.begin(), fields.end(), may_precede_path);
  auto source = parse_source(path == fields.end() ? std::string() : *path);
  if (!source) return source.error();
  options.source = std::move(source).value();
  for (auto field = fields.begin(); field != fields.end(); ++field) {
    if (field == path) continue;
    if (field->empty()) return usage_error("an option is empty; remove a comma (a comma in a path is written twice)");
    if (const auto applied = apply_option<BlockOptions>(kRows, *field, options); !applied) return applied.error();
  }
  return check_together(options);
}

// What a guest has read of a slot before it has a disk, and how its queues are served.
constexpr std::array<Text, 15> kSettledByTheSlot{"writethru",      "writeback",  "ro",     "sectorsize", "discard",
                                                 "kick",           "iothread",   "poll",   "mq",         "queue_size",
                                                 "throttle_group", "io_timeout", "werror", "rerror",     "trace"};

Result<void> check_settled(Text field, const BlockOptions& slot) {
  const Text key = split_key(field).key;
  if (std::find(kSettledByTheSlot.begin(), kSettledByTheSlot.end(), key) == kSettledByTheSlot.end()) return {};
  BlockOptions changed = slot;
  if (auto applied = apply_option<BlockOptions>(kRows, field, changed); !applied) return applied;
  if (auto checked = check_together(changed); !checked) return checked;
  if (changed == slot) return {};
  return usage_error(concat(field, ": settled by the slot's -s; leave it out"));
}

}  // namespace

std::span<const OptionRow<BlockOptions>> block_option_rows() { return kRows; }

bool may_precede_path(std::string_view field) {
  const Text key = split_key(field).key;
  return key == "iothread" || key == "mq";
}

Result<BlockOptions> parse_block_options(std::span<const std::string> fields) {
  BlockOptions options;
  if (const auto applied = apply_fields(without_boot_mark(fields), options); !applied) return applied.error();
  if (std::holds_alternative<SentFile>(options.source)) {
    return usage_error("fd: stands for a descriptor that comes with blkrescan; give a path (of such a file, ./fd:)");
  }
  return options;
}

Result<BlockOptions> parse_rescan_options(std::span<const std::string> fields, const BlockOptions& slot) {
  fields = without_boot_mark(fields);
  BlockOptions options = slot;
  if (const auto applied = apply_fields(fields, options); !applied) return applied.error();
  if (std::holds_alternative<NoDisk>(options.source)) {
    return usage_error("nodisk is no disk; give a file, a block device or ram:<size>");
  }
  for (const std::string& field : fields) {
    if (const auto checked = check_settled(field, slot); !checked) return checked.error();
  }
  return options;
}

Result<DiskLimits> parse_limits(std::span<const std::string> fields, const DiskLimits& now) {
  std::vector<Text> known;
  for (const Row& row : kRows) {
    if (row.kind == "a limit" || row.kind == "a burst") known.push_back(row.key);
  }
  BlockOptions options;
  options.limits = now;
  for (const std::string& field : fields) {
    const Text key = split_key(field).key;
    if (std::find(known.begin(), known.end(), key) == known.end()) return unknown_word(key, "a limit", known);
    if (auto applied = apply_option<BlockOptions>(kRows, field, options); !applied) return applied.error();
  }
  if (auto checked = check_bursts(options.limits); !checked) return checked.error();
  return options.limits;
}

std::string source_text(const BlockSource& source) {
  if (const auto* ram = std::get_if<RamDiskSource>(&source)) return concat("ram:", ram->size);
  if (const auto* nbd = std::get_if<NbdUri>(&source)) return nbd->uri;
  if (const auto* server = std::get_if<VhostUserSocket>(&source)) return concat("vhost-user:", server->path);
  if (const auto* image = std::get_if<RbdName>(&source)) return image->text();
  if (const auto* file = std::get_if<FilePath>(&source)) return file->path;
  if (const auto* sent = std::get_if<SentFile>(&source)) return sent->name.empty() ? "fd:" : sent->name;
  return "nodisk";
}

}  // namespace acrn
