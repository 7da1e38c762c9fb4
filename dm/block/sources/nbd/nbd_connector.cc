#include "dm/block/sources/nbd/nbd_connector.h"

#include <sys/eventfd.h>

#include <utility>

namespace acrn {

NbdConnector::~NbdConnector() {
  if (!thread_.joinable()) return;
  ::eventfd_write(cancel_.fd(), 1);
  thread_.join();
}

void NbdConnector::start() {
  if (thread_.joinable() || finished_) return;
  if (!cancel_) cancel_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const auto connect = [this] {
    outcome_ = connect_nbd(uri_, kNbdPatience, cancel_.fd());
    finished_ = true;
    done_.notify();
  };
  const auto started = thread_.start("nbd connect", connect, Thread::Inherit::kProcess, Thread::Kind::kLink);
  if (started) return;
  outcome_ = started.error();
  finished_ = true;
  done_.notify();
}

std::optional<Result<NbdHandle>> NbdConnector::take() {
  if (!finished_) return std::nullopt;
  thread_.join();
  finished_ = false;
  return std::exchange(outcome_, std::nullopt);
}

}  // namespace acrn
