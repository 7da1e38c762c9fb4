// Negotiation: what client and server agree on before the first request, without a socket: bytes in, bytes out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dm/server/nbd/protocol.h"

namespace acrn::nbd {

// What a client is told of the export, whose name is empty.
struct ExportFacts {
  uint64_t size = 0;           // bytes
  uint16_t flags = kHasFlags;  // ExportFlag
  uint32_t least_block = 512;  // bytes: what offset and length of a request are multiples of
  uint32_t best_block = 4096;  // bytes
  bool tells_zeroes = false;   // block status can be asked for
};

// Beyond simple replies.
struct Agreed {
  bool structured = false;  // replies to reads
  bool status = false;      // the context base:allocation
};

class Negotiation {
 public:
  enum class Next {
    kAnotherStep,
    kTransmission,  // requests follow
    kEnd,           // the client has had enough
    kMisbehaved,    // it does not speak this protocol
  };

  // `reply` gets what is to be sent, from the greeting on.
  Negotiation(const ExportFacts& facts, std::vector<uint8_t>& reply);

  // How many bytes the next step takes, not 0.
  size_t wanted() const { return wanted_; }
  // A step. `bytes`: wanted() of them.
  Next take(std::span<const uint8_t> bytes);
  const Agreed& agreed() const { return agreed_; }

 private:
  enum class State { kFlags, kOption, kData };

  Next take_flags(std::span<const uint8_t> bytes);
  Next take_option(std::span<const uint8_t> bytes);
  Next take_data(std::span<const uint8_t> bytes);
  Next choose(std::span<const uint8_t> bytes);
  Next choose_by_name(std::span<const uint8_t> bytes);
  void agree_on_structured_replies(std::span<const uint8_t> bytes);
  void choose_contexts(std::span<const uint8_t> bytes);
  OptionReply look_for_contexts(std::span<const uint8_t> bytes, bool& wanted) const;
  void answer(OptionReply reply, std::span<const uint8_t> data = {});

  const ExportFacts facts_;
  std::vector<uint8_t>& reply_;
  State state_ = State::kFlags;
  size_t wanted_;
  Agreed agreed_;
  bool zeroes_ = true;  // behind an export that was chosen by its name
  Option option_{};     // whose data comes next
};

}  // namespace acrn::nbd
