// An NBD server of Debian's.
#pragma once

#include <string>
#include <vector>

#include "tests/support/disk_server.h"

namespace acrn::test {

class NbdServer : public DiskServer {
 public:
  using DiskServer::DiskServer;

  // As memory, of nbdkit, through its filters.
  static std::vector<std::string> memory(const std::string& size, const std::vector<std::string>& filters = {},
                                         const std::vector<std::string>& arguments = {}) {
    std::vector<std::string> command{"nbdkit", "--foreground", "--exit-with-parent", "--unix", "SOCKET"};
    for (const std::string& filter : filters) command.push_back("--filter=" + filter);
    command.insert(command.end(), {"memory", size});
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
  }
  // A file, of qemu-nbd.
  static std::vector<std::string> file(const std::string& path, const std::string& format = "raw") {
    return {"qemu-nbd", "--persistent", "--shared=8", "--discard=unmap", "--socket=SOCKET", "--format=" + format, path};
  }

  std::string uri() const { return "nbd+unix:///?socket=" + socket(); }
};

}  // namespace acrn::test
