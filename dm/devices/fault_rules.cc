#include "dm/devices/fault_rules.h"

#include <array>
#include <charconv>
#include <utility>

#include "acrn/base/errno_name.h"
#include "dm/cli/option_table.h"

namespace acrn {
namespace {

using Text = std::string_view;

constexpr std::array<std::pair<Text, BlockOp>, 5> kOperations{{{"read", BlockOp::kRead},
                                                               {"write", BlockOp::kWrite},
                                                               {"flush", BlockOp::kFlush},
                                                               {"discard", BlockOp::kDiscard},
                                                               {"zero", BlockOp::kWriteZeroes}}};
constexpr int kErrnos = 134;
constexpr uint64_t kLongestDelay = 60'000'000;  // microseconds
constexpr uint64_t kMost = UINT64_MAX / 512;    // sectors, requests

bool accept_operation(FaultRule& rule, Text text) {
  if (text == "any") return true;
  for (const auto& [name, op] : kOperations) {
    if (text == name) rule.op = op;
  }
  return rule.op.has_value();
}

std::optional<int> parse_errno(Text text) {
  for (int error = 1; error < kErrnos; error++) {
    if (text == errno_name(error)) return error;
  }
  return std::nullopt;
}

// "20ms"
std::optional<uint64_t> parse_delay(Text text) {
  constexpr std::array<std::pair<Text, uint64_t>, 3> kUnits{{{"us", 1}, {"ms", 1000}, {"s", 1'000'000}}};
  for (const auto& [unit, microseconds] : kUnits) {
    if (!text.ends_with(unit)) continue;
    const auto count = parse_number(text.substr(0, text.size() - unit.size()), 1, kLongestDelay / microseconds);
    if (count) return *count * microseconds;
  }
  return std::nullopt;
}

bool accept_fault(FaultRule& rule, Text text) {
  constexpr Text kDelay = "delay=";
  if (text == "short") {
    rule.fault = FaultRule::Fault::kShort;
    rule.error = EIO;
    return true;
  }
  if (text.starts_with(kDelay)) {
    const auto delay = parse_delay(text.substr(kDelay.size()));
    rule.fault = FaultRule::Fault::kDelay;
    rule.delay = delay.value_or(0);
    return delay.has_value();
  }
  const auto error = parse_errno(text);
  rule.error = error.value_or(0);
  return error.has_value();
}

bool accept_sectors(FaultRule& rule, Text value) {
  const auto ends = split_at(value, '-');
  const auto first = parse_number(ends[0], 0, kMost);
  const auto last = parse_number(ends.back(), 0, kMost);
  if (!first || !last || ends.size() > 2 || *last < *first) return false;
  rule.first = *first;
  rule.last = *last;
  return true;
}

bool accept_chance(FaultRule& rule, Text value) {
  const char* const end = value.data() + value.size();
  const auto parsed = std::from_chars(value.data(), end, rule.chance);
  return parsed.ec == std::errc() && parsed.ptr == end && rule.chance > 0 && rule.chance <= 100;
}

bool accept_condition(FaultRule& rule, Text text) {
  const auto [key, value] =
      std::pair(text.substr(0, text.find('=')), text.substr(std::min(text.find('='), text.size() - 1) + 1));
  if (key == "sectors") return accept_sectors(rule, value);
  if (key == "chance") return accept_chance(rule, value);
  const auto number = parse_number(value, 0, kMost);
  if (!number) return false;
  if (key == "skip") {
    rule.skip = *number;
  } else if (key == "times") {
    rule.times = *number;
  } else if (key == "seed") {
    rule.seed = *number;
  } else {
    return false;
  }
  return true;
}

bool accept_rule(FaultRule& rule, Text text) {
  const auto parts = split_at(text, ':');
  if (parts.size() < 2 || !accept_operation(rule, parts[0]) || !accept_fault(rule, parts[1])) return false;
  for (size_t i = 2; i < parts.size(); i++) {
    if (parts[i].empty() || !accept_condition(rule, parts[i])) return false;
  }
  return true;
}

}  // namespace

std::optional<FaultRules> parse_fault_rules(Text text) {
  FaultRules rules{.text = std::string(text), .rules = {}};
  for (const Text part : split_at(text, '+')) {
    if (!accept_rule(rules.rules.emplace_back(), part)) return std::nullopt;
  }
  return rules;
}

}  // namespace acrn
