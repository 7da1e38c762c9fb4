// The options of acrn-dm, of a virtio-blk function and of vblk in one form, for all that is written from them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dm/cli/option_table.h"
#include "dm/tools/vblk_options.h"

namespace acrn::reference {

// Views of the tables' text.
struct Entry {
  std::vector<std::string_view> names;  // "-m", "--memsize"; one key of a virtio-blk function
  ValueRule value = ValueRule::kNone;
  std::string_view argument, default_value, help, words;
  std::string_view manual;  // sentences; empty: the help

  std::string_view name() const { return names.front(); }
  std::string written_argument() const;  // in brackets if it may be left out
  std::string written_key() const;       // of a virtio-blk function: "mq=<Q>", "discard[=...]"
};

std::vector<Entry> acrn_dm_entries();
std::vector<Entry> block_entries();

struct Command {
  std::string_view name, help, manual, disks;
  std::vector<VblkOperand> operands;
  std::vector<Entry> options;

  bool has(const Entry& option) const;  // with that meaning
};
std::vector<Command> vblk_entries();

// Of all commands, each option once.
std::vector<Entry> vblk_options(const std::vector<Command>& commands);

// The names of those commands that have that option.
std::vector<std::string_view> owners(const std::vector<Command>& commands, const Entry& option);

// "a", "b" -> "a<between>b".
std::string join(std::span<const std::string_view> parts, std::string_view between);
std::string join(std::span<const std::string> parts, std::string_view between);

// `text` with every `from` replaced.
std::string replaced(std::string_view text, std::string_view from, std::string_view to);

}  // namespace acrn::reference
