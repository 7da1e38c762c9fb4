// Clauses of the legacy registers and the device configuration.
#include <bit>

#include "acrn/base/concat.h"
#include "dm/tools/check/check.h"

namespace acrn {
namespace {

constexpr unsigned kMaxRegisterOffset = 127;

Verdict reset_state(CheckContext& context) {
  GuestFunction& function = context.guest.function();
  function.out(VIRTIO_PCI_STATUS, 1, 0);
  REQUIRE(function.in(VIRTIO_PCI_STATUS, 1) == 0, "STATUS reads ", function.in(VIRTIO_PCI_STATUS, 1));
  REQUIRE(function.in(VIRTIO_PCI_GUEST_FEATURES, 4) == 0, "GUEST_FEATURES is kept");
  REQUIRE(function.in(VIRTIO_PCI_QUEUE_PFN, 4) == 0, "QUEUE_PFN is kept");
  REQUIRE(function.in(VIRTIO_PCI_ISR, 1) == 0, "the ISR is kept");
  return holds();
}

Verdict features(CheckContext& context) {
  GuestFunction& function = context.guest.function();
  const uint32_t offered = function.in(VIRTIO_PCI_HOST_FEATURES, 4);
  function.out(VIRTIO_PCI_GUEST_FEATURES, 4, 0);
  const uint32_t late = function.in(VIRTIO_PCI_GUEST_FEATURES, 4);
  REQUIRE(late == offered, "features written after DRIVER_OK were taken: ", hex(late));
  function.out(VIRTIO_PCI_STATUS, 1, 0);
  function.out(VIRTIO_PCI_GUEST_FEATURES, 4, ~0u);
  const uint32_t accepted = function.in(VIRTIO_PCI_GUEST_FEATURES, 4);
  REQUIRE(accepted == offered, "accepting everything reads back ", hex(accepted), ", offered are ", hex(offered));
  return holds();
}

Verdict offered_features(CheckContext& context) {
  const uint64_t offered = context.guest.offered();
  const auto has = [&](unsigned bit) { return (offered & feature(bit)) != 0; };
  for (const unsigned bit : {VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_TOPOLOGY, VIRTIO_F_ANY_LAYOUT,
                             VIRTIO_RING_F_INDIRECT_DESC, VIRTIO_RING_F_EVENT_IDX}) {
    REQUIRE(has(bit), "feature ", bit, " is not offered");
  }
  const bool read_only = context.options.read_only;
  REQUIRE(has(VIRTIO_BLK_F_RO) == read_only, "RO is wrong");
  REQUIRE(has(VIRTIO_BLK_F_FLUSH) != read_only && has(VIRTIO_BLK_F_CONFIG_WCE) != read_only,
          "FLUSH or CONFIG_WCE is wrong");
  const bool discard = context.options.discard.has_value() && !read_only;
  REQUIRE(has(VIRTIO_BLK_F_DISCARD) == discard && has(VIRTIO_BLK_F_WRITE_ZEROES) == discard,
          "DISCARD or WRITE_ZEROES is wrong");
  REQUIRE(has(VIRTIO_BLK_F_MQ) == (context.options.queues > 1), "MQ is wrong");
  return holds();
}

Verdict queues(CheckContext& context) {
  GuestFunction& function = context.guest.function();
  for (unsigned queue = 0; queue < context.options.queues; queue++) {
    function.out(VIRTIO_PCI_QUEUE_SEL, 2, queue);
    const uint32_t size = function.in(VIRTIO_PCI_QUEUE_NUM, 2);
    REQUIRE(size == context.options.queue_size, "queue ", queue, " has ", size, " entries");
  }
  for (const uint32_t none : {context.options.queues, 0xffffu}) {
    function.out(VIRTIO_PCI_QUEUE_SEL, 2, none);
    REQUIRE(function.in(VIRTIO_PCI_QUEUE_NUM, 2) == 0, "queue ", none, " exists");
    REQUIRE(function.in(VIRTIO_PCI_QUEUE_PFN, 4) == 0, "queue ", none, " has a ring");
  }
  return holds();
}

Verdict ring_outside_ram(CheckContext& context) {
  GuestFunction& function = context.guest.function();
  function.out(VIRTIO_PCI_QUEUE_SEL, 2, 0);
  for (const uint32_t pfn : {0xffff'ffffu, 0x000f'fff0u, 0x1u}) {
    function.out(VIRTIO_PCI_QUEUE_PFN, 4, pfn);
    const uint32_t taken = function.in(VIRTIO_PCI_QUEUE_PFN, 4);
    REQUIRE(taken == 0, "a ring at pfn ", hex(pfn), " was taken");
  }
  return holds();
}

Verdict widths(CheckContext& context) {
  GuestFunction& function = context.guest.function();
  function.in(VIRTIO_PCI_ISR, 1);
  for (unsigned offset = 0; offset + 4 <= kMaxRegisterOffset + 1; offset++) {
    const uint32_t word = function.in(offset, 4);
    uint32_t bytes = 0;
    for (unsigned i = 0; i < 4; i++) bytes |= function.in(offset + i, 1) << (8 * i);
    REQUIRE(word == bytes, "4 bytes at ", hex(offset), " read ", hex(word), ", one by one ", hex(bytes));
    const uint32_t half = function.in(offset, 2);
    REQUIRE(half == (word & 0xffff), "2 bytes at ", hex(offset), " read ", hex(half), ", of 4 ", hex(word & 0xffff));
  }
  return holds();
}

Verdict vectors(CheckContext& context) {
  if (context.single_msi) return skipped("the function has no MSI-X");
  GuestFunction& function = context.guest.function();
  for (const unsigned vector_register : {VIRTIO_MSI_CONFIG_VECTOR, VIRTIO_MSI_QUEUE_VECTOR}) {
    function.out(vector_register, 2, context.options.queues);
    REQUIRE(function.in(vector_register, 2) == context.options.queues, "the last vector is refused");
    function.out(vector_register, 2, context.options.queues + 1);
    const uint32_t refused = function.in(vector_register, 2);
    REQUIRE(refused == VIRTIO_MSI_NO_VECTOR, "a vector out of range reads back ", hex(refused));
  }
  return holds();
}

Verdict config_moves(CheckContext& context) {
  if (context.single_msi) return skipped("the function has no MSI-X");
  GuestFunction& function = context.guest.function();
  const uint32_t behind_vectors = function.in(VIRTIO_PCI_CONFIG_OFF_MSIX + 20, 4);
  function.disable_msix();
  const uint32_t in_their_place = function.in(VIRTIO_PCI_CONFIG_OFF_NO_MSIX + 20, 4);
  REQUIRE(behind_vectors == in_their_place, "blk_size reads ", behind_vectors, " with MSI-X and ", in_their_place,
          " without");
  return holds();
}

Verdict config_values(CheckContext& context) {
  RawGuest& guest = context.guest;
  const uint32_t block = guest.config(20, 4), seg_max = guest.config(12, 4);
  REQUIRE(std::has_single_bit(block) && block >= 512, "blk_size is ", block);
  REQUIRE(block == context.options.logical_sector, "blk_size is ", block, ", not what the options say");
  REQUIRE(seg_max == guest.size() - 2u, "seg_max is ", seg_max, " for a ring of ", guest.size());
  REQUIRE(guest.config(34, 2) == context.options.queues, "num_queues is ", guest.config(34, 2));
  REQUIRE(context.has_disk() || guest.capacity() == 0, "nodisk has a capacity of ", guest.capacity());
  return holds();
}

Verdict config_read_only(CheckContext& context) {
  RawGuest& guest = context.guest;
  for (unsigned offset = 0; offset < VIRTIO_BLK_CONFIG_SIZE; offset += 4) {
    if (offset == 32) continue;  // writeback
    const uint32_t before = guest.config(offset, 4);
    guest.write_config(offset, 4, ~before);
    REQUIRE(guest.config(offset, 4) == before, "configuration at ", offset, " can be written");
  }
  return holds();
}

Verdict writeback(CheckContext& context) {
  if (context.options.read_only) return skipped("the disk is ro");
  RawGuest& guest = context.guest;
  const uint32_t initial = guest.config(32, 1);
  REQUIRE(initial == (context.options.writeback ? 1u : 0u), "writeback starts as ", initial);
  guest.write_config(32, 1, 1 - initial);
  REQUIRE(guest.config(32, 1) == 1 - initial, "writeback cannot be written although CONFIG_WCE was accepted");
  if (auto again = guest.restart(guest.offered() & ~feature(VIRTIO_BLK_F_CONFIG_WCE)); !again)
    return broken(again.error().message);
  REQUIRE(guest.config(32, 1) == initial, "reset does not bring the operator's cache mode back");
  guest.write_config(32, 1, 1 - initial);
  REQUIRE(guest.config(32, 1) == initial, "writeback can be written although CONFIG_WCE was not accepted");
  return holds();
}

constexpr Clause kClauses[] = {
    {"reg.reset", "STATUS <- 0 puts every register back", "virtio 0.9.5 2.2.2.1", reset_state},
    {"reg.features", "accepted are offered features, settled before DRIVER_OK", "virtio 0.9.5 2.2.2.2", features},
    {"reg.offered", "the features that the options call for are offered", "device page, 6", offered_features},
    {"reg.queues", "QUEUE_NUM is the ring's size, 0 where there is no queue", "virtio 0.9.5 2.2.2", queues},
    {"reg.ring-in-ram", "a ring outside RAM is refused and reads back 0", "device page, 4", ring_outside_ram},
    {"reg.widths", "every width at every offset reads the same bytes", "device page, 4", widths},
    {"reg.vectors", "a vector out of range reads back 0xffff", "virtio 0.9.5 2.2.2", vectors},
    {"config.offset", "the configuration moves behind the vectors while MSI-X is on", "virtio 0.9.5 2.2.2",
     config_moves},
    {"config.values", "blk_size, seg_max, num_queues and capacity fit the options", "virtio 1.2 5.2.4", config_values},
    {"config.read-only", "only writeback can be written", "virtio 1.2 5.2.4", config_read_only},
    {"config.writeback", "the guest owns writeback if it accepted CONFIG_WCE, until reset", "virtio 1.2 5.2.5.2",
     writeback},
};

}  // namespace

std::span<const Clause> register_clauses() { return kClauses; }

}  // namespace acrn
