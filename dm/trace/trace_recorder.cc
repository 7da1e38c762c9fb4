#include "dm/trace/trace_recorder.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <new>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "acrn/base/round.h"
#include "dm/base/errno_text.h"
#include "dm/base/replaced_file.h"

namespace acrn {
namespace {

constexpr size_t kQueueBytes = 4 << 20, kDeviceBytes = 256 << 10;
constexpr int kLookMilliseconds = 10;   // between two looks: a queue's ring has room for 400 MB of records in a second
constexpr int kIdleMilliseconds = 100;  // the same while the trace is off
constexpr int kFile = 3, kGone = 4;     // descriptors of the process
constexpr int kPatienceMilliseconds = 5000;  // with the process, at the end

ReplacedFile trace_file(const std::string& path) {
  return {.option = "trace",
          .what = "no trace",
          .magic = std::as_bytes(std::span(kTraceMagic)),
          .least = kTraceMagic.size(),
          .path = path};
}

}  // namespace

// At the begin of the memory. The sources follow, and then the data of each.
struct alignas(64) TraceRecorder::Shared {
  std::atomic<uint32_t> on{1};
  std::atomic<bool> ended{false};
  std::atomic<uint64_t> failed{0};  // writes to the file
  uint64_t file_size = 0;           // of what is complete; of the process that writes it
};

struct TraceRecorder::Source {
  TraceCursors cursors;
  size_t begin = 0, size = 0;  // of the data, from the begin of the memory
};

Result<void> TraceRecorder::check(const std::string& path) { return trace_file(path).check(); }

Result<std::unique_ptr<TraceRecorder>> TraceRecorder::create(const std::string& path, unsigned queues) {
  auto file = trace_file(path).open();
  if (!file) return file.error();
  std::unique_ptr<TraceRecorder> recorder(new TraceRecorder(path, std::move(file).value(), queues));
  if (recorder->memory_ == nullptr) return trace_file(path).refused(errno_text(ENOMEM), ErrorKind::kInternal);
  return std::unique_ptr<TraceRecorder>(std::move(recorder));
}

TraceRecorder::TraceRecorder(std::string path, UniqueFd file, unsigned queues)
    : path_(std::move(path)), file_(std::move(file)), count_(queues + 1) {
  const size_t head = round_up(sizeof(Shared) + count_ * sizeof(Source), kPageBytes);
  const size_t size = head + queues * kQueueBytes + kDeviceBytes;
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;
  memory_ = static_cast<std::byte*>(memory);
  size_ = size;
  shared_ = new (memory) Shared;
  sources_ = new (memory_ + sizeof(Shared)) Source[count_];
  std::vector<TraceRing> rings;
  size_t begin = head;
  for (Source& source : std::span(sources_, count_)) {
    source.begin = begin;
    source.size = rings.size() < queues ? kQueueBytes : kDeviceBytes;
    rings.emplace_back(source.cursors, std::span(memory_ + begin, source.size));
    begin += source.size;
  }
  const TraceRing device = rings.back();
  rings.pop_back();
  trace_ = std::make_unique<DeviceTrace>(shared_->on, std::move(rings), device);
}

TraceRecorder::~TraceRecorder() {
  if (memory_ == nullptr) return;
  shared_->ended.store(true, std::memory_order_release);
  if (ended_) {
    pollfd gone{.fd = ended_.fd(), .events = POLLIN, .revents = 0};
    while (::poll(&gone, 1, kPatienceMilliseconds) < 0 && errno == EINTR) continue;
    if (const uint64_t failed = shared_->failed.load(); failed != 0) {
      log(LogLevel::kWarning, concat("trace=", path_, ": ", failed, " writes to it failed; the trace may have gaps"));
    }
  }
  ::munmap(memory_, size_);
}

void TraceRecorder::set(bool on) { shared_->on.store(on ? 1 : 0, std::memory_order_relaxed); }

Result<void> TraceRecorder::start(TraceFileHeader header, void (*confine)()) {
  timespec now{}, wall{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  ::clock_gettime(CLOCK_REALTIME, &wall);
  const auto nanoseconds = [](const timespec& time) {
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
  };
  header.magic = kTraceMagic;
  header.version = kTraceVersion;
  header.header_bytes = sizeof(header);
  header.started = nanoseconds(now);
  header.started_wall = nanoseconds(wall);
  header.queues = count_ - 1;
  if (::ftruncate(file_.fd(), 0) != 0 || ::pwrite(file_.fd(), &header, sizeof(header), 0) != sizeof(header)) {
    return trace_file(path_).refused(errno_text(errno), ErrorKind::kNoInput);
  }
  shared_->file_size = sizeof(header);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return trace_file(path_).refused(errno_text(errno), ErrorKind::kInternal);
  ended_ = UniqueFd(ends[0]);
  const UniqueFd theirs(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return trace_file(path_).refused(errno_text(errno), ErrorKind::kInternal);
  if (child == 0) record(theirs.fd(), parent, confine);
  file_.reset();
  return {};
}

// The process: a copy of one that may have had threads, so it makes system calls only. `gone` is open as long as it
// runs.
void TraceRecorder::record(int gone, pid_t parent, void (*confine)()) {
  ::prctl(PR_SET_NAME, "acrn trace");
  ::setsid();
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  const int file = ::fcntl(file_.fd(), F_DUPFD, kGone + 1), pipe = ::fcntl(gone, F_DUPFD, kGone + 1);
  ::dup2(file, kFile);
  ::dup2(pipe, kGone);
  ::close_range(kGone + 1, ~0u, 0);
  for (int fd = 0; fd < kFile; fd++) ::close(fd);
  if (confine != nullptr) confine();
  for (;;) {
    // Acquire pairs with the destructor's: what was written before is seen.
    const bool last = shared_->ended.load(std::memory_order_acquire) || ::getppid() != parent;
    if (!drain()) shared_->failed.fetch_add(1, std::memory_order_relaxed);
    if (last) ::_exit(0);
    ::poll(nullptr, 0, shared_->on.load(std::memory_order_relaxed) != 0 ? kLookMilliseconds : kIdleMilliseconds);
  }
}

bool TraceRecorder::drain() {
  bool good = true;
  for (unsigned source = 0; source < count_; source++) {
    // In two pieces if it goes over the end of the ring.
    good = write_source(source) && write_source(source) && good;
  }
  return good;
}

// A chunk that could not be written wholly is written again at the same place.
bool TraceRecorder::write_source(unsigned index) {
  Source& source = sources_[index];
  const uint64_t read = source.cursors.read.load(std::memory_order_relaxed);
  const uint64_t at = read & (source.size - 1);
  const uint64_t bytes = std::min(source.cursors.written.load(std::memory_order_acquire) - read, source.size - at);
  if (bytes == 0) return true;
  TraceChunk chunk{.mark = TraceChunk::kMark,
                   .source = index + 1 < count_ ? static_cast<uint16_t>(index) : kTraceDevice,
                   .reserved = {},
                   .bytes = static_cast<uint32_t>(bytes),
                   .reserved2 = {}};
  std::array<iovec, 2> parts{iovec{&chunk, sizeof(chunk)}, iovec{memory_ + source.begin + at, bytes}};
  const auto whole = static_cast<ssize_t>(sizeof(chunk) + bytes);
  if (::pwritev(kFile, parts.data(), parts.size(), static_cast<off_t>(shared_->file_size)) != whole) return false;
  shared_->file_size += static_cast<uint64_t>(whole);
  source.cursors.read.store(read + bytes, std::memory_order_release);
  return true;
}

}  // namespace acrn
