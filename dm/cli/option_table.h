// Option text to fields, keys, numbers and sizes. Pure: no I/O, no state, any thread, linear in the length of
// the text. Errors are one line that names the field and says what would be right.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "acrn/base/result.h"

namespace acrn {

// Splits at commas; two commas in a row are one comma of the text.
std::vector<std::string> split_fields(std::string_view text);
// Splits at every `separator`; at least one, possibly empty, part.
std::vector<std::string_view> split_at(std::string_view text, char separator);

// Decimal digits and nothing else, low <= number <= high.
std::optional<uint64_t> parse_number(std::string_view text, uint64_t low, uint64_t high);
// Decimal digits and possibly K, M or G in either case; bytes. `unit` is what one without a letter means.
std::optional<uint64_t> parse_size(std::string_view text, uint64_t unit);
// Host CPUs, like "0,4-6", each at most once and below kMaxHostCpus.
inline constexpr unsigned kMaxHostCpus = 1024;
std::optional<std::vector<unsigned>> parse_cpus(std::string_view text, char separator);

// The known word that `word` was probably meant to be; empty if none is near.
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known);
// "'<word>' is not <kind>; did you mean ...", or all the known ones if none is near.
Error unknown_word(std::string_view word, std::string_view kind, std::span<const std::string_view> known);
// "<option>: unknown option; did you mean ...", or `where` to find the known ones if none is near. `option` with or
// without a value.
Error unknown_option(std::string_view option, std::string_view where, std::span<const std::string_view> known);

// The words of a choice, each with what it stands for.
template <class Choice, size_t size>
using ChoiceWords = std::array<std::pair<std::string_view, Choice>, size>;

// nullopt: it is none of the words.
template <class Choice, size_t size>
std::optional<Choice> choice_of(const ChoiceWords<Choice, size>& words, std::string_view word) {
  const auto found = std::find_if(words.begin(), words.end(), [&](const auto& each) { return each.first == word; });
  return found == words.end() ? std::nullopt : std::optional<Choice>(found->second);
}
// Of a choice that has one.
template <class Choice, size_t size>
std::string_view word_of(const ChoiceWords<Choice, size>& words, Choice choice) {
  const auto found = std::find_if(words.begin(), words.end(), [&](const auto& each) { return each.second == choice; });
  ACRN_CHECK(found != words.end());
  return found->first;
}

inline Error usage_error(std::string message) { return Error{ErrorKind::kUsage, std::move(message)}; }

enum class ValueRule : uint8_t { kNone, kOptional, kRequired };

// Of the words that a shell offers as an option's value: what it has to look up itself.
inline constexpr std::string_view kPathWord = "<path>";
inline constexpr std::string_view kSlotWord = "<slot>";      // what `-s` takes
inline constexpr std::string_view kServerWord = "<server>";  // what `--serve` takes
inline constexpr std::string_view kTopicWord = "<topic>";    // what may follow `--help`

// One key of an option table. What only manuals and completion need comes last (dm/reference).
template <class Target>
struct OptionRow {
  std::string_view key;
  ValueRule value = ValueRule::kNone;
  bool (*accept)(Target& target, std::string_view value) = nullptr;  // false: the value is not a valid one
  std::string_view kind = {};                                        // what the value is: "a ring size"
  std::string_view expects = {};   // what would be right: "a power of two, like queue_size=128"
  std::string_view argument = {};  // "<logical>[/<physical>]"; empty if it takes no value
  std::string_view default_value =
      {};                        // what holds without the option, as it would be written; empty if that is no value
  std::string_view help = {};    // one line, that begins with a small letter and has no period
  std::string_view manual = {};  // sentences for the manual page; empty: the help
  std::string_view words = {};   // values that a shell offers, separated by spaces
};

struct KeyValue {
  std::string_view key;
  std::optional<std::string_view> value;  // absent without an '='
};
KeyValue split_key(std::string_view field);

// A key as help and manuals write it: "ro", "mq=<Q>", "discard[=<sectors>]".
std::string written_key(std::string_view key, ValueRule value, std::string_view argument);

template <class Target>
Result<void> apply_row(const OptionRow<Target>& row, const KeyValue& field, Target& target) {
  if (row.value == ValueRule::kNone && field.value) {
    return usage_error(concat(row.key, "=", *field.value, ": '", row.key, "' takes no value; write just ", row.key));
  }
  if ((row.value == ValueRule::kRequired && !field.value) || (field.value && field.value->empty())) {
    return usage_error(concat(row.key, ": the value is missing; give ", row.expects));
  }
  const std::string_view value = field.value.value_or("");
  if (row.accept(target, value)) return {};
  return usage_error(concat(row.key, "=", value, ": not ", row.kind, "; give ", row.expects));
}

// Carries out one "key" or "key=value". Keys match as whole words.
template <class Target>
Result<void> apply_option(std::span<const OptionRow<Target>> rows, std::string_view field, Target& target) {
  const KeyValue parts = split_key(field);
  std::vector<std::string_view> known;
  for (const OptionRow<Target>& row : rows) {
    if (row.key == parts.key) return apply_row(row, parts, target);
    known.push_back(row.key);
  }
  return unknown_word(parts.key, "an option", known);
}

}  // namespace acrn
