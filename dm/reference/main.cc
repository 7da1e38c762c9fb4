// acrn-reference: prints a template with what it asks for filled in from the option tables. Used by the build, for the
// manual pages and completions, and by docs/refresh.sh; not installed.
//   acrn-reference <template>
// A template asks in two ways. "@name@" is replaced; first in its line, it gives its indentation to all lines. In a
// page of docs/ the lines between "<!-- generated: name -->" and "<!-- end -->" are made again.
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <regex>
#include <stdexcept>
#include <string>

#include "acrn/base/concat.h"
#include "dm/reference/entries.h"
#include "dm/reference/fragments.h"

namespace acrn::reference {
namespace {

std::string text_of(std::string_view name) {
  for (const auto fragments : {mdoc_fragments(), shell_fragments(), markdown_fragments()}) {
    for (const Fragment& fragment : fragments) {
      if (fragment.name == name) return fragment.text();
    }
  }
  throw std::runtime_error(concat("no fragment has the name '", name, "'"));
}

// Of a template.
std::string filled(const std::string& line) {
  static const std::regex kFirst("( *)@([a-z_]+)@(.*)"), kInside("(.*?)@([a-z_]+)@(.*)");
  std::smatch match;
  if (std::regex_match(line, match, kFirst)) {
    return match.str(1) + replaced(text_of(match.str(2)), "\n", "\n" + match.str(1)) + filled(match.str(3));
  }
  if (!std::regex_match(line, match, kInside)) return line;
  return match.str(1) + text_of(match.str(2)) + filled(match.str(3));
}

void print_template(std::istream& input) {
  for (std::string line; std::getline(input, line);) std::cout << filled(line) << "\n";
}

void print_page(std::istream& input) {
  static const std::regex kBegin("<!-- generated: ([a-z-]+) -->");
  std::smatch match;
  for (std::string line; std::getline(input, line);) {
    std::cout << line << "\n";
    if (!std::regex_match(line, match, kBegin)) continue;
    const std::string name = match.str(1);
    while (line != "<!-- end -->") {
      if (!std::getline(input, line)) throw std::runtime_error(concat(name, ": no <!-- end --> follows"));
    }
    std::cout << text_of(name) << "\n" << line << "\n";
  }
}

int start(const std::string& path) {
  std::ifstream input(path);
  if (!input) throw std::runtime_error(concat(path, ": cannot be opened"));
  path.ends_with(".md") ? print_page(input) : print_template(input);
  return std::cout.flush() ? 0 : 1;
}

}  // namespace
}  // namespace acrn::reference

int main(int argc, char** argv) {
  try {
    if (argc == 2) return acrn::reference::start(argv[1]);
    std::fputs("usage: acrn-reference <template>\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "acrn-reference: %s\n", error.what());
  }
  return 1;
}
