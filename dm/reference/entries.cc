#include "dm/reference/entries.h"

#include <algorithm>

#include "acrn/base/concat.h"
#include "dm/cli/command_options.h"
#include "dm/devices/block_device_options.h"
#include "dm/tools/vblk_options.h"

namespace acrn::reference {
namespace {

template <class Part>
std::string joined(std::span<const Part> parts, std::string_view between) {
  std::string text;
  for (const Part& part : parts) {
    if (&part != parts.data()) text += between;
    text += part;
  }
  return text;
}

Entry entry_of(const VblkOption& option) {
  ValueRule value = option.argument.empty() ? ValueRule::kNone : ValueRule::kRequired;
  if (!option.implied.empty()) value = ValueRule::kOptional;
  return Entry{.names = split_at(option.names, ','),
               .value = value,
               .argument = option.argument,
               .default_value = {},
               .help = option.help,
               .words = option.words,
               .manual = option.manual};
}

}  // namespace

std::string Entry::written_argument() const {
  return value == ValueRule::kOptional ? concat("[", argument, "]") : std::string(argument);
}

std::string Entry::written_key() const { return acrn::written_key(name(), value, argument); }

std::vector<Entry> acrn_dm_entries() {
  std::vector<Entry> entries;
  for (const CommandOption& option : command_options()) {
    entries.push_back({.names = split_at(option.names, ','),
                       .value = option.argument.empty() ? ValueRule::kNone : ValueRule::kRequired,
                       .argument = option.argument,
                       .default_value = {},
                       .help = option.help,
                       .words = option.words,
                       .manual = option.manual});
  }
  return entries;
}

std::vector<Entry> block_entries() {
  std::vector<Entry> entries;
  for (const auto& row : block_option_rows()) {
    entries.push_back({.names = {row.key},
                       .value = row.value,
                       .argument = row.argument,
                       .default_value = row.default_value,
                       .help = row.help,
                       .words = row.words,
                       .manual = row.manual});
  }
  return entries;
}

bool Command::has(const Entry& option) const {
  return std::any_of(options.begin(), options.end(),
                     [&](const Entry& each) { return each.names == option.names && each.help == option.help; });
}

std::vector<Command> vblk_entries() {
  std::vector<Command> commands;
  for (const VblkCommand& row : vblk_commands()) {
    Command command{
        .name = row.name, .help = row.help, .manual = row.manual, .disks = row.disks, .operands = {}, .options = {}};
    for (const VblkOperand& operand : row.operands) {
      if (operand.target != nullptr) command.operands.push_back(operand);
    }
    for (const auto& group : row.options) {
      for (const VblkOption& option : group) command.options.push_back(entry_of(option));
    }
    commands.push_back(std::move(command));
  }
  return commands;
}

std::vector<Entry> vblk_options(const std::vector<Command>& commands) {
  Command all;
  for (const Command& command : commands) {
    for (const Entry& option : command.options) {
      if (!all.has(option)) all.options.push_back(option);
    }
  }
  return all.options;
}

std::vector<std::string_view> owners(const std::vector<Command>& commands, const Entry& option) {
  std::vector<std::string_view> names;
  for (const Command& command : commands) {
    if (command.has(option)) names.push_back(command.name);
  }
  return names;
}

std::string join(std::span<const std::string_view> parts, std::string_view between) { return joined(parts, between); }
std::string join(std::span<const std::string> parts, std::string_view between) { return joined(parts, between); }

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from)) {
    result.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
  return result.append(text);
}

}  // namespace acrn::reference
