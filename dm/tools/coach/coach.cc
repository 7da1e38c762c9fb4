#include "dm/tools/coach/coach.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "acrn/base/errno_name.h"
#include "dm/base/page.h"
#include "dm/tools/coach/habits.h"
#include "dm/tools/coach/rule_advice.h"

namespace acrn {
namespace {

constexpr std::string_view kSectorPastEnd = text(GuestRule::kSectorPastEnd).name;
constexpr std::array<std::string_view, 3> kKinds{"mistake", "slow", "host"};  // in the order of Advice::Kind

Advice advice_on_rule(const std::string& name, std::string seen) {
  Advice advice{.kind = Advice::Kind::kRule, .name = name, .seen = std::move(seen)};
  for (size_t i = 0; i < kGuestRules; i++) {
    if (kGuestRuleTexts[i].name != name) continue;
    const RuleAdvice& known = advice_of(static_cast<GuestRule>(i));
    advice.rule = kGuestRuleTexts[i].rule;
    advice.source = kGuestRuleTexts[i].source;
    advice.cause = known.cause;
    advice.remedy = known.remedy;
  }
  return advice;
}

std::string times(uint64_t count) { return count == 1 ? "once" : concat(count, " times"); }

// In the order in which they were first broken: what comes later often follows from the first.
void add_rules(const Trace& trace, std::vector<Advice>& all) {
  struct Broken {
    const TraceItem* first;
    uint64_t count = 0;
  };
  std::vector<std::string> order;
  std::map<std::string, Broken> rules;
  for (const TraceItem& item : trace.items()) {
    if (item.event() != TraceEvent::kGuestError) continue;
    const auto [rule, fresh] = rules.try_emplace(rule_name(item.body<TraceName>()), Broken{&item});
    rule->second.count++;
    if (fresh) order.push_back(rule->first);
  }
  for (const std::string& name : order) {
    const Broken& broken = rules[name];
    const TraceItem& first = *broken.first;
    std::string seen =
        concat(times(broken.count), ", first at ", fmt::format("{:.6f}", trace.seconds(first.time)), " s");
    if (first.request != TraceItem::kNoRequest) {
      const TracedRequest& request = trace.requests()[first.request];
      seen += concat(", request #", first.request + 1, ", head ", request.head);
      if (name == kSectorPastEnd) {
        seen += concat(", at sector ", request.sector, " of ", uint64_t{trace.header().capacity});
      }
    }
    seen += concat(", value ", hex(first.body<TraceName>().value));
    all.push_back(advice_on_rule(name, std::move(seen)));
  }
}

// What no rule tells of: the driver waits for something that does not come.
void add_unanswered(const Trace& trace, std::vector<Advice>& all) {
  const auto unanswered = [](const TracedRequest& request) {
    return request.status == TracedRequest::kNoStatus && request.errors == 0;
  };
  const auto& requests = trace.requests();
  const auto count = std::count_if(requests.begin(), requests.end(), unanswered);
  if (count == 0) return;
  const auto first = std::find_if(requests.begin(), requests.end(), unanswered);
  all.push_back(
      {.kind = Advice::Kind::kHost,
       .name = "not-done-yet",
       .seen = concat(static_cast<uint64_t>(count), count == 1 ? " request has" : " requests have",
                      " no answer when the trace or its queue ends, first #", first - requests.begin() + 1),
       .rule = "a device answers each chain, in any order",
       .source = "virtio 0.9.5 2.4.2",
       .cause = "The machine was ended, or the host's disk does not answer; io_timeout= tells of that.",
       .remedy = "Look at these with vblk trace chain; a driver that ends waits for all that it has started."});
}

void add_host_errors(const Trace& trace, std::vector<Advice>& all) {
  std::map<unsigned, uint64_t> errors;
  for (const TraceItem& item : trace.items()) {
    if (item.event() == TraceEvent::kFailed) errors[item.record->number]++;
  }
  for (const auto& [error, count] : errors) {
    all.push_back(
        {.kind = Advice::Kind::kHost,
         .name = concat("host-", errno_name(static_cast<int>(error))),
         .seen = concat(times(count), " the host could not carry out a request: ", errno_name(static_cast<int>(error))),
         .rule = "status IOERR: the request was good, the disk was not",
         .source = "virtio 1.2 5.2.6",
         .cause = "The file, device or server beneath the disk has failed; this is not the driver's doing.",
         .remedy = "Look at the host. The driver passes the error on; to try again for ever helps nobody."});
  }
}

}  // namespace

std::vector<Advice> coach(const Trace& trace) {
  std::vector<Advice> all;
  add_rules(trace, all);
  add_host_errors(trace, all);
  add_unanswered(trace, all);
  add_habits(trace, all);
  return all;
}

std::vector<Advice> coach(const DiskCounts& disk) {
  std::vector<Advice> all;
  for (const auto& [name, count] : disk.guest_errors) {
    if (count != 0) all.push_back(advice_on_rule(name, concat(times(count), " since the machine has started")));
  }
  return all;
}

std::vector<std::string> advice_lines(const Advice& advice) {
  constexpr size_t kIndent = 10;
  std::vector<std::string> lines;
  const auto add = [&](std::string_view label, const std::string& text) {
    if (!text.empty()) lines.push_back(wrapped(label, text, kIndent));
  };
  lines.push_back(concat(kKinds[static_cast<size_t>(advice.kind)], ": ", advice.name));
  add("  seen", advice.seen);
  add("  rule", advice.source.empty() ? advice.rule : concat(advice.rule, " (", advice.source, ")"));
  add("  cause", advice.cause);
  add("  mend", advice.remedy);
  return lines;
}

nlohmann::ordered_json to_json(const Advice& advice) {
  return {{"kind", kKinds[static_cast<size_t>(advice.kind)]},
          {"name", advice.name},
          {"seen", advice.seen},
          {"rule", advice.rule},
          {"source", advice.source},
          {"cause", advice.cause},
          {"remedy", advice.remedy}};
}

}  // namespace acrn
