// Clauses of the PCI function: identity, BARs, capabilities, interrupts.
#include <bit>

#include "acrn/base/concat.h"
#include "acrn/pci/pci_spec.h"
#include "dm/tools/check/check.h"

namespace acrn {
namespace {

Verdict identity(CheckContext& context) {
  GuestFunction& function = context.guest.function();
  const uint32_t id = function.config_read(PCI_VENDOR_ID, 4), class_code = function.config_read(PCI_REVISION_ID, 4);
  REQUIRE(id == 0x10011af4, "vendor and device read ", hex(id), ", not 0x10011af4");
  REQUIRE((class_code & 0xff) == 0, "revision ", class_code & 0xff, ", but a legacy device has 0");
  REQUIRE(class_code >> 24 == 1, "class ", hex(class_code >> 8), ", not mass storage");
  REQUIRE(function.config_read(PCI_SUBSYSTEM_ID, 2) == VIRTIO_ID_BLOCK, "subsystem ",
          function.config_read(PCI_SUBSYSTEM_ID, 2), ", not 2");
  REQUIRE(function.config_read(PCI_INTERRUPT_PIN, 1) == 1, "interrupt pin ", function.config_read(PCI_INTERRUPT_PIN, 1),
          ", not INTA#");
  return holds();
}

Verdict bars(CheckContext& context) {
  const GuestBar& registers = context.guest.function().bar(0);
  REQUIRE(registers.kind == BarKind::kIo, "BAR0 is not an I/O BAR");
  REQUIRE(registers.size >= VIRTIO_PCI_CONFIG_OFF_MSIX + VIRTIO_BLK_CONFIG_SIZE, "BAR0 has only ", registers.size,
          " bytes");
  REQUIRE(std::has_single_bit(registers.size), "BAR0 has ", registers.size, " bytes, not a power of two");
  const bool table = context.guest.function().bar(1).kind == BarKind::kMemory32;
  REQUIRE(table == !context.single_msi, "BAR1 is ", table ? "there" : "not there");
  return holds();
}

Verdict decoding(CheckContext& context) {
  GuestFunction& function = context.guest.function();
  const uint32_t features = function.in(VIRTIO_PCI_HOST_FEATURES, 4);
  function.config_write(PCI_COMMAND, 2, 0);
  const uint32_t silent = function.in(VIRTIO_PCI_HOST_FEATURES, 4);
  function.config_write(PCI_COMMAND, 2, 7);
  REQUIRE(silent == ~0u, "BAR0 answers ", hex(silent), " while its decoding is off");
  const auto old_port = static_cast<uint16_t>(function.bar(0).address);
  function.move_register_bar();
  REQUIRE(context.guest.machine().in(old_port, 4) == ~0u, "the old place of BAR0 still answers");
  REQUIRE(function.in(VIRTIO_PCI_HOST_FEATURES, 4) == features, "BAR0 does not answer where it was moved to");
  return holds();
}

Verdict header_masks(CheckContext& context) {
  GuestFunction& function = context.guest.function();
  for (const unsigned offset : {PCI_VENDOR_ID, PCI_REVISION_ID, PCI_CACHE_LINE_SIZE, PCI_SUBSYSTEM_VENDOR_ID,
                                PCI_ROM_ADDRESS, PCI_CAPABILITY_LIST}) {
    const uint32_t before = function.config_read(offset, 4);
    function.config_write(offset, 4, ~before);
    const uint32_t after = function.config_read(offset, 4);
    REQUIRE(after == before, "configuration register ", hex(offset), " changed from ", hex(before), " to ", hex(after));
  }
  function.config_write(PCI_INTERRUPT_LINE, 1, 0xab);
  REQUIRE(function.config_read(PCI_INTERRUPT_LINE, 1) == 0xab, "INTERRUPT_LINE does not hold what is written");
  const uint32_t bar = function.config_read(PCI_BASE_ADDRESS_0, 4);
  REQUIRE((bar & 3) == 1, "the low bits of BAR0 read ", bar & 3, ", not 1");
  return holds();
}

Verdict capabilities(CheckContext& context) {
  GuestFunction& function = context.guest.function();
  const auto msix = function.capability(PCI_CAP_ID_MSIX);
  if (context.single_msi) {
    REQUIRE(!msix, "there is an MSI-X capability");
    REQUIRE(function.capability(PCI_CAP_ID_MSI).has_value(), "there is no MSI capability");
    return holds();
  }
  REQUIRE(msix.has_value(), "there is no MSI-X capability");
  const unsigned vectors = (function.config_read(*msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
  REQUIRE(vectors == context.options.queues + 1, vectors, " vectors for ", context.options.queues, " queues");
  return holds();
}

Verdict intx_is_a_level(CheckContext& context) {
  GuestFunction& function = context.guest.function();
  auto guest = RawGuest::start(context.guest.machine(), context.address, ~uint64_t{0}, InterruptMode::kIntx);
  REQUIRE(guest.ok(), guest.error().message);
  RawGuest& intx = guest.value();
  const Gpa status = intx.status();
  const RawGuest::Piece pieces[] = {{intx.header(VIRTIO_BLK_T_GET_ID, 0), 16, false}, {status, 1, true}};
  intx.chain(0, pieces);
  intx.offer(0);
  intx.kick();
  REQUIRE(intx.interrupt().event.wait(RawGuest::kPatience), "no interrupt came for a completion");
  REQUIRE(function.pin().level(), "the line is not asserted while the ISR is set");
  REQUIRE((function.config_read(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT) != 0,
          "the interrupt bit of the PCI status register is 0");
  const uint32_t isr = intx.function().in(VIRTIO_PCI_ISR, 1);
  REQUIRE(isr == VIRTIO_PCI_ISR_QUEUE, "the ISR reads ", isr, ", not 1");
  REQUIRE(intx.function().in(VIRTIO_PCI_ISR, 1) == 0, "reading the ISR does not clear it");
  REQUIRE(!function.pin().level(), "reading the ISR does not lower the line");
  return holds();
}

Verdict msix_masks(CheckContext& context) {
  if (context.single_msi) return skipped("the function has no MSI-X");
  RawGuest& guest = context.guest;
  guest.function().mask_msix_entry(1, true);
  const uint64_t before = guest.interrupt().count;
  const Gpa status = guest.status();
  const RawGuest::Piece pieces[] = {{guest.header(VIRTIO_BLK_T_GET_ID, 0), 16, false}, {status, 1, true}};
  REQUIRE(guest.run(pieces).has_value(), "the request was not completed while its vector was masked");
  // The pending bit follows the used index; both are the device's last acts for this request.
  for (int i = 0; i < 5000 && !guest.function().msix_pending(1); i++)
    guest.interrupt().event.wait(std::chrono::milliseconds(1));
  REQUIRE(guest.function().msix_pending(1), "the pending bit of a masked vector is not set");
  REQUIRE(guest.interrupt().count == before, "a masked vector was sent");
  guest.function().mask_msix_entry(1, false);
  REQUIRE(guest.interrupt().count == before + 1, "unmasking did not send what was pending");
  REQUIRE(!guest.function().msix_pending(1), "the pending bit stays after it was sent");
  return holds();
}

constexpr Clause kClauses[] = {
    {"pci.identity", "1af4:1001, revision 0, class 01, subsystem 2, INTA#", "virtio 0.9.5 2.1", identity},
    {"pci.bars", "BAR0 is I/O and holds header and configuration; BAR1 is the MSI-X table", "virtio 0.9.5 2.2.2", bars},
    {"pci.decoding", "a BAR answers where it is, and only while decoding is on", "PCI 3.0 6.2.2", decoding},
    {"pci.header", "identification is read-only, INTERRUPT_LINE is not", "PCI 3.0 6.2", header_masks},
    {"pci.capabilities", "MSI-X with queues + 1 vectors, or one MSI vector", "device page, 3", capabilities},
    {"pci.intx", "INTx is a level that reading the ISR lowers", "virtio 0.9.5 2.2.2.4", intx_is_a_level},
    {"pci.msix-mask", "a masked vector is kept pending and sent when it is unmasked", "PCI 3.0 6.8.2.9", msix_masks},
};

}  // namespace

std::span<const Clause> pci_clauses() { return kClauses; }

}  // namespace acrn
