// Session: the vfio-user protocol for one client, without a socket: a message in, a reply out. Whatever the messages
// are, the function sees accesses that a guest could make, and memory that the client granted. One thread; a message
// may wait for requests in flight, when memory goes or the function is reset.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "acrn/pci/pci_function.h"
#include "dm/server/message_session.h"
#include "dm/server/vfio_user/dma_table.h"
#include "dm/server/vfio_user/irq_table.h"
#include "dm/server/vfio_user/protocol.h"

namespace acrn::vfio_user {

class Session final : public MessageSession {
 public:
  // All of it outlives the session. The function is as after a reset. `client`: its process, 0 if that is not known.
  Session(PciFunction& function, DmaTable& memory, IrqTable& interrupts, pid_t client);
  // As if the power were gone: the function reset, nothing of the client's kept.
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Limits limits() const override { return {sizeof(Header), kMaxPayload, kMaxDescriptors}; }
  std::optional<size_t> payload_size(std::span<const uint8_t> header) const override;
  std::string_view handle(std::span<const uint8_t> header, std::span<const uint8_t> payload,
                          std::vector<UniqueFd> descriptors) override;
  std::span<const uint8_t> reply() const override { return reply_; }
  // A kick is answered first and served after: this serves it.
  void after_reply() override;

 private:
  struct Request {
    std::span<const uint8_t> payload;
    std::vector<UniqueFd>& descriptors;
  };
  struct BarWrite {
    uint32_t bar, size;
    uint64_t offset, value;
  };

  // These return 0 or an errno.
  int carry_out(uint16_t command, const Request& request);
  int version(const Request& request);
  int dma_map(const Request& request);
  int dma_unmap(const Request& request);
  int device_info(const Request& request);
  int region_info(const Request& request);
  int irq_info(const Request& request);
  int set_irqs(const Request& request);
  int region_read(const Request& request);
  int region_write(const Request& request);
  int device_reset(const Request& request);

  uint64_t region_size(uint32_t region) const;
  bool fits(const RegionAccess& access) const;
  void write_bar(const BarWrite& write);
  bool is_kick(const BarWrite& write) const;
  template <class T>
  void append(const T& value);
  void append_bytes(uint64_t value, uint32_t size);

  DmaTable::Client client_;
  PciFunction& function_;
  DmaTable& memory_;
  IrqTable& interrupts_;
  const std::vector<BarDoorbell> doorbells_;
  bool negotiated_ = false;
  std::string_view end_;  // why the client is to go
  std::vector<uint8_t> reply_;
  std::optional<BarWrite> kick_;
};

}  // namespace acrn::vfio_user
