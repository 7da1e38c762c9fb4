// VfioUserClient: the other end of a vfio-user socket, message by message, for tests that follow the protocol and for
// those that do not. RemoteFunction: what a VMM makes of it, a PCI function on its own bus.
#pragma once

#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/unique_fd.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/pci/pci_function.h"
#include "dm/server/vfio_user/protocol.h"
#include "tests/support/event_fd.h"

namespace acrn::test {

// A memfd, mapped here too.
struct SharedMemory {
  explicit SharedMemory(uint64_t bytes);
  MemoryRegion region(Gpa base) const { return {base, size, data, owner}; }

  UniqueFd fd;
  uint64_t size;  // bytes
  std::byte* data = nullptr;
  std::shared_ptr<const void> owner;
};

class VfioUserClient {
 public:
  using Bytes = std::vector<uint8_t>;
  struct Reply {
    vfio_user::Header header;
    Bytes payload;
    int error() const { return static_cast<int>(header.error); }
    template <class T>
    T as() const;
  };

  // Connects; fails the test if nobody listens.
  explicit VfioUserClient(const std::string& path);

  // Any bytes, with these descriptors. False: the server has gone.
  bool send(std::span<const uint8_t> bytes, std::span<const int> fds = {});
  // nullopt: the server has gone, or is silent.
  std::optional<Reply> receive();
  // Waits until the server has gone.
  bool dropped();
  void end_of_messages();
  // From now on send() fails when the server does not read.
  void do_not_wait();

  static Bytes message(uint16_t command, std::span<const uint8_t> payload, uint32_t flags = 0, uint16_t id = 1);
  template <class T>
  static Bytes bytes_of(const T& value);

  // One command and its reply; fails the test when none comes.
  Reply ask(uint16_t command, std::span<const uint8_t> payload = {}, std::span<const int> fds = {});
  template <class T>
  Reply ask(uint16_t command, const T& payload, std::span<const int> fds = {}) {
    return ask(command, std::span<const uint8_t>(bytes_of(payload)), fds);
  }

  // The same, as 0 or an errno.
  int negotiate();
  int map(Gpa address, const SharedMemory& memory);
  int map(uint64_t address, uint64_t size, uint64_t offset, int fd, uint32_t flags = 3);
  int unmap(uint64_t address, uint64_t size, uint32_t flags = 0);
  int set_irqs(uint32_t index, uint32_t flags, uint32_t start, uint32_t count, std::span<const int> fds = {});
  int reset();
  // Registers; fail the test on an error.
  uint64_t read(uint32_t region, uint64_t offset, uint32_t count);
  void write(uint32_t region, uint64_t offset, uint32_t count, uint64_t value);
  int try_write(uint32_t region, uint64_t offset, std::span<const uint8_t> data);

 private:
  UniqueFd socket_;
  uint16_t next_id_ = 1;
};

template <class T>
T VfioUserClient::Reply::as() const {
  T value{};
  if (payload.size() >= sizeof(T)) std::memcpy(&value, payload.data(), sizeof(T));
  return value;
}

template <class T>
VfioUserClient::Bytes VfioUserClient::bytes_of(const T& value) {
  Bytes bytes(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

// Where a BAR answers, by the function's own configuration space.
std::optional<uint64_t> placed_bar(const PciFunction& function, unsigned bar);

// The function behind a socket, for a bus of ours. Does what QEMU does: keeps the guest's MSI-X table, forwards the
// rest, and takes INTA# for automasked.
class RemoteFunction final : public PciFunction {
 public:
  // Connects, negotiates and grants the memory. Pin and sink outlive it.
  RemoteFunction(const std::string& path, const SharedMemory& memory, Gpa base, IrqPin& pin, MsiSink& msi);
  ~RemoteFunction() override;

  uint32_t config_read(unsigned offset, unsigned size) override;
  void config_write(unsigned offset, unsigned size, uint32_t value) override;
  BarShape bar_shape(unsigned bar) const override { return shapes_[bar]; }
  std::optional<uint64_t> bar_address(unsigned bar) const override { return placed_bar(*this, bar); }
  uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) override;
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override;
  void reset() override;

 private:
  static constexpr unsigned kEntryWords = 4;

  void learn();
  void arm();
  void listen();
  void line_fired();
  void vector_fired(size_t vector);
  void send_if_unmasked(size_t vector) ACRN_REQUIRES(mutex_);
  void after_access() ACRN_REQUIRES(mutex_);
  bool in_table(unsigned bar, uint64_t offset) const;

  Mutex mutex_;  // one message at a time
  VfioUserClient client_;
  IrqPin& pin_;
  MsiSink& msi_;
  std::array<BarShape, kPciBars> shapes_{};
  unsigned msix_ = 0, msi_capability_ = 0;  // offsets; 0: none
  unsigned table_bar_ = 0, pending_offset_ = 0;
  uint64_t table_offset_ = 0;
  std::vector<std::array<uint32_t, kEntryWords>> table_ ACRN_GUARDED_BY(mutex_);
  std::vector<bool> pending_ ACRN_GUARDED_BY(mutex_);
  bool messages_on_ ACRN_GUARDED_BY(mutex_) = false;
  bool intx_asserted_ ACRN_GUARDED_BY(mutex_) = false;
  std::vector<UniqueFd> events_;  // INTA#, then one for each vector
  UniqueFd stop_;
  std::thread listener_;
};

}  // namespace acrn::test
