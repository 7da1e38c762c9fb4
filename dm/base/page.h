// Text for people, in lines that a terminal shows whole.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace acrn {

inline constexpr size_t kPageWidth = 80;

// `text` broken at blanks, to follow `first`; further lines are indented by as much. A word that is longer than a line
// stays whole.
inline std::string wrapped(std::string_view first, std::string_view text, size_t indent) {
  std::string page(first);
  page.resize(std::max(page.size(), indent), ' ');
  size_t column = page.size();
  bool fresh = true;  // nothing behind the indent yet
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (!fresh && column + 1 + word.size() > kPageWidth) {
      page += '\n' + std::string(indent, ' ');
      column = indent;
      fresh = true;
    }
    if (!fresh) page += ' ', column++;
    page += word;
    column += word.size();
    fresh = false;
  }
  return page;
}

// Every line of `text` that is too wide, broken; what follows is under its second column, if it has two.
inline std::string fitted(std::string_view text) {
  std::string page;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t first = std::min(line.find_first_not_of(' '), line.size());
    const size_t gap = line.find("  ", first);
    const size_t column = gap == std::string_view::npos ? first : line.find_first_not_of(' ', gap);
    const bool fits = line.size() <= kPageWidth || column == std::string_view::npos;
    page += fits ? std::string(line) : wrapped(line.substr(0, column), line.substr(column), column);
    page += '\n';
  }
  return page;
}

}  // namespace acrn
