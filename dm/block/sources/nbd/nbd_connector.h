// NbdConnector: makes a connection on a thread of its own: a name is looked up, and a server may be slow to answer.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/event/event_loop.h"
#include "dm/base/thread.h"
#include "dm/block/sources/nbd/nbd_handle.h"

namespace acrn {

// On a loop.
class NbdConnector {
 public:
  // `done` is notified when take() has something, and may run without; it outlives this.
  NbdConnector(std::string uri, Notifier& done) : uri_(std::move(uri)), done_(done) {}
  ~NbdConnector();
  NbdConnector(const NbdConnector&) = delete;
  NbdConnector& operator=(const NbdConnector&) = delete;

  // Unless it has been started and its outcome not been taken. No thread to be had: the outcome says so.
  void start();
  // The outcome, when there is one.
  std::optional<Result<NbdHandle>> take();

 private:
  const std::string uri_;
  Notifier& done_;
  UniqueFd cancel_;  // an eventfd
  Thread thread_;
  std::optional<Result<NbdHandle>> outcome_;  // the thread's, until `finished_`
  std::atomic<bool> finished_ = false;
};

}  // namespace acrn
