// What a template can ask for by its name: lines of a manual page, of a shell's completion or of a page in docs/, made
// from the option tables.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace acrn::reference {

struct Fragment {
  std::string_view name;
  std::string (*text)();  // lines; without a newline at the end
};

std::span<const Fragment> mdoc_fragments();      // manual pages
std::span<const Fragment> shell_fragments();     // bash, zsh and fish
std::span<const Fragment> markdown_fragments();  // docs/

}  // namespace acrn::reference
