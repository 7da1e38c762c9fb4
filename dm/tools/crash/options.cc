#include "dm/tools/crash/options.h"

#include <array>
#include <bit>
#include <string_view>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/tools/option_values.h"

namespace acrn {
namespace {

struct NamedCheck {
  std::string_view name, command;  // a name that ends with ':' is followed by a path, which @ stands for
};
// What a mount would mend, the journal's replay, is not wrong; what is wrong behind it is. xfs has its kernel alone for
// that; it is mounted where nobody else sees it. A FAT that is mounted says so in a byte (of FAT32, with no sectors in
// the 16 bits at 22, another one), which is not wrong either.
constexpr std::array<NamedCheck, 5> kChecks{{
    {"ext4", "e2fsck -p % || [ $? = 1 ] && e2fsck -fn %"},
    {"xfs",
     "mkdir %.d && unshare -m sh -c 'mount -t xfs -o loop,nouuid \"$1\" \"$1.d\" && umount \"$1.d\"' sh % && "
     "xfs_repair -n %"},
    {"btrfs", "btrfs check --readonly %"},
    {"fat",
     "at=37; [ $(($(od -An -tu2 -j22 -N2 %))) != 0 ] || at=65; "
     "printf '\\0' | dd of=% bs=1 seek=$at conv=notrunc status=none; fsck.fat -n %"},
    {"sqlite:",
     "i=%; e2fsck -p \"$i\" || [ $? = 1 ] || exit; "
     "for part in '' -wal -journal; do debugfs -R \"dump @$part \\\"$i.db$part\\\"\" \"$i\"; done; "
     "[ -s \"$i.db\" ] || { echo no @; exit 1; }; "
     "said=$(sqlite3 \"$i.db\" 'pragma integrity_check' 2>&1); rm -f \"$i.db\"*; echo \"$said\"; [ \"$said\" = ok ]"},
}};
constexpr std::string_view kGive = "give ext4, xfs, btrfs, fat, sqlite:<path>, or a command with % for the image";
// Of a path in a file system, which goes into a command.
constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";

Result<std::string> command_of(const std::string& check) {
  for (const NamedCheck& each : kChecks) {
    if (check == each.name && each.name.back() != ':') return std::string(each.command);
    if (each.name.back() != ':' || !check.starts_with(each.name)) continue;
    const std::string path = check.substr(each.name.size());
    if (path.empty() || path[0] != '/' || path.find_first_not_of(kPlain) != std::string::npos) {
      return usage_error(concat("--check ", check, ": give a path from / on, of letters, digits, '.', '_' and '-'"));
    }
    std::string command;
    for (const char c : each.command) command += c == '@' ? path : std::string(1, c);
    return command;
  }
  if (check.find('%') == std::string::npos) {
    return usage_error(concat("--check ", check, ": no % for the image in it; ", kGive));
  }
  return check;
}

}  // namespace

Result<CrashOptions> parse_crash_options(const CrashText& text, const std::string& seed, bool json) {
  CrashOptions options{.base = text.base, .log = text.log, .check = {}, .keep = text.keep_image, .json = json};
  if (text.base.empty()) return usage_error("crash: --base is missing; give the image as it was when the log began");
  if (text.log.empty()) return usage_error("crash: --log is missing; give a file that log=<file> has made");
  if (text.check.empty()) return usage_error(concat("crash: --check is missing; ", kGive));
  auto command = command_of(text.check);
  if (!command) return command.error();
  options.check = std::move(command).value();
  if (options.keep.empty()) options.keep = text.log + ".failed";
  // Where it is not given, the default stays.
  const auto accept = [](std::string_view option, const std::string& value, uint64_t low, uint64_t high, auto& to) {
    return value.empty() ? Result<void>() : accept_number(option, value, low, high, to);
  };
  if (auto ok = accept("--most", text.most, 0, 1'000'000, options.states.most); !ok) return ok.error();
  if (auto ok = accept("--atomic", text.atomic, 512, 65536, options.states.atomic); !ok) return ok.error();
  if (!std::has_single_bit(options.states.atomic)) {
    return usage_error(concat("--atomic ", text.atomic, ": give a power of two from 512 to 65536"));
  }
  if (auto ok = accept("--parallel", text.parallel, 1, 1024, options.parallel); !ok) return ok.error();
  if (auto ok = accept("--check-seconds", text.check_seconds, 1, 86400, options.seconds); !ok) return ok.error();
  if (auto ok = accept("--seed", seed, 0, UINT64_MAX, options.states.seed); !ok) return ok.error();
  return options;
}

}  // namespace acrn
