#include "dm/tools/trace/views.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "acrn/base/errno_name.h"
#include "acrn/block/blockif.h"
#include "acrn/block/disk_stats.h"
#include "dm/tools/monitor/cells.h"

namespace acrn {
namespace {

using Json = nlohmann::ordered_json;

std::string_view operation(uint8_t op) {
  const auto index = static_cast<size_t>(op & ~kTraceStable);
  return index < kDiskOperationNames.size() ? kDiskOperationNames[index] : "unknown operation";
}

std::string status_name(uint8_t status) {
  switch (status) {
    case VIRTIO_BLK_S_OK: return "OK";
    case VIRTIO_BLK_S_IOERR: return "IOERR";
    case VIRTIO_BLK_S_UNSUPP: return "UNSUPP";
    default: return concat("status ", unsigned{status});
  }
}

std::string bytes_text(uint64_t bytes) {
  if (bytes != 0 && bytes % (1 << 20) == 0) return concat(bytes >> 20, " MiB");
  if (bytes != 0 && bytes % (1 << 10) == 0) return concat(bytes >> 10, " KiB");
  return concat(bytes, " B");
}

bool has_sector(const TracedRequest& request) {
  return request.type == VIRTIO_BLK_T_IN || request.type == VIRTIO_BLK_T_OUT;
}

std::string describe(const TracedRequest& request) {
  if (!request.has_header) return "a request whose header cannot be read";
  std::string type = request_type(request.type);
  if (!has_sector(request)) return type;
  return concat(type, request.bytes != 0 ? concat(" of ", bytes_text(request.bytes)) : "", " at sector ",
                request.sector);
}

std::string number_of(uint32_t request) { return concat("#", request + 1); }

// What a line says behind the event's name.
std::string details(const Trace& trace, const TraceItem& item) {
  const TraceRecord& record = *item.record;
  const uint16_t head = record.head, number = record.number;
  switch (item.event()) {
    case TraceEvent::kLost: return concat(uint64_t{item.body<TraceValue>().value}, " records, for want of room");
    case TraceEvent::kTurn: {
      const std::string_view cause =
          record.detail < kTraceCauseNames.size() ? kTraceCauseNames[record.detail] : "unknown cause";
      return concat(cause, ": ", head, head == 1 ? " chain waits" : " chains wait", ", from index ", number);
    }
    case TraceEvent::kChain: {
      const TracedRequest& request = trace.requests()[item.request];
      return concat(number_of(item.request), " head ", head, ": ", describe(request), ", ", number, " descriptors",
                    (record.detail & TraceChain::kRetried) != 0 ? ", tried again" : "");
    }
    case TraceEvent::kGuestError: {
      const auto& name = item.body<TraceName>();
      const std::string of = item.request == TraceItem::kNoRequest ? "" : concat(number_of(item.request), " ");
      return concat(of, rule_name(name), " (value ", hex(name.value), ")");
    }
    case TraceEvent::kSubmit: {
      const auto& extent = item.body<TraceExtent>();
      std::string what = concat(number_of(item.request), " ", operation(record.detail),
                                (record.detail & kTraceStable) != 0 ? ", stable" : "");
      if (extent.length == 0) return what;
      return concat(what, ", ", bytes_text(extent.length), " at byte ", uint64_t{extent.offset});
    }
    case TraceEvent::kFailed:
      return concat(number_of(item.request), " ", operation(record.detail), ": ", errno_name(number));
    case TraceEvent::kHeld: return concat(number_of(item.request), " until it is tried again");
    case TraceEvent::kUsed: {
      const std::string of = item.request == TraceItem::kNoRequest ? concat("head ", head) : number_of(item.request);
      const std::string after =
          item.request == TraceItem::kNoRequest
              ? ""
              : concat(", after ",
                       short_time(static_cast<double>(item.time - trace.requests()[item.request].waiting_since)));
      return concat(of, " ", status_name(record.detail), ", length ", uint64_t{item.body<TraceValue>().value}, after);
    }
    case TraceEvent::kPublish: return concat("used.idx is ", head);
    case TraceEvent::kInterrupt: return record.detail != 0 ? "sent" : "not wanted";
    case TraceEvent::kFeatures: return concat("accepted ", hex(uint64_t{item.body<TraceValue>().value}));
    case TraceEvent::kQueueStart: {
      const auto& queue = item.body<TraceQueue>();
      return concat("queue ", head, ", ", number, " entries, ring at ", hex(uint64_t{queue.desc}),
                    record.detail != 0 ? ": not in guest RAM" : "");
    }
    case TraceEvent::kQueueStop: return concat("queue ", head, ", next index ", number);
    case TraceEvent::kConfigWrite: return concat("byte ", number, " is ", uint64_t{item.body<TraceValue>().value});
    default: return "";
  }
}

std::string source_name(uint16_t source) { return source == kTraceDevice ? "device" : concat("q", source); }

// What a descriptor is for, by what the device has made of the chain.
class ChainDrawing {
 public:
  ChainDrawing(const Trace& trace, const TracedRequest& request, bool unicode)
      : trace_(trace), request_(request), unicode_(unicode) {}

  std::vector<std::string> draw() {
    const TraceItem& item = trace_.items()[request_.chain];
    title(item);
    add(fmt::format("  avail[{}]  says {}", request_.avail_index % request_.ring_entries, request_.head));
    for (const ChainRow& row : chain_rows(trace_, request_)) {
      add(unicode_ ? "    ↓" : "    |");
      descriptor(row);
      for (const TraceItem* const error : row.errors) error_lines(*error);
    }
    return std::move(lines_);
  }

 private:
  void add(std::string line) { lines_.push_back(std::move(line)); }

  void title(const TraceItem& item) {
    add(fmt::format("{}: {}, queue {}, head {}", number_of(item.request), describe(request_), request_.queue,
                    request_.head));
    std::string times = fmt::format("taken at {:.9f} s", trace_.seconds(request_.taken));
    if (request_.done != 0) {
      times +=
          fmt::format(", used {} later: {}, length {}", short_time(static_cast<double>(request_.done - request_.taken)),
                      status_name(request_.status), request_.written);
    } else if (request_.lost != 0) {
      times += fmt::format(", ended {} later, when its queue was stopped or reset",
                           short_time(static_cast<double>(request_.lost - request_.taken)));
    } else {
      times += ", not used before the trace ends";
    }
    add(times);
    add("");
  }

  void descriptor(const ChainRow& row) {
    const bool writes = (row.desc.flags & VRING_DESC_F_WRITE) != 0;
    const bool table = (row.desc.flags & VRING_DESC_F_INDIRECT) != 0;
    const std::string role = table ? "a table of descriptors" : purpose(row.desc, writes);
    const std::string_view access = writes ? "device writes" : "device reads";
    add(fmt::format("  {:>4} {}{:#014x} {:>9}  {:<13}  {}", row.index, row.in_table ? "in the table  " : "",
                    uint64_t{row.desc.addr}, bytes_text(row.desc.len), table ? "" : access, role));
  }

  // Framing is free, so a descriptor may be for more than one thing.
  std::string purpose(const VringDesc& desc, bool writes) {
    if (!request_.has_header) return "";
    if (!writes) {
      const uint64_t begin = std::exchange(read_, read_ + desc.len);
      if (begin >= sizeof(VirtioBlkOuthdr)) return "data";
      return desc.len > sizeof(VirtioBlkOuthdr) - begin ? "header, data" : "header";
    }
    const bool last = (desc.flags & VRING_DESC_F_NEXT) == 0;
    if (!last) return "data";
    return desc.len > 1 ? "data, status" : "status";
  }

  void error_lines(const TraceItem& item) {
    const auto& name = item.body<TraceName>();
    const GuestRuleText* const rule = find_rule(name);
    const std::string_view cross = unicode_ ? "✗" : "X";
    add(fmt::format("    {} {} (value {})", cross, rule_name(name), hex(name.value)));
    if (rule == nullptr) return;
    add(fmt::format("      the rule: {}", rule->rule));
    add(fmt::format("      {}", rule->source));
  }

  const Trace& trace_;
  const TracedRequest& request_;
  const bool unicode_;
  uint64_t read_ = 0;  // bytes of the chain so far
  std::vector<std::string> lines_;
};

}  // namespace

bool TraceFilter::matches(const Trace& trace, const TraceItem& item) const {
  const double time = trace.seconds(item.time);
  if (time < from || time > to) return false;
  if (queue && item.source != *queue) return false;
  const bool of_request = item.request != TraceItem::kNoRequest;
  if (type && (!of_request || request_type(trace.requests()[item.request].type) != *type)) return false;
  if (!errors) return true;
  const TraceEvent event = item.event();
  return event == TraceEvent::kGuestError || event == TraceEvent::kFailed || event == TraceEvent::kLost ||
         (event == TraceEvent::kUsed && item.record->detail != VIRTIO_BLK_S_OK);
}

std::string trace_line(const Trace& trace, const TraceItem& item) {
  return fmt::format("{:14.9f} {:<6} {:<11} {}", trace.seconds(item.time), source_name(item.source),
                     kTraceEventNames[item.record->event], details(trace, item));
}

Json trace_json(const Trace& trace, const TraceItem& item) {
  Json json{{"time", trace.seconds(item.time)}};
  if (item.source == kTraceDevice) {
    json["queue"] = nullptr;
  } else {
    json["queue"] = item.source;
  }
  json["event"] = kTraceEventNames[item.record->event];
  if (item.request != TraceItem::kNoRequest) json["request"] = item.request + 1;
  const TraceRecord& record = *item.record;
  switch (item.event()) {
    case TraceEvent::kChain: {
      const TracedRequest& request = trace.requests()[item.request];
      json["head"] = uint16_t{record.head};
      if (request.has_header) {
        json["type"] = request_type(request.type);
        json["sector"] = request.sector;
      }
      Json descriptors = Json::array();
      for (const VringDesc& desc : item.descriptors()) {
        descriptors.push_back({{"addr", uint64_t{desc.addr}},
                               {"len", uint32_t{desc.len}},
                               {"flags", uint16_t{desc.flags}},
                               {"next", uint16_t{desc.next}}});
      }
      json["descriptors"] = std::move(descriptors);
      break;
    }
    case TraceEvent::kGuestError: {
      const auto& name = item.body<TraceName>();
      json["rule"] = rule_name(name);
      json["value"] = uint64_t{name.value};
      break;
    }
    case TraceEvent::kSubmit: {
      json["operation"] = operation(record.detail);
      json["stable"] = (record.detail & kTraceStable) != 0;
      json["offset"] = uint64_t{item.body<TraceExtent>().offset};
      json["bytes"] = uint64_t{item.body<TraceExtent>().length};
      break;
    }
    case TraceEvent::kUsed:
      json["head"] = uint16_t{record.head};
      json["status"] = record.detail;
      json["length"] = uint64_t{item.body<TraceValue>().value};
      break;
    default: json["text"] = details(trace, item);
  }
  return json;
}

std::vector<ChainRow> chain_rows(const Trace& trace, const TracedRequest& request) {
  const TraceItem& item = trace.items()[request.chain];
  std::vector<const TraceItem*> errors = errors_of(trace, item.request);
  std::vector<ChainRow> rows;
  uint32_t index = request.head;
  bool in_table = false;
  for (const VringDesc& desc : item.descriptors()) {
    rows.push_back({.index = index, .in_table = in_table, .desc = desc, .errors = {}});
    const auto elsewhere = std::stable_partition(errors.begin(), errors.end(), [&desc](const TraceItem* error) {
      const uint64_t value = error->body<TraceName>().value;
      return value != 0 && value == desc.addr;
    });
    rows.back().errors.assign(errors.begin(), elsewhere);
    errors.erase(errors.begin(), elsewhere);
    const bool table = (desc.flags & VRING_DESC_F_INDIRECT) != 0;
    in_table |= table;
    index = table ? 0 : uint32_t{desc.next};
  }
  if (!rows.empty()) rows.back().errors.insert(rows.back().errors.end(), errors.begin(), errors.end());
  return rows;
}

bool is_kick(const TraceItem& item) {
  return item.event() == TraceEvent::kTurn && item.record->detail <= static_cast<uint8_t>(TraceCause::kKickInline);
}

double quantile_of(std::vector<uint64_t>& times, double part) {
  if (times.empty()) return 0;
  const auto nth = times.begin() + static_cast<ptrdiff_t>(part * static_cast<double>(times.size() - 1));
  std::nth_element(times.begin(), nth, times.end());
  return static_cast<double>(*nth);
}

std::vector<std::string> draw_chain(const Trace& trace, const TracedRequest& request, bool unicode) {
  return ChainDrawing(trace, request, unicode).draw();
}

std::vector<const TraceItem*> errors_of(const Trace& trace, uint32_t request) {
  std::vector<const TraceItem*> errors;
  const TracedRequest& which = trace.requests()[request];
  // A request without an answer breaks no rule after the next chain with its head.
  for (size_t i = which.chain; i < trace.items().size() && errors.size() < which.errors; i++) {
    const TraceItem& item = trace.items()[i];
    if (item.request == request && item.event() == TraceEvent::kGuestError) errors.push_back(&item);
  }
  return errors;
}

Json trace_stats(const Trace& trace) {
  struct Kind {
    uint64_t count = 0, bytes = 0, failed = 0;
    std::vector<uint64_t> times;
  };
  std::map<std::string, Kind> kinds;
  for (const TracedRequest& request : trace.requests()) {
    Kind& kind = kinds[request.has_header ? request_type(request.type) : "broken"];
    kind.count++;
    kind.bytes += request.bytes;
    if (request.status != VIRTIO_BLK_S_OK && request.done != 0) kind.failed++;
    if (request.done != 0) kind.times.push_back(request.done - request.waiting_since);
  }
  std::map<std::string, uint64_t> rules;
  uint64_t kicks = 0, sent = 0, unwanted = 0;
  for (const TraceItem& item : trace.items()) {
    if (is_kick(item)) kicks++;
    if (item.event() == TraceEvent::kInterrupt) (item.record->detail != 0 ? sent : unwanted)++;
    if (item.event() == TraceEvent::kGuestError) rules[rule_name(item.body<TraceName>())]++;
  }
  Json json{
      {"slot", trace.slot()}, {"disk", trace.disk()}, {"seconds", trace.length()}, {"records", trace.items().size()},
      {"lost", trace.lost()}, {"kicks", kicks},       {"interrupts", sent},        {"interrupts_not_wanted", unwanted}};
  if (!trace.damage().empty()) json["damage"] = trace.damage();
  Json types = Json::array();
  for (auto& [name, kind] : kinds) {
    types.push_back({{"type", name},
                     {"requests", kind.count},
                     {"bytes", kind.bytes},
                     {"failed", kind.failed},
                     {"p50_ns", quantile_of(kind.times, 0.5)},
                     {"p99_ns", quantile_of(kind.times, 0.99)},
                     {"most_ns", quantile_of(kind.times, 1)}});
  }
  json["types"] = std::move(types);
  json["rules"] = rules;
  return json;
}

std::vector<std::string> trace_stats_lines(const Trace& trace) {
  const Json json = trace_stats(trace);
  std::vector<std::string> lines;
  lines.push_back(fmt::format("slot {}, {}: {:.3f} s, {} records", trace.slot(), trace.disk(), trace.length(),
                              trace.items().size()));
  lines.push_back(fmt::format("{} kicks; {} interrupts sent, and {} not, as the driver wanted",
                              json["kicks"].get<uint64_t>(), json["interrupts"].get<uint64_t>(),
                              json["interrupts_not_wanted"].get<uint64_t>()));
  if (trace.lost() != 0) lines.push_back(fmt::format("{} records were lost, for want of room", trace.lost()));
  if (!trace.damage().empty()) lines.push_back(concat("the file: ", trace.damage()));
  lines.push_back("");
  lines.push_back(fmt::format("{:<10}{:>10}{:>8}{:>10}{:>10}{:>10}{:>10}", "requests", "count", "failed", "bytes",
                              "p50", "p99", "most"));
  for (const Json& type : json["types"]) {
    lines.push_back(fmt::format("{:<10}{:>10}{:>8}{:>10}{:>10}{:>10}{:>10}", type["type"].get<std::string>(),
                                type["requests"].get<uint64_t>(), type["failed"].get<uint64_t>(),
                                short_number(type["bytes"].get<double>()), short_time(type["p50_ns"].get<double>()),
                                short_time(type["p99_ns"].get<double>()), short_time(type["most_ns"].get<double>())));
  }
  if (!json["rules"].empty()) lines.push_back("");
  for (const auto& [name, count] : json["rules"].items()) {
    lines.push_back(fmt::format("{:<28}{:>8} times", name, count.get<uint64_t>()));
  }
  return lines;
}

}  // namespace acrn
