#include "dm/server/vhost_user/inflight_area.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "acrn/base/round.h"
#include "dm/mem/bus_errors.h"

namespace acrn::vhost_user {
namespace {

uint64_t area_bytes(uint16_t queues, uint16_t queue_size) { return uint64_t{queues} * InflightLog::bytes(queue_size); }

bool is_possible(uint16_t queues, uint16_t queue_size) {
  return queues != 0 && queue_size != 0 && queue_size <= InflightArea::kMaxQueueSize;
}

}  // namespace

UniqueFd InflightArea::make_file(uint16_t queues, uint16_t queue_size, InflightDescription& description) {
  errno = EINVAL;
  if (!is_possible(queues, queue_size)) return {};
  const uint64_t size = round_up(area_bytes(queues, queue_size), kPageBytes);
  UniqueFd file(::memfd_create("vhost-user in flight", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file || ::ftruncate(file.fd(), static_cast<off_t>(size)) != 0) return {};
  description.size = size;
  description.offset = 0;
  return file;
}

std::unique_ptr<InflightArea> InflightArea::map(const UniqueFd& file, const InflightDescription& description,
                                                int& error) {
  error = EINVAL;
  const uint64_t bytes = area_bytes(description.queues, description.queue_size);
  if (!is_possible(description.queues, description.queue_size) || description.size < bytes) return nullptr;
  if (description.offset % kPageBytes != 0 || !catch_bus_errors()) return nullptr;
  auto memory = SharedMapping::create(file.fd(), description.offset, bytes, error);
  if (memory == nullptr) return nullptr;
  std::byte* const data = memory->data();
  std::unique_ptr<InflightArea> area(new InflightArea(std::move(memory)));
  for (unsigned queue = 0; queue < description.queues; queue++) {
    area->logs_.push_back(std::make_unique<InflightLog>(data + queue * InflightLog::bytes(description.queue_size),
                                                        description.queue_size));
  }
  return area;
}

InflightLog* InflightArea::log(unsigned queue, uint16_t size) {
  return queue < logs_.size() && logs_[queue]->size() >= size ? logs_[queue].get() : nullptr;
}

void InflightArea::clear() {
  for (const auto& log : logs_) log->clear();
}

}  // namespace acrn::vhost_user
