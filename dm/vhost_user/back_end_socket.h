// BackEndSocket: a front end's connection to a vhost-user back end (QEMU's docs/interop/vhost-user.rst): one message at
// a time, and its answer. Nothing is taken for granted of what comes: a wrong answer, or none in time, is an error.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "dm/vhost_user/protocol.h"

namespace acrn {

// One thread at a time.
class BackEndSocket {
 public:
  // Connects and negotiates features of the protocol, those of `wanted` that the back end has. Waits up to `patience`
  // for that, and for each answer later on, or until the descriptor `cancel` is readable (-1: none). Errors: kUsage: no
  // socket's path; kNoInput: nobody serves there, or nobody who speaks the protocol and has a configuration space; kIo:
  // somebody who gives no answer.
  static Result<BackEndSocket> connect(const std::string& path, uint64_t wanted, std::chrono::milliseconds patience,
                                       int cancel = -1);

  using Clock = std::chrono::steady_clock;
  // What follows is to be over by then, however long single answers may take.
  void set_end(Clock::time_point end) { end_ = end; }

  int fd() const { return socket_.fd(); }
  uint64_t features() const { return features_; }  // of the device, and kProtocolFeatures
  uint64_t protocol_features() const { return protocol_features_; }
  bool has(uint64_t protocol_feature) const { return (protocol_features_ & protocol_feature) != 0; }

  // A message. `need_reply`: returns when it has been carried out, where the back end can say so. Errors:
  // kIo: no answer; kNoInput: none of the protocol's.
  Result<void> send(uint32_t request, std::span<const uint8_t> payload, std::span<const int> files = {},
                    bool need_reply = false);
  // The same with a structure of the wire, and a reply.
  template <class T>
  Result<void> tell(uint32_t request, const T& payload) {
    return send(request, bytes_of(payload), {}, true);
  }
  template <class T>
  Result<void> tell(uint32_t request, const T& payload, int file) {
    return send(request, bytes_of(payload), {&file, 1}, true);
  }
  // The memory that it is to see, at most kMaxTableRegions, and the file of each.
  Result<void> tell_of_memory(std::span<const vhost_user::MemoryRegionDescription> regions, std::span<const int> files);
  // A question whose answer has the question's form; and one that has no payload. `file`: what comes with the answer.
  template <class T>
  Result<T> ask(uint32_t request, const T& payload, UniqueFd* file = nullptr) {
    if (auto sent = send(request, bytes_of(payload)); !sent) return sent.error();
    return answer_to<T>(request, file);
  }
  template <class T>
  Result<T> get(uint32_t request) {
    if (auto sent = send(request, {}); !sent) return sent.error();
    return answer_to<T>(request, nullptr);
  }

 private:
  BackEndSocket(UniqueFd socket, std::chrono::milliseconds patience, int cancel)
      : socket_(std::move(socket)), patience_(patience), cancel_(cancel) {}

  template <class T>
  static std::span<const uint8_t> bytes_of(const T& value) {
    return {reinterpret_cast<const uint8_t*>(&value), sizeof(T)};  // SAFETY: wire structures have no padding
  }
  template <class T>
  Result<T> answer_to(uint32_t request, UniqueFd* file) {
    T value;
    // SAFETY: wire structures are made of integers.
    auto got = receive(request, {reinterpret_cast<uint8_t*>(&value), sizeof(T)}, file);
    if (!got) return got.error();
    return value;
  }

  Result<void> negotiate(uint64_t wanted);
  Result<void> receive(uint32_t request, std::span<uint8_t> payload, UniqueFd* file);
  Clock::time_point end_of_wait() const { return std::min(end_, Clock::now() + patience_); }
  bool receive_all(std::span<uint8_t> to, Clock::time_point end, UniqueFd& file);

  UniqueFd socket_;  // does not block
  std::chrono::milliseconds patience_;
  Clock::time_point end_ = Clock::time_point::max();
  int cancel_;
  uint64_t features_ = 0, protocol_features_ = 0;
};

}  // namespace acrn
