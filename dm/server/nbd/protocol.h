// The NBD protocol as a server of ours speaks it: fixed newstyle negotiation, simple and structured replies, block
// status (the NBD project's doc/proto.md). All numbers are big endian on the wire.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace acrn::nbd {

inline constexpr uint64_t kGreeting = 0x4e42444d41474943, kOptionMagic = 0x49484156454f5054;
inline constexpr uint64_t kOptionReplyMagic = 0x0003e889045565a9;
inline constexpr uint32_t kRequestMagic = 0x25609513, kReplyMagic = 0x67446698, kChunkMagic = 0x668e33ef;

// Both sides' handshake flags.
inline constexpr uint16_t kFixedNewstyle = 1 << 0, kNoZeroes = 1 << 1;

enum class Option : uint32_t {
  kExportName = 1,
  kAbort = 2,
  kList = 3,
  kInfo = 6,
  kGo = 7,
  kStructuredReply = 8,
  kListMetaContext = 9,
  kSetMetaContext = 10,
};
enum class OptionReply : uint32_t {
  kAck = 1,
  kServer = 2,
  kInfo = 3,
  kMetaContext = 4,
  kUnsupported = (1u << 31) + 1,
  kInvalid = (1u << 31) + 3,
  kUnknown = (1u << 31) + 6,
};
enum class Info : uint16_t { kExport = 0, kBlockSize = 3 };

// What an export can do.
enum ExportFlag : uint16_t {
  kHasFlags = 1 << 0,
  kReadOnly = 1 << 1,
  kSendFlush = 1 << 2,
  kSendFua = 1 << 3,
  kSendTrim = 1 << 5,
  kSendWriteZeroes = 1 << 6,
  kCanMultiConn = 1 << 8,
};

enum class Command : uint16_t {
  kRead = 0,
  kWrite = 1,
  kDisconnect = 2,
  kFlush = 3,
  kTrim = 4,
  kWriteZeroes = 6,
  kBlockStatus = 7
};
inline constexpr uint16_t kCommandFua = 1 << 0, kCommandNoHole = 1 << 1, kCommandReqOne = 1 << 3;

// The one metadata context of ours, and what it says of bytes.
inline constexpr std::string_view kAllocation = "base:allocation";
inline constexpr uint32_t kAllocationId = 1, kStateHole = 1 << 0, kStateZero = 1 << 1;

// A part of a structured reply. Each of ours has one.
enum class Chunk : uint16_t { kNone = 0, kOffsetData = 1, kBlockStatus = 5, kError = (1 << 15) + 1 };
inline constexpr uint16_t kChunkDone = 1 << 0;

// Errors on the wire have numbers of their own, whatever the host's are.
enum class WireError : uint32_t {
  kNone = 0,
  kPermission = 1,
  kIo = 5,
  kNoMemory = 12,
  kInvalid = 22,
  kNoSpace = 28,
  kUnsupported = 95,
};

// The most bytes that a client may ask for at a time, as clients assume that are not told.
inline constexpr uint32_t kMostPayload = 32 << 20;

struct Request {
  uint32_t magic;
  uint16_t flags;
  Command command;
  uint64_t cookie;
  uint64_t offset;  // bytes
  uint32_t length;  // bytes
};
inline constexpr size_t kRequestSize = 28;

template <class T>
T take_number(std::span<const uint8_t>& from) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); i++) value = static_cast<T>(static_cast<uint64_t>(value) << 8 | from[i]);
  from = from.subspan(sizeof(T));
  return value;
}

template <class T, class Bytes>
void put_number(Bytes& to, T value) {
  for (size_t i = sizeof(T); i-- > 0;) to.push_back(static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * i)));
}

// `from`: kRequestSize bytes.
inline Request parse_request(std::span<const uint8_t> from) {
  Request request{};
  request.magic = take_number<uint32_t>(from);
  request.flags = take_number<uint16_t>(from);
  request.command = static_cast<Command>(take_number<uint16_t>(from));
  request.cookie = take_number<uint64_t>(from);
  request.offset = take_number<uint64_t>(from);
  request.length = take_number<uint32_t>(from);
  return request;
}

// What stands before the data of an answer, if there is any: a simple reply, or the chunk of a structured one.
class ReplyHead {
 public:
  static ReplyHead simple(WireError error, uint64_t cookie) {
    ReplyHead head;
    put_number(head, kReplyMagic);
    put_number(head, static_cast<uint32_t>(error));
    put_number(head, cookie);
    return head;
  }
  // Of a read: `data` bytes follow.
  static ReplyHead read(uint64_t cookie, uint64_t offset, uint32_t data) {
    ReplyHead head = chunk(Chunk::kOffsetData, cookie, static_cast<uint32_t>(sizeof(offset)) + data);
    put_number(head, offset);
    return head;
  }
  // `data` bytes of descriptors follow.
  static ReplyHead status(uint64_t cookie, uint32_t data) {
    ReplyHead head = chunk(Chunk::kBlockStatus, cookie, static_cast<uint32_t>(sizeof(kAllocationId)) + data);
    put_number(head, kAllocationId);
    return head;
  }
  static ReplyHead nothing(uint64_t cookie) { return chunk(Chunk::kNone, cookie, 0); }
  static ReplyHead error(WireError error, uint64_t cookie) {
    ReplyHead head = chunk(Chunk::kError, cookie, sizeof(uint32_t) + sizeof(uint16_t));
    put_number(head, static_cast<uint32_t>(error));
    put_number(head, uint16_t{0});  // bytes of a message
    return head;
  }

  void push_back(uint8_t byte) { bytes_[size_++] = byte; }
  uint8_t* data() { return bytes_.data(); }
  size_t size() const { return size_; }

 private:
  static constexpr size_t kMost = 28;

  static ReplyHead chunk(Chunk type, uint64_t cookie, uint32_t payload) {
    ReplyHead head;
    put_number(head, kChunkMagic);
    put_number(head, kChunkDone);
    put_number(head, static_cast<uint16_t>(type));
    put_number(head, cookie);
    put_number(head, payload);
    return head;
  }

  std::array<uint8_t, kMost> bytes_{};
  size_t size_ = 0;
};

}  // namespace acrn::nbd
