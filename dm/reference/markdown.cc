// Tables for docs/.
#include "acrn/base/concat.h"
#include "dm/devices/device_table.h"
#include "dm/reference/entries.h"
#include "dm/reference/fragments.h"
#include "dm/sandbox/system_calls.h"

namespace acrn::reference {
namespace {

// Between bars.
std::string cell(std::string_view text) { return replaced(text, "|", "\\|"); }

std::string code(std::string_view text) { return text.empty() ? std::string() : concat("`", cell(text), "`"); }

std::string prose(std::string_view text) { return replaced(cell(text), "<", "\\<"); }

std::string options() {
  std::string text = "| option | argument | |\n|---|---|---|";
  for (const Entry& entry : acrn_dm_entries()) {
    std::vector<std::string> names;
    for (const std::string_view name : entry.names) names.push_back(code(name));
    text += concat("\n| ", join(names, ", "), " | ", code(entry.argument), " | ", prose(entry.help), " |");
  }
  return text;
}

std::string block_options() {
  std::string text = "| option | default | |\n|---|---|---|";
  for (const Entry& entry : block_entries()) {
    text += concat("\n| ", code(entry.written_key()), " | ", code(entry.default_value), " | ", prose(entry.help), " |");
  }
  return text;
}

std::string emulations() {
  std::string text = "| emulation | |\n|---|---|";
  for (const DeviceRow& row : device_table()) text += concat("\n| ", code(row.name), " | ", prose(row.help), " |");
  return text;
}

std::string system_call_table() {
  std::string text = "| system call | arguments | threads | only with | why |\n|---|---|---|---|---|";
  for (const SystemCall& call : system_calls()) {
    text += concat("\n| ", code(call.name), " | ", words_of_rule(call.rule), " | ", words_of_threads(call.threads),
                   " | ", words_of_parts(call.parts), " | ", prose(call.why), " |");
  }
  return text;
}

constexpr Fragment kFragments[] = {
    {"options", options},
    {"virtio-blk", block_options},
    {"emulations", emulations},
    {"system-calls", system_call_table},
};

}  // namespace

std::span<const Fragment> markdown_fragments() { return kFragments; }

}  // namespace acrn::reference
