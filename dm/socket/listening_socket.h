// ListeningSocket: a UNIX stream socket at a path, which goes with it; or one that the process was started with for
// that path, which stays; or a TCP socket at a port that only this host reaches.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "dm/socket/listening_place.h"

namespace acrn {

class ListeningSocket {
 public:
  // Listens at `path`, for the owner only. A socket that nobody serves any more is replaced. Errors begin with
  // `option`, the one that asks for it, and end with `advice`: kUsage for a text that is no socket's path, kNoInput for
  // a place that is taken or cannot be had; then nothing was created.
  static Result<ListeningSocket> create(std::string_view option, const std::string& path, std::string_view advice);
  // What of that can be refused without an effect, but for a look who serves the path now.
  static Result<void> check(std::string_view option, const std::string& path, std::string_view advice);
  // The same at any place; kNoInput for a port that is taken or not to be had.
  static Result<ListeningSocket> create_at(std::string_view option, const ListeningPlace& place,
                                           std::string_view advice);
  static Result<void> check_at(std::string_view option, const ListeningPlace& place, std::string_view advice);
  ~ListeningSocket();
  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&&) = delete;

  int fd() const { return socket_.fd(); }            // does not block
  const std::string& path() const { return path_; }  // empty at a port

 private:
  ListeningSocket(UniqueFd socket, std::string path, const struct stat& place)
      : socket_(std::move(socket)), path_(std::move(path)), device_(place.st_dev), inode_(place.st_ino) {}

  UniqueFd socket_;
  std::string path_;  // empty: moved from, or not ours to remove
  dev_t device_;
  ino_t inode_;
};

}  // namespace acrn
