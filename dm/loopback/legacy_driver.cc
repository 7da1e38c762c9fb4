#include "dm/loopback/legacy_driver.h"

#include <algorithm>
#include <cstring>

#include "acrn/base/concat.h"

namespace acrn {
namespace {

constexpr uint8_t kStatusReady = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK;
constexpr uint16_t kChainEntries = 3;     // header, data, status
constexpr uint16_t kIndirectEntries = 4;  // one to spare

Error no_answer(const char* what) {
  return {ErrorKind::kInternal, concat("the device does not answer a request (", what, ")")};
}

}  // namespace

void DriverQueue::start(uint16_t tag, uint32_t type, uint64_t sector, uint32_t bytes, bool device_reads) {
  Tag& request = tags_[tag];
  if (compact_) place_status(request, bytes);
  request.header_memory.store(0, VirtioBlkOuthdr{type, uint32_t{0}, sector});
  const uint8_t unset = 0xff;
  request.status_memory.store(0, unset);
  if (compact_) {
    const uint32_t out = device_reads ? bytes : 0, in = bytes - out;
    const GuestBuffer readable{request.header, static_cast<uint32_t>(sizeof(VirtioBlkOuthdr)) + out};
    const GuestBuffer writable{Gpa{raw(request.status) - in}, in + 1};
    ACRN_CHECK(ring_.add({&readable, 1}, {&writable, 1}, tag));
    return;
  }
  const GuestBuffer header{request.header, sizeof(VirtioBlkOuthdr)}, status{request.status, 1};
  const GuestBuffer data{request.data_address, bytes};
  const GuestBuffer readable[] = {header, data}, writable[] = {data, status};
  const std::span<const GuestBuffer> out(readable, bytes != 0 && device_reads ? 2 : 1);
  const std::span<const GuestBuffer> all_in(writable);
  ACRN_CHECK(ring_.add(out, bytes != 0 && !device_reads ? all_in : all_in.subspan(1), tag));
}

void DriverQueue::place_status(Tag& tag, uint32_t bytes) {
  tag.status = Gpa{raw(tag.data_address) + bytes};
  tag.status_memory = function_->machine().ram(tag.status, 1);
}

void DriverQueue::kick() {
  if (!ring_.expose()) return;
  kicks_++;
  function_->out(VIRTIO_PCI_QUEUE_NOTIFY, 2, index_);
}

bool DriverQueue::wait_for_interrupt() {
  if (!interrupt_->event.wait(patience_)) return false;
  interrupts_++;
  if (acknowledge_isr_) {
    // The line is a level: what was asserted again after the read must be looked at again.
    do {
      function_->in(VIRTIO_PCI_ISR, 1);
    } while (function_->pin().level());
  }
  return true;
}

Result<std::unique_ptr<LegacyDriver>> LegacyDriver::start(LoopbackMachine& machine, PciAddress address,
                                                          const DriverOptions& options) {
  auto function = GuestFunction::probe(machine, address);
  if (!function) return Error{ErrorKind::kInternal, "no function answers at that PCI address"};
  std::unique_ptr<LegacyDriver> driver(new LegacyDriver(*function));
  if (auto up = driver->bring_up(options); !up) return up.error();
  return driver;
}

LegacyDriver::~LegacyDriver() { function_.out(VIRTIO_PCI_STATUS, 1, 0); }

// The steps of virtio 0.9.5 2.2.1.
Result<void> LegacyDriver::bring_up(const DriverOptions& options) {
  function_.out(VIRTIO_PCI_STATUS, 1, 0);
  function_.out(VIRTIO_PCI_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
  function_.out(VIRTIO_PCI_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
  offered_ = function_.in(VIRTIO_PCI_HOST_FEATURES, 4);
  accepted_ = offered_ & options.features;
  function_.out(VIRTIO_PCI_GUEST_FEATURES, 4, static_cast<uint32_t>(accepted_));
  route_interrupts(options.interrupts);
  const unsigned queues = accepted(VIRTIO_BLK_F_MQ) ? uint16_t{config().num_queues} : 1;
  for (unsigned i = 0; i < queues; i++) {
    if (auto queue = set_up_queue(i, options); !queue) return queue;
  }
  function_.out(VIRTIO_PCI_STATUS, 1, kStatusReady);
  return {};
}

void LegacyDriver::route_interrupts(InterruptMode wanted) {
  config_interrupt_ = &function_.pin().interrupt();
  function_.disable_msix();
  function_.disable_msi();
  if (wanted == InterruptMode::kMsix) {
    vectors_ = function_.enable_msix();
    if (!vectors_.empty()) {
      mode_ = InterruptMode::kMsix;
      config_interrupt_ = &function_.machine().vector(vectors_[0]);
      function_.out(VIRTIO_MSI_CONFIG_VECTOR, 2, 0);
      return;
    }
  }
  if (wanted == InterruptMode::kIntx) return;
  if (const auto vector = function_.enable_msi()) {
    mode_ = InterruptMode::kMsi;
    vectors_ = {*vector};
    config_interrupt_ = &function_.machine().vector(*vector);
  }
}

Result<void> LegacyDriver::set_up_queue(unsigned index, const DriverOptions& options) {
  function_.out(VIRTIO_PCI_QUEUE_SEL, 2, index);
  const auto size = static_cast<uint16_t>(function_.in(VIRTIO_PCI_QUEUE_NUM, 2));
  if (size == 0) return Error{ErrorKind::kInternal, concat("queue ", index, " does not exist")};
  auto ring = create_ring(function_.machine(), size,
                          accepted(VIRTIO_RING_F_INDIRECT_DESC) && size >= kIndirectEntries ? kIndirectEntries : 0,
                          accepted(VIRTIO_RING_F_EVENT_IDX));
  if (!ring) return ring.error();
  std::unique_ptr<DriverQueue> queue(new DriverQueue(function_, index, std::move(ring).value(), options.patience));
  if (auto tags = allocate_tags(*queue, options); !tags) return tags;
  queue->interrupt_ = config_interrupt_;
  queue->acknowledge_isr_ = mode_ != InterruptMode::kMsix;
  if (mode_ == InterruptMode::kMsix) {
    queue->interrupt_ = &function_.machine().vector(vectors_[index + 1]);
    function_.out(VIRTIO_MSI_QUEUE_VECTOR, 2, index + 1);
  }
  function_.out(VIRTIO_PCI_QUEUE_PFN, 4, queue->ring_.pfn());
  if (function_.in(VIRTIO_PCI_QUEUE_PFN, 4) != queue->ring_.pfn()) {
    return Error{ErrorKind::kInternal, concat("queue ", index, ": the device refused the ring")};
  }
  queues_.push_back(std::move(queue));
  return {};
}

Result<void> LegacyDriver::allocate_tags(DriverQueue& queue, const DriverOptions& options) {
  LoopbackMachine& machine = function_.machine();
  const bool indirect = accepted(VIRTIO_RING_F_INDIRECT_DESC) && queue.ring_.size() >= kIndirectEntries;
  // A ring of 2 has no room for header, data and status one by one: ANY_LAYOUT makes two descriptors do.
  queue.compact_ = queue.ring_.size() < kChainEntries;
  const unsigned per_request = indirect ? 1 : queue.compact_ ? 2 : kChainEntries;
  const unsigned depth = std::clamp(queue.ring_.size() / per_request, 1u, std::max(options.depth, 1u));
  constexpr uint32_t kHeader = sizeof(VirtioBlkOuthdr);
  for (unsigned i = 0; i < depth; i++) {
    // Compact: header, data and status in one piece, the status right behind the data.
    const auto control = machine.allocate(queue.compact_ ? kHeader + options.max_bytes + 1 : 32, 32);
    const auto data = queue.compact_ ? control : machine.allocate(options.max_bytes, 4096);
    if (!control || !data) return Error{ErrorKind::kInternal, "the requests' buffers do not fit into guest RAM"};
    DriverQueue::Tag tag;
    tag.header = *control;
    tag.header_memory = machine.ram(tag.header, kHeader);
    tag.data_address = queue.compact_ ? Gpa{raw(*control) + kHeader} : *data;
    tag.data = machine.ram(tag.data_address, options.max_bytes);
    tag.status = Gpa{raw(*control) + kHeader};
    tag.status_memory = machine.ram(tag.status, 1);
    queue.tags_.push_back(tag);
  }
  return {};
}

unsigned LegacyDriver::config_offset() const {
  return mode_ == InterruptMode::kMsix ? VIRTIO_PCI_CONFIG_OFF_MSIX : VIRTIO_PCI_CONFIG_OFF_NO_MSIX;
}

VirtioBlkConfig LegacyDriver::config() const {
  uint8_t bytes[sizeof(VirtioBlkConfig)] = {};
  for (unsigned i = 0; i < VIRTIO_BLK_CONFIG_SIZE; i++)
    bytes[i] = static_cast<uint8_t>(function_.in(config_offset() + i, 1));
  VirtioBlkConfig config;
  std::memcpy(&config, bytes, sizeof(config));
  return config;
}

Result<DriverCompletion> LegacyDriver::run(uint32_t type, uint64_t sector, uint32_t bytes, bool device_reads) {
  DriverQueue& queue = *queues_[0];
  queue.start(0, type, sector, bytes, device_reads);
  queue.kick();
  DriverCompletion result{};
  if (!queue.reap([&](const DriverCompletion& done) { result = done; })) return no_answer("no interrupt came");
  return result;
}

Result<uint8_t> LegacyDriver::read(uint64_t sector, std::span<std::byte> data) {
  auto done = run(VIRTIO_BLK_T_IN, sector, static_cast<uint32_t>(data.size()), false);
  if (!done) return done.error();
  queues_[0]->data(0).copy_out(0, data.data(), data.size());
  return done.value().status;
}

Result<uint8_t> LegacyDriver::write(uint64_t sector, std::span<const std::byte> data) {
  queues_[0]->data(0).copy_in(0, data.data(), data.size());
  auto done = run(VIRTIO_BLK_T_OUT, sector, static_cast<uint32_t>(data.size()), true);
  if (!done) return done.error();
  return done.value().status;
}

Result<uint8_t> LegacyDriver::flush() {
  auto done = run(VIRTIO_BLK_T_FLUSH, 0, 0, true);
  if (!done) return done.error();
  return done.value().status;
}

Result<std::string> LegacyDriver::serial() {
  auto done = run(VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES, false);
  if (!done) return done.error();
  if (done.value().status != VIRTIO_BLK_S_OK) return std::string();
  char text[VIRTIO_BLK_ID_BYTES + 1] = {};
  queues_[0]->data(0).copy_out(0, text, VIRTIO_BLK_ID_BYTES);
  return std::string(text);
}

Result<uint8_t> LegacyDriver::discard(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags) {
  queues_[0]->data(0).store(0, VirtioBlkDiscardWriteZeroes{sector, sectors, flags});
  auto done = run(type, sector, sizeof(VirtioBlkDiscardWriteZeroes), true);
  if (!done) return done.error();
  return done.value().status;
}

}  // namespace acrn
