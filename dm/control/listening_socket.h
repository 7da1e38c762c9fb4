// ListeningSocket: a UNIX stream socket at a path, which goes with it.
#pragma once

#include <sys/stat.h>

#include <string>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"

namespace acrn {

class ListeningSocket {
 public:
  // As ControlServer::create() says.
  static Result<ListeningSocket> create(const std::string& path);
  ~ListeningSocket();
  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&&) = delete;

  int fd() const { return socket_.fd(); }  // does not block

 private:
  ListeningSocket(UniqueFd socket, std::string path, const struct stat& place)
      : socket_(std::move(socket)), path_(std::move(path)), device_(place.st_dev), inode_(place.st_ino) {}

  UniqueFd socket_;
  std::string path_;  // empty: moved from
  dev_t device_;
  ino_t inode_;
};

}  // namespace acrn
