#include "dm/tools/crash/options.h"

#include <array>
#include <string_view>

#include "acrn/base/concat.h"
#include "dm/tools/option_values.h"

namespace acrn {
namespace {

struct NamedCheck {
  std::string_view name, command;
};
// What a mount would mend, the journal's replay, is not wrong; what is wrong behind it is.
constexpr std::array<NamedCheck, 3> kChecks{{
    {"ext4", "e2fsck -p % || [ $? = 1 ] && e2fsck -fn %"},
    {"btrfs", "btrfs check --readonly %"},
    {"fat", "fsck.fat -n %"},
}};

}  // namespace

Result<CrashOptions> parse_crash_options(const CrashText& text, const std::string& seed, bool json) {
  CrashOptions options{.base = text.base, .log = text.log, .check = text.check, .keep = text.keep_image, .json = json};
  if (text.base.empty()) return usage_error("crash: --base is missing; give the image as it was when the log began");
  if (text.log.empty()) return usage_error("crash: --log is missing; give a file that log=<file> has made");
  if (text.check.empty()) {
    return usage_error("crash: --check is missing; give ext4, btrfs, fat, or a command with % for the image");
  }
  for (const NamedCheck& each : kChecks) {
    if (text.check == each.name) options.check = each.command;
  }
  if (options.check.find('%') == std::string::npos) {
    return usage_error(
        concat("--check ", text.check, ": no % for the image in it; give ext4, btrfs, fat, or such a command"));
  }
  if (options.keep.empty()) options.keep = text.log + ".failed";
  // Where it is not given, the default stays.
  const auto accept = [](std::string_view option, const std::string& value, uint64_t low, uint64_t high, auto& to) {
    return value.empty() ? Result<void>() : accept_number(option, value, low, high, to);
  };
  if (auto ok = accept("--most", text.most, 0, 1'000'000, options.most); !ok) return ok.error();
  if (auto ok = accept("--parallel", text.parallel, 1, 1024, options.parallel); !ok) return ok.error();
  if (auto ok = accept("--check-seconds", text.check_seconds, 1, 86400, options.seconds); !ok) return ok.error();
  if (auto ok = accept("--seed", seed, 0, UINT64_MAX, options.seed); !ok) return ok.error();
  return options;
}

}  // namespace acrn
