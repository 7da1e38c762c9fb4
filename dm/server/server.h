// A server makes one PCI function usable from another VMM. Each kind is one row of a table (server_table.h), and while
// it runs one Server.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "acrn/base/result.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/pci/pci_function.h"
#include "dm/event/epoll_loop.h"

namespace acrn {

// Created and destroyed by the composing thread, like the function.
class Server {
 public:
  virtual ~Server() = default;

  // What the function is to be made with.
  virtual const GuestMemory& memory() const = 0;
  virtual MsiSink& msi() = 0;
  virtual IrqPin& pin() = 0;

  // Serves it at `path` from now on. Errors as of ListeningSocket::create().
  virtual Result<void> serve(PciFunction& function, const std::string& path) = 0;
  // The client is dropped and the path removed: returns when the function is at rest. It may go then.
  virtual void stop() = 0;
};

// A kind of server that `--serve <name>=<dir>` can name.
struct ServerRow {
  std::string_view name;
  // `slot` is for threads and messages: the function's slot, like "0:9:0".
  Result<std::unique_ptr<Server>> (*create)(const std::string& slot) = nullptr;
  // Whether a function could be served at `path`, without an effect.
  Result<void> (*check)(const std::string& path) = nullptr;
  LoopOptions queue_loop = {};  // what suits the loops of the queues that it serves
  std::string_view help = {};   // for the manual: one line, that begins with a small letter and has no period
};

}  // namespace acrn
