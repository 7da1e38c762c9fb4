#include "tests/support/scripted_back_end.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "dm/socket/sent_descriptors.h"
#include "tests/support/test.h"

namespace acrn::test {

using namespace vhost_user;

namespace {

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(static_cast<void*>(&value), from, sizeof(T));
  return value;
}

template <class T>
void store(std::byte* to, const T& value) {
  std::memcpy(to, static_cast<const void*>(&value), sizeof(T));
}

uint16_t load_index(const std::byte* from) {
  return __atomic_load_n(reinterpret_cast<const uint16_t*>(from), __ATOMIC_ACQUIRE);
}

void store_index(std::byte* to, uint16_t value) {
  __atomic_store_n(reinterpret_cast<uint16_t*>(to), value, __ATOMIC_RELEASE);
}

}  // namespace

VirtioBlkConfig ScriptedBackEnd::config(uint64_t sectors) {
  VirtioBlkConfig config{};
  config.capacity = sectors;
  config.blk_size = 512;
  config.seg_max = 126;
  return config;
}

ScriptedBackEnd::ScriptedBackEnd(Script script) : script_(script), disk_(1 << 20) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  socket().copy(address.sun_path, sizeof(address.sun_path) - 1);
  listening_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT(::bind(listening_.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  EXPECT(::listen(listening_.fd(), 8) == 0);
  stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
  thread_ = std::thread([this] { run(); });
}

ScriptedBackEnd::~ScriptedBackEnd() {
  ::eventfd_write(stop_.fd(), 1);
  thread_.join();
}

void ScriptedBackEnd::run() {
  for (;;) {
    std::array<pollfd, 2> wanted{{{listening_.fd(), POLLIN, 0}, {stop_.fd(), POLLIN, 0}}};
    ::poll(wanted.data(), wanted.size(), -1);
    if (wanted[1].revents != 0) return;
    const UniqueFd client(::accept4(listening_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) continue;
    clients_++;
    serve(client.fd());
    forget_client();
  }
}

void ScriptedBackEnd::forget_client() {
  for (const Region& region : regions_) ::munmap(region.memory, region.description.size);
  regions_.clear();
  messages_ = 0;
  ring_ = Ring();
}

void ScriptedBackEnd::serve(int client) {
  for (;;) {
    std::array<pollfd, 3> wanted{{{client, POLLIN, 0}, {stop_.fd(), POLLIN, 0}, {ring_.kick.fd(), POLLIN, 0}}};
    ::poll(wanted.data(), wanted.size(), -1);
    if (wanted[1].revents != 0) return;
    if (wanted[2].revents != 0) {
      eventfd_t count;
      ::eventfd_read(ring_.kick.fd(), &count);
      if (!serve_ring()) return;
    }
    if (wanted[0].revents != 0 && !handle(client)) return;
  }
}

// False: the end of this client.
bool ScriptedBackEnd::handle(int client) {
  Header header{};
  std::array<std::byte, kMaxPayload> payload{};
  iovec part{&header, sizeof(header)};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(client, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) != sizeof(header)) return false;
  std::vector<UniqueFd> files;
  if (const cmsghdr* const rights = CMSG_FIRSTHDR(&message); rights != nullptr) {
    for (size_t at = 0; CMSG_LEN(at) < rights->cmsg_len; at += sizeof(int)) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(rights) + at, sizeof(fd));
      files.emplace_back(fd);
    }
  }
  if (header.size > payload.size()) return false;
  if (header.size != 0 && ::recv(client, payload.data(), header.size, MSG_WAITALL) != header.size) return false;
  messages_++;
  const bool applies = script_.always || clients_ == 1;
  if (applies && messages_ == script_.hang_up_at) return false;
  const auto state = load<VringState>(payload.data());
  switch (header.request) {
    case GET_FEATURES: {
      const uint64_t features = kVersion1 | kProtocolFeatures | script_.features;
      return answer(client, header, &features, sizeof(features));
    }
    case GET_PROTOCOL_FEATURES: {
      const uint64_t features = kMq | kConfig | kReplyAck;
      return answer(client, header, &features, sizeof(features));
    }
    case GET_QUEUE_NUM: return answer(client, header, &script_.queues, sizeof(script_.queues));
    case GET_CONFIG:
      store(payload.data() + sizeof(ConfigHead), script_.config);
      return answer(client, header, payload.data(), header.size);
    case SET_MEM_TABLE:
      if (!map(payload.data(), files)) return false;
      break;
    case SET_VRING_NUM: ring_.size = static_cast<uint16_t>(state.value); break;
    case SET_VRING_ADDR: {
      const auto address = load<VringAddress>(payload.data());
      ring_.desc = at(address.desc);
      ring_.avail = at(address.avail);
      ring_.used = at(address.used);
      break;
    }
    case SET_VRING_CALL: ring_.call = std::move(files.at(0)); break;
    case SET_VRING_KICK: ring_.kick = std::move(files.at(0)); break;
    default: break;
  }
  if ((header.flags & kFlagNeedReply) == 0) return true;
  const uint64_t fine = 0;
  return answer(client, header, &fine, sizeof(fine));
}

bool ScriptedBackEnd::map(const std::byte* table, std::span<const UniqueFd> files) {
  if (load<MemoryTableHead>(table).count != files.size()) return false;
  table += sizeof(MemoryTableHead);
  for (const UniqueFd& file : files) {
    const auto region = load<MemoryRegionDescription>(std::exchange(table, table + sizeof(MemoryRegionDescription)));
    void* const mapped =
        ::mmap(nullptr, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), static_cast<off_t>(region.offset));
    if (mapped == MAP_FAILED) return false;
    regions_.push_back({region, static_cast<std::byte*>(mapped)});
  }
  return true;
}

std::byte* ScriptedBackEnd::at(uint64_t guest) const {
  for (auto region = regions_.rbegin(); region != regions_.rend(); ++region) {
    const auto& [base, size, user, offset] = region->description;
    if (guest >= base && guest - base < size) return region->memory + (guest - base);
  }
  return nullptr;
}

bool ScriptedBackEnd::answer(int client, const Header& header, const void* bytes, size_t size) {
  Header reply{header.request, kVersion | kFlagReply, static_cast<uint32_t>(size)};
  std::array<std::byte, kMaxPayload> payload{};
  std::memcpy(payload.data(), bytes, size);
  if ((script_.always || clients_ == 1) && messages_ == script_.garble_at) {
    reply.size = 0xffff'fff0;
    reply.request ^= 0x5a;
  }
  std::array<iovec, 2> parts{{{&reply, sizeof(reply)}, {payload.data(), size}}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  const std::vector<int> gifts(script_.gifts, stop_.fd());
  const SentDescriptors sent(message, gifts);
  return ::sendmsg(client, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof(reply) + size);
}

bool ScriptedBackEnd::serve_ring() {
  while (ring_.seen != load_index(ring_.avail + kRingIndex)) {
    const auto head = load<Le16>(ring_.avail + avail_entry(ring_.seen++ & (ring_.size - 1)));
    if (!serve_chain(head)) return false;
  }
  ::eventfd_write(ring_.call.fd(), 1);
  return true;
}

bool ScriptedBackEnd::serve_chain(uint16_t head) {
  std::vector<VringDesc> chain;
  for (uint16_t index = head;;) {
    chain.push_back(load<VringDesc>(ring_.desc + sizeof(VringDesc) * index));
    if ((chain.back().flags & VRING_DESC_F_NEXT) == 0) break;
    index = chain.back().next;
  }
  const auto header = load<VirtioBlkOuthdr>(at(chain.front().addr));
  std::byte* const status = at(chain.back().addr);
  uint32_t length = 1;
  uint8_t outcome = VIRTIO_BLK_S_OK;
  std::byte* medium = disk_.data() + header.sector * VIRTIO_BLK_SECTOR_SIZE;
  for (const VringDesc& part : std::span(chain).subspan(1, chain.size() - 2)) {
    std::byte* const data = at(part.addr);
    if (header.type == VIRTIO_BLK_T_IN) {
      std::memcpy(data, medium, part.len);
      length += part.len;
    } else if (header.type == VIRTIO_BLK_T_OUT) {
      std::memcpy(medium, data, part.len);
    } else {
      outcome = VIRTIO_BLK_S_UNSUPP;
    }
    medium += part.len;
  }
  const Mischief mischief = script_.always || clients_ == 1 ? script_.mischief : Mischief::kNone;
  if (mischief == Mischief::kBadStatus) outcome = 77;
  if (mischief != Mischief::kNoStatus) store(status, outcome);
  switch (mischief) {
    case Mischief::kIndexJumps: ring_.written = static_cast<uint16_t>(ring_.written + 1000); break;
    case Mischief::kIdOutOfRange: head = ring_.size; break;
    case Mischief::kIdNotInFlight: head = static_cast<uint16_t>(ring_.size - 1); break;
    case Mischief::kSameIdTwice: push(head, length); break;
    case Mischief::kLengthTooLong: length++; break;
    case Mischief::kLengthTooShort: length = 0; break;
    case Mischief::kHangsUp: return false;
    default: break;
  }
  push(head, length);
  return mischief != Mischief::kAnswersAndHangsUp;
}

void ScriptedBackEnd::push(uint32_t id, uint32_t length) {
  store(ring_.used + used_entry(ring_.written & (ring_.size - 1)), VringUsedElem{id, length});
  store_index(ring_.used + kRingIndex, ++ring_.written);
}

}  // namespace acrn::test
