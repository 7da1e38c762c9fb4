#include "dm/control/control_session.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>

#include "acrn/base/concat.h"
#include "dm/base/one_line.h"
#include "dm/cli/option_table.h"
#include "dm/control/open_metrics.h"

namespace acrn {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShown = 80;  // bytes of a client's text in an error

std::string shown(std::string_view text) {
  return text.size() <= kShown ? std::string(text) : concat(text.substr(0, kShown), "...");
}

// Looks at brackets only, so that the depth is known before anything is built.
bool too_deep(std::string_view line) {
  unsigned depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < line.size(); i++) {
    const char c = line[i];
    if (in_string && c == '\\') {
      i++;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '{' || c == '[')) {
      if (++depth > ControlSession::kMaxDepth) return true;
    } else if (!in_string && (c == '}' || c == ']') && depth > 0) {
      depth--;
    }
  }
  return false;
}

Result<Json> parse_json(std::string_view line) {
  if (too_deep(line)) {
    return usage_error(concat("nested deeper than ", ControlSession::kMaxDepth, " levels; a request has two at most"));
  }
  try {
    return Json::parse(line);
  } catch (const Json::parse_error& error) {
    return usage_error(concat("not JSON in UTF-8 at byte ", error.byte, R"(; give a line like {"command": "status"})"));
  } catch (const Json::exception&) {  // a number that no double holds
    return usage_error(R"(a number is out of range; give a line like {"command": "status"})");
  }
}

Result<PciAddress> slot_argument(const Json& arguments, std::string_view command) {
  const Json* slot = &arguments;
  if (arguments.is_object() && arguments.size() == 1 && arguments.contains("slot")) slot = &arguments["slot"];
  if (!slot->is_string()) {
    return usage_error(concat(command, R"(: the slot is missing; give "arguments": "9" or {"slot": "9"})"));
  }
  auto address = parse_slot_address(slot->get_ref<const std::string&>());
  if (!address) return usage_error(concat(command, ": ", address.error().message));
  return address;
}

Result<Json> done(const Result<void>& result) {
  if (!result) return result.error();
  return Json(Json::object());
}

Result<Json> blkrescan(ControlTarget& target, const Json& arguments, int file) {
  if (!arguments.is_string()) {
    return usage_error(R"(blkrescan: slot and path are missing; give "arguments": "<slot>,<path>[,opts]")");
  }
  auto request = parse_rescan(arguments.get_ref<const std::string&>());
  if (!request) return request.error();
  request.value().file = file;
  if (const auto scanned = target.blkrescan(request.value()); !scanned) return scanned.error();
  return Json{{"slot", full_name(request.value().address)}};
}

Result<Json> resize(ControlTarget& target, const Json& arguments) {
  const auto address = slot_argument(arguments, "resize");
  if (!address) return address.error();
  const auto size = target.resize(address.value());
  if (!size) return size.error();
  return Json{{"slot", full_name(address.value())}, {"bytes", size.value()}};
}

Result<Json> limits(ControlTarget& target, const Json& arguments) {
  if (!arguments.is_string()) {
    return usage_error(R"(limits: the slot is missing; give "arguments": "9" or "9,iops=2000,bps=0")");
  }
  const std::vector<std::string> fields = split_fields(arguments.get_ref<const std::string&>());
  const auto address = parse_slot_address(fields[0]);
  if (!address) return usage_error(concat("limits: ", address.error().message));
  const auto limits = target.limits(address.value(), std::span(fields).subspan(1));
  if (!limits) return Error{limits.error().kind, concat("limits: ", limits.error().message)};
  return Json{{"slot", full_name(address.value())}, {"limits", to_json(limits.value())}};
}

Result<Json> trace(ControlTarget& target, const Json& arguments) {
  const std::vector<std::string> fields =
      arguments.is_string() ? split_fields(arguments.get_ref<const std::string&>()) : std::vector<std::string>();
  if (fields.size() != 2 || (fields[1] != "on" && fields[1] != "off")) {
    return usage_error(R"(trace: give a slot, and on or off, like "arguments": "9,on")");
  }
  const auto address = parse_slot_address(fields[0]);
  if (!address) return usage_error(concat("trace: ", address.error().message));
  if (auto set = target.trace(address.value(), fields[1] == "on"); !set) return set.error();
  return Json{{"slot", full_name(address.value())}, {"trace", fields[1]}};
}

Result<Json> mark(ControlTarget& target, const Json& arguments) {
  const std::string text = arguments.is_string() ? arguments.get<std::string>() : "";
  const size_t comma = text.find(',');
  if (comma == std::string::npos) return usage_error(R"(mark: give a slot and a text, like "arguments": "9,before")");
  const auto address = parse_slot_address(text.substr(0, comma));
  if (!address) return usage_error(concat("mark: ", address.error().message));
  if (auto marked = target.mark(address.value(), text.substr(comma + 1)); !marked) return marked.error();
  return Json{{"slot", full_name(address.value())}};
}

Result<Json> stats(ControlTarget& target, const Json& arguments) {
  std::string only;
  if (!arguments.empty()) {
    const auto address = slot_argument(arguments, "stats");
    if (!address) return address.error();
    only = full_name(address.value());
  }
  Json functions = Json::array();
  for (const DeviceReport& report : target.stats()) {
    if (only.empty() || report.slot == only) functions.push_back(to_json(report));
  }
  if (!only.empty() && functions.empty()) return usage_error(concat("stats: there is no function in slot ", only));
  return Json{{"functions", std::move(functions)}};
}

Result<Json> pause(ControlTarget& target, const Json&) { return done(target.pause()); }
Result<Json> resume(ControlTarget& target, const Json&) { return done(target.resume()); }

Result<Json> stop(ControlTarget& target, const Json&) {
  target.stop();
  return Json(Json::object());
}

Result<Json> status(ControlTarget& target, const Json&) {
  const MachineStatus status = target.status();
  return Json{{"vm", status.vm_name}, {"uuid", status.uuid}, {"state", status.paused ? "paused" : "running"}};
}

Result<Json> metrics(ControlTarget& target, const Json&) {
  return Json{{"text", render_metrics(target.status(), target.stats(), MetricsFormat::kOpenMetrics)}};
}

// Names of events; without any, all of them. It replaces what was asked for before.
Result<Json> subscribe(ControlEventSet& events, const Json& arguments) {
  ControlEventSet wanted;
  if (arguments.is_null()) wanted.set();
  if (!arguments.is_null() && !arguments.is_array()) {
    return usage_error(R"(subscribe: give names of events, like "arguments": ["io_error", "paused"], or none for all)");
  }
  for (const Json& name : arguments) {
    const auto text = name.is_string() ? name.get_ref<const std::string&>() : name.dump();
    const auto known = std::find(kControlEventNames.begin(), kControlEventNames.end(), text);
    if (known == kControlEventNames.end()) return unknown_word(shown(text), "an event", kControlEventNames);
    wanted.set(static_cast<size_t>(known - kControlEventNames.begin()));
  }
  events = wanted;
  Json names = Json::array();
  for (size_t i = 0; i < kControlEventNames.size(); i++) {
    if (events.test(i)) names.push_back(kControlEventNames[i]);
  }
  return Json{{"events", std::move(names)}};
}

Result<Json> help(ControlTarget& target, const Json& arguments);

struct Command {
  std::string_view name;
  std::string_view arguments;  // what they look like; empty: there are none
  std::string_view help;
  // One of them: what is asked of the machine, or what the client wants for itself, or what takes a descriptor, which
  // is -1 where none was sent.
  Result<Json> (*run)(ControlTarget& target, const Json& arguments);
  Result<Json> (*set_events)(ControlEventSet& events, const Json& arguments) = nullptr;
  Result<Json> (*run_with_file)(ControlTarget& target, const Json& arguments, int file) = nullptr;
};

constexpr std::array<Command, 13> kCommands{{
    {"blkrescan", "\"<slot>,<path>[,opts]\"", "gives a nodisk slot its disk", nullptr, nullptr, blkrescan},
    {"resize", "\"<slot>\"", "follows the new size of a served file", resize},
    {"limits", "\"<slot>[,<limit>=<n>...]\"", "what a disk may be asked for in a second, and changes of it", limits},
    {"trace", "\"<slot>,on\" or \"<slot>,off\"", "switches the trace of a disk that has trace=", trace},
    {"mark", "\"<slot>,<text>\"", "a text in the log of writes of a disk that has log=", mark},
    {"stats", "\"<slot>\" or none", "counts of every function, or of one", stats},
    {"metrics", "", "all counts as OpenMetrics text", metrics},
    {"subscribe", "[\"<event>\", ...] or none", "lines for what happens from now on", nullptr, subscribe},
    {"pause", "", "lets the virtual CPUs rest", pause},
    {"resume", "", "lets them run again, and tries again what is held of failed requests", resume},
    {"stop", "", "ends the virtual machine", stop},
    {"status", "", "name, UUID and state of the virtual machine", status},
    {"help", "", "this list", help},
}};

Result<Json> help(ControlTarget&, const Json&) {
  Json commands = Json::array();
  for (const Command& command : kCommands) {
    Json json = {{"command", command.name}, {"help", command.help}};
    if (!command.arguments.empty()) json["arguments"] = command.arguments;
    commands.push_back(std::move(json));
  }
  return Json{{"commands", std::move(commands)}};
}

Result<Json> run(const Json& request, std::span<const UniqueFd> files, ControlTarget& target, ControlEventSet& events) {
  for (const auto& [key, value] : request.items()) {
    if (key != "id" && key != "command" && key != "arguments") {
      return usage_error(concat("'", shown(key), "' is not a member of a request; give id, command and arguments"));
    }
  }
  if (!request.contains("command") || !request["command"].is_string()) {
    return usage_error(R"(the command is missing; give a line like {"command": "status"})");
  }
  const auto& name = request["command"].get_ref<const std::string&>();
  const Json arguments = request.value("arguments", Json());
  std::vector<std::string_view> known;
  for (const Command& command : kCommands) {
    known.push_back(command.name);
    if (command.name != name) continue;
    const bool none = arguments.empty() || (arguments.is_string() && arguments.get_ref<const std::string&>().empty());
    if (command.arguments.empty() && !none) {
      return usage_error(concat(name, ": it takes no arguments; leave them out"));
    }
    const bool takes_file = command.run_with_file != nullptr;
    if (files.size() > (takes_file ? 1 : 0)) {
      return usage_error(concat(name, takes_file ? ": several descriptors came with it; send one"
                                                 : ": it takes no descriptor; send it with blkrescan"));
    }
    const Json given = none ? Json() : arguments;
    if (takes_file) return command.run_with_file(target, given, files.empty() ? -1 : files[0].fd());
    if (command.set_events != nullptr) return command.set_events(events, given);
    return command.run(target, given);
  }
  return unknown_word(shown(name), "a command", known);
}

// In this order; the id only where the client gave one.
std::string reply_text(const Json* id, const Result<Json>& result) {
  Json reply = Json::object();
  if (id != nullptr) reply["id"] = *id;
  reply["ok"] = result.ok();
  if (result.ok()) {
    reply["result"] = result.value();
  } else {
    reply["error"] = one_line(result.error().message);
  }
  return to_text(reply);
}

}  // namespace

std::string control_refusal(std::string_view error) { return reply_text(nullptr, usage_error(std::string(error))); }

std::string control_reply(std::string_view line, std::span<const UniqueFd> files, ControlTarget& target,
                          ControlEventSet& events) {
  const Result<Json> request = parse_json(line);
  if (!request) return control_refusal(request.error().message);
  const Json& json = request.value();
  if (!json.is_object()) return control_refusal(R"(not an object; give a line like {"command": "status"})");
  return reply_text(json.contains("id") ? &json["id"] : nullptr, run(json, files, target, events));
}

std::optional<std::string_view> ControlSession::next_line() {
  const size_t newline = input_.find('\n', scanned_);
  if (newline == std::string::npos && !(finished_ && begin_ < input_.size())) {
    // What was taken goes now and not line by line, which would be quadratic.
    input_.erase(0, begin_);
    for (Sent& each : sent_) each.end -= begin_;
    begin_ = 0;
    scanned_ = input_.size();
    if (scanned_ <= kMaxLine) return std::nullopt;
    broken_ = true;
    return std::string_view();
  }
  const size_t end = std::min(newline, input_.size());
  const std::string_view line = std::string_view(input_).substr(begin_, end - begin_);
  begin_ = scanned_ = std::min(end + 1, input_.size());
  broken_ = line.size() > kMaxLine;
  return line;
}

// Those of the line that was taken last.
std::vector<UniqueFd> ControlSession::take_files() {
  std::vector<UniqueFd> files;
  const auto rest = std::find_if(sent_.begin(), sent_.end(), [&](const Sent& each) { return each.end > begin_; });
  std::transform(sent_.begin(), rest, std::back_inserter(files), [](Sent& each) { return std::move(each.file); });
  sent_.erase(sent_.begin(), rest);
  return files;
}

std::optional<std::string> ControlSession::next() {
  while (!broken_) {
    const auto line = next_line();
    if (!line && sent_.size() <= kMaxDescriptors) return std::nullopt;
    if (!line) {
      broken_ = true;
      return control_refusal(concat("more than ", kMaxDescriptors, " descriptors in one line; good bye")) + "\n";
    }
    if (broken_) return control_refusal(concat("a line is longer than ", kMaxLine, " bytes; good bye")) + "\n";
    const auto files = take_files();
    const bool blank = line->find_first_not_of(" \t\r") == std::string_view::npos;
    if (blank && !files.empty()) {
      return control_refusal("a descriptor came without a command; send it with the line of blkrescan") + "\n";
    }
    if (!blank) return control_reply(*line, files, target_, events_) + "\n";
  }
  return std::nullopt;
}

}  // namespace acrn
