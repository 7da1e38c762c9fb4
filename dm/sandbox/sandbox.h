// What the process gives up once everything is open: its user, capabilities, files, system calls (docs/confinement.md).
// What holds then holds for each thread, those that are started later too, until the end of the process.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acrn/base/result.h"
#include "dm/sandbox/sandbox_mode.h"
#include "dm/sandbox/sandbox_user.h"
#include "dm/sandbox/system_calls.h"

namespace acrn {

struct SandboxPlan {
  SandboxMode mode = SandboxMode::kOff;
  PartSet parts = kEveryProcess;
  // Files and folders that may still be opened: to read and write; to read.
  std::vector<std::string> paths, read_paths;
  std::vector<std::string> sockets;  // that the process has made, and removes at its end
  std::optional<SandboxUser> user;   // absent: stays who it is
};

// For a program that will be confined, before it starts a thread.
void prepare_sandbox();
// Whether this program is such a one.
bool is_sandbox_prepared();

// For the child that looks at the mappings of clients (dm/mem/peer_mapping.h), which Landlock would not let us see: all
// but that is given up.
void confine_observer();
// The same for the process that writes a trace (dm/trace/trace_recorder.h), which is a copy of one that may have
// threads: what it needs is made before.
void prepare_recorder();
void confine_recorder();

// Once everything is open, and before a guest or a client gets in. What the kernel does not have is left out, with one
// warning. Any thread, once. Errors: kInternal.
Result<void> enter_sandbox(const SandboxPlan& plan);
// Whether it was entered, with a mode that is not kOff. Any thread.
bool is_confined();

}  // namespace acrn
