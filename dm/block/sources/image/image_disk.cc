#include "dm/block/sources/image/image_disk.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

using Json = nlohmann::json;

constexpr int kBacklog = 16;

// A listening socket, and its inode, through which it can be reached when its path is gone.
struct PrivateSocket {
  UniqueFd listening, inode;
};

Result<PrivateSocket> make_socket() {
  const auto failed = [](const char* call) {
    return Error{ErrorKind::kInternal, concat("a socket for qemu-nbd: ", call, ": ", errno_text(errno))};
  };
  std::string folder = "/tmp/acrn-dm-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return failed("mkdtemp");
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string path = folder + "/nbd";
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  PrivateSocket made;
  made.listening = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // SAFETY: a sockaddr_un is a sockaddr to the socket calls.
  const bool listens = made.listening &&
                       ::bind(made.listening.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
                       ::listen(made.listening.fd(), kBacklog) == 0;
  const int error = errno;
  if (listens) made.inode = UniqueFd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  ::unlink(path.c_str());
  ::rmdir(folder.c_str());
  if (made.inode) return made;
  errno = error;
  return failed("bind");
}

// The image as a block node of QEMU's: nothing of it is guessed.
std::string node_of(const std::string& path, const BlockOptions& options) {
  Json file{{"driver", "file"}, {"filename", path}};
  if (!options.lock) file["locking"] = "off";
  // QEMU 7.2 can hang at the end of a file with its io_uring, so that has to be asked for.
  file["aio"] = options.engine == BlockEngine::kIoUring ? "io_uring" : "threads";
  Json node{{"driver", name_of(options.format)}, {"file", file}};
  if (options.discard) node["discard"] = "unmap";
  if (!options.follow_backing && options.format != ImageFormat::kRaw) node["backing"] = nullptr;
  return concat("json:", node.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

Result<std::unique_ptr<ImageServer>> ImageServer::start(const std::string& path, const BlockOptions& options,
                                                        const ImageInfo& info) {
  auto socket = make_socket();
  if (!socket) return socket.error();
  ChildProcess::Plan plan{
      .command = {"qemu-nbd", "--persistent", "--shared=64", options.nocache ? "--cache=none" : "--cache=writeback"},
      .read = info.backing,
      .listening = socket.value().listening.fd()};
  if (options.discard) plan.command.push_back("--discard=unmap");
  if (options.read_only) plan.command.push_back("--read-only");
  if (options.snapshot) plan.command.push_back("--snapshot");
  plan.command.push_back(node_of(path, options));
  const bool writes = !options.read_only && !options.snapshot;
  (writes ? plan.read_write : plan.read).push_back(path);
  plan.temporary_files = options.snapshot;
  auto child = ChildProcess::start(plan);
  if (!child) return child.error();
  return std::unique_ptr<ImageServer>(new ImageServer(std::move(socket).value().inode, std::move(child).value()));
}

std::string ImageServer::uri() const { return concat("nbd+unix:///?socket=/proc/self/fd/", socket_.fd()); }

ImageDisk::ImageDisk(std::unique_ptr<ImageServer> server, const std::string& name, const NbdFacts& facts,
                     const BlockInfo& info)
    : server_(std::move(server)),
      source_({.uri = server_->uri(),
               .name = name,
               .patience = std::chrono::seconds(0),
               .comes_back = false,
               .last_words = [raw = server_.get()] { return raw->last_words(); }},
              facts, info) {}

}  // namespace acrn
