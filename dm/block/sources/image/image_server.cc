#include "dm/block/sources/image/image_server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/socket/unix_address.h"

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
    return Error{ErrorKind::kInternal, concat("a socket for the image: ", call, ": ", errno_text(errno))};
  };
  std::string folder = "/tmp/acrn-dm-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return failed("mkdtemp");
  const std::string path = folder + "/disk";
  const auto address = UnixAddress::of(path);
  PrivateSocket made;
  made.listening = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const bool listens = made.listening && ::bind(made.listening.fd(), address->get(), address->size()) == 0 &&
                       ::listen(made.listening.fd(), kBacklog) == 0;
  if (listens) made.inode = UniqueFd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  const int error = errno;
  ::unlink(path.c_str());
  ::rmdir(folder.c_str());
  if (made.inode) return made;
  errno = error;
  return failed("bind");
}

// Of $TMPDIR; it is gone with its last descriptor.
Result<UniqueFd> make_temporary_file() {
  const char* const variable = std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe): nobody changes it
  const std::string folder = variable != nullptr && *variable != '\0' ? variable : "/var/tmp";
  UniqueFd file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) {  // a file system without such files
    std::string path = folder + "/acrn-dm-XXXXXX";
    file = UniqueFd(::mkostemp(path.data(), O_CLOEXEC));
    if (file) ::unlink(path.c_str());
  }
  if (file) return file;
  return Error{ErrorKind::kUnavailable,
               concat("snapshot: a temporary file in ", folder, ": ", errno_text(errno), "; name a folder in TMPDIR")};
}

// Block nodes of QEMU's name all that they stand on, so nothing is guessed or looked up.
Json file_node(const std::string& path, const BlockOptions& options) {
  // QEMU 7.2 can hang at the end of a file with its io_uring, so that has to be asked for.
  const char* const aio = options.engine == BlockEngine::kIoUring ? "io_uring" : "threads";
  Json node{{"driver", file_driver(path)}, {"filename", path}, {"aio", aio}};
  if (!options.lock) node["locking"] = "off";
  return node;
}

Json image_node(const std::string& path, ImageFormat format, Json backing, const BlockOptions& options) {
  Json node{{"driver", name_of(format)}, {"file", file_node(path, options)}};
  if (options.discard) node["discard"] = "unmap";
  if (format == ImageFormat::kLuks) {
    node["key-secret"] = kKeyName;
  } else if (format == ImageFormat::kQcow2 || format == ImageFormat::kVmdk) {  // the others cannot have one
    node["backing"] = std::move(backing);
  }
  return node;
}

Json node_of(const std::string& path, const BlockOptions& options, const ImageInfo& info) {
  Json backing;
  for (auto file = info.backing.rbegin(); file != info.backing.rend(); ++file) {
    backing = image_node(file->path, file->format, std::move(backing), options);
  }
  Json node = image_node(path, options.format, std::move(backing), options);
  if (!options.snapshot) return node;
  BlockOptions own = options;
  own.lock = false;
  return image_node(concat("/proc/self/fd/", ChildProcess::kFile), ImageFormat::kQcow2, std::move(node), own);
}

std::vector<std::string> nbd_command(const BlockOptions& options, const Json& node) {
  std::vector<std::string> command{"qemu-nbd", "--persistent", "--shared=64",
                                   options.nocache ? "--cache=none" : "--cache=writeback"};
  if (options.discard) command.push_back("--discard=unmap");
  if (options.read_only) command.push_back("--read-only");
  for (std::string& word : key_arguments(options)) command.push_back(std::move(word));
  command.push_back("json:" + node.dump());
  return command;
}

// Without an iothread: 7.2 locks up with one if it is ended while requests are in flight, and is no faster with it.
std::vector<std::string> daemon_command(const BlockOptions& options, Json node) {
  node["node-name"] = "disk";
  node["read-only"] = options.read_only;
  node["cache"] = {{"direct", options.nocache}};
  std::vector<std::string> command{"qemu-storage-daemon"};
  for (std::string& word : key_arguments(options)) command.push_back(std::move(word));
  command.insert(command.end(),
                 {"--blockdev", node.dump(), "--export",
                  concat("type=vhost-user-blk,id=disk,node-name=disk,addr.type=fd,addr.str=", ChildProcess::kListening,
                         ",writable=", options.read_only ? "off" : "on", ",num-queues=", options.queues)});
  return command;
}

}  // namespace

ImageReader reader_of(const BlockOptions& options) {
  if (options.reader != ImageReader::kAuto) return options.reader;
  const std::string daemon(name_of(ImageReader::kStorageDaemon));
  return is_program(daemon) ? ImageReader::kStorageDaemon : ImageReader::kQemuNbd;
}

Result<std::unique_ptr<ImageServer>> ImageServer::start(const std::string& path, const BlockOptions& options,
                                                        const ImageInfo& info) {
  UniqueFd changes;
  if (options.snapshot) {
    auto made = make_temporary_file();
    if (!made) return made.error();
    changes = std::move(made).value();
    if (auto created = create_overlay(changes.fd(), info.virtual_size); !created) return created.error();
  }
  auto socket = make_socket();
  if (!socket) return socket.error();
  const Json node = node_of(path, options, info);
  ChildProcess::Plan plan{.command = info.reader == ImageReader::kStorageDaemon ? daemon_command(options, node)
                                                                                : nbd_command(options, node),
                          .listening = socket.value().listening.fd(),
                          .file = changes.fd()};
  if (!options.key.empty()) plan.read.push_back(options.key);
  const bool writes = !options.read_only && !options.snapshot;
  (writes ? plan.read_write : plan.read).push_back(path);
  for (const ImageInfo::Backing& backing : info.backing) plan.read.push_back(backing.path);
  auto child = ChildProcess::start(plan);
  if (!child) return child.error();
  return std::unique_ptr<ImageServer>(new ImageServer(std::move(socket).value().inode, std::move(child).value()));
}

std::string ImageServer::socket() const { return concat("/proc/self/fd/", inode_.fd()); }

}  // namespace acrn
