#include "dm/server/nbd/negotiation.h"

#include <algorithm>

namespace acrn::nbd {
namespace {

constexpr size_t kOptionHeader = 16, kMostOptionData = 8192;  // bytes
constexpr size_t kZeroes = 124;                               // bytes
constexpr std::string_view kBase = "base:";                   // all contexts of the protocol's own

}  // namespace

Negotiation::Negotiation(const ExportFacts& facts, std::vector<uint8_t>& reply)
    : facts_(facts), reply_(reply), wanted_(sizeof(uint32_t)) {
  put_number(reply_, kGreeting);
  put_number(reply_, kOptionMagic);
  put_number<uint16_t>(reply_, kFixedNewstyle | kNoZeroes);
}

Negotiation::Next Negotiation::take(std::span<const uint8_t> bytes) {
  switch (state_) {
    case State::kFlags: return take_flags(bytes);
    case State::kOption: return take_option(bytes);
    case State::kData: break;
  }
  return take_data(bytes);
}

Negotiation::Next Negotiation::take_flags(std::span<const uint8_t> bytes) {
  const auto flags = take_number<uint32_t>(bytes);
  if ((flags & ~uint32_t{kFixedNewstyle | kNoZeroes}) != 0) return Next::kMisbehaved;
  zeroes_ = (flags & kNoZeroes) == 0;
  state_ = State::kOption;
  wanted_ = kOptionHeader;
  return Next::kAnotherStep;
}

Negotiation::Next Negotiation::take_option(std::span<const uint8_t> bytes) {
  const auto magic = take_number<uint64_t>(bytes);
  option_ = static_cast<Option>(take_number<uint32_t>(bytes));
  const auto length = take_number<uint32_t>(bytes);
  if (magic != kOptionMagic || length > kMostOptionData) return Next::kMisbehaved;
  if (length == 0) return take_data({});
  state_ = State::kData;
  wanted_ = length;
  return Next::kAnotherStep;
}

Negotiation::Next Negotiation::take_data(std::span<const uint8_t> bytes) {
  state_ = State::kOption;
  wanted_ = kOptionHeader;
  switch (option_) {
    case Option::kExportName: return choose_by_name(bytes);
    case Option::kInfo:
    case Option::kGo: return choose(bytes);
    case Option::kAbort: answer(OptionReply::kAck); return Next::kEnd;
    case Option::kList:
      if (!bytes.empty()) {
        answer(OptionReply::kInvalid);
        return Next::kAnotherStep;
      }
      answer(OptionReply::kServer, std::vector<uint8_t>(sizeof(uint32_t)));  // a name of no bytes
      answer(OptionReply::kAck);
      return Next::kAnotherStep;
    case Option::kStructuredReply: agree_on_structured_replies(bytes); return Next::kAnotherStep;
    case Option::kListMetaContext:
    case Option::kSetMetaContext: choose_contexts(bytes); return Next::kAnotherStep;
  }
  answer(OptionReply::kUnsupported);
  return Next::kAnotherStep;
}

// A name's length and the name, how many kinds of information are wanted, and which.
Negotiation::Next Negotiation::choose(std::span<const uint8_t> bytes) {
  const auto refuse = [this](OptionReply why) {
    answer(why);
    return Next::kAnotherStep;
  };
  if (bytes.size() < sizeof(uint32_t)) return refuse(OptionReply::kInvalid);
  const auto name = take_number<uint32_t>(bytes);
  if (bytes.size() < sizeof(uint16_t) || name > bytes.size() - sizeof(uint16_t)) return refuse(OptionReply::kInvalid);
  bytes = bytes.subspan(name);
  const auto kinds = take_number<uint16_t>(bytes);
  if (bytes.size() != kinds * sizeof(uint16_t)) return refuse(OptionReply::kInvalid);
  if (name != 0) return refuse(OptionReply::kUnknown);
  std::vector<uint8_t> info;
  put_number(info, static_cast<uint16_t>(Info::kExport));
  put_number(info, facts_.size);
  put_number(info, facts_.flags);
  answer(OptionReply::kInfo, info);
  info.clear();
  put_number(info, static_cast<uint16_t>(Info::kBlockSize));
  put_number(info, facts_.least_block);
  put_number(info, facts_.best_block);
  put_number(info, kMostPayload);
  answer(OptionReply::kInfo, info);
  answer(OptionReply::kAck);
  return option_ == Option::kGo ? Next::kTransmission : Next::kAnotherStep;
}

// The old way, in which a client cannot be told that there is no such export.
Negotiation::Next Negotiation::choose_by_name(std::span<const uint8_t> bytes) {
  if (!bytes.empty()) return Next::kEnd;
  put_number(reply_, facts_.size);
  put_number(reply_, facts_.flags);
  if (zeroes_) reply_.resize(reply_.size() + kZeroes);
  return Next::kTransmission;
}

void Negotiation::agree_on_structured_replies(std::span<const uint8_t> bytes) {
  if (!bytes.empty()) return answer(OptionReply::kInvalid);
  agreed_.structured = true;
  answer(OptionReply::kAck);
}

// To list them changes nothing; to set them forgets what was set before.
void Negotiation::choose_contexts(std::span<const uint8_t> bytes) {
  const bool sets = option_ == Option::kSetMetaContext;
  if (sets) agreed_.status = false;
  bool wanted = false;
  const OptionReply outcome = look_for_contexts(bytes, wanted);
  if (outcome == OptionReply::kAck && wanted && facts_.tells_zeroes) {
    agreed_.status |= sets;
    std::vector<uint8_t> context;
    put_number(context, sets ? kAllocationId : uint32_t{0});
    context.insert(context.end(), kAllocation.begin(), kAllocation.end());
    answer(OptionReply::kMetaContext, context);
  }
  answer(outcome);
}

// A name's length and the name, how many queries there are, and of each its length and text.
OptionReply Negotiation::look_for_contexts(std::span<const uint8_t> bytes, bool& wanted) const {
  const bool lists = option_ == Option::kListMetaContext;
  if (!agreed_.structured && !lists) return OptionReply::kInvalid;
  if (bytes.size() < sizeof(uint32_t)) return OptionReply::kInvalid;
  const auto name = take_number<uint32_t>(bytes);
  if (bytes.size() < sizeof(uint32_t) || name > bytes.size() - sizeof(uint32_t)) return OptionReply::kInvalid;
  bytes = bytes.subspan(name);
  const auto queries = take_number<uint32_t>(bytes);
  wanted = lists && queries == 0;
  for (uint32_t i = 0; i < queries; i++) {
    if (bytes.size() < sizeof(uint32_t)) return OptionReply::kInvalid;
    const auto length = take_number<uint32_t>(bytes);
    if (length > bytes.size()) return OptionReply::kInvalid;
    const auto query = bytes.first(length);
    const auto is = [&](std::string_view text) {
      return std::equal(query.begin(), query.end(), text.begin(), text.end());
    };
    wanted |= is(kAllocation) || (lists && is(kBase));
    bytes = bytes.subspan(length);
  }
  if (!bytes.empty()) return OptionReply::kInvalid;
  return name == 0 ? OptionReply::kAck : OptionReply::kUnknown;
}

void Negotiation::answer(OptionReply reply, std::span<const uint8_t> data) {
  put_number(reply_, kOptionReplyMagic);
  put_number(reply_, static_cast<uint32_t>(option_));
  put_number(reply_, static_cast<uint32_t>(reply));
  put_number(reply_, static_cast<uint32_t>(data.size()));
  reply_.insert(reply_.end(), data.begin(), data.end());
}

}  // namespace acrn::nbd
