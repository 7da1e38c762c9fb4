// vhost-user-blk back ends as processes. For a test that is compiled with ACRN_DM, the program's path.
#pragma once

#include <string>
#include <vector>

#include "tests/support/disk_server.h"

namespace acrn::test {

class VhostUserBackEnd : public DiskServer {
 public:
  // QEMU's. `node`, `exported`: further options of the file and of the export.
  static VhostUserBackEnd storage_daemon(const std::string& file,
                                         const std::string& exported = "writable=on,num-queues=4",
                                         const std::string& node = "discard=unmap") {
    return VhostUserBackEnd(
        {"qemu-storage-daemon", "--blockdev", "driver=file,node-name=disk,filename=" + file + "," + node, "--export",
         "type=vhost-user-blk,id=disk,node-name=disk,addr.type=unix,addr.path=SOCKET," + exported},
        "disk.sock");
  }
  // Ours. `options`: of the slot.
  static VhostUserBackEnd ours(const std::string& options) {
    return VhostUserBackEnd({ACRN_DM, "--serve", "vhost-user=FOLDER", "-s", "9,virtio-blk," + options, "vm1"},
                            "vm1.9.0.sock");
  }

 private:
  using DiskServer::DiskServer;
};

}  // namespace acrn::test
