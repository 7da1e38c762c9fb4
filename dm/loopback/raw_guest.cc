#include "dm/loopback/raw_guest.h"

#include <cstring>

#include "acrn/base/concat.h"

namespace acrn {

Result<RawGuest> RawGuest::start(LoopbackMachine& machine, PciAddress address, uint64_t features,
                                 InterruptMode interrupts) {
  auto function = GuestFunction::probe(machine, address);
  if (!function) return Error{ErrorKind::kInternal, "no function answers at that PCI address"};
  RawGuest guest(*function, interrupts);
  if (auto up = guest.restart(features); !up) return up.error();
  return guest;
}

Result<void> RawGuest::restart(uint64_t features) {
  function_.out(VIRTIO_PCI_STATUS, 1, 0);
  function_.disable_msix();
  function_.disable_msi();
  function_.out(VIRTIO_PCI_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
  offered_ = function_.in(VIRTIO_PCI_HOST_FEATURES, 4);
  accepted_ = offered_ & features;
  function_.out(VIRTIO_PCI_GUEST_FEATURES, 4, static_cast<uint32_t>(accepted_));
  interrupt_ = &function_.pin().interrupt();
  if (mode_ == InterruptMode::kMsix) {
    vectors_ = function_.enable_msix();
    if (vectors_.empty()) return Error{ErrorKind::kInternal, "the function has no MSI-X"};
    interrupt_ = &machine().vector(vectors_[1]);
  } else if (mode_ == InterruptMode::kMsi) {
    const auto vector = function_.enable_msi();
    if (!vector) return Error{ErrorKind::kInternal, "the function has no MSI"};
    interrupt_ = &machine().vector(*vector);
  }
  function_.out(VIRTIO_PCI_QUEUE_SEL, 2, 0);
  auto ring = create_ring(machine(), static_cast<uint16_t>(function_.in(VIRTIO_PCI_QUEUE_NUM, 2)), 0, false);
  if (!ring) return ring.error();
  ring_.emplace(std::move(ring).value());
  next_avail_ = next_used_ = 0;
  if (mode_ == InterruptMode::kMsix) {
    function_.out(VIRTIO_MSI_CONFIG_VECTOR, 2, 0);
    function_.out(VIRTIO_MSI_QUEUE_VECTOR, 2, 1);
  }
  function_.out(VIRTIO_PCI_QUEUE_PFN, 4, ring_->pfn());
  if (function_.in(VIRTIO_PCI_QUEUE_PFN, 4) != ring_->pfn()) return Error{ErrorKind::kInternal, "the ring was refused"};
  function_.out(VIRTIO_PCI_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK);
  return {};
}

void RawGuest::restart_queue() {
  function_.out(VIRTIO_PCI_QUEUE_SEL, 2, 0);
  function_.out(VIRTIO_PCI_QUEUE_PFN, 4, 0);
  ring_->rewind();
  next_avail_ = next_used_ = 0;
  function_.out(VIRTIO_PCI_QUEUE_PFN, 4, ring_->pfn());
}

Gpa RawGuest::memory(uint64_t bytes, uint64_t alignment) {
  const auto gpa = machine().allocate(bytes, alignment);
  ACRN_CHECK(gpa.has_value());
  return *gpa;
}

Gpa RawGuest::header(uint32_t type, uint64_t sector, uint32_t ioprio) {
  const Gpa gpa = memory(sizeof(VirtioBlkOuthdr));
  at(gpa, sizeof(VirtioBlkOuthdr)).store(0, VirtioBlkOuthdr{type, ioprio, sector});
  return gpa;
}

Gpa RawGuest::status() {
  const Gpa gpa = memory(1);
  at(gpa, 1).store(0, uint8_t{kNoStatus});
  return gpa;
}

void RawGuest::set(uint16_t index, Gpa gpa, uint32_t length, uint16_t flags, uint16_t next) {
  ring_->write_desc(index, {raw(gpa), length, flags, next});
}

void RawGuest::chain(uint16_t first, std::span<const Piece> pieces) {
  for (size_t i = 0; i < pieces.size(); i++) {
    const auto index = static_cast<uint16_t>(first + i);
    const int flags =
        (pieces[i].device_writes ? VRING_DESC_F_WRITE : 0) | (i + 1 < pieces.size() ? VRING_DESC_F_NEXT : 0);
    set(index, pieces[i].address, pieces[i].length, static_cast<uint16_t>(flags), static_cast<uint16_t>(index + 1));
  }
}

void RawGuest::offer(uint16_t head) {
  ring_->write_avail_entry(next_avail_ & (size() - 1), head);
  ring_->write_avail_index(++next_avail_);
}

void RawGuest::kick() { function_.out(VIRTIO_PCI_QUEUE_NOTIFY, 2, 0); }

std::optional<VringUsedElem> RawGuest::next_used(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (ring_->used_index() == next_used_) {
    // Looks again every millisecond even without an interrupt: whether one comes is for tests of interrupts.
    interrupt_->event.wait(std::chrono::milliseconds(1));
    if (mode_ != InterruptMode::kMsix) function_.in(VIRTIO_PCI_ISR, 1);
    if (std::chrono::steady_clock::now() > deadline && ring_->used_index() == next_used_) return std::nullopt;
  }
  return ring_->used(next_used_++ & (size() - 1));
}

std::optional<VringUsedElem> RawGuest::run(uint16_t head) {
  offer(head);
  kick();
  return next_used();
}

std::optional<VringUsedElem> RawGuest::run(std::span<const Piece> pieces) {
  chain(0, pieces);
  return run(uint16_t{0});
}

std::optional<RawGuest::Outcome> RawGuest::request(uint32_t type, uint64_t sector, std::span<std::byte> data) {
  const bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
  const auto length = static_cast<uint32_t>(data.size());
  const Gpa buffer = length != 0 ? memory(length) : Gpa{}, state = status();
  if (length != 0) at(buffer, length).copy_in(0, data.data(), length);
  std::vector<Piece> pieces{{header(type, sector), sizeof(VirtioBlkOuthdr), false}};
  if (length != 0) pieces.push_back({buffer, length, in});
  pieces.push_back({state, 1, true});
  const auto used = run(pieces);
  if (!used) return std::nullopt;
  if (in && length != 0) at(buffer, length).copy_out(0, data.data(), length);
  return Outcome{byte(state), used->len};
}

std::optional<RawGuest::Outcome> RawGuest::segments(uint32_t type, std::span<const VirtioBlkDiscardWriteZeroes> list) {
  std::vector<std::byte> bytes(list.size_bytes());
  if (!bytes.empty()) std::memcpy(bytes.data(), list.data(), bytes.size());
  return request(type, 0, bytes);
}

uint32_t RawGuest::config(unsigned offset, unsigned size) {
  const unsigned base = mode_ == InterruptMode::kMsix ? VIRTIO_PCI_CONFIG_OFF_MSIX : VIRTIO_PCI_CONFIG_OFF_NO_MSIX;
  return function_.in(base + offset, size);
}

void RawGuest::write_config(unsigned offset, unsigned size, uint32_t value) {
  const unsigned base = mode_ == InterruptMode::kMsix ? VIRTIO_PCI_CONFIG_OFF_MSIX : VIRTIO_PCI_CONFIG_OFF_NO_MSIX;
  function_.out(base + offset, size, value);
}

uint64_t RawGuest::capacity() { return config(0, 4) | uint64_t{config(4, 4)} << 32; }

}  // namespace acrn
