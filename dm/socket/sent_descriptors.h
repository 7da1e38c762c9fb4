// Descriptors that go with a message of a UNIX socket (SCM_RIGHTS). SentDescriptors: room for those; it lives until
// sendmsg().
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "acrn/base/check.h"
#include "acrn/base/unique_fd.h"

namespace acrn {

class SentDescriptors {
 public:
  static constexpr size_t kMost = 8;

  SentDescriptors(msghdr& message, std::span<const int> descriptors) {
    ACRN_CHECK(descriptors.size() <= kMost);
    if (descriptors.empty()) return;
    message.msg_control = control_.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  SentDescriptors(const SentDescriptors&) = delete;
  SentDescriptors& operator=(const SentDescriptors&) = delete;

 private:
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(kMost * sizeof(int))> control_{};
};

// After recvmsg(): the kernel has put them into our table, whatever else is wrong with the message.
inline void take_descriptors(msghdr& message, std::vector<UniqueFd>& to) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
      to.emplace_back(fd);
    }
  }
}

}  // namespace acrn
