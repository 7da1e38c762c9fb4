// InflightArea: the logs of what is in flight on each queue, in a file that the front end keeps for the next server.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "acrn/virtio/inflight_log.h"
#include "dm/mem/shared_mapping.h"
#include "dm/vhost_user/protocol.h"

namespace acrn::vhost_user {

class InflightArea {
 public:
  static constexpr uint16_t kMaxQueueSize = 1024;  // entries

  // A new file for so many queues, of zeroes. `description` says where the area is in it. Invalid, with errno: there is
  // none to be had.
  static UniqueFd make_file(uint16_t queues, uint16_t queue_size, InflightDescription& description);
  // The area in a front end's file, with what is in it. Null, with `error`: an errno.
  static std::unique_ptr<InflightArea> map(const UniqueFd& file, const InflightDescription& description, int& error);

  // Of a queue with so many entries; null: it has no place here.
  InflightLog* log(unsigned queue, uint16_t size);
  // While the queues are stopped: nothing is in flight.
  void clear();
  // The front end has taken the file away.
  bool lost() const { return memory_->lost(); }

 private:
  explicit InflightArea(std::unique_ptr<SharedMapping> memory) : memory_(std::move(memory)) {}

  std::unique_ptr<SharedMapping> memory_;
  std::vector<std::unique_ptr<InflightLog>> logs_;
};

}  // namespace acrn::vhost_user
