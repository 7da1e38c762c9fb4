#include "dm/block/filters/write_log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "acrn/block/iovec_cursor.h"
#include "dm/base/errno_text.h"
#include "dm/base/replaced_file.h"
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
// they are under way, and the log has to say what was written.
class LogChannel final : public BlockChannel, private BlockSink {
 public:
  LogChannel(std::unique_ptr<BlockChannel> below, WriteLog& log) : below_(std::move(below)), log_(log) {}

  void submit(std::span<BlockRequest* const> batch) override {
    incoming_.submit(batch, [this](BlockRequest& request) {
      BlockRequest* next = request.op == BlockOp::kRead ? &request : stand_in(request);
      below_->submit({&next, 1});
    });
  }
  void cancel_waiting() override { below_->cancel_waiting(); }

 private:
  struct Logged : BlockRequest {
    BlockRequest* whole = nullptr;
    uint64_t ticket = 0;       // of a flush
    uint64_t disk_offset = 0;  // which a channel may change in the request
    std::vector<std::byte> data;
    iovec vector{};
  };

  BlockRequest* stand_in(BlockRequest& request) {
    auto* const logged = new Logged;
    static_cast<BlockRequest&>(*logged) = request;
    logged->whole = &request;
    logged->disk_offset = request.offset;
    logged->sink = this;
    if (request.op == BlockOp::kFlush) logged->ticket = log_.flush_begins();
    if (request.op == BlockOp::kWrite) {
      logged->data.resize(request.length);
      IoVecCursor(request.iov)
          .for_each_piece(request.length, [to = logged->data.data()](std::byte* from, size_t bytes) mutable {
            std::memcpy(to, from, bytes);
            to += bytes;
          });
      logged->vector = {logged->data.data(), logged->data.size()};
      logged->iov = {&logged->vector, 1};
    }
    return logged;
  }

  void request_done(BlockRequest& request) override {
    const std::unique_ptr<Logged> logged(static_cast<Logged*>(&request));  // the sink of these alone
    BlockRequest& whole = *logged->whole;
    whole.error = logged->error;
    if (logged->op == BlockOp::kFlush) {
      const int error = log_.flush_ends(logged->ticket, logged->error == 0);
      if (whole.error == 0) whole.error = error;
    } else if (logged->error == 0) {
      whole.error =
          log_.write_done(logged->op, logged->stable, logged->disk_offset, logged->length, std::move(logged->data));
    } else if (logged->error != ECANCELED) {
      log_.end(errno_text(logged->error));
    }
    sinks_.done(whole);
  }
  void batch_done() override { sinks_.end(); }

  const std::unique_ptr<BlockChannel> below_;
  WriteLog& log_;
  SubmitQueue incoming_;
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
  if (::ftruncate(file.fd(), 0) != 0) return log_file(path).refused(errno_text(errno), ErrorKind::kNoInput);
  std::shared_ptr<WriteLog> log(new WriteLog(path, std::move(file)));
  MutexLock lock(log->mutex_);
  log->size_ = kSector;
  if (const int error = log->count(); error != 0) return log_file(path).refused(errno_text(error), ErrorKind::kNoInput);
  lock.unlock();
  return log;
}

// A whole sector, whose first entry it is that counts what is complete behind it.
int WriteLog::count() {
  std::array<std::byte, kSector> sector{};
  LogWritesSuper super{};
  super.magic = kLogWritesMagic;
  super.version = kLogWritesVersion;
  super.entries = entries_;
  super.sector_size = kLogWritesSector;
  std::memcpy(sector.data(), &super, sizeof(super));
  return ::pwrite(file_.fd(), sector.data(), sector.size(), 0) == static_cast<ssize_t>(sector.size()) ? 0 : fail(errno);
}

int WriteLog::fail(int error) {
  if (error_ == 0) {
    error_ = error != 0 ? error : EIO;
    log(LogLevel::kError, concat("log=", path_, ": ", errno_text(error_),
                                 "; writes that it does not have fail, until the disk is opened again"));
  }
  return error_;
}

void WriteLog::end(std::string_view why) {
  MutexLock lock(mutex_);
  if (std::exchange(ended_, true)) return;
  held_.clear();
  log(LogLevel::kWarning, concat("log=", path_, ": the disk has failed a write (", why,
                                 "), so what it holds is not known; the log ends here, after ", entries_, " entries"));
}

int WriteLog::put(const void* data, size_t size) {
  const auto* from = static_cast<const std::byte*>(data);
  while (size != 0) {
    const ssize_t written = ::pwrite(file_.fd(), from, size, static_cast<off_t>(size_));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return fail(written < 0 ? errno : ENOSPC);
    from += written;
    size -= static_cast<size_t>(written);
    size_ += static_cast<uint64_t>(written);
  }
  return 0;
}

// A hole, up to its last byte.
int WriteLog::put_zeroes(uint64_t size) {
  size_ += size - 1;
  return put("", 1);
}

int WriteLog::put_entry(const Entry& entry) {
  std::array<std::byte, kSector> sector{};
  LogWritesEntry head{};
  head.sector = entry.offset / kSector;
  head.sectors = entry.length / kSector;
  head.flags = entry.flags;
  head.data_bytes = entry.mark.size();
  std::memcpy(sector.data(), &head, sizeof(head));
  std::memcpy(sector.data() + sizeof(head), entry.mark.data(), entry.mark.size());
  if (const int error = put(sector.data(), sector.size()); error != 0) return error;
  if (entry.length == 0 || (entry.flags & LogWritesEntry::kDiscard) != 0) return 0;
  return entry.data.empty() ? put_zeroes(entry.length) : put(entry.data.data(), entry.data.size());
}

int WriteLog::append(const Entry& entry) {
  if (error_ != 0 || ended_) return error_;
  const uint64_t begin = size_;
  int error = put_entry(entry);
  if (error == 0) {
    entries_++;
    error = count();
  }
  if (error != 0) size_ = begin;
  return error;
}

bool WriteLog::overlaps_held(const Entry& entry) const {
  return std::any_of(held_.begin(), held_.end(), [&](const Entry& held) {
    return held.offset < entry.offset + entry.length && entry.offset < held.offset + held.length;
  });
}

// What is done while a flush is under way is not covered by it, and so stands behind it. A stable write needs no flush,
// and waits for one only behind an earlier write of the same sectors.
int WriteLog::log_or_hold(Entry entry) {
  const bool fua = (entry.flags & LogWritesEntry::kFua) != 0;
  if (flushes_ == 0 || (fua && !overlaps_held(entry))) return append(entry);
  if (error_ != 0 || ended_) return error_;
  held_.push_back(std::move(entry));
  return 0;
}

int WriteLog::release_held(uint64_t below) {
  int error = 0;
  while (error == 0 && !held_.empty() && held_.front().number < below) {
    error = append(held_.front());
    held_.pop_front();
  }
  return error;
}

int WriteLog::write_done(BlockOp op, bool stable, uint64_t offset, uint64_t length, std::vector<std::byte> data) {
  const uint64_t flags = (stable ? LogWritesEntry::kFua : 0) | (op == BlockOp::kDiscard ? LogWritesEntry::kDiscard : 0);
  MutexLock lock(mutex_);
  return log_or_hold(
      {.number = done_++, .flags = flags, .offset = offset, .length = length, .data = std::move(data), .mark = {}});
}

uint64_t WriteLog::flush_begins() {
  MutexLock lock(mutex_);
  flushes_++;
  return done_;
}

int WriteLog::flush_ends(uint64_t ticket, bool done) {
  MutexLock lock(mutex_);
  flushes_--;
  int error = done ? release_held(ticket) : 0;
  if (error == 0 && done) error = append({.flags = LogWritesEntry::kFlush, .data = {}, .mark = {}});
  if (flushes_ == 0 && error == 0) error = release_held(UINT64_MAX);
  return done ? error : 0;
}

Result<void> WriteLog::mark(std::string_view text) {
  if (text.empty() || text.size() > kLongestMark) {
    return Error{ErrorKind::kUsage, concat("mark: ", text.size(), " bytes; give a text of 1 to ", kLongestMark)};
  }
  MutexLock lock(mutex_);
  if (ended_) return Error{ErrorKind::kUsage, concat("mark: log=", path_, " has ended, since the disk failed a write")};
  const int error =
      log_or_hold({.number = done_++, .flags = LogWritesEntry::kMark, .data = {}, .mark = std::string(text)});
  return error == 0 ? Result<void>() : log_file(path_).refused(errno_text(error), ErrorKind::kIo);
}

std::unique_ptr<BlockBackend> make_filter_log(std::unique_ptr<BlockBackend> below, std::shared_ptr<WriteLog> log) {
  return std::make_unique<FilterLog>(std::move(below), std::move(log));
}

}  // namespace acrn
