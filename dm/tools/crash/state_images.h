// StateImages: makes the images of crash states, and says which of them are equal. What is flushed is rolled onto one
// image, of which each state's is a clone with the rest of its writes.
#pragma once

#include <optional>
#include <string>

#include "acrn/base/result.h"
#include "dm/tools/crash/fingerprint.h"
#include "dm/tools/crash/images.h"
#include "dm/tools/crash/log_file.h"
#include "dm/tools/crash/states.h"

namespace acrn {

class StateImages {
 public:
  // Of a log of writes to `base`. `rolling` is where the one image goes; `atomic` as in StateOptions.
  StateImages(const LogFile& log, std::string base, std::string rolling, uint64_t atomic)
      : log_(log), base_(std::move(base)), path_(std::move(rolling)), atomic_(atomic) {}

  // For states from `flushed` on. What is rolled already stays, unless it is too much. Errors: kIo, kNoInput.
  Result<void> roll_to(size_t flushed);

  // These are for a state whose `flushed` it has rolled to. Errors: kIo.
  Result<uint64_t> fingerprint(const CrashState& state) const;
  Result<void> make(const CrashState& state, const std::string& image) const;

 private:
  Result<void> each_extra(const CrashState& state, const LogFile::Visit& visit) const;

  const LogFile& log_;
  const std::string base_, path_;
  const uint64_t atomic_;
  std::optional<Image> rolling_;
  size_t rolled_ = 0;    // entries of the log
  Fingerprint flushed_;  // of the rolling image
};

}  // namespace acrn
