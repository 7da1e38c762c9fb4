#include "dm/socket/acceptor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

// Of a kind that a confined process can make, too.
UniqueFd open_spare() { return UniqueFd(::eventfd(0, EFD_CLOEXEC)); }

}  // namespace

std::unique_ptr<Acceptor> Acceptor::create(EpollLoop& loop, ListeningSocket socket, Accepted accepted) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor(std::move(socket), std::move(accepted)));
  acceptor->spare_ = open_spare();
  acceptor->watch_ = loop.watch(acceptor->socket_.fd(), EPOLLIN, [raw = acceptor.get()](uint32_t) { raw->accept(); });
  if (acceptor->watch_ == nullptr) return nullptr;
  return acceptor;
}

UniqueFd Acceptor::take() { return UniqueFd(::accept4(socket_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)); }

void Acceptor::accept() {
  if (UniqueFd client = take()) return accepted_(std::move(client), 0);
  const int error = errno;
  if (error != EMFILE && error != ENFILE) return;
  // A connection that cannot be accepted stays and would keep the loop awake, so one descriptor is spared to end it.
  spare_.reset();
  if (UniqueFd client = take()) accepted_(std::move(client), error);
  spare_ = open_spare();
  if (spare_) return;
  log(LogLevel::kError, concat(socket_.path(), ": ", errno_text(error), "; new clients have to wait"));
  watch_->set_events(EPOLLIN | EPOLLET);  // until retry(), or until yet another one comes
}

void Acceptor::retry() {
  if (!spare_) spare_ = open_spare();
  watch_->set_events(EPOLLIN);
}

}  // namespace acrn
