// vblk convert: a copy into a file that need not be there: it is made for what the first disk holds.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "acrn/base/concat.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"
#include "dm/block/open.h"
#include "dm/devices/block_device_options.h"
#include "dm/devices/device_table.h"
#include "dm/tools/commands.h"
#include "dm/tools/held_signals.h"

namespace acrn {
namespace {

// What is to be made, if anything is.
struct Target {
  std::string path;
  BlockOptions options;
};

// The second slot's file, if it is not there and may be made.
Result<std::optional<Target>> missing_target(const std::string& text) {
  const auto slot = parse_slot(text);
  if (!slot) return slot.error();
  const BlockOptions* const options = block_options(slot.value());
  const auto* const file = options != nullptr ? std::get_if<FilePath>(&options->source) : nullptr;
  if (file == nullptr || options->read_only || options->snapshot || options->range) return std::optional<Target>();
  if (::access(file->path.c_str(), F_OK) == 0) return std::optional<Target>();
  return std::optional(Target{file->path, *options});
}

Result<uint64_t> size_of(const std::string& text) {
  const auto slot = parse_slot(text);
  if (!slot) return slot.error();
  const BlockOptions* const options = block_options(slot.value());
  if (options == nullptr) return uint64_t{0};  // the copy says what is wrong
  const auto facts = inspect_disk(*options, full_name(slot.value().address));
  if (!facts) return facts.error();
  return facts.value().info.size;
}

// `made`: the file is there, and ours.
Result<void> make(const Target& target, uint64_t size, bool& made) {
  const UniqueFd file(::open(target.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file) return Error{ErrorKind::kNoInput, concat(target.path, ": cannot be made: ", errno_text(errno))};
  made = true;
  if (target.options.format != ImageFormat::kRaw) return create_image(target.path, target.options, size);
  if (::ftruncate(file.fd(), static_cast<off_t>(size)) == 0) return {};
  return Error{ErrorKind::kNoInput, concat(target.path, ": ", size, " bytes: ", errno_text(errno))};
}

}  // namespace

Result<void> run_convert(const SessionOptions& options, bool verify, bool json) {
  if (options.slots.size() != 2 || !options.connect.empty()) return run_copy(options, verify, json);
  const auto target = missing_target(options.slots[1]);
  if (!target) return target.error();
  if (!target.value()) return run_copy(options, verify, json);
  const auto size = size_of(options.slots[0]);
  if (!size) return size.error();
  const HeldSignals held(HeldSignals::Second::kEndsAtOnce);  // until what was made is whole, or gone again
  bool made = false;
  auto done = make(*target.value(), size.value(), made);
  if (done) done = run_copy(options, verify, json);
  if (!done && made) ::unlink(target.value()->path.c_str());  // nobody has seen it but we
  return done;
}

}  // namespace acrn
