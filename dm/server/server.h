// A server makes one device usable from another VMM: as a PCI function, or without one, for a VMM that has PCI of its
// own; or it gives the disk alone to programs that are no VMMs. Each kind is one row of a table (server_table.h), and
// while it runs one Server.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "acrn/block/disk_map.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/pci/pci_function.h"
#include "acrn/virtio/guest_rules.h"
#include "acrn/virtio/virtio_device.h"
#include "dm/event/epoll_loop.h"

namespace acrn {

// Created and destroyed by the composing thread, like the device.
class Server {
 public:
  virtual ~Server() = default;

  // `told` hears of each client that is served, when it has come and when it has left, on a loop of the server's.
  // Before serve(). A server that does not tell is none the worse.
  virtual void on_client(const std::function<void(bool connected)>& /*told*/) {}
  // Makes what a confined process cannot make any more: the socket at `path`, at which serve() lets clients in. serve()
  // makes it where this was not called. Errors as of ListeningSocket::create().
  virtual Result<void> bind(const std::string& path) = 0;
  // The clients are dropped and the path removed: returns when the device is at rest. It may go then.
  virtual void stop() = 0;
};

class PciServer : public Server {
 public:
  // What the function is to be made with.
  virtual const GuestMemory& memory() const = 0;
  virtual MsiSink& msi() = 0;
  virtual IrqPin& pin() = 0;
  // Serves it at `path` from now on. `finished`: as of ClientSocket::serve(). Errors as of ListeningSocket::create().
  virtual Result<void> serve(PciFunction& function, const std::string& path, std::function<void()> finished) = 0;
};

class VirtioServer : public Server {
 public:
  // The same.
  virtual const GuestMemory& memory() const = 0;
  // Nothing was called of the device yet; both outlive the server.
  virtual Result<void> serve(VirtioDevice& device, GuestErrors& guest_errors, const std::string& path,
                             std::function<void()> finished) = 0;
};

class BlockServer : public Server {
 public:
  // Serves the disk at `path` from now on, as its options say. `map`: what is known of its zeroes; null: nothing.
  // Errors as of ListeningSocket::create().
  virtual Result<void> serve(BlockBackend& disk, DiskMap* map, const BlockOptions& options,
                             const std::string& path) = 0;
};

// A kind of server that `--serve <name>=<dir>` can name.
struct ServerRow {
  std::string_view name;
  // One of the three. `slot` is for threads and messages: the device's slot, like "0:9:0".
  Result<std::unique_ptr<PciServer>> (*create)(const std::string& slot) = nullptr;
  Result<std::unique_ptr<VirtioServer>> (*create_virtio)(const std::string& slot) = nullptr;
  // `loop` is where the clients' requests are carried out.
  Result<std::unique_ptr<BlockServer>> (*create_block)(const std::string& slot, EpollLoop& loop) = nullptr;
  // Whether a device could be served at `path`, without an effect.
  Result<void> (*check)(const std::string& path) = nullptr;
  // Ring entries, of servers whose clients choose how many: what they mostly choose, which seg_max has to fit, and
  // what they must be able to choose, if queue_size= is not more.
  unsigned usual_queue_size = 0, least_queue_size = 0;
  LoopOptions queue_loop = {};  // what suits the loops of the queues that it serves
  std::string_view help = {};   // for the manual: one line, that begins with a small letter and has no period
};

}  // namespace acrn
