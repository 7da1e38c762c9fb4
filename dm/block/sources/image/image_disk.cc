#include "dm/block/sources/image/image_disk.h"

#include <chrono>

#include "acrn/base/concat.h"
#include "dm/block/sources/nbd/nbd_source.h"
#include "dm/block/sources/remote_server.h"
#include "dm/block/sources/vhost_user/vhost_user_source.h"

namespace acrn {
namespace {

constexpr std::chrono::minutes kPatience{5};  // an image may have to be repaired when it is opened

using Source = Result<std::unique_ptr<BlockBackend>>;

Source over_nbd(const std::string& socket, RemoteServer server, BlockInfo info) {
  const std::string uri = concat("nbd+unix:///?socket=", socket);
  const auto found = inspect_nbd(uri, kPatience);
  if (!found) return found.error();
  info.offset_alignment = found.value().least;
  return Source(std::make_unique<NbdSource>(NbdPlace{uri, std::move(server)}, found.value(), info));
}

Source over_vhost_user(const std::string& socket, RemoteServer server, BlockInfo info, bool share) {
  auto connection = BackEndConnection::open(socket, kPatience);
  if (!connection) return connection.error();
  const BackEndFacts& facts = connection.value()->facts();
  info.offset_alignment = facts.block;
  const unsigned queues = facts.queues;
  auto link = BackEndLink::create({socket, queues, share, std::move(server)}, std::move(connection).value());
  if (!link) return link.error();
  return Source(std::make_unique<VhostUserSource>(std::move(link).value(), info));
}

// Why what it serves could not be opened, of which `error` is what we saw.
Error why_not(ImageServer& server, ImageReader reader, ImageFormat format, const Error& error) {
  if (server.is_missing()) {
    const bool daemon = reader == ImageReader::kStorageDaemon;
    return {ErrorKind::kUnavailable,
            concat("there is no ", name_of(reader), "; install ", daemon ? "qemu-system-common" : "qemu-utils")};
  }
  const std::string words = server.last_words();
  return {ErrorKind::kNoInput, concat("format=", name_of(format), ": ", words.empty() ? error.message : words)};
}

}  // namespace

Result<std::unique_ptr<ImageDisk>> ImageDisk::open(const std::string& path, const BlockOptions& options,
                                                   const ImageInfo& image, const BlockInfo& info) {
  const auto refusal = [&](const Error& error) {
    return Error{error.kind, concat("virtio-blk ", path, ": ", error.message)};
  };
  auto started = ImageServer::start(path, options, image);
  if (!started) return refusal(started.error());
  std::unique_ptr<ImageServer> server = std::move(started).value();
  const bool daemon = image.reader == ImageReader::kStorageDaemon;
  const RemoteServer remote{
      .name = path, .comes_back = false, .last_words = [raw = server.get()] { return raw->last_words(); }};
  auto source = daemon ? over_vhost_user(server->socket(), remote, info, options.share)
                       : over_nbd(server->socket(), remote, info);
  if (!source) return refusal(why_not(*server, image.reader, options.format, source.error()));
  return std::unique_ptr<ImageDisk>(new ImageDisk(std::move(server), std::move(source).value()));
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): it does not follow the source into the disk
}

}  // namespace acrn
