// NbdServer: a disk as an NBD export on a UNIX socket, for programs that read and write disks (docs/nbd-export.md).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "dm/event/epoll_loop.h"
#include "dm/server/nbd/client.h"
#include "dm/server/server.h"
#include "dm/socket/acceptor.h"

namespace acrn::nbd {

inline constexpr size_t kMostClients = 16;
inline constexpr LoopOptions kLoop{
    .longest_poll = std::chrono::microseconds(50), .allow_borrow = false, .kind = Thread::Kind::kQueue};

class NbdServer final : public BlockServer {
 public:
  static Result<std::unique_ptr<BlockServer>> create(const std::string& slot, EpollLoop& loop);
  static Result<void> check(const std::string& path);
  ~NbdServer() override { stop(); }

  Result<void> bind(const std::string& path) override;
  Result<void> serve(BlockBackend& disk, DiskMap* map, const BlockOptions& options, const std::string& path) override;
  void on_client(const std::function<void(bool connected)>& told) override { on_client_ = told; }
  void stop() override;

 private:
  NbdServer(std::string name, EpollLoop& loop) : name_(std::move(name)), loop_(loop) {}
  void accept(UniqueFd socket, int error);
  void client_gone(std::string_view why);
  void remove_clients();

  const std::string name_;
  EpollLoop& loop_;
  std::optional<ListeningSocket> socket_;  // between bind() and serve()
  // On the loop.
  BlockBackend* disk_ = nullptr;
  BlockOptions options_;
  DiskMap* map_ = nullptr;
  std::unique_ptr<Acceptor> acceptor_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::function<void(bool connected)> on_client_;
  std::latch* all_gone_ = nullptr;  // for who waits for the last client's end
  uint64_t misbehaved_ = 0;         // clients that were dropped
};

}  // namespace acrn::nbd
