// What a serial port's backend means in descriptors: the user's terminal, a new pty, a device, an output file.
#pragma once

#include <memory>
#include <string>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "dm/serial/terminal.h"

namespace acrn {

struct SerialEndpoints {
  UniqueFd input;          // none: output only
  UniqueFd output;         // never the same descriptor as `input`, since a loop watches each by itself
  bool may_block = false;  // the output is shared with others and not ours to change: poll, then write little
  bool user = false;       // the input is the user's terminal: it has escapes, and we may be in its background
  std::string pty;         // the path of the other side of a new pty; empty: no such thing
  std::unique_ptr<RawTerminal> raw;
};

// `backend`: "stdio", "pty" or a path. `option`: what an error and the pty's announcement begin with. Never waits for
// another party. SerialEndpoints of a pty begin with nobody on the other side.
Result<SerialEndpoints> open_serial_ends(const std::string& backend, const std::string& option);
// What of that can be refused without an effect: who reads a FIFO is not known, and a device is not opened.
Result<void> check_serial_endpoints(const std::string& backend, const std::string& option);

}  // namespace acrn
