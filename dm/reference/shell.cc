// What the completions of bash, zsh and fish know of the options.
#include "acrn/base/concat.h"
#include "dm/cli/help.h"
#include "dm/devices/block_device_options.h"
#include "dm/devices/device_table.h"
#include "dm/reference/entries.h"
#include "dm/reference/fragments.h"
#include "dm/server/server_table.h"

namespace acrn::reference {
namespace {

// --- words of all shells

template <class Row>
std::string names_of(std::span<const Row> table, std::string_view end) {
  std::vector<std::string> names;
  for (const Row& row : table) names.push_back(concat(row.name, end));
  return join(names, " ");
}

std::string emulation_words() { return names_of<DeviceRow>(device_table(), ""); }

// The values of an option that a shell knows by itself.
std::string value_words(const Entry& entry) {
  if (entry.words == kServerWord) return names_of<ServerRow>(server_table(), "=");
  if (entry.words == kTopicWord) return names_of<HelpTopic>(help_topics(), "");
  return std::string(entry.words);
}

void add_block_words(const Entry& entry, std::vector<std::string>& words) {
  if (entry.value != ValueRule::kRequired) words.emplace_back(entry.name());
  if (entry.value == ValueRule::kOptional || (entry.value == ValueRule::kRequired && entry.words.empty())) {
    words.push_back(concat(entry.name(), "="));
  }
  if (entry.words.empty()) return;
  for (const std::string_view word : split_at(entry.words, ' ')) words.push_back(concat(entry.name(), "=", word));
}

std::string block_words() {
  std::vector<std::string> words;
  for (const Entry& entry : block_entries()) add_block_words(entry, words);
  return join(words, " ");
}

std::vector<Entry> entries_before_path() {
  std::vector<Entry> entries = block_entries();
  std::erase_if(entries, [](const Entry& entry) { return !may_precede_path(entry.name()); });
  return entries;
}

std::string before_path_words() {
  std::vector<std::string> words;
  for (const Entry& entry : entries_before_path()) add_block_words(entry, words);
  return join(words, " ");
}

// Fields that are not the path yet, as patterns of a `case`.
std::string before_path_patterns(std::string_view between, std::string_view quote) {
  std::vector<std::string> patterns;
  for (const Entry& entry : entries_before_path()) {
    if (entry.value != ValueRule::kRequired) patterns.emplace_back(entry.name());
    patterns.push_back(concat(quote, entry.name(), "=*", quote));
  }
  patterns.emplace_back("b");
  return join(patterns, between);
}
std::string case_before_path() { return before_path_patterns(" | ", ""); }
std::string fish_before_path() { return before_path_patterns(" ", "'"); }

std::string vblk_command_words() {
  std::vector<std::string_view> names;
  const std::vector<Command> commands = vblk_entries();
  names.reserve(commands.size());
  for (const Command& command : commands) names.push_back(command.name);
  return join(names, " ");
}

std::string names_of(const std::vector<Entry>& entries) {
  std::vector<std::string> names;
  names.reserve(entries.size());
  for (const Entry& entry : entries) names.push_back(join(entry.names, " "));
  return join(names, " ");
}

// --- bash

std::string acrn_dm_words() { return names_of(acrn_dm_entries()); }

// A `case` of the option before the cursor; those whose values nobody knows offer nothing.
std::string bash_values(const std::vector<Entry>& entries) {
  std::vector<std::string> lines;
  std::vector<std::string_view> silent;
  for (const Entry& entry : entries) {
    if (entry.value == ValueRule::kNone && entry.words.empty()) continue;
    const std::string pattern = join(entry.names, " | ");
    if (entry.words.empty()) {
      silent.insert(silent.end(), entry.names.begin(), entry.names.end());
    } else if (entry.words == kSlotWord) {
      lines.push_back(concat(pattern, ") _acrn_offer_slot ;;"));
    } else if (entry.words == kPathWord) {
      lines.push_back(concat(pattern, ") _acrn_offer '' \"$word\" -f ;;"));
    } else {
      lines.push_back(concat(pattern, ") _acrn_offer '' \"$word\" -W '", value_words(entry), "' ;;"));
    }
  }
  lines.push_back(concat(join(silent, " | "), ") ;;"));
  return join(lines, "\n");
}
std::string bash_acrn_dm_values() { return bash_values(acrn_dm_entries()); }
std::string bash_vblk_values() { return bash_values(vblk_options(vblk_entries())); }

std::string bash_vblk_options() {
  std::vector<std::string> lines;
  for (const Command& command : vblk_entries()) {
    lines.push_back(concat(command.name, ") options='", names_of(command.options), "' ;;"));
  }
  return join(lines, "\n");
}

// --- zsh

std::string zsh_quoted(std::string_view text) { return concat("'", replaced(text, "'", "'\\''"), "'"); }

std::string zsh_description(std::string_view help) {
  return concat("[", replaced(replaced(help, "[", "\\["), "]", "\\]"), "]");
}

// What comes behind the name: the argument and what is offered for it.
std::string zsh_argument(const Entry& entry) {
  if (entry.value == ValueRule::kNone) return "";
  const std::string before =
      concat(entry.value == ValueRule::kOptional ? "::" : ":", replaced(entry.argument, ":", "\\:"));
  if (entry.words.empty()) return concat(before, ": ");
  if (entry.words == kSlotWord) return concat(before, ": _acrn_offer_slot");
  if (entry.words == kPathWord) return concat(before, ":_files");
  return concat(before, ": _acrn_offer ", value_words(entry));
}

// Arguments of _arguments: one for each name, which excludes the other ones unless the option may come again.
std::string zsh_options(const std::vector<Entry>& entries) {
  std::vector<std::string> lines;
  for (const Entry& entry : entries) {
    for (const std::string_view name : entry.names) {
      const bool repeats = entry.words == kSlotWord || name == "-l" || name == "--lpc";
      const std::string_view end = entry.value == ValueRule::kNone ? "" : name.starts_with("--") ? "=" : "+";
      const std::string exclusion = repeats ? "*" : concat("(", join(entry.names, " "), ")");
      lines.push_back(zsh_quoted(concat(exclusion, name, end, zsh_description(entry.help), zsh_argument(entry))));
    }
  }
  return join(lines, " \\\n");
}
std::string zsh_acrn_dm_options() { return zsh_options(acrn_dm_entries()); }

std::string zsh_vblk_commands() {
  std::vector<std::string> lines;
  for (const Command& command : vblk_entries()) lines.push_back(zsh_quoted(concat(command.name, ":", command.help)));
  return join(lines, "\n");
}

std::string zsh_vblk_options() {
  std::vector<std::string> lines;
  for (const Command& command : vblk_entries()) {
    const std::string options = replaced(zsh_options(command.options), "\n", "\n    ");
    lines.push_back(concat(command.name, ")\n  options=( \\\n    ", options, " \\\n  )\n  ;;"));
  }
  return join(lines, "\n");
}

// --- fish

std::string fish_quoted(std::string_view text) {
  return concat("'", replaced(replaced(text, "\\", "\\\\"), "'", "\\'"), "'");
}

std::string fish_option(std::string_view command, const std::string& condition, const Entry& entry) {
  std::string line = concat("complete -c ", command, condition);
  for (const std::string_view name : entry.names) {
    line += name.starts_with("--") ? concat(" -l ", name.substr(2)) : concat(" -s ", name.substr(1));
  }
  if (entry.words == kPathWord) {
    line += " -r -F";
  } else if (entry.words == kSlotWord) {
    line += " -x -a '(__acrn_offer_slot)'";
  } else if (!entry.words.empty()) {
    line += concat(entry.value == ValueRule::kOptional ? " -a " : " -x -a ", fish_quoted(value_words(entry)));
  } else if (entry.value != ValueRule::kNone) {
    line += " -x";
  }
  return concat(line, " -d ", fish_quoted(entry.help));
}

std::string fish_acrn_dm_options() {
  std::vector<std::string> lines;
  for (const Entry& entry : acrn_dm_entries()) lines.push_back(fish_option("acrn-dm", "", entry));
  return join(lines, "\n");
}

std::string fish_vblk_commands() {
  std::vector<std::string> lines;
  for (const Command& command : vblk_entries()) {
    lines.push_back(
        concat("complete -c vblk -n __fish_use_subcommand -a ", command.name, " -d ", fish_quoted(command.help)));
  }
  return join(lines, "\n");
}

std::string fish_vblk_options() {
  const std::vector<Command> commands = vblk_entries();
  std::vector<std::string> lines;
  for (const Entry& option : vblk_options(commands)) {
    const std::string condition = concat(" -n '__fish_seen_subcommand_from ", join(owners(commands, option), " "), "'");
    lines.push_back(fish_option("vblk", condition, option));
  }
  return join(lines, "\n");
}

constexpr Fragment kFragments[] = {
    {"emulation_words", emulation_words},
    {"block_words", block_words},
    {"before_path_words", before_path_words},
    {"case_before_path", case_before_path},
    {"acrn_dm_words", acrn_dm_words},
    {"vblk_command_words", vblk_command_words},
    {"bash_acrn_dm_values", bash_acrn_dm_values},
    {"bash_vblk_values", bash_vblk_values},
    {"bash_vblk_options", bash_vblk_options},
    {"zsh_acrn_dm_options", zsh_acrn_dm_options},
    {"zsh_vblk_commands", zsh_vblk_commands},
    {"zsh_vblk_options", zsh_vblk_options},
    {"fish_before_path", fish_before_path},
    {"fish_acrn_dm_options", fish_acrn_dm_options},
    {"fish_vblk_commands", fish_vblk_commands},
    {"fish_vblk_options", fish_vblk_options},
};

}  // namespace

std::span<const Fragment> shell_fragments() { return kFragments; }

}  // namespace acrn::reference
