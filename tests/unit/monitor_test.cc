// What vblk top and vblk report make of what a control socket says, without one.
#include <chrono>
#include <nlohmann/json.hpp>

#include "dm/tools/monitor/cells.h"
#include "dm/tools/monitor/html_chart.h"
#include "dm/tools/monitor/html_report.h"
#include "dm/tools/monitor/options.h"
#include "dm/tools/monitor/sample.h"
#include "dm/tools/monitor/top_view.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)
using Json = nlohmann::json;
using std::chrono::seconds;

constexpr auto kRead = static_cast<size_t>(DiskRequestKind::kRead);

const Json kStatus{{"vm", "vm1"}, {"uuid", "615db82a"}, {"state", "running"}};

Json queue_json(uint64_t reads, uint64_t slow) {
  const Json stages{{"sum_ns", reads * 10'000}, {"us_below", Json{{"16", reads - slow}, {"1024", slow}}}};
  Json queue{{"bytes_read", reads * 4096}, {"bytes_written", 512}, {"stopped", false}, {"in_flight", 5}};
  queue["requests"] = Json{{"read", reads}, {"write", 7}};
  queue["errors"] = Json{{"ioerr", 3}, {"unsupp", 1}};
  queue["errors"]["host"]["write"]["ENOSPC"] = 3;
  for (const char* const stage : {"ring", "engine", "all"}) queue["latency"]["read"][stage] = stages;
  return queue;
}

Json stats_json(uint64_t reads, uint64_t slow = 0) {
  const Json bridge{{"slot", "0:0:0"}, {"emulation", "hostbridge"}, {"queues", Json::array()}};
  Json disk{{"slot", "0:9:0"}, {"emulation", "virtio-blk"}, {"source", "/a.img"}, {"bytes", 1048576}};
  disk["queues"] = {queue_json(reads, slow), queue_json(reads, slow)};
  disk["mistakes"]["sector-past-end"] = 2;
  disk["vmm_mistakes"]["memory-unreachable"] = 4;
  Json stats;
  stats["functions"] = {bridge, disk};
  return stats;
}

// As it comes from a socket, where a number that is not negative is unsigned.
MonitorSample sample_at(int second, const Json& stats) {
  return parse_sample(kStatus, Json::parse(stats.dump()), std::chrono::steady_clock::time_point{seconds(second)});
}

// Columns that a line fills, less what only changes colours.
size_t columns_of(const std::string& line) {
  size_t columns = 0;
  for (size_t i = 0; i < line.size(); i++) {
    if (line[i] == '\033') {
      i = line.find('m', i);
    } else if ((static_cast<unsigned char>(line[i]) & 0xc0) != 0x80) {
      columns++;
    }
  }
  return columns;
}

TEST(a_sample_has_the_sums_of_all_queues_of_each_disk) {
  const MonitorSample sample = sample_at(0, stats_json(100));
  EXPECT_EQ(sample.vm, "vm1");
  EXPECT_EQ(sample.disks.size(), 1u);  // a bridge is none
  const DiskCounts& disk = sample.disks[0];
  EXPECT_EQ(disk.of(DiskRequestKind::kRead), 200u);
  EXPECT_EQ(disk.queues, 2u);
  EXPECT_EQ(disk.in_flight, 10u);
  EXPECT_EQ(disk.bytes_read, 200u * 4096);
  EXPECT_EQ(disk.latency_of(kRead, LatencyStage::kAll).count(), 200u);
  EXPECT_EQ(disk.host_errors.at("write ENOSPC"), 6u);
  EXPECT_EQ(disk.guest_errors.at("memory-unreachable"), 4u);
  EXPECT_EQ(disk.errors(), 12u);
}

TEST(whatever_the_other_end_sends_is_a_sample) {
  for (const char* text :
       {"null", "[]", "3", R"({"functions":7})", R"({"functions":[null,3,"x",[],{}]})",
        R"({"functions":[{"slot":[],"bytes":1,"queues":[null,{"requests":[],"latency":{"read":7}}]}]})",
        R"({"functions":[{"slot":[],"bytes":1,"queues":[{"errors":{"host":[1]}}]}]})",
        R"({"functions":[{"slot":"a","bytes":1,"queues":{},"mistakes":[1],"vmm_mistakes":{"x":"y"}}]})",
        R"({"functions":[{"slot":"a","bytes":1,"queues":[{"requests":{"read":-1},"bytes_read":1e300}]}]})",
        R"({"functions":[{"slot":"a","bytes":1,"queues":[{"in_flight":"x","errors":{"host":{"write":3}}}]}]})",
        R"({"functions":[{"slot":"a","bytes":1,"queues":[{"bytes_read":18446744073709551615}]}]})"}) {
    const MonitorSample sample = sample_at(0, Json::parse(text));
    EXPECT(sample.disks.size() <= 1);
    top_frame(sample, sample, {});
    top_json(sample, sample);
    html_report({sample, sample}, "now");
  }
  EXPECT_EQ(parse_sample(Json(), Json(), {}).vm, "");
}

TEST(rates_are_what_was_counted_in_between) {
  const auto disks = rates_between(sample_at(10, stats_json(100)), sample_at(12, stats_json(300)));
  EXPECT_EQ(disks.size(), 1u);
  EXPECT_EQ(disks[0].reads(), 200.0);
  EXPECT_EQ(disks[0].writes(), 0.0);
  EXPECT_EQ(disks[0].counts.bytes_read, 400u * 4096);
  EXPECT(disks[0].counts.host_errors.empty());
  EXPECT_EQ(disks[0].now.host_errors.size(), 1u);
  // Another machine counts from the beginning.
  const auto after = rates_between(sample_at(10, stats_json(1000)), sample_at(11, stats_json(50)));
  EXPECT_EQ(after[0].reads(), 100.0);
  // A disk that was not there before has done nothing yet.
  EXPECT_EQ(rates_between(sample_at(0, Json()), sample_at(1, stats_json(5)))[0].reads(), 0.0);
}

TEST(a_quantile_lies_in_its_bucket) {
  Latency latency;
  EXPECT_EQ(quantile_of(latency, 0.5), 0.0);
  latency.buckets[5] = 100;  // 16 to 32 us
  EXPECT_EQ(quantile_of(latency, 0.5), 24'000.0);
  EXPECT_EQ(quantile_of(latency, 1), 32'000.0);
  latency.buckets[0] = 100;
  EXPECT_EQ(quantile_of(latency, 0.25), 500.0);
  latency.buckets[24] = 1000;
  EXPECT_EQ(quantile_of(latency, 0.99), 8.388608e9);  // at least
  latency.nanoseconds = 2400;
  EXPECT_EQ(mean_of(latency), 2.0);
}

TEST(text_fills_its_columns_and_moves_no_cursor) {
  EXPECT_EQ(cell("abc", 5, CutAt::kEnd, true), "abc  ");
  EXPECT_EQ(cell("abcdef", 4, CutAt::kEnd, true), "abc…");
  EXPECT_EQ(cell("/var/lib/a.img", 8, CutAt::kFront, true), "…b/a.img");
  EXPECT_EQ(cell("/var/lib/a.img", 7, CutAt::kFront, false), "~/a.img");
  EXPECT_EQ(cell("a\033[2Jb\n\x7f", 10, CutAt::kEnd, true), "a?[2Jb??  ");
  EXPECT_EQ(cell("\xc2\x9b"
                 "1m\xff",
                 6, CutAt::kEnd, true),
            "?1m?  ");  // CSI as one character
  EXPECT_EQ(cell("a\xe2\x80\xae"
                 "b",
                 4, CutAt::kEnd, true),
            "a?b ");                                          // right-to-left override
  EXPECT_EQ(cell("a\xcc\x81", 3, CutAt::kEnd, true), "a? ");  // an accent of its own
  EXPECT_EQ(cell("\xe6\x97\xa5\xe6\x9c\xac", 5, CutAt::kEnd, true), "\xe6\x97\xa5\xe6\x9c\xac ");  // two columns each
  EXPECT_EQ(cell("\xe6\x97\xa5\xe6\x9c\xac", 3, CutAt::kEnd, true), "\xe6\x97\xa5…");
  EXPECT_EQ(cell("gr\xc3\xbcn", 5, CutAt::kEnd, false), "gr?n ");
  EXPECT_EQ(cell("", 0, CutAt::kEnd, true), "");
}

TEST(numbers_and_times_have_at_most_six_columns) {
  const std::pair<double, const char*> numbers[] = {{0, "0"},         {12.34, "12.3"},   {85, "85"},
                                                    {9999, "9999"},   {10'000, "10.0k"}, {99'960, "100k"},
                                                    {1.24e6, "1.2M"}, {9.9e19, "many"}};
  for (const auto& [value, text] : numbers) EXPECT_EQ(short_number(value), text);
  const std::pair<double, const char*> times[] = {{0, "0us"},       {850, "850ns"},  {1500, "1.5us"}, {85'000, "85us"},
                                                  {1.2e6, "1.2ms"}, {3.4e9, "3.4s"}, {1e12, "1000s"}};
  for (const auto& [value, text] : times) EXPECT_EQ(short_time(value), text);
  for (double value = 1; value < 1e18; value *= 1.7)
    EXPECT(short_number(value).size() <= 6 && short_time(value).size() <= 6);
}

TEST(a_frame_fills_its_screen_and_no_more) {
  Json stats = stats_json(300, 3);
  for (int i = 0; i < 30; i++) stats["functions"].push_back(stats["functions"][1]);
  for (const bool unicode : {true, false}) {
    for (const size_t columns : {40u, 79u, 80u, 132u}) {
      for (const size_t rows : {1u, 3u, 10u, 24u, 200u}) {
        const auto frame = top_frame(sample_at(0, stats_json(100)), sample_at(1, stats),
                                     {.columns = columns, .rows = rows, .unicode = unicode, .clock = "12:34:56"});
        EXPECT(frame.size() <= rows);
        for (const std::string& line : frame) EXPECT_EQ(columns_of(line), columns);
      }
    }
  }
}

TEST(a_frame_shows_rates_latencies_and_what_is_wrong) {
  const auto frame = top_frame(sample_at(0, stats_json(100)), sample_at(1, stats_json(300, 3)), {.clock = "12:34:56"});
  std::string text;
  for (const std::string& line : frame) text += line + "\n";
  for (const char* part : {"vm1  running  1 disk", "every 1 s  12:34:56  q quits", "READ/s", "0:9:0    /a.img", " 400 ",
                           "  read    ", "p50 12us", "host errors:  write ENOSPC 6",
                           "guest errors:  memory-unreachable 4", "sector-past-end 2", "  r"}) {
    EXPECT_CONTAINS(text, part);
  }
  EXPECT_EQ(top_header().size(),
            top_lines(sample_at(0, stats_json(1)), sample_at(1, stats_json(2)), "12:34:56")[0].size());
  const auto json = top_json(sample_at(0, stats_json(100)), sample_at(1, stats_json(300, 3)));
  EXPECT_EQ(json["disks"][0]["read_iops"].get<double>(), 400.0);
  EXPECT_EQ(json["disks"][0]["operations"]["read"]["iops"].get<double>(), 400.0);
}

TEST(a_page_shows_texts_as_texts) {
  Json stats = stats_json(300, 3);
  stats["functions"][1]["source"] = "</td><script>alert('\"&\x01')</script>";
  stats["functions"][1]["mistakes"] = {{"<b>", 1}};
  const std::string page = html_report({sample_at(0, stats_json(100)), sample_at(5, stats)}, "2026-01-01 00:00:00 UTC");
  EXPECT(page.find("<script") == std::string::npos);
  EXPECT(page.find("<td><b>") == std::string::npos);
  EXPECT_CONTAINS(page, "&lt;/td&gt;&lt;script&gt;alert(&#39;&quot;&amp;&#xfffd;&#39;)");
  EXPECT_CONTAINS(page, "<td>&lt;b&gt;</td>");
  for (const char* outside : {"http:", "https:", "src=", "@import", "url("})
    EXPECT(page.find(outside) == std::string::npos);
  for (const char* part : {"prefers-color-scheme", "requests per second", "read: requests by latency",
                           "since the start", "write ENOSPC", "1.0 MiB (1048576 bytes)"}) {
    EXPECT_CONTAINS(page, part);
  }
}

TEST(a_chart_is_drawn_of_any_values) {
  for (const std::vector<double>& values : {std::vector<double>{}, {0}, {-1, -1}, {1, -1, 1e18}, {1e-9, 5}}) {
    std::vector<double> times;
    for (size_t i = 0; i < values.size(); i++) times.push_back(static_cast<double>(i));
    const std::string chart =
        line_chart("t", times, {{"a", "read", values}}, [](double value) { return short_number(value); });
    EXPECT(chart.starts_with("<svg") && chart.ends_with("</svg>"));
    EXPECT(chart.find("nan") == std::string::npos && chart.find("inf") == std::string::npos);
  }
  EXPECT(latency_chart("t", "read", {}).find("nan") == std::string::npos);
}

TEST(options_say_what_is_wrong_with_them) {
  const auto top = [](const MonitorText& text, const char* count) {
    const auto options = parse_top_options(text, count, false);
    return options ? std::string() : options.error().message;
  };
  EXPECT_EQ(top({.socket = "s"}, ""), "");
  EXPECT_CONTAINS(top({}, ""), "top: the socket is missing; give that of --cmd_monitor");
  EXPECT_EQ(top({.socket = "s", .interval = "0"}, ""), "--interval 0: give a number of seconds, 0.1 to 3600");
  EXPECT_EQ(top({.socket = "s", .interval = "nan"}, ""), "--interval nan: give a number of seconds, 0.1 to 3600");
  EXPECT_CONTAINS(top({.socket = "s"}, "0"), "--count 0: give a number from 1 to ");
  const auto report = [](const MonitorText& text) {
    const auto options = parse_report_options(text);
    return options ? std::string() : options.error().message;
  };
  EXPECT_EQ(report({.socket = "s", .html = "x"}), "");
  EXPECT_CONTAINS(report({.socket = "s"}), "report: --html is missing");
  EXPECT_EQ(report({.socket = "s", .html = "x", .sample_seconds = "0.5"}),
            "--seconds 0.5: give a number of seconds, 1 to 3600");
}

}  // namespace
}  // namespace acrn
