#include "dm/cli/option_table.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <charconv>
#include <limits>

namespace acrn {
namespace {

// Longer words are no slip of the finger for any option, and the bound keeps edit_distance() cheap.
constexpr size_t kMaxWord = 32;

// Levenshtein: insertions, deletions and replacements that turn `a` into `b`, both at most kMaxWord long.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::array<size_t, kMaxWord + 1> row;
  for (size_t j = 0; j <= b.size(); j++) row[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      const size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replace, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

unsigned unit_shift(char letter) {
  switch (letter) {
    case 'k':
    case 'K': return 10;
    case 'm':
    case 'M': return 20;
    case 'g':
    case 'G': return 30;
    default: return 0;
  }
}

// "n" or "a-b", into `cpus`. A CPU that was seen before is refused, which also bounds the work.
bool add_cpus(std::string_view text, std::bitset<kMaxHostCpus>& seen, std::vector<unsigned>& cpus) {
  const size_t dash = text.find('-');
  const auto first = parse_number(text.substr(0, dash), 0, kMaxHostCpus - 1);
  const auto last = dash == std::string_view::npos ? first : parse_number(text.substr(dash + 1), 0, kMaxHostCpus - 1);
  if (!first || !last || *first > *last) return false;
  for (uint64_t cpu = *first; cpu <= *last; cpu++) {
    if (seen.test(cpu)) return false;
    seen.set(cpu);
    cpus.push_back(static_cast<unsigned>(cpu));
  }
  return true;
}

}  // namespace

std::vector<std::string> split_fields(std::string_view text) {
  std::vector<std::string> fields(1);
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] != ',') {
      fields.back() += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == ',') {
      fields.back() += ',';
      i++;
    } else {
      fields.emplace_back();
    }
  }
  return fields;
}

std::vector<std::string_view> split_at(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  size_t end;
  while ((end = text.find(separator)) != std::string_view::npos) {
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  parts.push_back(text);
  return parts;
}

std::optional<uint64_t> parse_number(std::string_view text, uint64_t low, uint64_t high) {
  uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end || number < low || number > high) return std::nullopt;
  return number;
}

std::optional<uint64_t> parse_size(std::string_view text, uint64_t unit) {
  if (text.empty()) return std::nullopt;
  if (const unsigned shift = unit_shift(text.back()); shift != 0) {
    unit = uint64_t{1} << shift;
    text.remove_suffix(1);
  }
  const auto number = parse_number(text, 0, std::numeric_limits<uint64_t>::max() / unit);
  if (!number) return std::nullopt;
  return *number * unit;
}

std::optional<std::vector<unsigned>> parse_cpus(std::string_view text, char separator) {
  std::bitset<kMaxHostCpus> seen;
  std::vector<unsigned> cpus;
  for (const std::string_view part : split_at(text, separator)) {
    if (!add_cpus(part, seen, cpus)) return std::nullopt;
  }
  return cpus;
}

std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known) {
  std::string_view nearest;
  size_t best = kMaxWord;
  if (word.size() > kMaxWord) return nearest;
  for (const std::string_view candidate : known) {
    if (candidate.size() > kMaxWord) continue;
    const size_t distance = edit_distance(word, candidate);
    const size_t tolerable = std::max<size_t>(1, std::max(word.size(), candidate.size()) / 3);
    if (distance <= tolerable && distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

Error unknown_word(std::string_view word, std::string_view kind, std::span<const std::string_view> known) {
  std::string message = concat("'", word, "' is not ", kind, "; ");
  if (const std::string_view nearest = nearest_word(word, known); !nearest.empty()) {
    return usage_error(concat(message, "did you mean ", nearest, "?"));
  }
  message += "known: ";
  for (const std::string_view candidate : known) message += concat(candidate == known.front() ? "" : ", ", candidate);
  return usage_error(std::move(message));
}

Error unknown_option(std::string_view option, std::string_view where, std::span<const std::string_view> known) {
  const std::string_view name = split_key(option).key, nearest = nearest_word(name, known);
  const std::string hint = nearest.empty() ? std::string(where) : concat("did you mean ", nearest, "?");
  return usage_error(concat(name, ": unknown option; ", hint));
}

KeyValue split_key(std::string_view field) {
  const size_t equals = field.find('=');
  if (equals == std::string_view::npos) return {field, std::nullopt};
  return {field.substr(0, equals), field.substr(equals + 1)};
}

std::string written_key(std::string_view key, ValueRule value, std::string_view argument) {
  if (value == ValueRule::kNone) return std::string(key);
  return value == ValueRule::kOptional ? concat(key, "[=", argument, "]") : concat(key, "=", argument);
}

}  // namespace acrn
