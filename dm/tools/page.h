// Text for people, in lines that a terminal shows whole.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace acrn {

inline constexpr size_t kPageWidth = 80;

// `text` broken at blanks, to follow `first`; further lines are indented by as much. A word that is longer than a line stays whole.
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

}  // namespace acrn
