// Any text as a command line, one argument per line, and as a slot: a value or an error, nothing else.
// COVERS(input): every option, wrong in every way
#include <string>

#include "dm/cli/command_line.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto slot = acrn::parse_slot(text);
  if (!slot.ok() && slot.error().message.empty()) __builtin_trap();
  std::vector<std::string> arguments;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    arguments.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  const auto outcome = acrn::parse_command_line(arguments);
  const auto* error = std::get_if<acrn::Error>(&outcome.result);
  if (error != nullptr && (error->message.empty() || error->kind != acrn::ErrorKind::kUsage)) __builtin_trap();
  return 0;
}
