// The table of command-line options: names, help, and how each value gets into a DmConfig. Pure. The manual page and
// the completion are made from it, too (dm/reference).
#pragma once

#include <span>
#include <string_view>

#include "dm/cli/command_line.h"
#include "dm/cli/option_table.h"

namespace acrn {

// The values of --hypervisor.
inline constexpr ChoiceWords<HypervisorKind, 2> kHypervisorWords{
    {{"acrn", HypervisorKind::kAcrn}, {"kvm", HypervisorKind::kKvm}}};

struct CommandOption {
  std::string_view names;     // "-m,--memsize"; messages use the first
  std::string_view argument;  // "<size>"; empty for a flag
  std::string_view help;
  std::string_view example;
  // False: the value is not a valid one. Null for -s and --serve, whose values are rows of other tables.
  bool (*accept)(DmConfig& config, std::string_view value);
  std::string_view kind;         // "a memory size"
  std::string_view expects;      // "a number with K, M or G, like 512M"
  std::string_view manual = {};  // sentences for the manual page; empty: the help
  std::string_view words = {};   // values that a shell offers, separated by spaces; kPathWord and its like
};

// Each option once, in the order of the help text.
std::span<const CommandOption> command_options();

// The one that has that name.
const CommandOption& command_option(std::string_view name);

// An option of ACRN's device model that is none here.
struct ForeignOption {
  std::string_view names;
  bool takes_value;
};
// Without effect in ACRN too: a warning.
std::span<const ForeignOption> obsolete_options();
// With an effect in ACRN that this device model does not have: an error.
std::span<const ForeignOption> unsupported_options();

// "-m" of "-m,--memsize".
std::string_view first_name(std::string_view names);

}  // namespace acrn
