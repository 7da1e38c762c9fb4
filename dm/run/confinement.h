// What the process gives up, as the configuration says.
#pragma once

#include "dm/cli/command_line.h"
#include "dm/sandbox/sandbox.h"

namespace acrn {

// Whether the process can be confined so, without an effect. Errors: kUsage, kUnavailable.
Result<void> check_sandbox(const DmConfig& config);

// Before there is another thread, in a program that will run the configuration.
void prepare_sandbox(const DmConfig& config);

// What the process gives up that writes a trace; null: nothing.
void (*recorder_confinement(const DmConfig& config))();

// What comes later is made now, where it needs what the process gives up.
void reserve_for_sandbox(const DmConfig& config);
// Once everything is open. A program that is not prepared for it, as a test is, goes on as it was. Errors: kUsage, of
// --user; kInternal.
Result<void> enter_sandbox(const DmConfig& config);

// Whether a disk with these fields, a path and its options, can come to a process that is confined. Errors: kUsage.
Result<void> check_late_disk(const DmConfig& config, const std::vector<std::string>& fields);

}  // namespace acrn
