// vhost-user-blk: acrn-dm as the program that VMMs start for a vhost-user-blk back end, by the conventions of QEMU's
// page on vhost-user ("Backend program conventions"). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dm/cli/command_line.h"

namespace acrn {

// Whether the program was called by that name.
bool is_backend_program(std::string_view program);

// `arguments` without the program's name. The configuration serves one disk; with --fd, on that descriptor.
ParseOutcome parse_backend_command_line(const std::vector<std::string>& arguments);

}  // namespace acrn
