// What others are told of a machine's counts and events, as text: OpenMetrics, HTTP, JSON lines. Without a socket.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "dm/control/control_event.h"
#include "dm/control/http_session.h"
#include "dm/control/open_metrics.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

const MachineStatus kMachine{"vm1", "615db82a-e189-4b4f-8dbb-d321343e4ab3", false};

Latency latency_of(std::initializer_list<std::pair<size_t, uint64_t>> buckets, uint64_t nanoseconds) {
  Latency latency{.nanoseconds = nanoseconds};
  for (const auto& [bucket, count] : buckets) latency.buckets[bucket] = count;
  return latency;
}

// A disk of which everything has been counted.
DeviceReport busy_disk() {
  QueueStats queue{.bytes_read = 12288,
                   .bytes_written = 512,
                   .io_errors = 2,
                   .unsupported = 1,
                   .stopped = true,
                   .stops = 1,
                   .in_flight = 4,
                   .kicks = 7,
                   .polls = 8,
                   .interrupts = 9};
  queue.held = 3;
  queue.overdue = 2;
  queue.requests = {3, 2, 0, 0, 0, 0, 1};
  queue.host_errors = {{1, ENOSPC, 2}};
  queue.latency[0] = {latency_of({{0, 3}}, 1500), latency_of({{5, 2}, {24, 1}}, 9'000'000'001),
                      latency_of({{5, 2}, {24, 1}}, 9'000'001'501)};
  DeviceReport report{.slot = "0:9:0", .emulation = "virtio-blk", .source = "/a.img", .queues = {queue}};
  report.guest_errors = {{"sector-past-end", 5}};
  report.vmm_errors = {{"memory-unreachable", 6}};
  report.bytes = 1048576;
  report.clients = 1;
  report.limits[LimitKind::kBytesWritten].rate = 4096;
  report.delayed = 11;
  return report;
}

std::string rendered(const DeviceReport& report, MetricsFormat format = MetricsFormat::kOpenMetrics) {
  return render_metrics(kMachine, {&report, 1}, format);
}

// --- metrics

TEST(each_count_of_a_disk_is_a_sample_of_its_family) {
  const std::string text = rendered(busy_disk());
  const std::string disk = R"({vm="vm1",slot="0:9:0")", queue = disk + R"(,queue="0")";
  const std::string parts[] = {
      std::string("# TYPE acrn_vm info\n# HELP acrn_vm The virtual machine, or the server of disks.\n"
                  "acrn_vm_info{vm=\"vm1\",uuid=\"615db82a-e189-4b4f-8dbb-d321343e4ab3\"} 1\n"
                  "# TYPE acrn_vm_paused gauge\n"),
      std::string("\nacrn_vm_paused{vm=\"vm1\"} 0\n"),
      "acrn_disk_info" + disk + R"(,emulation="virtio-blk",source="/a.img"} 1)" + "\n",
      "# TYPE acrn_disk_size_bytes gauge\n# UNIT acrn_disk_size_bytes bytes\n# HELP acrn_disk_size_bytes "
      "Size of the disk; 0 without one.\nacrn_disk_size_bytes" +
          disk + "} 1048576\n",
      "acrn_disk_clients" + disk + "} 1\n",
      "# TYPE acrn_disk_requests counter\n# HELP acrn_disk_requests Requests taken from the ring.\n"
      "acrn_disk_requests_total" +
          queue + R"(,operation="read"} 3)" + "\n",
      "acrn_disk_requests_in_flight" + queue + "} 4\n",
      "acrn_disk_requests_held" + queue + "} 3\n",
      "acrn_disk_overdue_requests_total" + queue + "} 2\n",
      "acrn_disk_delayed_requests_total" + disk + "} 11\n",
      "acrn_disk_limit" + disk + R"(,limit="bps_wr"} 4096)" + "\n",
      "# UNIT acrn_disk_read_bytes bytes\n",
      "acrn_disk_read_bytes_total" + queue + "} 12288\n",
      "acrn_disk_written_bytes_total" + queue + "} 512\n",
      "acrn_disk_failed_requests_total" + queue + R"(,status="ioerr"} 2)" + "\n",
      "acrn_disk_failed_requests_total" + queue + R"(,status="unsupp"} 1)" + "\n",
      "acrn_disk_host_errors_total" + queue + R"(,operation="write",error="ENOSPC"} 2)" + "\n",
      "acrn_disk_guest_errors_total" + disk + R"(,by="guest",rule="sector-past-end"} 5)" + "\n",
      "acrn_disk_guest_errors_total" + disk + R"(,by="vmm",rule="memory-unreachable"} 6)" + "\n",
      "acrn_disk_queue_stopped" + queue + "} 1\n",
      "acrn_disk_queue_stops_total" + queue + "} 1\n",
      "acrn_disk_kicks_total" + queue + "} 7\n",
      "acrn_disk_polls_total" + queue + "} 8\n",
      "acrn_disk_interrupts_total" + queue + "} 9\n",
  };
  for (const std::string& part : parts) {
    EXPECT_CONTAINS(text, part);
  }
  EXPECT(text.ends_with("\n# EOF\n"));
}

TEST(a_histogram_has_growing_buckets_their_sum_in_seconds_and_their_count) {
  const std::string text = rendered(busy_disk());
  const std::string labels = R"({vm="vm1",slot="0:9:0",operation="read")";
  const std::string name = "\nacrn_disk_engine_seconds";
  for (const auto& [end, count] :
       {std::pair{"1e-06", 0}, {"1.6e-05", 0}, {"3.2e-05", 2}, {"8.388608", 2}, {"+Inf", 3}}) {
    EXPECT_CONTAINS(text, name + "_bucket" + labels + ",le=\"" + end + "\"} " + std::to_string(count) + "\n");
  }
  EXPECT_CONTAINS(text, name + "_sum" + labels + "} 9.000000001\n");
  EXPECT_CONTAINS(text, name + "_count" + labels + "} 3\n");
  EXPECT_CONTAINS(text, "\nacrn_disk_ring_wait_seconds_sum" + labels + "} 0.000001500\n");
  EXPECT_CONTAINS(text, "\nacrn_disk_request_seconds_sum" + labels + "} 9.000001501\n");
  EXPECT_CONTAINS(text, "# TYPE acrn_disk_engine_seconds histogram\n# UNIT acrn_disk_engine_seconds seconds\n");
  // Nobody wrote.
  EXPECT(text.find(R"(operation="write",le=)") == std::string::npos);
}

TEST(histograms_are_those_of_all_queues_together) {
  DeviceReport report = busy_disk();
  report.queues.push_back(report.queues[0]);
  EXPECT_CONTAINS(rendered(report), R"(acrn_disk_engine_seconds_count{vm="vm1",slot="0:9:0",operation="read"} 6)");
  EXPECT_CONTAINS(rendered(report), R"(acrn_disk_kicks_total{vm="vm1",slot="0:9:0",queue="1"} 7)");
}

TEST(a_label_may_come_from_any_bytes) {
  const std::pair<std::string, std::string> rows[] = {
      {"a\"b\\c\nd", R"(a\"b\\c\nd)"},
      {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x92\xbe", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x92\xbe"},
      {"\xff", "\xef\xbf\xbd"},
      {"\xc3", "\xef\xbf\xbd"},
      {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
      {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
      {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
      {"x\xf5y", "x\xef\xbf\xbdy"}};
  for (const auto& [source, shown] : rows) {
    DeviceReport report = busy_disk();
    report.source = source;
    EXPECT_CONTAINS(rendered(report), "source=\"" + shown + "\"} 1\n");
  }
}

TEST(what_is_no_disk_has_no_metrics) {
  const std::string text = rendered({.slot = "0:0:0", .emulation = "hostbridge"});
  EXPECT(text.find("hostbridge") == std::string::npos);
  EXPECT(text.find("0:0:0") == std::string::npos);
}

TEST(the_older_format_calls_families_as_their_samples_are_called) {
  const std::string text = rendered(busy_disk(), MetricsFormat::kPrometheus);
  EXPECT_CONTAINS(text, "# TYPE acrn_disk_requests_total counter\n# HELP acrn_disk_requests_total Requests");
  EXPECT_CONTAINS(text, "# TYPE acrn_vm_info gauge\n");
  EXPECT(text.find("# UNIT") == std::string::npos);
  EXPECT(text.find("# EOF") == std::string::npos);
}

std::set<std::string> matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), regex), end; at != end; ++at) found.insert((*at)[1]);
  return found;
}

std::string file_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(the_manual_has_every_metric_and_every_event_and_no_other) {
  const std::string page = file_text(ACRN_SOURCE_DIR "/docs/monitoring.md");
  const auto families = matches(rendered(busy_disk()), "# TYPE ([a-z_]+) ");
  EXPECT(families.size() >= 20);
  std::set<std::string> documented;
  for (const std::string& sample : matches(page, "\n\\| `(acrn_[a-z_]+)` \\|")) {
    documented.insert(std::regex_replace(sample, std::regex("_(total|info)$"), ""));
  }
  for (const std::string& family : families) {
    if (!documented.contains(family)) throw Failure{"docs/monitoring.md", family + " is not there"};
  }
  for (const std::string& name : documented) {
    if (!families.contains(name)) throw Failure{"docs/monitoring.md", name + " is no metric"};
  }
  // The words of a rule are those of metrics, too.
  for (const std::string& name : matches(page, "(acrn_[a-z_]+)")) {
    const std::string family = std::regex_replace(name, std::regex("_(total|info|bucket|sum|count)$"), "");
    if (!families.contains(family)) throw Failure{"docs/monitoring.md", name + " is no metric"};
  }
  const std::string socket = file_text(ACRN_SOURCE_DIR "/docs/control-socket.md");
  auto events = matches(socket, "\n\\| `([a-z_]+)` \\| `\\{\"event\"");
  EXPECT(events.erase("lost") == 1);
  EXPECT(events == (std::set<std::string>(kControlEventNames.begin(), kControlEventNames.end())));
}

// What a program says to a text on its standard input; nothing: there is no such program.
struct Verdict {
  int status;
  std::string output;
};
std::optional<Verdict> verdict_of(const std::string& command, const std::string& text) {
  TempDir directory;
  std::ofstream(directory.path("text")) << text;
  const std::string line = "(" + command + ") <" + directory.path("text") + " >" + directory.path("output") + " 2>&1";
  const int status = std::system(line.c_str());  // NOLINT(cert-env33-c,concurrency-mt-unsafe): the test's own words
  if (!WIFEXITED(status) || WEXITSTATUS(status) == 127) return std::nullopt;
  return Verdict{WEXITSTATUS(status), file_text(directory.path("output"))};
}

TEST(promtool_finds_nothing_wrong) {
  const auto verdict = verdict_of("promtool check metrics", rendered(busy_disk(), MetricsFormat::kPrometheus));
  if (!verdict) SKIP("promtool is not installed (package prometheus)");
  EXPECT_EQ(verdict->output, "");
  EXPECT_EQ(verdict->status, 0);
}

TEST(a_parser_of_openmetrics_takes_it) {
  DeviceReport report = busy_disk();
  report.source = "a\"b\\c\nd\xff";
  const auto verdict = verdict_of(
      "/usr/bin/python3 -c 'import sys\n"
      "try: from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n"
      "except ImportError: sys.exit(127)\n"
      "print(len(list(parse(sys.stdin.read()))))'",
      rendered(report));
  if (!verdict) SKIP("a parser of OpenMetrics is not installed (package python3-prometheus-client)");
  EXPECT_EQ(verdict->output, "24\n");
}

// --- HTTP

// What a session answers to that, and whether it is over then.
std::string answer_to(const std::string& request) {
  HttpSession session(
      [](MetricsFormat format) { return std::string(format == MetricsFormat::kOpenMetrics ? "open\n" : "older\n"); });
  session.add(request);
  const auto response = session.next();
  EXPECT_EQ(session.is_over(), response.has_value());
  EXPECT(!session.next());
  return response.value_or("");
}

TEST(metrics_are_got_in_the_format_that_is_accepted) {
  const std::string rest = "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(answer_to("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 6" + rest +
                "older\n");
  EXPECT_EQ(
      answer_to("GET /metrics HTTP/1.1\r\nHost: a\r\naccept: application/openmetrics-text; version=1.0.0\r\n\r\n"),
      "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
      "Content-Length: 5" +
          rest + "open\n");
  EXPECT_EQ(answer_to("HEAD /metrics HTTP/1.0\n\n"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 6" + rest);
  for (const char* line : {"GET /metrics?a=b HTTP/1.1", "GET http://127.0.0.1:9110/metrics HTTP/1.1"}) {
    EXPECT_CONTAINS(answer_to(std::string(line) + "\r\nHost: a\r\n\r\n"), "200 OK");
  }
}

// COVERS(input): metrics: what is no request, too much of one
TEST(what_is_no_request_for_metrics_is_told_so) {
  const std::pair<std::string, std::string> rows[] = {
      {"\n\n", "400 Bad Request"},
      {"nonsense\r\n\r\n", "400 Bad Request"},
      {"GET /metrics\r\n\r\n", "400 Bad Request"},
      {"G(T /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request"},
      {"GET /met\xffrics HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request"},
      {"GET /metrics HTTP/1.1\r\n\r\n", "400 Bad Request"},
      {"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400 Bad Request"},
      {"GET /metrics HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "400 Bad Request"},
      {"GET /metrics HTTP/1.1\r\nHost : a\r\n\r\n", "400 Bad Request"},
      {"GET /metrics HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", "400 Bad Request"},
      {"GET /metrics HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", "400 Bad Request"},
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"},
      {"GET /metrics/ HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"},
      {"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"},
      {"POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed\r\n"},
      {"GET /metrics HTTP/2.0\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported"},
      {"GET /metrics HTTP/1.1\r\nX: " + std::string(HttpSession::kMaxHead, 'x') + "\r\n\r\n",
       "431 Request Header Fields Too Large"},
      {std::string(HttpSession::kMaxHead + 1, '\r'), "431 Request Header Fields Too Large"},
  };
  for (const auto& [request, status] : rows) EXPECT_CONTAINS(answer_to(request), "HTTP/1.1 " + status);
  EXPECT_CONTAINS(answer_to("PUT /metrics HTTP/1.1\r\nHost: a\r\n\r\n"), "\r\nAllow: GET, HEAD\r\n");
}

TEST(a_request_may_come_in_pieces_and_one_that_is_cut_off_is_told_so) {
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t cut = 0; cut < request.size(); cut++) {
    HttpSession whole([](MetricsFormat) { return std::string("x"); }), part = whole;
    whole.add(request.substr(0, cut));
    EXPECT(!whole.next());
    whole.add(request.substr(cut));
    EXPECT_CONTAINS(whole.next().value_or(""), "200 OK");
    part.add(request.substr(0, cut));
    part.finish();
    EXPECT_EQ(part.next().value_or("").substr(0, 12), cut == 0 ? "" : "HTTP/1.1 400");
    EXPECT(part.is_over());
  }
}

// --- events

TEST(an_event_is_a_line_of_json_with_what_belongs_to_its_kind) {
  const std::chrono::system_clock::time_point time{std::chrono::milliseconds(1'700'000'000'250)};
  const auto line = [&](ControlEvent event) {
    event.time = time;
    return event_line(event);
  };
  const std::string when = R"("time":1700000000.25)";
  EXPECT_EQ(
      line({.kind = ControlEventKind::kIoError, .slot = "0:9:0", .name = "write", .count = 3, .value = ENOSPC}),
      R"({"event":"io_error",)" + when + R"(,"slot":"0:9:0","operation":"write","error":"ENOSPC","count":3})" + "\n");
  EXPECT_EQ(line({.kind = ControlEventKind::kGuestError, .slot = "0:9:0", .name = "no-medium", .count = 1, .value = 7}),
            R"({"event":"guest_error",)" + when + R"(,"slot":"0:9:0","rule":"no-medium","value":7,"count":1})" + "\n");
  EXPECT_EQ(line({.kind = ControlEventKind::kQueueStopped, .slot = "0:9:0", .name = "queue", .count = 1, .value = 2}),
            R"({"event":"queue_stopped",)" + when + R"(,"slot":"0:9:0","queue":2,"count":1})" + "\n");
  EXPECT_EQ(line({.kind = ControlEventKind::kHeld, .slot = "0:9:0", .name = "write", .count = 2, .value = ENOSPC}),
            R"({"event":"held",)" + when + R"(,"slot":"0:9:0","operation":"write","error":"ENOSPC","held":2})" + "\n");
  EXPECT_EQ(
      line({.kind = ControlEventKind::kOverdue, .slot = "0:9:0", .name = "read", .count = 1, .value = 30'000}),
      R"({"event":"overdue",)" + when + R"(,"slot":"0:9:0","operation":"read","milliseconds":30000,"count":1})" + "\n");
  EXPECT_EQ(line({.kind = ControlEventKind::kResized, .slot = "0:9:0", .value = 4096}),
            R"({"event":"resized",)" + when + R"(,"slot":"0:9:0","bytes":4096})" + "\n");
  EXPECT_EQ(line({.kind = ControlEventKind::kPaused}), R"({"event":"paused",)" + when + "}\n");
  EXPECT_EQ(line({.kind = ControlEventKind::kClient, .slot = "0:9:0", .name = "left", .value = 0}),
            R"({"event":"client",)" + when + R"(,"slot":"0:9:0","state":"left","clients":0})" + "\n");
  EXPECT_CONTAINS(lost_line(5), R"({"event":"lost","time":)");
  EXPECT_CONTAINS(lost_line(5), R"(,"count":5})");
}

struct Doorbell final : Notifier {
  unsigned rung = 0;
  void notify() override { rung++; }
  int fd() const override { return -1; }
};

TEST(a_time_falls_into_the_bucket_of_its_power_of_two) {
  const std::pair<uint64_t, size_t> rows[] = {
      {0, 0},    {999, 0},        {1000, 1},       {1999, 1},           {2000, 2},           {3999, 2},
      {4000, 3}, {1'023'999, 10}, {1'024'000, 11}, {8'388'607'999, 23}, {8'388'608'000, 24}, {~uint64_t{0}, 24}};
  for (const auto& [nanoseconds, bucket] : rows) EXPECT_EQ(latency_bucket(nanoseconds), bucket);
}

TEST(events_wait_for_their_reader_up_to_a_limit_and_what_is_lost_is_counted) {
  EventBuffer buffer;
  Doorbell bell;
  buffer.add({.kind = ControlEventKind::kPaused});
  EXPECT(buffer.take().events.empty());  // there was no reader
  buffer.set_reader(&bell);
  for (size_t i = 0; i < EventBuffer::kCapacity + 3; i++) buffer.add({.kind = ControlEventKind::kResized, .value = i});
  EXPECT_EQ(bell.rung, EventBuffer::kCapacity + 3);
  const auto taken = buffer.take();
  EXPECT_EQ(taken.events.size(), EventBuffer::kCapacity);
  EXPECT_EQ(taken.events.back().value, EventBuffer::kCapacity - 1);
  EXPECT_EQ(taken.lost, 3u);
  EXPECT_EQ(buffer.take().lost, 0u);
  buffer.add({.kind = ControlEventKind::kPaused});
  buffer.set_reader(nullptr);
  buffer.set_reader(&bell);
  EXPECT(buffer.take().events.empty());  // they were for the reader that has gone
}

}  // namespace
}  // namespace acrn
