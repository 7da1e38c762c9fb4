#include "dm/server/connection.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "dm/socket/sent_descriptors.h"

namespace acrn {
namespace {

// Before other tasks of the loop have their turn.
constexpr unsigned kMessagesPerTurn = 64;

}  // namespace

pid_t peer_process(int socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

Connection::Connection(UniqueFd socket, std::unique_ptr<MessageSession> session, Gone gone)
    : socket_(std::move(socket)),
      session_(std::move(session)),
      limits_(session_->limits()),
      gone_(std::move(gone)),
      header_(limits_.header),
      payload_(limits_.payload),
      control_(CMSG_SPACE(limits_.descriptors * sizeof(int))),
      watched_(EPOLLIN) {}

std::unique_ptr<Connection> Connection::create(EpollLoop& loop, UniqueFd socket,
                                               std::unique_ptr<MessageSession> session, Gone gone) {
  std::unique_ptr<Connection> connection(new Connection(std::move(socket), std::move(session), std::move(gone)));
  connection->watch_ = loop.watch(connection->socket_.fd(), connection->watched_,
                                  [raw = connection.get()](uint32_t events) { raw->handle(events); });
  if (connection->watch_ == nullptr) return nullptr;
  return connection;
}

bool Connection::hung_up() const {
  pollfd state{socket_.fd(), POLLRDHUP, 0};
  return ::poll(&state, 1, 0) == 1;
}

void Connection::handle(uint32_t) {
  // Between two messages only: what has been read of one would wake nobody.
  for (unsigned messages = 0; messages < kMessagesPerTurn && !closed_ && serve();) {
    if (header_size_ == 0 && !answering_) messages++;
  }
  const uint32_t wanted = answering_ ? EPOLLOUT : EPOLLIN;
  if (!closed_ && std::exchange(watched_, wanted) != wanted) watch_->set_events(wanted);
}

// One step. False: nothing more can be done now.
bool Connection::serve() {
  if (answering_) return send();
  if (header_size_ < limits_.header) return read_header();
  if (payload_size_ < wanted_payload_) return receive(std::span(payload_).first(wanted_payload_), payload_size_, false);
  answer();
  return true;
}

bool Connection::read_header() {
  if (!receive(header_, header_size_, true)) return false;
  if (header_size_ < limits_.header) return true;
  const auto size = session_->payload_size(header_);
  if (!size || *size > limits_.payload) {
    end("a message of a size that none has");
    return false;
  }
  wanted_payload_ = *size;
  return true;
}

bool Connection::receive(std::span<uint8_t> to, size_t& received, bool with_descriptors) {
  iovec part{to.data() + received, to.size() - received};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (with_descriptors) {
    message.msg_control = control_.data();
    message.msg_controllen = control_.size();
  }
  const ssize_t length = ::recvmsg(socket_.fd(), &message, MSG_CMSG_CLOEXEC);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (length <= 0) {
    end("");
    return false;
  }
  take_descriptors(message, descriptors_);
  if ((message.msg_flags & MSG_CTRUNC) != 0 || descriptors_.size() > limits_.descriptors) {
    end(with_descriptors ? "more descriptors than a message may have" : "descriptors behind the head of a message");
    return false;
  }
  received += static_cast<size_t>(length);
  return true;
}

void Connection::answer() {
  const bool shared = !descriptors_.empty();
  const auto why = session_->handle(header_, std::span(payload_).first(payload_size_), std::move(descriptors_));
  header_size_ = payload_size_ = sent_ = 0;
  descriptors_.clear();
  answering_ = true;
  if (!why.empty()) {
    send();
    return end(why);
  }
  // Its own end of this connection was among what it has sent (make_send_only()), or it has left.
  if (shared && ::send(socket_.fd(), nullptr, 0, MSG_NOSIGNAL) != 0 && errno == EPIPE) end("");
}

bool Connection::send() {
  const auto reply = session_->reply();
  while (sent_ < reply.size()) {
    iovec part{const_cast<uint8_t*>(reply.data()) + sent_, reply.size() - sent_};  // sendmsg() only reads it
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    const int fd = session_->reply_descriptor();
    const SentDescriptors descriptors(message, {&fd, fd >= 0 && sent_ == 0 ? size_t{1} : size_t{0}});
    const ssize_t size = ::sendmsg(socket_.fd(), &message, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno != EAGAIN) end("");
    if (size < 0) return false;
    sent_ += static_cast<size_t>(size);
  }
  answering_ = false;
  session_->after_reply();
  return true;
}

void Connection::end(std::string_view why) {
  if (closed_) return;
  closed_ = true;
  watch_->set_events(0);
  gone_(why);
}

}  // namespace acrn
