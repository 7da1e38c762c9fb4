#include "dm/block/sources/vhost_user/back_end_link.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kBetweenAttempts{250}, kBetweenLooks{5};

}  // namespace

Result<std::unique_ptr<BackEndLink>> BackEndLink::create(BackEndPlace place,
                                                         std::unique_ptr<BackEndConnection> connection) {
  if (auto started = connection->start(place.queues); !started) return started.error();
  std::unique_ptr<BackEndLink> link(new BackEndLink(std::move(place), std::move(connection)));
  link->stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!link->stop_) return Error{ErrorKind::kInternal, concat("eventfd: ", errno_text(errno))};
  const auto body = [raw = link.get()] { raw->run(); };
  if (auto started = link->thread_.start("back end", body, Thread::Inherit::kProcess, Thread::Kind::kLink); !started) {
    return started.error();
  }
  return link;
}

BackEndLink::~BackEndLink() {
  if (thread_.joinable()) {
    ::eventfd_write(stop_.fd(), 1);
    thread_.join();
  }
  if (const auto last = connection()) last->leave();
}

void BackEndLink::run() {
  for (auto next_attempt = Clock::now(); !rest(milliseconds(0));) {
    if (auto current = connection()) {
      wait_for_end(*current);
      if (!rest(milliseconds(0))) lose(std::move(current));
      continue;
    }
    // A back end may be there again at once, and gone again as soon.
    const auto left = std::chrono::ceil<milliseconds>(next_attempt - Clock::now());
    if (!server().comes_back || rest(std::max(left, milliseconds(0)))) return;
    next_attempt = Clock::now() + kBetweenAttempts;
    renew();
  }
}

// True: this is to end.
bool BackEndLink::rest(milliseconds time) const {
  pollfd stop{stop_.fd(), POLLIN, 0};
  return ::poll(&stop, 1, static_cast<int>(time.count())) > 0;
}

// Or for ours.
void BackEndLink::wait_for_end(BackEndConnection& connection) const {
  std::array<pollfd, 2> wanted{{{connection.socket(), POLLRDHUP, 0}, {stop_.fd(), POLLIN, 0}}};
  while (::poll(wanted.data(), wanted.size(), -1) < 0 && errno == EINTR) {
  }
}

void BackEndLink::lose(std::shared_ptr<BackEndConnection> connection) {
  std::string why;
  {
    MutexLock lock(mutex_);
    connection_.reset();
    // One that comes back only to go again makes nobody wait longer.
    if (connection->was_of_use() || down_since_ == Clock::time_point()) down_since_ = Clock::now();
    why = std::exchange(why_, "");
    notify_all();
  }
  server().log_lost(++losses_, why);
  connection->hang_up();
  const std::weak_ptr<BackEndConnection> others = connection;
  connection.reset();
  while (!others.expired() && !rest(kBetweenLooks)) {
  }
  if (writes_.note_lost_server()) server().log_lost_writes();
}

// False: there is none to be had now.
bool BackEndLink::renew() {
  auto made = BackEndConnection::open(place_.path, kBackEndPatience, stop_.fd());
  if (!made) return false;
  if (!is_the_same(made.value()->facts())) {
    if (!std::exchange(refused_, true)) {
      log(LogLevel::kWarning,
          concat("virtio-blk ", server().name, ": the server is back with less than the disk had; it is not taken"));
    }
    return false;
  }
  if (!made.value()->start(place_.queues)) return false;
  MutexLock lock(mutex_);
  for (std::shared_ptr<const MemoryMap> memory; memory != memory_;) {
    memory = memory_;
    lock.unlock();
    if (!made.value()->share(memory)) return false;
    lock.lock();
  }
  connection_ = std::move(made).value();
  notify_all();
  lock.unlock();
  refused_ = false;
  if (worth_telling(losses_)) log(LogLevel::kInfo, concat("virtio-blk ", server().name, ": the server is back"));
  return true;
}

void BackEndLink::use_memory(const std::shared_ptr<const MemoryMap>& memory) {
  if (!place_.share) return;
  std::shared_ptr<BackEndConnection> current;
  {
    MutexLock lock(mutex_);
    memory_ = memory;
    current = connection_;
  }
  if (current == nullptr) return;
  if (const auto shared = current->share(memory); !shared) give_up(*current, shared.error().message);
}

// What a driver has been told has to stay true.
bool BackEndLink::is_the_same(const BackEndFacts& facts) const {
  return facts.size >= size() && facts.block <= facts_.block && facts.most_data >= facts_.most_data &&
         facts.most_discard >= facts_.most_discard && facts.most_zeroes >= facts_.most_zeroes &&
         facts.discard_granularity <= facts_.discard_granularity && facts.segments >= facts_.segments &&
         facts.queues >= place_.queues && facts.read_only <= facts_.read_only && facts.can_flush == facts_.can_flush &&
         facts.can_unmap_zeroes >= facts_.can_unmap_zeroes;
}

void BackEndLink::notify_all() {
  for (Notifier* changed : attached_) changed->notify();
}

Result<uint64_t> BackEndLink::refresh_size() {
  const auto current = connection();
  const auto found =
      current != nullptr ? current->size() : Result<uint64_t>(Error{ErrorKind::kIo, "the server is lost"});
  if (!found) return Error{found.error().kind, concat("virtio-blk ", server().name, ": ", found.error().message)};
  size_.store(found.value(), std::memory_order_relaxed);
  return found.value();
}

std::shared_ptr<BackEndConnection> BackEndLink::connection() {
  MutexLock lock(mutex_);
  return connection_;
}

bool BackEndLink::is_overdue() {
  MutexLock lock(mutex_);
  return connection_ == nullptr && Clock::now() - down_since_ >= server().patience;
}

std::optional<unsigned> BackEndLink::take_queue() {
  MutexLock lock(mutex_);
  const auto free = std::find(is_taken_.begin(), is_taken_.end(), false);
  if (free == is_taken_.end()) return std::nullopt;
  *free = true;
  return static_cast<unsigned>(free - is_taken_.begin());
}

void BackEndLink::give_back(unsigned queue) {
  MutexLock lock(mutex_);
  is_taken_[queue] = false;
}

void BackEndLink::attach(Notifier& changed) {
  MutexLock lock(mutex_);
  attached_.push_back(&changed);
}

void BackEndLink::detach(Notifier& changed) {
  MutexLock lock(mutex_);
  std::erase(attached_, &changed);
}

void BackEndLink::give_up(BackEndConnection& connection, std::string_view why) {
  {
    MutexLock lock(mutex_);
    if (connection_.get() != &connection || !why_.empty()) return;
    why_ = why;
  }
  connection.hang_up();
  if (!place_.share) return;
  log(LogLevel::kWarning, concat("virtio-blk ", server().name, ": the back end is given up: ", why,
                                 "; it sees the guest's memory, so requests wait until it has gone"));
}

}  // namespace acrn
