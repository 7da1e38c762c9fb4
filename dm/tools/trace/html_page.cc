#include "dm/tools/trace/html_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "acrn/base/concat.h"
#include "dm/tools/coach/coach.h"
#include "dm/tools/monitor/cells.h"
#include "dm/tools/monitor/html_chart.h"
#include "dm/tools/trace/views.h"

namespace acrn {
namespace {

using Json = nlohmann::ordered_json;

// Chains that the page has, beside those that break rules.
constexpr size_t kFirstChains = 500, kSlowChains = 100, kWrongChains = 2000;
// Requests that the page has: some 80 MB.
constexpr size_t kMostRequests = size_t{1} << 21;

constexpr std::string_view kTimeAndChain = R"_html(
<h2>Over time</h2>
<div class="card">
<div class="bar"><button id="all">all of it</button><button id="before">one before</button>
<button id="after">one after</button><button id="wrong">next that is wrong</button>
<label>request <input id="number" type="number" min="1"></label></div>
<canvas id="depth"></canvas><canvas id="latency"></canvas><canvas id="signals"></canvas>
<div class="legend"><span><i style="background:var(--read)"></i>read</span>
<span><i style="background:var(--write)"></i>write</span><span><i style="background:var(--flush)"></i>flush</span>
<span><i style="background:var(--other)"></i>other</span>
<span><i style="background:var(--bad)"></i>wrong or failed</span>
<span>drag to zoom, click to choose</span></div>
</div>
<h2>One request</h2>
<p id="what"></p>
<div class="pair"><div class="card"><canvas id="ring"></canvas></div>
<div class="card table"><table id="chain"></table></div></div>
)_html";

static_assert(std::endian::native == std::endian::little, "columns are little endian");

template <class T>
std::string base64(const std::vector<T>& column) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  // SAFETY: bytes may be read of anything.
  const auto* const data = reinterpret_cast<const unsigned char*>(column.data());
  const size_t size = column.size() * sizeof(T);
  std::string text;
  text.reserve((size + 2) / 3 * 4);
  for (size_t i = 0; i < size; i += 3) {
    const unsigned b1 = i + 1 < size ? data[i + 1] : 0, b2 = i + 2 < size ? data[i + 2] : 0;
    const unsigned three = data[i] << 16u | b1 << 8u | b2;
    for (unsigned k = 0; k < 4; k++) text += i + k > size ? '=' : kDigits[three >> (18 - 6 * k) & 0x3f];
  }
  return text;
}

unsigned type_index(const TracedRequest& request) {
  if (!request.has_header) return kTracedTypes.size();
  const auto found = std::find(kTracedTypes.begin(), kTracedTypes.end(), request_type(request.type));
  return static_cast<unsigned>(found - kTracedTypes.begin());
}

// As script, which ends at no text of the trace.
std::string script_of(const Json& json) {
  std::string text = json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  for (size_t at = 0; (at = text.find('<', at)) != std::string::npos;) text.replace(at, 1, "\\u003c");
  return text;
}

Json chain_json(const Trace& trace, const TracedRequest& request) {
  Json descriptors = Json::array();
  for (const ChainRow& row : chain_rows(trace, request)) {
    Json json{{"index", row.index},
              {"addr", hex(uint64_t{row.desc.addr})},
              {"len", uint32_t{row.desc.len}},
              {"flags", uint16_t{row.desc.flags}},
              {"next", uint16_t{row.desc.next}}};
    for (const TraceItem* const error : row.errors) {
      const auto& name = error->body<TraceName>();
      const GuestRuleText* const rule = find_rule(name);
      json["wrong"].push_back(concat(rule_name(name), ", value ", hex(name.value),
                                     rule != nullptr ? concat(": ", rule->rule, " (", rule->source, ")") : ""));
    }
    descriptors.push_back(std::move(json));
  }
  return {{"descriptors", std::move(descriptors)}};
}

// The requests of the page.
std::span<const TracedRequest> page_requests(const Trace& trace) {
  return trace.requests().first(std::min(trace.requests().size(), kMostRequests));
}

// Those that somebody may want to look at: the first, the slowest, and what is wrong.
Json chains_json(const Trace& trace) {
  const auto requests = page_requests(trace);
  std::set<size_t> wanted;
  std::vector<std::pair<uint64_t, size_t>> slow;
  for (size_t i = 0, wrong = 0; i < requests.size(); i++) {
    const TracedRequest& request = requests[i];
    const bool bad = request.errors != 0 || request.error != 0;
    if (i < kFirstChains || (bad && wrong++ < kWrongChains)) wanted.insert(i);
    if (request.done != 0) slow.emplace_back(request.done - request.taken, i);
  }
  const size_t most = std::min(kSlowChains, slow.size());
  std::partial_sort(slow.begin(), slow.begin() + static_cast<ptrdiff_t>(most), slow.end(), std::greater<>());
  for (size_t i = 0; i < most; i++) wanted.insert(slow[i].second);
  Json chains = Json::object();
  for (const size_t i : wanted) chains[std::to_string(i)] = chain_json(trace, requests[i]);
  return chains;
}

// Microseconds that a request took. Below 0: it was not done; below -1: a reset has ended it, after 2 less.
float latency_of(const TracedRequest& request) {
  const auto after = [&request](uint64_t time) { return static_cast<float>(time - request.taken) / 1e3f; };
  if (request.done != 0) return after(request.done);
  return request.lost != 0 ? -2.0f - after(request.lost) : -1.0f;
}

Json data_of(const Trace& trace) {
  const uint64_t begin = trace.header().started;
  const uint64_t last = trace.items().empty() ? begin : trace.items().back().time;
  const double unit = std::max(1.0, std::ceil(static_cast<double>(last - begin) / UINT32_MAX));  // nanoseconds
  const auto units = [begin, unit](uint64_t time) {
    return static_cast<uint32_t>(static_cast<double>(time - std::min(begin, time)) / unit);
  };
  std::vector<uint32_t> taken, bytes, info, ring, kicks, interrupts;
  std::vector<float> latency;
  std::vector<double> sector;
  float slowest = 1;
  std::optional<size_t> first;
  for (const TracedRequest& request : page_requests(trace)) {
    const bool bad = request.errors != 0;
    if (bad && !first) first = taken.size();
    taken.push_back(units(request.taken));
    latency.push_back(latency_of(request));
    slowest = std::max(slowest, latency.back());
    sector.push_back(static_cast<double>(request.sector));
    bytes.push_back(static_cast<uint32_t>(std::min<uint64_t>(request.bytes, UINT32_MAX)));
    const uint8_t status = request.done == 0 ? uint8_t{0} : request.status;
    info.push_back(uint32_t{request.queue} << 16 | uint32_t{status} << 8 | (bad ? 0x80u : 0u) | type_index(request));
    ring.push_back(uint32_t{request.ring_entries} << 16 | request.avail_index);
  }
  for (const TraceItem& item : trace.items()) {
    auto& times = item.event() == TraceEvent::kInterrupt ? interrupts : kicks;
    const bool wanted = item.event() == TraceEvent::kInterrupt ? item.record->detail != 0 : is_kick(item);
    if (wanted && times.size() < kMostRequests) times.push_back(units(item.time));
  }
  return {{"seconds", trace.length()},   {"unit", unit / 1e9},     {"slowest", slowest},
          {"first", first.value_or(0)},  {"taken", base64(taken)}, {"latency", base64(latency)},
          {"sector", base64(sector)},    {"bytes", base64(bytes)}, {"info", base64(info)},
          {"ring", base64(ring)},        {"kicks", base64(kicks)}, {"interrupts", base64(interrupts)},
          {"chains", chains_json(trace)}};
}

std::string advice_html(const Advice& advice) {
  const bool mistake = advice.kind == Advice::Kind::kRule;
  std::string html =
      fmt::format("<div class=\"card advice{}\"><b>{}</b>", mistake ? " mistake" : "", html_escaped(advice.name));
  const auto line = [&html](std::string_view label, const std::string& text) {
    if (!text.empty()) html += fmt::format("<p><span>{}</span> {}</p>", label, html_escaped(text));
  };
  line("seen", advice.seen);
  line("rule", concat(advice.rule, advice.source.empty() ? "" : concat(" (", advice.source, ")")));
  line("cause", advice.cause);
  line("mend", advice.remedy);
  return html + "</div>\n";
}

std::string advice_section(const Trace& trace) {
  std::string html;
  for (const Advice& advice : coach(trace)) html += advice_html(advice);
  return html.empty() ? "<p>No rule is broken, and nothing is slow for no reason.</p>" : html;
}

std::string counts_table(const Trace& trace) {
  const Json stats = trace_stats(trace);
  std::string html =
      "<div class=\"card table\"><table><tr><th>requests</th><th>count</th><th>failed</th><th>bytes</th><th>median</th>"
      "<th>99 %</th><th>most</th></tr>";
  for (const Json& type : stats["types"]) {
    html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                        html_escaped(type["type"].get<std::string>()), type["requests"].get<uint64_t>(),
                        type["failed"].get<uint64_t>(), short_number(type["bytes"].get<double>()),
                        short_time(type["p50_ns"].get<double>()), short_time(type["p99_ns"].get<double>()),
                        short_time(type["most_ns"].get<double>()));
  }
  return html +
         fmt::format(
             "</table></div><p>{} kicks; {} interrupts sent, and {} not, as the driver wanted; {} records lost.</p>",
             stats["kicks"].get<uint64_t>(), stats["interrupts"].get<uint64_t>(),
             stats["interrupts_not_wanted"].get<uint64_t>(), trace.lost());
}

}  // namespace

std::string trace_page(const Trace& trace) {
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">";
  page += fmt::format("<title>Trace of {}</title><style>{}</style></head><body><main>\n", html_escaped(trace.slot()),
                      kTracePageStyle);
  page += fmt::format("<h1>Slot {}: {}</h1><p>{:.3f} seconds, {} requests</p>\n", html_escaped(trace.slot()),
                      html_escaped(trace.disk()), trace.length(), trace.requests().size());
  page += "<h2>What to mend</h2>\n" + advice_section(trace);
  if (trace.requests().size() > kMostRequests) {
    page += fmt::format("<p>The first {} requests are drawn; vblk trace show has all.</p>\n", kMostRequests);
  }
  page += kTimeAndChain;
  page += "<h2>Counts</h2>\n" + counts_table(trace);
  page += fmt::format(
      "<footer>Written by vblk trace html. The chains of the first {} requests, of the {} slowest and of {} that break "
      "rules are in this page; vblk trace chain shows any.</footer>\n",
      kFirstChains, kSlowChains, kWrongChains);
  page += "</main><script>const trace = " + script_of(data_of(trace)) + ";\n";
  page += kTracePageScript;
  return page + "</script></body></html>\n";
}

}  // namespace acrn
