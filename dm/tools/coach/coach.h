// What to tell the author of a driver, from a trace or from the counts of a machine that runs: rules that are broken,
// with cause and remedy; and what is allowed and slow, with what it costs in that trace. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "dm/tools/monitor/sample.h"
#include "dm/tools/trace/trace_file.h"

namespace acrn {

struct Advice {
  enum class Kind : uint8_t { kRule, kSlow, kHost };

  Kind kind = Kind::kRule;
  std::string name;    // of the rule, or of the habit
  std::string seen;    // what, how often, and where first
  std::string rule;    // what the specification says; of a habit: what it offers
  std::string source;  // the clause
  std::string cause;
  std::string remedy;
};

// The most important first; empty: there is nothing to tell.
std::vector<Advice> coach(const Trace& trace);
std::vector<Advice> coach(const DiskCounts& disk);

std::vector<std::string> advice_lines(const Advice& advice);
nlohmann::ordered_json to_json(const Advice& advice);

}  // namespace acrn
