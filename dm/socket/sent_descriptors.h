// SentDescriptors: room for descriptors that go with a message of a UNIX socket (SCM_RIGHTS). It lives until sendmsg().
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "acrn/base/check.h"

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

}  // namespace acrn
