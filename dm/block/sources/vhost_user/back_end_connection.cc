#include "dm/block/sources/vhost_user/back_end_connection.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "acrn/base/address.h"
#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

namespace acrn {

using namespace vhost_user;  // NOLINT(google-build-using-namespace): the names of its messages

namespace {

constexpr int kLeaving = 1000;  // ms
constexpr size_t kMostShared = kMaxTableRegions - 1;

Error host_error(const char* what) { return {ErrorKind::kInternal, concat(what, ": ", errno_text(errno))}; }

}  // namespace

Result<std::unique_ptr<BackEndConnection>> BackEndConnection::open(const std::string& path,
                                                                   std::chrono::seconds patience, int cancel) {
  auto socket = BackEndSocket::connect(path, kMq | kReplyAck | kConfig, patience, cancel);
  if (!socket) return socket.error();
  std::unique_ptr<BackEndConnection> made(new BackEndConnection(path, patience, std::move(socket).value()));
  MutexLock lock(made->mutex_);
  made->limit_time();
  const auto facts = ask_for_facts(made->socket_);
  if (!facts) return Error{facts.error().kind, concat(path, ": ", facts.error().message)};
  made->facts_ = facts.value();
  return made;
}

Result<void> BackEndConnection::start(unsigned rings) {
  MutexLock lock(mutex_);
  limit_time();
  auto memory = create_shared_ram(Gpa{0}, uint64_t{rings} * BackEndRing::kBytes);
  if (!memory) return memory.error();
  memory_ = std::move(memory).value();
  auto told = socket_.tell(SET_FEATURES, facts_.features);
  if (told) told = tell_of_memory();
  for (unsigned index = 0; told && index < rings; index++) {
    told = start_ring(index, uint64_t{index} * BackEndRing::kBytes);
  }
  if (told) return {};
  return Error{told.error().kind, concat(path_, ": ", told.error().message)};
}

Result<void> BackEndConnection::start_ring(unsigned index, uint64_t offset) {
  const Gpa base = seen_at(memory_.host + offset);
  const GuestSlice memory(memory_.host + offset, BackEndRing::kBytes);
  DriverRing ring(base, memory.part(0, BackEndRing::kHeads), BackEndRing::kEntries, false);
  UniqueFd kick(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), call(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!kick || !call) return host_error("eventfd");
  const RingLayout layout = ring_layout(BackEndRing::kEntries);
  const uint64_t user = raw(base);
  const VringAddress address{index, 0, user, user + layout.used, user + layout.avail, 0};
  auto told = socket_.tell(SET_VRING_NUM, VringState{index, BackEndRing::kEntries});
  if (told) told = socket_.tell(SET_VRING_BASE, VringState{index, 0});
  if (told) told = socket_.tell(SET_VRING_ADDR, address);
  if (told) told = socket_.tell(SET_VRING_CALL, uint64_t{index}, call.fd());
  if (told) told = socket_.tell(SET_VRING_KICK, uint64_t{index}, kick.fd());
  if (told) told = socket_.tell(SET_VRING_ENABLE, VringState{index, 1});
  if (!told) return told;
  auto trigger = EventTrigger::create(std::move(kick), errno);
  if (trigger == nullptr) return host_error("io_uring");
  rings_.push_back(
      std::make_unique<BackEndRing>(BackEndRing{base, memory, std::move(ring), std::move(trigger), std::move(call)}));
  return {};
}

Result<void> BackEndConnection::share(const std::shared_ptr<const MemoryMap>& guest) {
  std::vector<MemoryRegion> regions;
  for (const MemoryRegion& region : guest->regions()) {
    if (region.file >= 0) regions.push_back(region);
  }
  std::sort(regions.begin(), regions.end(), [](const auto& a, const auto& b) { return a.size > b.size; });
  regions.resize(std::min(regions.size(), kMostShared));
  MutexLock lock(mutex_);
  limit_time();
  shares_ = true;
  shared_ = std::move(regions);
  const auto told = tell_of_memory();
  if (told) return {};
  shared_.clear();
  return Error{told.error().kind, concat(path_, ": ", told.error().message)};
}

Result<void> BackEndConnection::tell_of_memory() {
  std::vector<MemoryRegionDescription> regions;
  std::vector<int> files;
  const auto add = [&](const MemoryRegion& region) {
    regions.push_back({raw(seen_at(region.host)), region.size, address_of(region.host), region.file_offset});
    files.push_back(region.file);
  };
  add(memory_);
  for (const MemoryRegion& region : shared_) add(region);
  return socket_.tell_of_memory(regions, files);
}

Result<uint64_t> BackEndConnection::size() {
  MutexLock lock(mutex_);
  limit_time();
  return ask_for_size(socket_);
}

void BackEndConnection::leave() {
  ::shutdown(socket_fd_, SHUT_WR);
  pollfd its_end{socket_fd_, POLLRDHUP, 0};
  ::poll(&its_end, 1, kLeaving);
}

void BackEndConnection::hang_up() { ::shutdown(socket_fd_, shares_ ? SHUT_WR : SHUT_RDWR); }

}  // namespace acrn
