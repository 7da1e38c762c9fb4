#include "dm/devices/fault_rules.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/errno_name.h"
#include "dm/cli/option_table.h"

namespace acrn {
namespace {

using Text = std::string_view;

// The words of operations, in the order of BlockOp, and one for all of them.
constexpr std::array<Text, 6> kOperations{"read", "write", "flush", "discard", "zero", "any"};
constexpr std::array<Text, 5> kConditions{"sectors", "skip", "times", "chance", "seed"};
constexpr int kErrnos = 134;
constexpr uint64_t kLongestDelay = 60'000'000;  // microseconds
constexpr uint64_t kMost = UINT64_MAX / 512;    // sectors, requests

Error not_right(Text text, std::string_view expects) { return usage_error(concat("'", text, "': give ", expects)); }

Result<void> accept_operation(FaultRule& rule, Text text) {
  const auto found = std::find(kOperations.begin(), kOperations.end(), text);
  if (found == kOperations.end()) return unknown_word(text, "an operation", kOperations);
  if (text != "any") rule.op = static_cast<BlockOp>(found - kOperations.begin());
  return {};
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

Result<void> accept_fault(FaultRule& rule, Text text) {
  constexpr Text kDelay = "delay=";
  if (text == "short") {
    rule.fault = FaultRule::Fault::kShort;
    rule.error = EIO;
    return {};
  }
  if (text.starts_with(kDelay)) {
    const auto delay = parse_delay(text.substr(kDelay.size()));
    if (!delay) return not_right(text, "a time of at most a minute with us, ms or s, like delay=20ms");
    rule.fault = FaultRule::Fault::kDelay;
    rule.delay = *delay;
    return {};
  }
  const auto error = parse_errno(text);
  if (!error) return not_right(text, "an errno like EIO or ENOSPC, short, or delay=<time>");
  rule.error = *error;
  return {};
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

Result<void> accept_condition(FaultRule& rule, Text text) {
  const size_t equals = std::min(text.find('='), text.size());
  const Text key = text.substr(0, equals), value = text.substr(std::min(equals + 1, text.size()));
  if (std::find(kConditions.begin(), kConditions.end(), key) == kConditions.end()) {
    return unknown_word(key, "a condition", kConditions);
  }
  if (key == "sectors") {
    return accept_sectors(rule, value) ? Result<void>() : not_right(text, "the first and the last, like sectors=8-15");
  }
  if (key == "chance") {
    return accept_chance(rule, value) ? Result<void>() : not_right(text, "percent, more than 0 and at most 100");
  }
  const auto number = parse_number(value, key == "times" ? 1 : 0, kMost);
  if (!number) return not_right(text, concat("a number, like ", key, "=1"));
  if (key == "skip") rule.skip = *number;
  if (key == "times") rule.times = *number;
  if (key == "seed") rule.seed = *number;
  return {};
}

Result<void> accept_rule(FaultRule& rule, Text text) {
  const auto parts = split_at(text, ':');
  if (parts.size() < 2) return not_right(text, "<operation>:<fault>[:<condition>...], like write:EIO:times=1");
  if (auto accepted = accept_operation(rule, parts[0]); !accepted) return accepted;
  if (auto accepted = accept_fault(rule, parts[1]); !accepted) return accepted;
  for (size_t i = 2; i < parts.size(); i++) {
    if (auto accepted = accept_condition(rule, parts[i]); !accepted) return accepted;
  }
  return {};
}

}  // namespace

Result<FaultRules> parse_fault_rules(Text text) {
  FaultRules rules{.text = std::string(text), .rules = {}};
  for (const Text part : split_at(text, '+')) {
    auto accepted = accept_rule(rules.rules.emplace_back(), part);
    if (!accepted) return usage_error(concat("fault=", text, ": ", accepted.error().message));
  }
  return rules;
}

}  // namespace acrn
