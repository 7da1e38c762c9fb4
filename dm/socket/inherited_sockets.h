// Sockets that the process was started with: systemd's socket activation (sd_listen_fds(3)), or a descriptor of the
// command line. A ListeningSocket at such a place uses one that listens instead of making one. Filled before there is
// another thread.
#pragma once

#include <string>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"

namespace acrn {

class InheritedSockets {
 public:
  // LISTEN_FDS and LISTEN_FDNAMES of the environment, if they are for this process; children do not see them.
  static void take_environment();
  // That descriptor, for that place. Errors: kUsage, it is no UNIX stream socket that listens or has a peer.
  static Result<void> add(int fd, const std::string& name);

  // Whether there is one for that place: bound at that path, or of the name of the path's last part, also without
  // ".sock".
  static bool has(const std::string& path);
  static bool has_connected(const std::string& path);  // and a client has its other end already
  // One that listens.
  static UniqueFd take_listening(const std::string& path);
  // One whose other end a client has already.
  static UniqueFd take_connected(const std::string& path);
};

// Tells systemd that the service is ready (sd_notify(3)), if it asked. Made while the process may still make sockets.
class ReadyNotice {
 public:
  ReadyNotice();
  void send();

 private:
  UniqueFd socket_;
};

}  // namespace acrn
