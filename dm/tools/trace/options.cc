#include "dm/tools/trace/options.h"

#include <algorithm>
#include <charconv>

#include "acrn/base/concat.h"
#include "dm/tools/option_values.h"

namespace acrn {
namespace {

Result<void> parse_seconds(std::string_view option, const std::string& text, double& to) {
  if (text.empty()) return {};
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, to);
  if (parsed.ec == std::errc() && parsed.ptr == end && to >= 0) return {};
  return bad_value(option, text, "seconds since the trace began, like 1.5");
}

Result<void> parse_speed(const std::string& text, double& to) {
  if (text == "max") {
    to = 0;
    return {};
  }
  if (parse_seconds("--speed", text, to).ok() && to >= 0.001 && to <= 1000) return {};
  return bad_value("--speed", text, "how many times as fast, 0.001 to 1000, or max");
}

// What comes behind the file.
Result<void> parse_argument(const TraceText& text, TraceOptions& options) {
  const std::string& argument = text.argument;
  if (options.action == TraceAction::kChain) {
    if (argument.empty()) return usage_error("trace chain: the request is missing; give its number, as show says it");
    const auto number = parse_number(argument.starts_with('#') ? argument.substr(1) : argument, 1, UINT32_MAX);
    if (!number) return bad_value("trace chain", argument, "the number of a request, as show says it");
    options.number = *number;
    return {};
  }
  if (options.action == TraceAction::kFio) {
    if (argument.empty()) return usage_error("trace fio: the file that fio is to work on is missing; give its path");
    if (argument.find_first_of(" \n") != std::string::npos) {
      return bad_value("trace fio", argument, "a path without blanks, which fio's logs cannot have");
    }
    options.fio_file = argument;
    return {};
  }
  if (argument.empty()) return {};
  return usage_error(concat("trace ", text.action, ": it takes one file; leave the rest out"));
}

}  // namespace

Result<TraceOptions> parse_trace_options(const TraceText& text, bool json) {
  TraceOptions options{.file = text.file, .json = json};
  const auto action = std::find(kTraceActionNames.begin(), kTraceActionNames.end(), text.action);
  if (action == kTraceActionNames.end())
    return unknown_word(text.action, "something to do with a trace", kTraceActionNames);
  options.action = static_cast<TraceAction>(action - kTraceActionNames.begin());
  if (text.file.empty()) {
    return usage_error(concat("trace ", text.action, ": the file is missing; give one that trace=<file> has made"));
  }
  if (auto ok = parse_argument(text, options); !ok) return ok.error();
  if (!text.queue.empty()) {
    const auto queue = parse_number(text.queue, 0, UINT16_MAX);
    if (!queue) return bad_value("--queue", text.queue, "the number of a queue");
    options.filter.queue = static_cast<unsigned>(*queue);
  }
  if (!text.type.empty()) {
    if (std::find(kTracedTypes.begin(), kTracedTypes.end(), text.type) == kTracedTypes.end()) {
      return unknown_word(text.type, "a type of requests", kTracedTypes);
    }
    options.filter.type = text.type;
  }
  options.filter.errors = text.errors;
  if (auto ok = parse_speed(text.speed, options.speed); !ok) return ok.error();
  if (auto ok = parse_seconds("--from", text.from, options.filter.from); !ok) return ok.error();
  if (auto ok = parse_seconds("--to", text.to, options.filter.to); !ok) return ok.error();
  return options;
}

}  // namespace acrn
