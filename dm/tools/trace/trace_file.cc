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

// What of the device's own records changes the queues.
void Trace::follow_device(const TraceItem& item, std::vector<QueueState>& queues) {
  const TraceRecord& record = *item.record;
  const bool known = record.head < queues.size();
  switch (item.event()) {
    case TraceEvent::kQueueStart:
      if (known && record.number != 0) queues[record.head].entries = record.number;
      return;
    case TraceEvent::kQueueStop:
      if (known) end_requests(queues[record.head].open, item.time);
      return;
    case TraceEvent::kReset:
      for (QueueState& queue : queues) end_requests(queue.open, item.time);
      return;
    default: return;
  }
}

// The request that a chain is, or is once more.
uint32_t Trace::take_chain(const TraceItem& item, uint32_t before, uint16_t entries) {
  const TraceRecord& record = *item.record;
  const auto& chain = item.body<TraceChain>();
  uint32_t number = before;
  if ((record.detail & TraceChain::kRetried) == 0 || before == TraceItem::kNoRequest) {
    number = static_cast<uint32_t>(requests_.size());
    // A request that is tried again is in the ring where it was.
    requests_.push_back({.waiting_since = std::min<uint64_t>(chain.waiting_since, item.time),
                         .taken = item.time,
                         .avail_index = chain.avail_index,
                         .ring_entries = entries});
  }
  TracedRequest& request = requests_[number];
  request.chain = static_cast<uint32_t>(&item - items_.data());
  request.bytes = 0;
  request.queue = item.source;
  request.head = record.head;
  request.has_header = (record.detail & TraceChain::kHasHeader) != 0;
  request.type = chain.type;
  request.sector = chain.sector;
  return number;
}

// What became of a request.
void Trace::follow_request(const TraceItem& item, TracedRequest& request) {
  const TraceRecord& record = *item.record;
  switch (item.event()) {
    case TraceEvent::kGuestError: request.errors++; return;
    case TraceEvent::kSubmit:
      request.bytes += item.body<TraceExtent>().length;
      request.stable = (record.detail & kTraceStable) != 0;
      return;
    case TraceEvent::kFailed: request.error = record.number; return;
    case TraceEvent::kUsed:
      request.status = record.detail;
      request.written = static_cast<uint32_t>(item.body<TraceValue>().value);
      request.done = item.time;
      return;
    default: return;
  }
}

void Trace::assemble() {
  const auto entries = static_cast<uint16_t>(std::max<uint32_t>(header_->queue_size, 1));
  std::vector<QueueState> queues(header_->queues, QueueState{.open = {}, .entries = entries});
  for (TraceItem& item : items_) {
    if (item.source == kTraceDevice) {
      follow_device(item, queues);
      continue;
    }
    if (!is_of_chain(item.event())) continue;
    QueueState& queue = queues[item.source];
    uint32_t& slot = queue.open.try_emplace(item.record->head, TraceItem::kNoRequest).first->second;
    if (item.event() == TraceEvent::kChain) slot = take_chain(item, slot, queue.entries);
    item.request = slot;
    if (slot == TraceItem::kNoRequest) continue;
    follow_request(item, requests_[slot]);
    if (item.event() == TraceEvent::kUsed) slot = TraceItem::kNoRequest;
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
