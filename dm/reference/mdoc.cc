// Manual pages: mdoc(7).
#include <algorithm>
#include <regex>

#include "acrn/base/concat.h"
#include "dm/cli/command_options.h"
#include "dm/devices/device_table.h"
#include "dm/reference/entries.h"
#include "dm/reference/fragments.h"
#include "dm/server/server_table.h"

namespace acrn::reference {
namespace {

constexpr size_t kLine = 78;  // mandoc calls longer lines bad style

// One word of a sentence. "<name>" stands for what the user puts there; a hyphen of an option or a path must stay one.
std::string escaped(std::string_view word) {
  static const std::regex kPlaceholder("<([a-z]+)>");
  std::string text = replaced(word, "\\", "\\e");
  if (text.starts_with('-') || text.find('/') != std::string::npos) text = replaced(text, "-", "\\-");
  text = std::regex_replace(text, kPlaceholder, "\\fI$1\\fR");
  return text.starts_with('.') || text.starts_with('\'') ? concat("\\&", text) : text;
}

// Sentences; each begins a line.
std::string prose(std::string_view sentences) {
  std::vector<std::string> lines(1);
  for (const std::string_view word : split_at(sentences, ' ')) {
    const std::string next = escaped(word);
    const bool sentence_ended = lines.back().ends_with('.') && !lines.back().ends_with("..");
    if (sentence_ended || lines.back().size() + next.size() >= kLine) lines.emplace_back();
    lines.back() += concat(lines.back().empty() ? "" : " ", next);
  }
  return join(lines, "\n");
}

// A help is no sentence yet.
std::string sentence(std::string_view help) {
  std::string text(help);
  const bool is_name = text.size() > 1 && text[1] >= 'A' && text[1] <= 'Z';  // "vCPUs"
  if (!is_name && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text + ".";
}

std::string description(const Entry& entry) {
  return prose(entry.manual.empty() ? sentence(entry.help) : std::string(entry.manual));
}

// "<name>", a bracket, a bar, or the text before the next of these.
std::string_view first_token(std::string_view argument) {
  constexpr std::string_view kSpecial = "<[]|";
  if (argument.starts_with('<')) return argument.substr(0, argument.find('>') + 1);
  if (kSpecial.find(argument.front()) != std::string_view::npos) return argument.substr(0, 1);
  return argument.substr(0, argument.find_first_of(kSpecial));
}

// A single character, or a comma or colon at the end, would be punctuation without the "\&".
std::string macro_of(std::string_view token) {
  switch (token.front()) {
    case '<': return concat("Ar ", token.substr(1, token.size() - 2));
    case '[': return "Oo";
    case ']': return "Oc";
    case '|': return "|";
    default: {
      const bool single = token.size() == 1, delimiter = token.ends_with(',') || token.ends_with(':');
      return concat("Cm ", single ? "\\&" : "", token, !single && delimiter ? "\\&" : "");
    }
  }
}

// "<a>[,<b>]" as "Ar a Ns Oo Cm \&, Ns Ar b Oc": Ns leaves out the space that macros have between them.
std::string macros_of(std::string_view argument) {
  std::string text;
  bool spaced = false;
  while (!argument.empty()) {
    const std::string_view token = first_token(argument);
    argument.remove_prefix(token.size());
    const bool closes = token == "]" || token == "|";
    text += concat(text.empty() ? "" : " ", spaced && !closes ? "Ns " : "", macro_of(token));
    spaced = token != "[" && token != "|";
  }
  return text;
}

// "-m" as "m".
std::string flag(std::string_view name) { return concat("Fl ", name.substr(1)); }

std::string option_item(const Entry& entry) {
  std::string line = ".It ";
  for (const std::string_view name : entry.names) line += concat(name == entry.name() ? "" : " , ", flag(name));
  return entry.value == ValueRule::kNone ? line : concat(line, " ", macros_of(entry.written_argument()));
}

std::string acrn_dm_options() {
  std::vector<std::string> lines;
  for (const Entry& entry : acrn_dm_entries()) lines.push_back(concat(option_item(entry), "\n", description(entry)));
  return join(lines, "\n");
}

std::string obsolete() {
  std::string text;
  for (const ForeignOption& option : obsolete_options()) {
    text += concat(text.empty() ? "." : " , ", flag(first_name(option.names)));
  }
  return text;
}

std::string block_options() {
  std::vector<std::string> lines;
  for (const Entry& entry : block_entries()) {
    lines.push_back(concat(".It ", macros_of(entry.written_key()), "\n", description(entry)));
    const bool tell = entry.manual.empty() && !entry.default_value.empty();
    if (tell) lines.push_back(concat("The default is ", entry.default_value, "."));
  }
  return join(lines, "\n");
}

template <class Row>
std::string table_items(std::span<const Row> table) {
  std::vector<std::string> lines;
  for (const Row& row : table) lines.push_back(concat(".It Cm ", row.name, "\n", prose(sentence(row.help))));
  return join(lines, "\n");
}

std::string emulations() { return table_items<DeviceRow>(device_table()); }
std::string servers() { return table_items<ServerRow>(server_table()); }

// So many commands may lack an option that is called one of every command's.
constexpr size_t kFew = 3;

std::string vblk_synopsis() {
  const std::vector<Command> commands = vblk_entries();
  std::vector<std::string> lines;
  for (const Command& command : commands) {
    lines.push_back(concat(".Nm\n.Cm ", command.name, command.operands.empty() ? "\n.Op Ar options" : ""));
    for (const std::string_view disk : split_at(command.disks, ' ')) {
      if (!disk.empty()) lines.push_back(concat(".Fl s Ar ", disk));
    }
    for (const VblkOperand& operand : command.operands) {
      lines.push_back(concat(operand.optional ? ".Op Ar " : ".Ar ", operand.name));
    }
    for (const Entry& option : command.options) {
      if (owners(commands, option).size() + kFew >= commands.size()) continue;  // of nearly all: "options"
      const std::string argument = macros_of(option.written_argument());
      lines.push_back(concat(".Op ", flag(option.name()), argument.empty() ? "" : " ", argument));
    }
  }
  return join(lines, "\n");
}

std::string vblk_commands() {
  std::vector<std::string> lines;
  for (const Command& command : vblk_entries()) {
    lines.push_back(concat(".It Cm ", command.name, "\n", prose(command.manual)));
  }
  return join(lines, "\n");
}

// Whose options they are, as the beginning of a sentence's line.
std::string owned_by(const std::vector<Command>& commands, std::vector<std::string_view> names) {
  const auto listed = [](std::vector<std::string_view> list) {
    const std::string_view last = list.back();
    list.pop_back();
    return list.empty() ? concat("\n.Cm ", last) : concat("\n.Cm ", join(list, " , "), "\nand\n.Cm ", last);
  };
  std::vector<std::string_view> others;
  for (const Command& command : commands) {
    if (std::find(names.begin(), names.end(), command.name) == names.end()) others.push_back(command.name);
  }
  if (others.empty()) return "every command";
  return others.size() <= kFew ? concat("every command but", listed(others)) : listed(std::move(names));
}

// A list for each set of commands that shares options.
std::string vblk_options() {
  const std::vector<Command> commands = vblk_entries();
  std::vector<std::vector<std::string_view>> sets;
  for (const Entry& option : reference::vblk_options(commands)) {
    const auto set = owners(commands, option);
    if (std::find(sets.begin(), sets.end(), set) == sets.end()) sets.push_back(set);
  }
  std::vector<std::string> lines;
  for (const auto& set : sets) {
    const std::string owner = owned_by(commands, set);
    lines.push_back(concat(".Pp\nThe options of", owner.starts_with('\n') ? "" : " ", owner, "\nare as follows:"));
    lines.emplace_back(".Bl -tag -width Ds");
    for (const Entry& option : reference::vblk_options(commands)) {
      if (owners(commands, option) == set) lines.push_back(concat(option_item(option), "\n", description(option)));
    }
    lines.emplace_back(".El");
  }
  return join(lines, "\n");
}

constexpr Fragment kFragments[] = {
    {"mdoc_acrn_dm_options", acrn_dm_options},
    {"mdoc_obsolete", obsolete},
    {"mdoc_block_options", block_options},
    {"mdoc_emulations", emulations},
    {"mdoc_servers", servers},
    {"mdoc_vblk_synopsis", vblk_synopsis},
    {"mdoc_vblk_commands", vblk_commands},
    {"mdoc_vblk_options", vblk_options},
};

}  // namespace

std::span<const Fragment> mdoc_fragments() { return kFragments; }

}  // namespace acrn::reference
