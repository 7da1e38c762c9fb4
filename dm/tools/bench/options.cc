#include "dm/tools/bench/options.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "dm/cli/option_table.h"
#include "dm/devices/block_device_options.h"
#include "dm/tools/option_values.h"

namespace acrn {
namespace {

constexpr unsigned kMaxDepth = 1024;
constexpr uint64_t kMaxBlock = 16u << 20;  // bytes of one request
constexpr double kMaxSeconds = 3600;

Result<void> duration(std::string_view option, const std::string& text, bool zero, double& to) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || !(value <= kMaxSeconds) || value < 0 || (value == 0 && !zero)) {
    return bad_value(option, text,
                     concat("a number of seconds, ", zero ? "0 to " : "more than 0 and at most ", "3600"));
  }
  to = value;
  return {};
}

struct Kind {
  std::string_view name;
  bool random, reads, writes;
};
constexpr std::array<Kind, 5> kKinds{{{"read", false, true, false},
                                      {"write", false, false, true},
                                      {"randread", true, true, false},
                                      {"randwrite", true, false, true},
                                      {"randrw", true, true, true}}};

constexpr std::array<std::pair<std::string_view, DirectMethod>, 4> kMethods{{{"", DirectMethod::kNone},
                                                                             {"preadv", DirectMethod::kPreadv},
                                                                             {"io_uring", DirectMethod::kIoUring},
                                                                             {"best", DirectMethod::kBest}}};

Result<void> parse_pattern(const BenchText& text, BenchOptions& options) {
  for (const Kind& kind : kKinds) {
    if (kind.name != text.rw) continue;
    options.rw = text.rw;
    options.random = kind.random;
    if (kind.reads && kind.writes) return accept_number("--rwmixread", text.read_percent, 0, 100, options.read_percent);
    options.read_percent = kind.reads ? 100 : 0;
    return {};
  }
  return bad_value("--rw", text.rw, "read, write, randread, randwrite or randrw");
}

Result<void> parse_sizes(const BenchText& text, BenchOptions& options) {
  constexpr uint32_t kSector = 512;
  const auto block = parse_size(text.block, 1);
  if (!block || *block == 0 || *block > kMaxBlock || *block % kSector != 0) {
    return bad_value("--bs", text.block, "a multiple of 512 bytes, at most 16M, like 4k");
  }
  options.block = static_cast<uint32_t>(*block);
  if (text.size.empty()) return {};
  options.size = parse_size(text.size, 1);
  if (!options.size || *options.size < *block) {
    return bad_value("--size", text.size, concat("a number of bytes, at least the ", *block, " of a request, like 1G"));
  }
  return {};
}

Result<void> parse_direct(const BenchText& text, BenchOptions& options) {
  for (const auto& [name, method] : kMethods) {
    if (name == text.direct) {
      options.direct = method;
      return {};
    }
  }
  return bad_value("--direct-baseline", text.direct, "preadv, io_uring or best");
}

Result<void> check_verify(const BenchOptions& options) {
  if (!options.verify) return {};
  if (!options.writes()) {
    return usage_error(concat("--verify: --rw ", options.rw,
                              " writes nothing that could be checked; give write, randwrite or randrw"));
  }
  if (options.direct != DirectMethod::kNone) {
    return usage_error("--verify: --direct-baseline would overwrite what is to be checked; give one of them");
  }
  return {};
}

}  // namespace

Result<BenchOptions> parse_bench_options(const BenchText& text) {
  BenchOptions options{.verify = text.verify, .cold = text.cold, .time_kicks = text.time_kicks, .json = text.json};
  if (auto ok = parse_pattern(text, options); !ok) return ok.error();
  if (auto ok = parse_sizes(text, options); !ok) return ok.error();
  if (auto ok = accept_number("--qd", text.depth, 1, kMaxDepth, options.depth); !ok) return ok.error();
  if (!text.jobs.empty()) {
    unsigned jobs = 0;
    if (auto ok = accept_number("--numjobs", text.jobs, 1, kMaxQueues, jobs); !ok) return ok.error();
    options.jobs = jobs;
  }
  if (auto ok = duration("--seconds", text.seconds, false, options.seconds); !ok) return ok.error();
  if (auto ok = duration("--ramp", text.ramp, true, options.ramp); !ok) return ok.error();
  if (auto ok = accept_number("--seed", text.seed, 0, UINT32_MAX, options.seed); !ok) return ok.error();
  if (auto ok = parse_direct(text, options); !ok) return ok.error();
  if (auto ok = check_verify(options); !ok) return ok.error();
  return options;
}

}  // namespace acrn
