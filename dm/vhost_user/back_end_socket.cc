#include "dm/vhost_user/back_end_socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/base/wait_for.h"
#include "dm/socket/sent_descriptors.h"
#include "dm/socket/unix_address.h"

namespace acrn {

using namespace vhost_user;  // NOLINT(google-build-using-namespace): the names of its messages

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kBetweenAttempts{20};

bool is_cancelled(int cancel) {
  pollfd wanted{cancel, POLLIN, 0};
  return cancel >= 0 && ::poll(&wanted, 1, 0) > 0;
}

}  // namespace

Result<BackEndSocket> BackEndSocket::connect(const std::string& path, uint64_t wanted, milliseconds patience,
                                             int cancel) {
  const auto address = UnixAddress::of(path);
  if (!address) {
    return Error{ErrorKind::kUsage, concat(path, path.empty() ? "no" : ": too long for a", " socket's path")};
  }
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto end = steady_clock::now() + patience;
  while (::connect(socket.fd(), address->get(), address->size()) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    const bool full = error == EAGAIN;  // others wait there, too
    if (full && !is_cancelled(cancel) && steady_clock::now() < end) {
      wait_for(-1, 0, cancel, std::min(end, steady_clock::now() + kBetweenAttempts));
      continue;
    }
    return Error{ErrorKind::kNoInput, concat(path, ": nobody serves there: ", errno_text(error))};
  }
  BackEndSocket made(std::move(socket), patience, cancel);
  made.set_end(end);
  if (auto negotiated = made.negotiate(wanted); !negotiated) {
    return Error{negotiated.error().kind, concat(path, ": ", negotiated.error().message)};
  }
  made.set_end(Clock::time_point::max());
  return made;
}

Result<void> BackEndSocket::negotiate(uint64_t wanted) {
  const auto offered = get<uint64_t>(GET_FEATURES);
  if (!offered) return offered.error();
  features_ = offered.value();
  if ((features_ & kProtocolFeatures) != 0) {
    const auto protocol = get<uint64_t>(GET_PROTOCOL_FEATURES);
    if (!protocol) return protocol.error();
    const uint64_t chosen = protocol.value() & wanted;
    if (auto told = tell(SET_PROTOCOL_FEATURES, chosen); !told) return told;
    protocol_features_ = chosen;
  }
  if (!has(kConfig)) return Error{ErrorKind::kNoInput, "the server has no configuration space"};
  return send(SET_OWNER, {});
}

Result<void> BackEndSocket::send(uint32_t request, std::span<const uint8_t> payload, std::span<const int> files,
                                 bool need_reply) {
  need_reply = need_reply && has(kReplyAck);
  Header header{request, kVersion | (need_reply ? kFlagNeedReply : 0), static_cast<uint32_t>(payload.size())};
  const auto end = end_of_wait();
  for (size_t done = 0; done < sizeof(header) + payload.size();) {
    const size_t of_header = std::min(done, sizeof(header)), of_payload = done - of_header;
    // SAFETY: a Header is three integers.
    std::array<iovec, 2> parts{{{reinterpret_cast<uint8_t*>(&header) + of_header, sizeof(header) - of_header},
                                {const_cast<uint8_t*>(payload.data()) + of_payload, payload.size() - of_payload}}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const SentDescriptors descriptors(message, done == 0 ? files : std::span<const int>());
    const ssize_t sent = ::sendmsg(socket_.fd(), &message, MSG_NOSIGNAL);
    if (sent > 0) {
      done += static_cast<size_t>(sent);
    } else if (errno == EAGAIN && wait_for(socket_.fd(), POLLOUT, cancel_, end)) {
      continue;
    } else if (errno != EINTR) {
      return Error{ErrorKind::kIo, concat("the server is gone: ", errno_text(errno))};
    }
  }
  if (!need_reply) return {};
  const auto refused = answer_to<uint64_t>(request, nullptr);
  if (!refused) return refused.error();
  if (refused.value() == 0) return {};
  return Error{ErrorKind::kIo, concat("the server refuses request ", request)};
}

Result<void> BackEndSocket::tell_of_memory(std::span<const MemoryRegionDescription> regions,
                                           std::span<const int> files) {
  struct {
    MemoryTableHead head;
    std::array<MemoryRegionDescription, kMaxTableRegions> regions;
  } table{{static_cast<uint32_t>(regions.size()), 0}, {}};
  std::copy(regions.begin(), regions.end(), table.regions.begin());
  const size_t used = sizeof(table.head) + regions.size_bytes();
  return send(SET_MEM_TABLE, bytes_of(table).first(used), files, true);
}

bool BackEndSocket::receive_all(std::span<uint8_t> to, Clock::time_point end, UniqueFd& file) {
  for (size_t done = 0; done < to.size();) {
    iovec part{to.data() + done, to.size() - done};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(sizeof(int))> control{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t length = ::recvmsg(socket_.fd(), &message, MSG_CMSG_CLOEXEC);
    if (length < 0 && (errno == EINTR || (errno == EAGAIN && wait_for(socket_.fd(), POLLIN, cancel_, end)))) continue;
    if (length <= 0) return false;
    done += static_cast<size_t>(length);
    std::vector<UniqueFd> sent;  // more than there is a byte for, perhaps
    take_descriptors(message, sent);
    if (!sent.empty()) file = std::move(sent.front());
  }
  return true;
}

Result<void> BackEndSocket::receive(uint32_t request, std::span<uint8_t> payload, UniqueFd* file) {
  const auto end = end_of_wait();
  Header header{};
  UniqueFd received;
  // SAFETY: a Header is three integers.
  if (!receive_all({reinterpret_cast<uint8_t*>(&header), sizeof(header)}, end, received)) {
    const bool first = request == GET_FEATURES;  // most servers have one client at a time
    return Error{ErrorKind::kIo,
                 concat("the server does not answer request ", request, first ? "; it may have another client" : "")};
  }
  const bool reply = (header.flags & (kVersionMask | kFlagReply)) == (kVersion | kFlagReply);
  if (!reply || header.request != request) {
    return Error{ErrorKind::kNoInput, concat("the server's answer to request ", request, " is none of vhost-user")};
  }
  if (header.size != payload.size()) {
    return Error{ErrorKind::kNoInput, concat("the server's answer to request ", request, " has another size")};
  }
  if (!receive_all(payload, end, received)) {
    return Error{ErrorKind::kIo, concat("the server does not answer request ", request)};
  }
  if (file != nullptr) *file = std::move(received);
  return {};
}

}  // namespace acrn
