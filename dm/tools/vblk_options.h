// The commands of vblk and their options, as tables. The command line, the manual page and the completion are made from
// them (dm/reference). Pure.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "dm/tools/bench/options.h"
#include "dm/tools/crash/options.h"
#include "dm/tools/monitor/options.h"
#include "dm/tools/trace/options.h"

namespace acrn {

// The command line as text; values are checked by us, so that every message is ours. `json` is of every command.
struct VblkCommandLine : BenchText, MonitorText, TraceText, CrashText {
  std::vector<std::string> slots, connect;
  std::string interrupts = "msix";
  bool no_event_index = false, no_indirect = false, single_msi = false, windows = false;
  bool no_verify = false, acknowledge = false, keep = false;
  std::string sector = "0", count, place;
};

struct VblkOption {
  // Where the value goes: a flag, a text, or a list, of an option that may be given more than once.
  using Target = std::variant<bool VblkCommandLine::*, std::string VblkCommandLine::*,
                              std::vector<std::string> VblkCommandLine::*>;

  std::string_view names;     // "--qd,--iodepth"
  std::string_view argument;  // "<n>"; empty for a flag
  std::string_view help;
  Target target;
  std::string_view manual = {};   // sentences for the manual page; empty: the help
  std::string_view words = {};    // values that a shell offers, separated by spaces; kSlotWord
  std::string_view implied = {};  // what the option means without a value, if it may be given so
};

// What a command takes without an option's name.
struct VblkOperand {
  std::string_view name, help;
  std::string VblkCommandLine::*target = nullptr;
  bool optional = false;
};

struct VblkCommand {
  std::string_view name, help, example;
  std::string_view manual;                                  // sentences for the manual page
  std::string_view disks = "slot";                          // what the manual page calls each disk that it takes
  std::array<VblkOperand, 3> operands = {};                 // in their order; without a name: there is none
  std::array<std::span<const VblkOption>, 4> options = {};  // in groups that commands share
};

// Each command once, in the order of the help text.
std::span<const VblkCommand> vblk_commands();

}  // namespace acrn
