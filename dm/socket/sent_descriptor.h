// SentDescriptor: room for a descriptor that goes with a message of a UNIX socket (SCM_RIGHTS). It lives until
// sendmsg().
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace acrn {

class SentDescriptor {
 public:
  SentDescriptor(msghdr& message, int fd) {
    message.msg_control = control_.data();
    message.msg_controllen = control_.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(fd));
    std::memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
  }
  SentDescriptor(const SentDescriptor&) = delete;
  SentDescriptor& operator=(const SentDescriptor&) = delete;

 private:
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(sizeof(int))> control_{};
};

}  // namespace acrn
