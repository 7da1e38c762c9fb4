#include "dm/tools/monitor/cells.h"

#include <fmt/format.h>
#include <locale.h>
#include <wchar.h>

#include <algorithm>
#include <array>
#include <cwchar>
#include <vector>

namespace acrn {
namespace {

// The tables of characters that the C library has, whatever the process's own locale is.
class Utf8Locale {
 public:
  Utf8Locale() : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (locale_ != nullptr) before_ = ::uselocale(locale_);
  }
  ~Utf8Locale() {
    if (locale_ == nullptr) return;
    ::uselocale(before_);
    ::freelocale(locale_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t locale_, before_ = nullptr;
};

struct Character {
  std::string_view bytes;
  size_t columns;
};

std::vector<Character> characters_of(std::string_view text, bool unicode) {
  const Utf8Locale locale;
  std::vector<Character> characters;
  std::mbstate_t state{};
  while (!text.empty()) {
    wchar_t wide = 0;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the state is ours
    const size_t length = std::mbrtowc(&wide, text.data(), text.size(), &state);
    const bool bad = length == 0 || length > text.size();
    const int columns = bad ? 0 : ::wcwidth(wide);
    if (bad) state = {};
    const size_t bytes = bad ? 1 : length;
    const bool shown = columns > 0 && (unicode || bytes == 1);
    characters.push_back(shown ? Character{text.substr(0, bytes), static_cast<size_t>(columns)} : Character{"?", 1});
    text.remove_prefix(bytes);
  }
  return characters;
}

size_t width_of(const std::vector<Character>& characters) {
  size_t width = 0;
  for (const Character& each : characters) width += each.columns;
  return width;
}

}  // namespace

std::string cell(std::string_view text, size_t columns, CutAt cut, bool unicode) {
  std::vector<Character> characters = characters_of(text, unicode);
  const Character dots{unicode ? "…" : "~", 1};
  if (width_of(characters) > columns && columns != 0) {
    while (width_of(characters) + dots.columns > columns) {
      characters.erase(cut == CutAt::kFront ? characters.begin() : characters.end() - 1);
    }
    characters.insert(cut == CutAt::kFront ? characters.begin() : characters.end(), dots);
  }
  std::string result;
  for (const Character& each : characters) result += each.bytes;
  return result + std::string(columns - std::min(columns, width_of(characters)), ' ');
}

std::string short_number(double value) {
  constexpr std::array<char, 5> kUnits{'k', 'M', 'G', 'T', 'P'};
  if (value < 100 && value != static_cast<double>(static_cast<uint64_t>(value))) return fmt::format("{:.1f}", value);
  if (value < 9999.5) return fmt::format("{:.0f}", value);
  for (const char unit : kUnits) {
    value /= 1000;
    if (value < 99.95) return fmt::format("{:.1f}{}", value, unit);
    if (value < 999.5) return fmt::format("{:.0f}{}", value, unit);
  }
  return "many";
}

std::string short_time(double nanoseconds) {
  if (nanoseconds < 1) return "0us";
  if (nanoseconds < 999.5) return fmt::format("{:.0f}ns", nanoseconds);
  constexpr std::array<const char*, 3> kUnits{"us", "ms", "s"};
  for (const char* const unit : kUnits) {
    nanoseconds /= 1000;
    if (nanoseconds < 9.95) return fmt::format("{:.1f}{}", nanoseconds, unit);
    if (nanoseconds < 999.5) return fmt::format("{:.0f}{}", nanoseconds, unit);
  }
  return fmt::format("{:.0f}s", std::min(nanoseconds, 99999.0));
}

}  // namespace acrn
