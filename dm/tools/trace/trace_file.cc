#include "dm/tools/trace/trace_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "acrn/base/concat.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

constexpr size_t kMostQueues = 1024, kMostEntries = 32768;

// What each event adds to its record, at least; descriptors come behind that of a chain.
size_t body_bytes(TraceEvent event) {
  switch (event) {
    case TraceEvent::kLost:
    case TraceEvent::kUsed:
    case TraceEvent::kFeatures:
    case TraceEvent::kConfigWrite: return sizeof(TraceValue);
    case TraceEvent::kChain: return sizeof(TraceChain);
    case TraceEvent::kGuestError: return sizeof(TraceName);
    case TraceEvent::kSubmit: return sizeof(TraceExtent);
    case TraceEvent::kQueueStart: return sizeof(TraceQueue);
    default: return 0;
  }
}

// Whether a queue's record names the head of a chain.
bool is_of_chain(TraceEvent event) {
  switch (event) {
    case TraceEvent::kChain:
    case TraceEvent::kGuestError:
    case TraceEvent::kSubmit:
    case TraceEvent::kFailed:
    case TraceEvent::kHeld:
    case TraceEvent::kUsed: return true;
    default: return false;
  }
}

Error cannot_read(const std::string& path, std::string_view why) {
  return Error{ErrorKind::kNoInput, concat(path, ": ", why)};
}

// A copy: what is still written does not change under the reader.
Result<std::vector<std::byte>> read_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!file || ::fstat(file.fd(), &status) != 0) return cannot_read(path, errno_text(errno));
  if (!S_ISREG(status.st_mode)) return cannot_read(path, "no regular file; give a trace, as trace=<file> makes it");
  std::vector<std::byte> bytes(static_cast<size_t>(status.st_size));
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t size = ::read(file.fd(), &bytes[filled], bytes.size() - filled);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return cannot_read(path, errno_text(errno));
    if (size == 0) break;
    filled += static_cast<size_t>(size);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace

std::span<const VringDesc> TraceItem::descriptors() const {
  // SAFETY: the file was checked to have so many behind the chain.
  return {reinterpret_cast<const VringDesc*>(&body<TraceChain>() + 1), record->number};
}

Result<Trace> Trace::load(const std::string& path) {
  auto bytes = read_file(path);
  if (!bytes) return bytes.error();
  Trace trace;
  trace.bytes_ = std::move(bytes).value();
  if (auto read = trace.read_header(path); !read) return read.error();
  trace.read_chunks();
  trace.merge();
  trace.assemble();
  return trace;
}

Result<void> Trace::read_header(const std::string& path) {
  const std::span<const std::byte> all = bytes_;
  // SAFETY: the heap is aligned for it, and it is made of bytes.
  header_ = reinterpret_cast<const TraceFileHeader*>(all.data());
  if (all.size() < sizeof(TraceFileHeader) || header_->magic != kTraceMagic) {
    return cannot_read(path, "no trace; give a file that trace=<file> has made");
  }
  if (header_->version != kTraceVersion) {
    return cannot_read(
        path, concat("version ", uint32_t{header_->version}, " of traces; this vblk reads version ", kTraceVersion));
  }
  const uint32_t begin = header_->header_bytes;
  if (begin < sizeof(TraceFileHeader) || begin % kTraceAlignment != 0 || begin > all.size() || header_->queues == 0 ||
      header_->queues > kMostQueues || header_->queue_size > kMostEntries) {
    return cannot_read(path, "a trace whose header makes no sense");
  }
  return {};
}

void Trace::read_chunks() {
  const std::span<const std::byte> all = bytes_;
  const uint32_t queues = header_->queues;
  sources_.resize(queues + 1);
  for (size_t at = header_->header_bytes; at < all.size();) {
    const size_t left = all.size() - at;
    // SAFETY: aligned, and there, as is checked first.
    const auto* const chunk = reinterpret_cast<const TraceChunk*>(&all[at]);
    if (left < sizeof(TraceChunk) || chunk->mark != TraceChunk::kMark || chunk->bytes > left - sizeof(TraceChunk)) {
      damage_ = concat("the last chunk, at byte ", at, ", is not complete");
      return;
    }
    const uint16_t source = chunk->source;
    const bool known = source < queues || source == kTraceDevice;
    if (!known || !read_records(source, all.subspan(at + sizeof(TraceChunk), chunk->bytes))) {
      damage_ = concat("the chunk at byte ", at, " is damaged");
      return;
    }
    at += sizeof(TraceChunk) + chunk->bytes;
  }
}

bool Trace::read_records(uint16_t source, std::span<const std::byte> bytes) {
  auto& items = source == kTraceDevice ? sources_.back() : sources_[source];
  while (!bytes.empty()) {
    if (bytes.size() < sizeof(TraceRecord)) return false;
    // SAFETY: chunks and records are multiples of its alignment.
    const auto* const record = reinterpret_cast<const TraceRecord*>(bytes.data());
    const size_t size = record->bytes;
    if (size < sizeof(TraceRecord) || size % kTraceAlignment != 0 || size > bytes.size()) return false;
    bytes = bytes.subspan(size);
    if (record->event == 0 || record->event >= kTraceEvents) continue;  // padding, or of a later version
    const auto event = static_cast<TraceEvent>(record->event);
    const size_t tail = event == TraceEvent::kChain ? record->number * sizeof(VringDesc) : 0;
    if (size < sizeof(TraceRecord) + body_bytes(event) + tail) return false;
    // Registers break rules of the device; all else of these is of a chain.
    if (source == kTraceDevice && event != TraceEvent::kGuestError && is_of_chain(event)) return false;
    items.push_back({.time = record->time, .record = record, .source = source});
    if (event == TraceEvent::kLost) lost_ += items.back().body<TraceValue>().value;
  }
  return true;
}

// Used entries have the time of the next publication; within a source time does not go back.
void Trace::merge() {
  size_t total = 0;
  for (auto& items : sources_) {
    uint64_t later = 0;
    for (auto item = items.rbegin(); item != items.rend(); ++item) {
      if (item->event() == TraceEvent::kPublish) later = item->time;
      if (item->event() == TraceEvent::kUsed) item->time = later;
    }
    uint64_t last = 0;
    for (TraceItem& item : items) last = item.time = std::max(item.time, last);
    total += items.size();
  }
  items_.reserve(total);
  for (auto& items : sources_) {
    const auto middle = static_cast<ptrdiff_t>(items_.size());
    items_.insert(items_.end(), items.begin(), items.end());
    std::inplace_merge(items_.begin(), items_.begin() + middle, items_.end(),
                       [](const TraceItem& a, const TraceItem& b) { return a.time < b.time; });
    items = {};
  }
}

// The requests of a queue that are not used by then.
void Trace::end_requests(OpenRequests& open, uint64_t time) {
  for (const auto& [head, request] : open) {
    if (request != TraceItem::kNoRequest) requests_[request].lost = time;
  }
  open.clear();
}

void Trace::assemble() {
  std::vector<OpenRequests> open(header_->queues);
  std::vector<uint16_t> entries(header_->queues, static_cast<uint16_t>(std::max<uint32_t>(header_->queue_size, 1)));
  for (size_t i = 0; i < items_.size(); i++) {
    TraceItem& item = items_[i];
    const TraceRecord& record = *item.record;
    if (item.source == kTraceDevice) {
      const bool known = record.head < header_->queues;
      if (item.event() == TraceEvent::kQueueStart && known && record.number != 0) entries[record.head] = record.number;
      if (item.event() == TraceEvent::kQueueStop && known) end_requests(open[record.head], item.time);
      for (size_t q = 0; q < open.size() && item.event() == TraceEvent::kReset; q++) end_requests(open[q], item.time);
    }
    if (item.source == kTraceDevice || !is_of_chain(item.event())) continue;
    uint32_t& slot = open[item.source].try_emplace(record.head, TraceItem::kNoRequest).first->second;
    switch (item.event()) {
      case TraceEvent::kChain: {
        const auto& chain = item.body<TraceChain>();
        const bool retried = (record.detail & TraceChain::kRetried) != 0 && slot != TraceItem::kNoRequest;
        if (!retried) {
          slot = static_cast<uint32_t>(requests_.size());
          requests_.push_back(
              {.waiting_since = std::min<uint64_t>(chain.waiting_since, item.time), .taken = item.time});
        }
        TracedRequest& request = requests_[slot];
        request.chain = static_cast<uint32_t>(i);
        request.bytes = 0;
        request.queue = item.source;
        request.head = record.head;
        request.avail_index = chain.avail_index;
        request.ring_entries = entries[item.source];
        request.has_header = (record.detail & TraceChain::kHasHeader) != 0;
        request.type = chain.type;
        request.sector = chain.sector;
        break;
      }
      case TraceEvent::kGuestError:
        if (slot != TraceItem::kNoRequest) requests_[slot].errors++;
        break;
      case TraceEvent::kSubmit:
        if (slot != TraceItem::kNoRequest) {
          requests_[slot].bytes += item.body<TraceExtent>().length;
          requests_[slot].stable = (record.detail & kTraceStable) != 0;
        }
        break;
      case TraceEvent::kFailed:
        if (slot != TraceItem::kNoRequest) requests_[slot].error = record.number;
        break;
      case TraceEvent::kUsed:
        if (slot != TraceItem::kNoRequest) {
          TracedRequest& request = requests_[slot];
          request.status = record.detail;
          request.written = static_cast<uint32_t>(item.body<TraceValue>().value);
          request.done = item.time;
          item.request = std::exchange(slot, TraceItem::kNoRequest);
        }
        continue;
      default: break;
    }
    item.request = slot;
  }
}

const GuestRuleText* find_rule(const TraceName& name) {
  const std::string text = rule_name(name);
  const auto found = std::find_if(kGuestRuleTexts.begin(), kGuestRuleTexts.end(),
                                  [&](const GuestRuleText& rule) { return rule.name == text; });
  return found != kGuestRuleTexts.end() ? &*found : nullptr;
}

std::string rule_name(const TraceName& name) {
  return std::string(name.name.begin(), std::find(name.name.begin(), name.name.end(), '\0'));
}

std::string request_type(uint32_t type) {
  switch (type) {
    case VIRTIO_BLK_T_IN: return "read";
    case VIRTIO_BLK_T_OUT: return "write";
    case VIRTIO_BLK_T_FLUSH:
    case VIRTIO_BLK_T_FLUSH_OUT: return "flush";
    case VIRTIO_BLK_T_GET_ID: return "id";
    case VIRTIO_BLK_T_DISCARD: return "discard";
    case VIRTIO_BLK_T_WRITE_ZEROES: return "zero";
    default: return concat("type ", type);
  }
}

}  // namespace acrn
