#include "tests/support/vfio_user_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "acrn/pci/pci_spec.h"
#include "tests/support/test.h"
#include "tests/support/unix_client.h"

namespace acrn::test {

using namespace vfio_user;  // NOLINT(google-build-using-namespace)

SharedMemory::SharedMemory(uint64_t bytes) : fd(memfd_create("guest", MFD_CLOEXEC)), size(bytes) {
  EXPECT(fd && ::ftruncate(fd.fd(), static_cast<off_t>(bytes)) == 0);
  void* const address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.fd(), 0);
  EXPECT(address != MAP_FAILED);
  data = static_cast<std::byte*>(address);
  owner = std::shared_ptr<const void>(address, [bytes](const void* old) { ::munmap(const_cast<void*>(old), bytes); });
}

VfioUserClient::VfioUserClient(const std::string& path) : socket_(connect_to(path)) { EXPECT(socket_); }

bool VfioUserClient::send(std::span<const uint8_t> bytes, std::span<const int> fds) {
  std::vector<uint8_t> control(fds.empty() ? 0 : CMSG_SPACE(fds.size_bytes()));
  while (!bytes.empty()) {
    iovec part{const_cast<uint8_t*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* const head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = SOL_SOCKET;
      head->cmsg_type = SCM_RIGHTS;
      head->cmsg_len = CMSG_LEN(fds.size_bytes());
      std::memcpy(CMSG_DATA(head), fds.data(), fds.size_bytes());
    }
    const ssize_t size = ::sendmsg(socket_.fd(), &message, MSG_NOSIGNAL);
    if (size <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(size));
    fds = {};
  }
  return true;
}

std::optional<VfioUserClient::Reply> VfioUserClient::receive() {
  // A receive with a time limit is not restarted when the kernel interrupts it, which io_uring's clean-up does.
  const auto all_of = [this](void* to, size_t size) {
    for (size_t done = 0; done < size;) {
      const ssize_t part = ::recv(socket_.fd(), static_cast<char*>(to) + done, size - done, MSG_WAITALL);
      if (part < 0 && errno == EINTR) continue;
      if (part <= 0) return false;
      done += static_cast<size_t>(part);
    }
    return true;
  };
  Reply reply;
  if (!all_of(&reply.header, sizeof(Header))) return std::nullopt;
  reply.payload.resize(reply.header.size - sizeof(Header));
  if (!all_of(reply.payload.data(), reply.payload.size())) return std::nullopt;
  return reply;
}

bool VfioUserClient::dropped() {
  pollfd state{socket_.fd(), POLLRDHUP, 0};
  return ::poll(&state, 1, 20'000) == 1;
}

void VfioUserClient::end_of_messages() { ::shutdown(socket_.fd(), SHUT_WR); }

void VfioUserClient::do_not_wait() { EXPECT_EQ(::fcntl(socket_.fd(), F_SETFL, O_RDWR | O_NONBLOCK), 0); }

VfioUserClient::Bytes VfioUserClient::message(uint16_t command, std::span<const uint8_t> payload, uint32_t flags,
                                              uint16_t id) {
  const Header header{id, command, static_cast<uint32_t>(sizeof(Header) + payload.size()), flags, 0};
  Bytes bytes = bytes_of(header);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

VfioUserClient::Reply VfioUserClient::ask(uint16_t command, std::span<const uint8_t> payload,
                                          std::span<const int> fds) {
  const uint16_t id = next_id_++;
  EXPECT(send(message(command, payload, 0, id), fds));
  auto reply = receive();
  EXPECT(reply.has_value());
  EXPECT_EQ(uint16_t{reply->header.id}, id);
  EXPECT_EQ(uint16_t{reply->header.command}, command);
  EXPECT_EQ(uint32_t{reply->header.flags}, kTypeReply | (reply->error() != 0 ? kFlagError : 0u));
  if (reply->error() != 0) EXPECT(reply->payload.empty());
  return *std::move(reply);
}

int VfioUserClient::negotiate() { return ask(VFIO_USER_VERSION, Version{0, 0}).error(); }

int VfioUserClient::map(Gpa address, const SharedMemory& memory) {
  return map(raw(address), memory.size, 0, memory.fd.fd());
}

int VfioUserClient::map(uint64_t address, uint64_t size, uint64_t offset, int fd, uint32_t flags) {
  const DmaMap piece{sizeof(DmaMap), flags, offset, address, size};
  return ask(VFIO_USER_DMA_MAP, piece, fd < 0 ? std::span<const int>() : std::span<const int>(&fd, 1)).error();
}

int VfioUserClient::unmap(uint64_t address, uint64_t size, uint32_t flags) {
  return ask(VFIO_USER_DMA_UNMAP, DmaUnmap{sizeof(DmaUnmap), flags, address, size}).error();
}

int VfioUserClient::set_irqs(uint32_t index, uint32_t flags, uint32_t start, uint32_t count, std::span<const int> fds) {
  return ask(VFIO_USER_DEVICE_SET_IRQS, IrqSet{sizeof(IrqSet), flags, index, start, count}, fds).error();
}

int VfioUserClient::reset() { return ask(VFIO_USER_DEVICE_RESET).error(); }

uint64_t VfioUserClient::read(uint32_t region, uint64_t offset, uint32_t count) {
  const Reply reply = ask(VFIO_USER_REGION_READ, RegionAccess{offset, region, count});
  EXPECT_EQ(reply.error(), 0);
  EXPECT_EQ(reply.payload.size(), sizeof(RegionAccess) + count);
  uint64_t value = 0;
  std::memcpy(&value, reply.payload.data() + sizeof(RegionAccess), std::min<size_t>(count, sizeof(value)));
  return value;
}

int VfioUserClient::try_write(uint32_t region, uint64_t offset, std::span<const uint8_t> data) {
  Bytes payload = bytes_of(RegionAccess{offset, region, static_cast<uint32_t>(data.size())});
  payload.insert(payload.end(), data.begin(), data.end());
  return ask(VFIO_USER_REGION_WRITE, std::span<const uint8_t>(payload)).error();
}

void VfioUserClient::write(uint32_t region, uint64_t offset, uint32_t count, uint64_t value) {
  const Bytes bytes = bytes_of(value);
  EXPECT_EQ(try_write(region, offset, std::span(bytes).first(count)), 0);
}

namespace {

constexpr uint32_t kConfig = VFIO_PCI_CONFIG_REGION_INDEX;
constexpr uint32_t kArm = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;

uint64_t all_ones(unsigned size) { return size == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1; }

}  // namespace

std::optional<uint64_t> placed_bar(const PciFunction& function, unsigned bar) {
  const BarKind kind = function.bar_shape(bar).kind;
  if (kind == BarKind::kAbsent) return std::nullopt;
  auto& readable = const_cast<PciFunction&>(function);  // NOLINT: reading it changes nothing
  const bool io = kind == BarKind::kIo;
  if ((readable.config_read(PCI_COMMAND, 2) & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) == 0) return std::nullopt;
  const uint32_t address = readable.config_read(PCI_BASE_ADDRESS_0 + 4 * bar, 4) & ~(io ? 3u : 15u);
  return address != 0 ? std::optional<uint64_t>(address) : std::nullopt;
}

RemoteFunction::RemoteFunction(const std::string& path, const SharedMemory& memory, Gpa base, IrqPin& pin, MsiSink& msi)
    : client_(path), pin_(pin), msi_(msi), stop_(new_eventfd()) {
  EXPECT_EQ(client_.negotiate(), 0);
  EXPECT_EQ(client_.map(base, memory), 0);
  learn();
  listener_ = std::thread([this] { listen(); });
}

RemoteFunction::~RemoteFunction() {
  signal(stop_);
  listener_.join();
}

void RemoteFunction::learn() {
  for (unsigned bar = 0; bar < kPciBars; bar++) {
    const auto info =
        client_.ask(VFIO_USER_DEVICE_GET_REGION_INFO, RegionInfo{.argsz = sizeof(RegionInfo), .index = bar})
            .as<RegionInfo>();
    if (info.size == 0) continue;
    const bool io = (client_.read(kConfig, PCI_BASE_ADDRESS_0 + 4 * bar, 4) & 1) != 0;
    shapes_[bar] = {io ? BarKind::kIo : BarKind::kMemory32, static_cast<uint32_t>(info.size)};
  }
  for (auto at = static_cast<unsigned>(client_.read(kConfig, PCI_CAPABILITY_LIST, 1)); at != 0;
       at = static_cast<unsigned>(client_.read(kConfig, at + 1, 1))) {
    const uint64_t id = client_.read(kConfig, at, 1);
    if (id == PCI_CAP_ID_MSIX) msix_ = at;
    if (id == PCI_CAP_ID_MSI) msi_capability_ = at;
  }
  size_t vectors = msi_capability_ != 0 ? 1 : 0;
  if (msix_ != 0) {
    vectors = (client_.read(kConfig, msix_ + 2, 2) & 0x7ff) + 1;
    const auto table = static_cast<uint32_t>(client_.read(kConfig, msix_ + 4, 4));
    table_bar_ = table & 7;
    table_offset_ = table & ~7u;
    pending_offset_ = static_cast<unsigned>(client_.read(kConfig, msix_ + 8, 4)) & ~7u;
  }
  MutexLock lock(mutex_);
  table_.assign(vectors, {0, 0, 0, 1});
  pending_.assign(vectors, false);
  for (size_t i = 0; i <= vectors; i++) events_.push_back(new_eventfd());
  arm();
}

// INTA# always, and each vector: whether it is masked is our business.
void RemoteFunction::arm() {
  const int intx = events_[0].fd();
  EXPECT_EQ(client_.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, kArm, 0, 1, {&intx, 1}), 0);
  const uint32_t index = msix_ != 0 ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX;
  for (uint32_t i = 1; i < events_.size(); i++) {
    const int event = events_[i].fd();
    EXPECT_EQ(client_.set_irqs(index, kArm, i - 1, 1, {&event, 1}), 0);
  }
}

void RemoteFunction::listen() {
  std::vector<pollfd> wanted{{stop_.fd(), POLLIN, 0}};
  for (const UniqueFd& event : events_) wanted.push_back({event.fd(), POLLIN, 0});
  for (;;) {
    if (::poll(wanted.data(), wanted.size(), -1) <= 0) continue;
    if (wanted[0].revents != 0) return;
    for (size_t i = 1; i < wanted.size(); i++) {
      if (wanted[i].revents == 0 || take_signals(wanted[i].fd) == 0) continue;
      i == 1 ? line_fired() : vector_fired(i - 2);
    }
  }
}

void RemoteFunction::line_fired() {
  MutexLock lock(mutex_);
  intx_asserted_ = true;
  pin_.set_level(true);
}

void RemoteFunction::vector_fired(size_t vector) {
  MutexLock lock(mutex_);
  if (msix_ != 0) {
    pending_[vector] = true;
    return send_if_unmasked(vector);
  }
  const uint64_t address = client_.read(kConfig, msi_capability_ + 4, 8);
  msi_.send(address, static_cast<uint32_t>(client_.read(kConfig, msi_capability_ + 12, 2)));
}

void RemoteFunction::send_if_unmasked(size_t vector) {
  const auto& entry = table_[vector];
  if (!messages_on_ || (entry[3] & 1) != 0 || !pending_[vector]) return;
  pending_[vector] = false;
  msi_.send(entry[0] | uint64_t{entry[1]} << 32, entry[2]);
}

bool RemoteFunction::in_table(unsigned bar, uint64_t offset) const {
  return msix_ != 0 && bar == table_bar_ && offset >= table_offset_ &&
         offset < table_offset_ + 16 * (events_.size() - 1);
}

uint32_t RemoteFunction::config_read(unsigned offset, unsigned size) {
  MutexLock lock(mutex_);
  if (offset > kPciConfigSize - size) return static_cast<uint32_t>(all_ones(size));
  return static_cast<uint32_t>(client_.read(kConfig, offset, size));
}

void RemoteFunction::config_write(unsigned offset, unsigned size, uint32_t value) {
  MutexLock lock(mutex_);
  if (offset > kPciConfigSize - size) return;
  client_.write(kConfig, offset, size, value);
  if (msix_ == 0) return;
  messages_on_ = (client_.read(kConfig, msix_ + 2, 2) & 0xc000) == 0x8000;
  for (size_t vector = 0; vector < table_.size(); vector++) send_if_unmasked(vector);
}

// As QEMU does: each access lowers the line, and a device that still wants it raises it again.
void RemoteFunction::after_access() {
  if (!std::exchange(intx_asserted_, false)) return;
  pin_.set_level(false);
  EXPECT_EQ(client_.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 0, 1), 0);
}

uint64_t RemoteFunction::bar_read(unsigned bar, uint64_t offset, unsigned size) {
  MutexLock lock(mutex_);
  if (offset > shapes_[bar].size - size) return all_ones(size);
  if (in_table(bar, offset)) {
    const auto& entry = table_[(offset - table_offset_) / 16];
    const size_t word = offset % 16 / 4;
    return size == 8 ? entry[word] | uint64_t{entry[word + 1]} << 32 : entry[word];
  }
  if (msix_ != 0 && bar == table_bar_ && offset >= pending_offset_ && offset % 4 == 0) {
    uint64_t bits = 0;
    const size_t first = (offset - pending_offset_) * 8;
    for (size_t i = 0; i < 8 * size && first + i < pending_.size(); i++) bits |= uint64_t{pending_[first + i]} << i;
    return bits;
  }
  const uint64_t value = client_.read(bar, offset, size);
  after_access();
  return value;
}

void RemoteFunction::bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) {
  MutexLock lock(mutex_);
  if (offset > shapes_[bar].size - size) return;
  if (in_table(bar, offset)) {
    const size_t vector = (offset - table_offset_) / 16;
    for (unsigned i = 0; i < size / 4; i++)
      table_[vector][offset % 16 / 4 + i] = static_cast<uint32_t>(value >> (32 * i));
    return send_if_unmasked(vector);
  }
  client_.write(bar, offset, size, value);
  after_access();
}

void RemoteFunction::reset() {
  MutexLock lock(mutex_);
  EXPECT_EQ(client_.reset(), 0);
  table_.assign(table_.size(), {0, 0, 0, 1});
  pending_.assign(pending_.size(), false);
  messages_on_ = false;
}

}  // namespace acrn::test
