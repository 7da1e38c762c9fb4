#include "dm/block/filters/write_log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "acrn/block/iovec_cursor.h"
#include "dm/base/errno_text.h"
#include "dm/base/replaced_file.h"
#include "dm/base/whole_io.h"
#include "dm/block/filters/filter.h"
#include "dm/block/log_writes.h"
#include "dm/block/request_list.h"
#include "dm/block/submit_queue.h"

namespace acrn {
namespace {

constexpr uint64_t kSector = kLogWritesSector;

constexpr Le64 kMagic = kLogWritesMagic;

ReplacedFile log_file(const std::string& path) {
  return {.option = "log",
          .what = "no log of writes",
          .magic = std::as_bytes(std::span(&kMagic, 1)),
          .least = sizeof(LogWritesSuper),
          .path = path};
}

// Requests that write go below as others, which have their data to themselves: the guest may change its memory while
// they are under way, and the log has to say what was written. A large write goes below, and into the log, in pieces.
class LogChannel final : public BlockChannel, private BlockSink {
 public:
  LogChannel(std::unique_ptr<BlockChannel> below, WriteLog& log) : below_(std::move(below)), log_(log) {}

  void submit(std::span<BlockRequest* const> batch) override {
    incoming_.push(batch);
    pump(true);
  }
  void cancel_waiting(bool may_start) override {
    below_->cancel_waiting(may_start);
    while (BlockRequest* const request = waiting_.pop()) {
      request->error = ECANCELED;
      request->sink->request_done(*request);
    }
  }

 private:
  static constexpr size_t kPiece = 1 << 20, kMostCopied = 16 << 20;  // bytes

  // What goes below for `whole`, time and again if that is a large write.
  struct Logged : BlockRequest {
    BlockRequest* whole = nullptr;
    uint64_t place = 0;        // of a flush
    uint64_t disk_offset = 0;  // which a channel may change in the request
    uint64_t left = 0;         // bytes of a write that are not under way yet
    IoVecCursor from;
    std::vector<std::byte> data;
    iovec vector{};
  };

  // SAFETY: every request whose sink we are is the base of a Logged.
  static Logged& logged_of(BlockRequest& request) { return static_cast<Logged&>(request); }

  // All work is done here: what happens inside (a request that is done at once, a sink that submits) only queues.
  void pump(bool in_submit) {
    incoming_.run([&] {
      in_submit_ = in_submit;
      while (work_once()) {
      }
    });
  }

  bool work_once() {
    if (BlockRequest* const done = returned_.pop()) {
      step(logged_of(*done));
    } else if (BlockRequest* const waiting = copied_ < kMostCopied ? waiting_.pop() : nullptr) {
      begin(*waiting);
    } else if (BlockRequest* const request = incoming_.pop()) {
      if (request->op == BlockOp::kRead) {
        pass(*request);
      } else if (request->op == BlockOp::kWrite && copied_ >= kMostCopied) {
        waiting_.push(*request);
      } else {
        begin(*request);
      }
    } else {
      return false;
    }
    return true;
  }

  // The request's own sink is told of it.
  void pass(BlockRequest& request) {
    if (!in_submit_) sinks_.note(*request.sink);
    send(request);
  }

  void begin(BlockRequest& request) {
    auto* const logged = new Logged;
    static_cast<BlockRequest&>(*logged) = request;
    logged->whole = &request;
    logged->disk_offset = request.offset;
    logged->sink = this;
    if (request.op == BlockOp::kWrite) {
      logged->data.resize(std::min<uint64_t>(request.length, kPiece));
      logged->left = request.length;
      logged->from = IoVecCursor(request.iov);
      copied_ += logged->data.size();
      return send_piece(*logged);
    }
    if (request.op == BlockOp::kFlush) logged->place = log_.flush_begins();
    send(*logged);
  }

  void send_piece(Logged& logged) {
    logged.offset = logged.disk_offset;
    logged.length = std::min<uint64_t>(logged.left, logged.data.size());
    logged.left -= logged.length;
    logged.from.copy_to(logged.data.data(), logged.length);
    logged.vector = {logged.data.data(), logged.length};
    logged.iov = {&logged.vector, 1};
    send(logged);
  }

  void send(BlockRequest& request) {
    BlockRequest* const one = &request;
    below_->submit({&one, 1});
  }

  void request_done(BlockRequest& request) override {
    returned_.push(request);
    pump(false);
  }
  void batch_done() override { sinks_.end(); }

  void step(Logged& logged) {
    const int error = note(logged);
    if (error != 0 || logged.left == 0) return finish(logged, error);
    logged.disk_offset += logged.length;
    send_piece(logged);
  }

  // Puts into the log what is done. Returns what the guest is to be told.
  int note(const Logged& logged) {
    if (logged.op == BlockOp::kFlush) {
      const int error = log_.flush_ends(logged.place, logged.error == 0);
      return logged.error != 0 ? logged.error : error;
    }
    if (logged.error == 0) {
      return log_.write_done(logged.op, logged.stable, logged.disk_offset, logged.length,
                             std::span(logged.data).first(logged.data.empty() ? 0 : logged.length));
    }
    const bool nothing_done = logged.error == ECANCELED || logged.error == EOPNOTSUPP;
    if (!nothing_done) log_.end(errno_text(logged.error));
    return logged.error;
  }

  void finish(Logged& logged, int error) {
    const std::unique_ptr<Logged> done(&logged);
    copied_ -= logged.data.size();
    BlockRequest& whole = *logged.whole;
    whole.error = error;
    in_submit_ ? whole.sink->request_done(whole) : sinks_.done(whole);
  }

  const std::unique_ptr<BlockChannel> below_;
  WriteLog& log_;
  SubmitQueue incoming_;
  RequestFifo returned_;    // of Logged, done below
  RequestFifo waiting_;     // writes, for room
  size_t copied_ = 0;       // bytes of data of our own
  bool in_submit_ = false;  // what is done now is done inside the caller's submit()
  SinkGroup sinks_;
};

class FilterLog final : public Filter {
 public:
  FilterLog(std::unique_ptr<BlockBackend> below, std::shared_ptr<WriteLog> log)
      : Filter(std::move(below)), log_(std::move(log)) {}

  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override {
    auto channel = beneath().open_channel(loop, depth);
    if (!channel) return channel.error();
    return std::unique_ptr<BlockChannel>(std::make_unique<LogChannel>(std::move(channel).value(), *log_));
  }

 private:
  const std::shared_ptr<WriteLog> log_;
};

}  // namespace

Result<void> WriteLog::check(const std::string& path) { return log_file(path).check(); }

Result<std::shared_ptr<WriteLog>> WriteLog::create(const std::string& path) {
  auto opened = log_file(path).open();
  if (!opened) return opened.error();
  UniqueFd file = std::move(opened).value();
  struct stat found;
  if (::fstat(file.fd(), &found) != 0) return log_file(path).refused(errno_text(errno), ErrorKind::kNoInput);
  std::shared_ptr<WriteLog> log(new WriteLog(path, std::move(file)));
  MutexLock lock(log->mutex_);
  log->size_ = kSector;
  log->older_ = found.st_size != 0;
  if (const int error = log->older_ ? 0 : log->count(); error != 0)
    return log_file(path).refused(errno_text(error), ErrorKind::kNoInput);
  lock.unlock();
  return log;
}

// A whole sector, which says how many entries behind it are complete.
int WriteLog::count() {
  std::array<std::byte, kSector> sector{};
  LogWritesSuper super{};
  super.magic = kLogWritesMagic;
  super.version = kLogWritesVersion;
  super.entries = entries_;
  super.sector_size = kLogWritesSector;
  std::memcpy(sector.data(), &super, sizeof(super));
  return put_at(0, sector);
}

int WriteLog::fail(int error) {
  if (error_ == 0) {
    error_ = error;
    log(LogLevel::kError, concat("log=", path_, ": ", errno_text(error_),
                                 "; writes that it does not have fail, until the disk is opened again"));
  }
  return error_;
}

void WriteLog::end(std::string_view why) {
  MutexLock lock(mutex_);
  if (std::exchange(ended_, true)) return;
  log(LogLevel::kWarning, concat("log=", path_, ": the disk has failed a write (", why,
                                 "), so what it holds is not known; the log ends here, after ", entries_, " entries"));
}

int WriteLog::put_at(uint64_t offset, std::span<const std::byte> data) {
  const int error = write_whole(file_.fd(), offset, data);
  return error == 0 ? 0 : fail(error);
}

int WriteLog::put(std::span<const std::byte> data) {
  const int error = put_at(size_, data);
  if (error == 0) size_ += data.size();
  return error;
}

// A hole, up to its last byte.
int WriteLog::put_zeroes(uint64_t size) {
  size_ += size - 1;
  return put(std::array<std::byte, 1>{});
}

int WriteLog::put_entry(const Entry& entry) {
  std::array<std::byte, kSector> sector{};
  LogWritesEntry head{};
  head.sector = entry.offset / kSector;
  head.sectors = entry.length / kSector;
  head.flags = entry.flags;
  head.data_bytes = entry.mark.size();
  std::memcpy(sector.data(), &head, sizeof(head));
  if (!entry.mark.empty()) std::memcpy(sector.data() + sizeof(head), entry.mark.data(), entry.mark.size());
  if (const int error = put(sector); error != 0) return error;
  if (entry.length == 0 || (entry.flags & LogWritesEntry::kDiscard) != 0) return 0;
  return entry.data.empty() ? put_zeroes(entry.length) : put(entry.data);
}

int WriteLog::append(const Entry& entry) {
  if (error_ != 0 || ended_) return error_;
  if (older_ && ::ftruncate(file_.fd(), 0) != 0) return fail(errno);
  older_ = false;
  const uint64_t begin = size_;
  int error = put_entry(entry);
  if (error == 0) {
    entries_++;
    error = count();
  }
  if (error != 0) size_ = begin;
  return error;
}

int WriteLog::write_done(BlockOp op, bool stable, uint64_t offset, uint64_t length, std::span<const std::byte> data) {
  const uint64_t flags = (stable ? LogWritesEntry::kFua : 0) | (op == BlockOp::kDiscard ? LogWritesEntry::kDiscard : 0);
  MutexLock lock(mutex_);
  return append({.flags = flags, .offset = offset, .length = length, .data = data});
}

// Its entry is a discard of nothing, for every reader, until it is done.
uint64_t WriteLog::flush_begins() {
  MutexLock lock(mutex_);
  const uint64_t place = size_;
  append({.flags = LogWritesEntry::kDiscard});
  return place;
}

int WriteLog::flush_ends(uint64_t place, bool done) {
  MutexLock lock(mutex_);
  if (!done || error_ != 0 || ended_) return done ? error_ : 0;
  const Le64 flags = LogWritesEntry::kFlush;
  return put_at(place + offsetof(LogWritesEntry, flags), std::as_bytes(std::span(&flags, 1)));
}

Result<void> WriteLog::mark(std::string_view text) {
  if (text.empty() || text.size() > kLongestMark) {
    return Error{ErrorKind::kUsage, concat("mark: ", text.size(), " bytes; give a text of 1 to ", kLongestMark)};
  }
  MutexLock lock(mutex_);
  if (ended_) return Error{ErrorKind::kUsage, concat("mark: log=", path_, " has ended, since the disk failed a write")};
  const int error = append({.flags = LogWritesEntry::kMark, .mark = text});
  return error == 0 ? Result<void>() : log_file(path_).refused(errno_text(error), ErrorKind::kIo);
}

std::unique_ptr<BlockBackend> make_filter_log(std::unique_ptr<BlockBackend> below, std::shared_ptr<WriteLog> log) {
  return std::make_unique<FilterLog>(std::move(below), std::move(log));
}

}  // namespace acrn
