#include "dm/control/open_metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/errno_name.h"

namespace acrn {
namespace {

enum class Type : uint8_t { kInfo, kGauge, kCounter, kHistogram };

using Label = std::pair<std::string_view, std::string>;
using Labels = std::vector<Label>;

// The length of the UTF-8 character at the beginning; 0: it is none.
size_t character_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  // What is left out: longer than need be, surrogates, and above U+10FFFF.
  const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; i++) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  return length;
}

// A label's value between its quotes. A path may have any bytes; those that are no UTF-8 come out as U+FFFD.
std::string escaped(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t length = character_length(text);
    const std::string_view character = text.substr(0, std::max<size_t>(length, 1));
    text.remove_prefix(character.size());
    if (length == 0) {
      result += "\xef\xbf\xbd";
    } else if (character == "\n") {
      result += "\\n";
    } else if (character == "\\" || character == "\"") {
      result += concat("\\", character);
    } else {
      result += character;
    }
  }
  return result;
}

// Nanoseconds as seconds, exactly.
std::string seconds(uint64_t nanoseconds) {
  constexpr uint64_t kSecond = 1'000'000'000;
  const std::string fraction = std::to_string(nanoseconds % kSecond + kSecond);
  return concat(nanoseconds / kSecond, ".", std::string_view(fraction).substr(1));
}

// The upper end of a bucket in seconds.
std::string bucket_end(size_t bucket) {
  if (bucket + 1 == kLatencyBuckets) return "+Inf";
  std::array<char, 32> text;
  const double end = static_cast<double>(uint64_t{1} << bucket) / 1e6;
  const auto result = std::to_chars(text.data(), text.data() + text.size(), end);
  return {text.data(), result.ptr};
}

struct Family {
  std::string_view name;  // with its unit, and without what a counter's samples have behind it
  Type type;
  std::string_view unit;  // the end of the name; empty: it counts things
  std::string_view help;
};

// One family after another, each with its samples.
class Writer {
 public:
  explicit Writer(MetricsFormat format) : format_(format) {}

  void begin(const Family& family) {
    family_ = family;
    const bool open = format_ == MetricsFormat::kOpenMetrics;
    // In the older format a family is called as its samples are, and there is no type for what only has labels.
    const std::string name = open ? std::string(family.name) : concat(family.name, suffix());
    text_ += concat("# TYPE ", name, " ", type_name(), "\n");
    if (open && !family.unit.empty()) text_ += concat("# UNIT ", name, " ", family.unit, "\n");
    text_ += concat("# HELP ", name, " ", family.help, "\n");
  }
  void sample(const Labels& labels, uint64_t value) { line(suffix(), labels, std::to_string(value)); }
  void histogram(Labels labels, const Latency& latency) {
    uint64_t sum = 0;
    labels.emplace_back("le", "");
    for (size_t i = 0; i < kLatencyBuckets; i++) {
      sum += latency.buckets[i];
      labels.back().second = bucket_end(i);
      line("_bucket", labels, std::to_string(sum));
    }
    labels.pop_back();
    line("_sum", labels, seconds(latency.nanoseconds));
    line("_count", labels, std::to_string(sum));
  }
  std::string finish() {
    if (format_ == MetricsFormat::kOpenMetrics) text_ += "# EOF\n";
    return std::move(text_);
  }

 private:
  std::string_view suffix() const {
    if (family_.type == Type::kCounter) return "_total";
    return family_.type == Type::kInfo ? "_info" : "";
  }
  std::string_view type_name() const {
    switch (family_.type) {
      case Type::kInfo: return format_ == MetricsFormat::kOpenMetrics ? "info" : "gauge";
      case Type::kGauge: return "gauge";
      case Type::kCounter: return "counter";
      case Type::kHistogram: return "histogram";
    }
    return "unknown";
  }
  void line(std::string_view end, const Labels& labels, std::string_view value) {
    text_ += concat(family_.name, end, "{");
    for (const auto& [name, label] : labels) {
      text_ += concat(&name == &labels.front().first ? "" : ",", name, "=\"", escaped(label), "\"");
    }
    text_ += concat("} ", value, "\n");
  }

  const MetricsFormat format_;
  Family family_{};
  std::string text_;
};

// What is written of one device, or of one of its queues.
struct Place {
  const MachineStatus& machine;
  const DeviceReport& device;
  size_t queue = 0;

  Labels of_device(std::initializer_list<Label> more = {}) const {
    Labels labels{{"vm", machine.vm_name}, {"slot", device.slot}};
    labels.insert(labels.end(), more);
    return labels;
  }
  Labels of_queue(std::initializer_list<Label> more = {}) const {
    Labels labels = of_device();
    labels.emplace_back("queue", std::to_string(queue));
    labels.insert(labels.end(), more);
    return labels;
  }
};

using WriteDevice = void (*)(Writer& writer, const Place& place);
using WriteQueue = void (*)(Writer& writer, const Place& place, const QueueStats& queue);

template <uint64_t QueueStats::*count>
void write_count(Writer& writer, const Place& place, const QueueStats& queue) {
  writer.sample(place.of_queue(), queue.*count);
}

void write_info(Writer& writer, const Place& place) {
  writer.sample(place.of_device({{"emulation", place.device.emulation}, {"source", place.device.source}}), 1);
}

void write_size(Writer& writer, const Place& place) {
  if (place.device.bytes) writer.sample(place.of_device(), *place.device.bytes);
}

void write_clients(Writer& writer, const Place& place) {
  if (place.device.clients) writer.sample(place.of_device(), *place.device.clients);
}

void write_requests(Writer& writer, const Place& place, const QueueStats& queue) {
  for (size_t kind = 0; kind < kDiskRequestNames.size(); kind++) {
    writer.sample(place.of_queue({{"operation", std::string(kDiskRequestNames[kind])}}), queue.requests[kind]);
  }
}

// Of all queues together, for each operation that was asked for.
template <LatencyStage stage>
void write_latency(Writer& writer, const Place& place) {
  for (size_t kind = 0; kind < kDiskRequestNames.size(); kind++) {
    Latency sum;
    for (const QueueStats& queue : place.device.queues) sum.add(queue.latency_of(kind, stage));
    if (sum.count() == 0) continue;
    writer.histogram(place.of_device({{"operation", std::string(kDiskRequestNames[kind])}}), sum);
  }
}

void write_failures(Writer& writer, const Place& place, const QueueStats& queue) {
  writer.sample(place.of_queue({{"status", "ioerr"}}), queue.io_errors);
  writer.sample(place.of_queue({{"status", "unsupp"}}), queue.unsupported);
}

void write_host_errors(Writer& writer, const Place& place, const QueueStats& queue) {
  for (const auto& [operation, error, count] : queue.host_errors) {
    writer.sample(
        place.of_queue({{"operation", std::string(kDiskOperationNames[operation])}, {"error", errno_name(error)}}),
        count);
  }
}

void write_guest_errors(Writer& writer, const Place& place) {
  for (const auto& [by, counts] : {std::pair{"guest", &place.device.guest_errors}, {"vmm", &place.device.vmm_errors}}) {
    for (const auto& [rule, count] : *counts) {
      writer.sample(place.of_device({{"by", by}, {"rule", std::string(rule)}}), count);
    }
  }
}

void write_delayed(Writer& writer, const Place& place) { writer.sample(place.of_device(), place.device.delayed); }

// Those there are.
void write_limits(Writer& writer, const Place& place) {
  for (size_t i = 0; i < kLimitNames.size(); i++) {
    const uint64_t rate = place.device.limits.limits[i].rate;
    if (rate != 0) writer.sample(place.of_device({{"limit", std::string(kLimitNames[i])}}), rate);
  }
}

void write_stopped(Writer& writer, const Place& place, const QueueStats& queue) {
  writer.sample(place.of_queue(), queue.stopped ? 1 : 0);
}

// A family, and how the samples of a device or of a queue are written: one of the two.
struct Row {
  Family family;
  WriteDevice device = nullptr;
  WriteQueue queue = nullptr;
};

constexpr Row kRows[] = {
    {{"acrn_disk", Type::kInfo, "", "What is in a slot: its emulation and its source."}, write_info},
    {{"acrn_disk_size_bytes", Type::kGauge, "bytes", "Size of the disk; 0 without one."}, write_size},
    {{"acrn_disk_clients", Type::kGauge, "", "Clients that a served disk has now."}, write_clients},
    {{"acrn_disk_requests", Type::kCounter, "", "Requests taken from the ring."}, nullptr, write_requests},
    {{"acrn_disk_requests_in_flight", Type::kGauge, "", "Requests taken and not returned."},
     nullptr,
     write_count<&QueueStats::in_flight>},
    {{"acrn_disk_requests_held", Type::kGauge, "", "Requests that failed and wait to be tried again."},
     nullptr,
     write_count<&QueueStats::held>},
    {{"acrn_disk_overdue_requests", Type::kCounter, "", "Requests not done within the time limit."},
     nullptr,
     write_count<&QueueStats::overdue>},
    {{"acrn_disk_delayed_requests", Type::kCounter, "", "Requests that had to wait for a limit."}, write_delayed},
    {{"acrn_disk_limit", Type::kGauge, "", "What the disk may be asked for in a second."}, write_limits},
    {{"acrn_disk_read_bytes", Type::kCounter, "bytes", "Data of reads that succeeded."},
     nullptr,
     write_count<&QueueStats::bytes_read>},
    {{"acrn_disk_written_bytes", Type::kCounter, "bytes", "Data of writes that succeeded."},
     nullptr,
     write_count<&QueueStats::bytes_written>},
    {{"acrn_disk_request_seconds", Type::kHistogram, "seconds",
      "From seeing a request in the ring to showing it done."},
     write_latency<LatencyStage::kAll>},
    {{"acrn_disk_ring_wait_seconds", Type::kHistogram, "seconds", "From seeing a request in the ring to taking it."},
     write_latency<LatencyStage::kRing>},
    {{"acrn_disk_engine_seconds", Type::kHistogram, "seconds", "From taking a request to showing it done."},
     write_latency<LatencyStage::kEngine>},
    {{"acrn_disk_failed_requests", Type::kCounter, "", "Requests answered with that status."}, nullptr, write_failures},
    {{"acrn_disk_host_errors", Type::kCounter, "", "Requests that the host failed, by errno."},
     nullptr,
     write_host_errors},
    {{"acrn_disk_guest_errors", Type::kCounter, "", "Rules that the guest or its VMM broke."}, write_guest_errors},
    {{"acrn_disk_queue_stopped", Type::kGauge, "", "1 while a queue waits for a reset."}, nullptr, write_stopped},
    {{"acrn_disk_queue_stops", Type::kCounter, "", "How often a queue was stopped."},
     nullptr,
     write_count<&QueueStats::stops>},
    {{"acrn_disk_kicks", Type::kCounter, "", "Runs of the kick's handler."}, nullptr, write_count<&QueueStats::kicks>},
    {{"acrn_disk_polls", Type::kCounter, "", "Looks at the ring by the timer of --virtio_poll."},
     nullptr,
     write_count<&QueueStats::polls>},
    {{"acrn_disk_interrupts", Type::kCounter, "", "Interrupts sent, or pending while masked."},
     nullptr,
     write_count<&QueueStats::interrupts>},
};

void write_machine(Writer& writer, const MachineStatus& machine) {
  writer.begin({"acrn_vm", Type::kInfo, "", "The virtual machine, or the server of disks."});
  writer.sample({{"vm", machine.vm_name}, {"uuid", machine.uuid}}, 1);
  writer.begin({"acrn_vm_paused", Type::kGauge, "", "1 while the virtual CPUs rest."});
  writer.sample({{"vm", machine.vm_name}}, machine.paused ? 1 : 0);
}

}  // namespace

std::string render_metrics(const MachineStatus& machine, std::span<const DeviceReport> devices, MetricsFormat format) {
  Writer writer(format);
  write_machine(writer, machine);
  for (const Row& row : kRows) {
    writer.begin(row.family);
    for (const DeviceReport& device : devices) {
      if (!device.bytes) continue;  // no disk
      if (row.device != nullptr) row.device(writer, {machine, device});
      if (row.queue == nullptr) continue;
      for (size_t i = 0; i < device.queues.size(); i++) row.queue(writer, {machine, device, i}, device.queues[i]);
    }
  }
  return writer.finish();
}

}  // namespace acrn
