#include "tests/support/library_host.h"

#include <poll.h>

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

#include "acrn/base/concat.h"
#include "acrn/pci/pci_spec.h"
#include "tests/support/event_fd.h"
#include "tests/support/test.h"

namespace acrn::test {

LibraryDisk::LibraryDisk(const MemoryMap& memory) : blk_(acrn_blk_new()) {
  std::vector<acrn_blk_region> regions;
  for (const MemoryRegion& region : memory.regions()) {
    regions.push_back({.gpa = raw(region.base), .size = region.size, .host = region.host, .fd = -1, .offset = 0});
  }
  expect_ok(acrn_blk_set_memory(blk_, regions.data(), regions.size(), sizeof(acrn_blk_region)));
  const auto take = [](void* self, const acrn_blk_event* event) { static_cast<LibraryDisk*>(self)->take(*event); };
  expect_ok(acrn_blk_set_events(blk_, take, this));
}

void LibraryDisk::take(const acrn_blk_event& event) {
  MutexLock lock(mutex_);
  events_.push_back(concat(event.kind, " ", event.name, " ", event.count, " ", event.value));
}

std::vector<std::string> LibraryDisk::events() const {
  MutexLock lock(mutex_);
  return events_;
}

void LibraryDisk::expect_ok(int result) const {
  if (result != 0) throw Failure{"library", acrn_blk_error(blk_)};
}

uint64_t LibraryDisk::resize() const {
  uint64_t bytes = 0;
  expect_ok(acrn_blk_resize(blk_, &bytes));
  return bytes;
}

std::string LibraryDisk::stats() const {
  char* json = nullptr;
  expect_ok(acrn_blk_stats(blk_, &json));
  const std::string text(json);
  acrn_blk_free_text(json);
  return text;
}

void HostPci::set_identity(const PciIdentity& identity) {
  MutexLock lock(mutex_);
  space_.emplace(identity);
}

void HostPci::add_register_bar(uint32_t bytes) {
  MutexLock lock(mutex_);
  space_->add_bar(0, {BarKind::kIo, bytes});
}

void HostPci::add_msix(unsigned vectors) {
  msix_ = std::make_unique<Msix>(vectors, msi_);
  MutexLock lock(mutex_);
  space_->add_bar(1, {BarKind::kMemory32, Msix::kBarSize});
  msix_->add_capability(*space_, 1);
}

void HostPci::seal() {
  MutexLock lock(mutex_);
  space_->seal();
}

uint32_t HostPci::config_read(unsigned offset, unsigned size) const {
  MutexLock lock(mutex_);
  uint32_t value = space_->read(offset, size);
  for (unsigned i = 0; i < size; i++) {
    if (offset + i == PCI_STATUS && level_) value |= uint32_t{PCI_STATUS_INTERRUPT} << (8 * i);
  }
  return value;
}

void HostPci::config_write(unsigned offset, unsigned size, uint32_t value) {
  {
    MutexLock lock(mutex_);
    space_->write(offset, size, value);
    refresh();
  }
  deliver();
}

BarShape HostPci::bar_shape(unsigned bar) const {
  MutexLock lock(mutex_);
  return bar < kPciBars ? space_->bar_shape(bar) : BarShape{};
}

std::optional<uint64_t> HostPci::bar_address(unsigned bar) const {
  MutexLock lock(mutex_);
  return space_->bar_address(bar);
}

void HostPci::set_intx(bool level) {
  level_ = level;
  intx_.update();
}

void HostPci::reset() {
  {
    MutexLock lock(mutex_);
    space_->reset();
    msix_->reset();
    refresh();
  }
  deliver();
}

void HostPci::refresh() {
  intx_disabled_ = (space_->command() & PCI_COMMAND_INTX_DISABLE) != 0;
  msix_->refresh(*space_);
}

void HostPci::deliver() {
  msix_->send_unmasked();
  intx_.update();
}

namespace {

acrn_blk_disk disk_of(const std::string& options) {
  return {.struct_size = sizeof(acrn_blk_disk), .slot = "9", .options = options.c_str(), .vcpus = 0};
}

std::vector<BarDoorbell> doorbells_of(acrn_blk* blk) {
  std::vector<BarDoorbell> doorbells;
  acrn_blk_doorbell one{};
  one.struct_size = sizeof(one);
  for (unsigned i = 0; acrn_blk_get_doorbell(blk, i, &one) == 0; i++) {
    doorbells.push_back({.bar = one.bar, .offset = one.offset, .size = one.size, .data = one.data, .event_fd = one.fd});
  }
  return doorbells;
}

// What is the same for each whole function: the host passes on all accesses.
class FunctionOfLibrary : public HostFunction {
 public:
  uint32_t config_read(unsigned offset, unsigned size) override { return acrn_blk_config_read(blk(), offset, size); }
  void config_write(unsigned offset, unsigned size, uint32_t value) override {
    acrn_blk_config_write(blk(), offset, size, value);
  }
  BarShape bar_shape(unsigned bar) const override {
    const uint32_t size = acrn_blk_bar_size(blk(), bar);
    if (size == 0) return {};
    return {bar == 0 ? BarKind::kIo : BarKind::kMemory32, size};
  }
  std::optional<uint64_t> bar_address(unsigned bar) const override {
    const uint64_t address = acrn_blk_bar_address(blk(), bar);
    return address == UINT64_MAX ? std::nullopt : std::optional(address);
  }
  uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) override {
    return acrn_blk_bar_read(blk(), bar, offset, size);
  }
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override {
    acrn_blk_bar_write(blk(), bar, offset, size, value);
  }
  std::vector<BarDoorbell> doorbells() const override { return doorbells_of(blk()); }
  void reset() override { disk().expect_ok(acrn_blk_reset(blk())); }

 protected:
  acrn_blk* blk() const { return const_cast<FunctionOfLibrary*>(this)->disk().get(); }
};

class WholeFunction final : public FunctionOfLibrary {
 public:
  WholeFunction(const std::string& options, const MemoryMap& memory, IrqPin& pin, MsiSink& msi)
      : pin_(pin), msi_(msi), disk_(memory) {
    const acrn_blk_disk disk = disk_of(options);
    acrn_blk_function_callbacks callbacks{};
    callbacks.struct_size = sizeof(callbacks);
    callbacks.context = this;
    callbacks.send_msi = [](void* self, uint64_t address, uint32_t data) {
      static_cast<WholeFunction*>(self)->msi_.send(address, data);
    };
    callbacks.set_intx = [](void* self, int level) { static_cast<WholeFunction*>(self)->pin_.set_level(level != 0); };
    disk_.expect_ok(acrn_blk_create_function(blk(), &disk, &callbacks));
  }
  LibraryDisk& disk() override { return disk_; }

 private:
  IrqPin& pin_;
  MsiSink& msi_;
  LibraryDisk disk_;
};

// Takes interrupts as a hypervisor does that was given eventfds: on a thread of its own. It connects every second
// message, and the library sends the others.
class EventfdFunction final : public FunctionOfLibrary {
 public:
  EventfdFunction(const std::string& options, const MemoryMap& memory, IrqPin& pin, MsiSink& msi)
      : pin_(pin), msi_(msi), listener_([this] { listen(); }), disk_(std::make_unique<LibraryDisk>(memory)) {
    const acrn_blk_disk disk = disk_of(options);
    acrn_blk_function_callbacks callbacks{};
    callbacks.struct_size = sizeof(callbacks);
    callbacks.context = this;
    callbacks.send_msi = [](void* self, uint64_t address, uint32_t data) {
      if (takes(data)) std::abort();  // there is room for all of them
      static_cast<EventfdFunction*>(self)->msi_.send(address, data);
    };
    callbacks.connect_msi = [](void* self, uint64_t address, uint32_t data, int fd) {
      return static_cast<EventfdFunction*>(self)->connect({address, data, fd});
    };
    callbacks.disconnect_msi = [](void* self, int fd) { static_cast<EventfdFunction*>(self)->disconnect(fd); };
    callbacks.intx_fd = intx_.fd();
    callbacks.resample_fd = resample_.fd();
    disk_->expect_ok(acrn_blk_create_function(blk(), &disk, &callbacks));
  }
  ~EventfdFunction() override {
    disk_.reset();
    EXPECT(messages_.empty());
    over_ = true;
    signal(changed_);
    listener_.join();
  }

  LibraryDisk& disk() override { return *disk_; }
  uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) override {
    const uint64_t value = FunctionOfLibrary::bar_read(bar, offset, size);
    end_of_interrupt();
    return value;
  }
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override {
    FunctionOfLibrary::bar_write(bar, offset, size, value);
    end_of_interrupt();
  }

 private:
  struct Message {
    uint64_t address;
    uint32_t data;
    int fd;
  };

  static bool takes(uint32_t data) { return data % 2 == 0; }
  int connect(const Message& message) {
    if (!takes(message.data)) return -1;
    MutexLock lock(mutex_);
    messages_.push_back(message);
    signal(changed_);
    return 0;
  }
  void disconnect(int fd) {
    MutexLock lock(mutex_);
    EXPECT_EQ(std::erase_if(messages_, [fd](const Message& message) { return message.fd == fd; }), 1u);
  }
  void listen() {
    while (!over_) {
      std::vector<pollfd> wanted{{changed_.fd(), POLLIN, 0}, {intx_.fd(), POLLIN, 0}};
      {
        MutexLock lock(mutex_);
        for (const Message& message : messages_) wanted.push_back({message.fd, POLLIN, 0});
      }
      if (::poll(wanted.data(), wanted.size(), -1) <= 0) continue;
      take_signals(changed_.fd());
      MutexLock lock(mutex_);
      if (take_signals(intx_.fd()) != 0) {
        asserted_ = true;
        pin_.set_level(true);
      }
      for (const Message& message : messages_) {
        if (take_signals(message.fd) != 0) msi_.send(message.address, message.data);
      }
    }
  }
  // After each access, which may be what the interrupt was for. A device that still wants it raises it again.
  void end_of_interrupt() {
    MutexLock lock(mutex_);
    if (!std::exchange(asserted_, false)) return;
    pin_.set_level(false);
    signal(resample_);
  }

  IrqPin& pin_;
  MsiSink& msi_;
  const UniqueFd changed_ = new_eventfd(), intx_ = new_eventfd(), resample_ = new_eventfd();
  std::atomic<bool> over_{false};
  Mutex mutex_;
  std::vector<Message> messages_ ACRN_GUARDED_BY(mutex_);
  bool asserted_ ACRN_GUARDED_BY(mutex_) = false;
  std::thread listener_;
  std::unique_ptr<LibraryDisk> disk_;
};

class RegisterFunction final : public HostFunction {
 public:
  RegisterFunction(const std::string& options, const MemoryMap& memory, IrqPin& pin, MsiSink& msi)
      : pci_(pin, msi), disk_(memory) {
    const acrn_blk_disk disk = disk_of(options);
    const acrn_blk_register_callbacks callbacks{
        .struct_size = sizeof(callbacks),
        .context = &pci_,
        .msix_enabled = [](void* pci) -> int { return static_cast<HostPci*>(pci)->msix_enabled() ? 1 : 0; },
        .send_vector = [](void* pci, unsigned vector) { static_cast<HostPci*>(pci)->msix().notify(vector); },
        .set_isr = [](void* pci, int level) { static_cast<HostPci*>(pci)->set_intx(level != 0); },
        .send_msi = nullptr};
    disk_.expect_ok(acrn_blk_create_registers(blk(), &disk, &callbacks));
    pci_.set_identity({.vendor = 0x1af4,
                       .device = 0x1001,
                       .class_code = 0x01'0000,
                       .subsystem_vendor = 0x1af4,
                       .subsystem = 2,
                       .interrupt_pin = 1});
    pci_.add_register_bar(acrn_blk_bar_size(blk(), 0));
    pci_.add_msix(acrn_blk_vectors(blk()));
    pci_.seal();
  }

  LibraryDisk& disk() override { return disk_; }
  uint32_t config_read(unsigned offset, unsigned size) override { return pci_.config_read(offset, size); }
  void config_write(unsigned offset, unsigned size, uint32_t value) override { pci_.config_write(offset, size, value); }
  BarShape bar_shape(unsigned bar) const override { return pci_.bar_shape(bar); }
  std::optional<uint64_t> bar_address(unsigned bar) const override { return pci_.bar_address(bar); }
  uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) override {
    return bar == 1 ? pci_.msix().bar_read(offset, size) : acrn_blk_bar_read(blk(), bar, offset, size);
  }
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override {
    if (bar == 1) return pci_.msix().bar_write(offset, size, value);
    acrn_blk_bar_write(blk(), bar, offset, size, value);
  }
  std::vector<BarDoorbell> doorbells() const override { return doorbells_of(blk()); }
  void reset() override {
    disk_.expect_ok(acrn_blk_reset(blk()));
    pci_.reset();
  }

 private:
  acrn_blk* blk() const { return disk_.get(); }

  HostPci pci_;
  LibraryDisk disk_;  // calls it
};

}  // namespace

std::unique_ptr<HostFunction> make_whole_function(const std::string& options, const MemoryMap& memory, IrqPin& pin,
                                                  MsiSink& msi) {
  return std::make_unique<WholeFunction>(options, memory, pin, msi);
}
std::unique_ptr<HostFunction> make_eventfd_function(const std::string& options, const MemoryMap& memory, IrqPin& pin,
                                                    MsiSink& msi) {
  return std::make_unique<EventfdFunction>(options, memory, pin, msi);
}
std::unique_ptr<HostFunction> make_register_function(const std::string& options, const MemoryMap& memory, IrqPin& pin,
                                                     MsiSink& msi) {
  return std::make_unique<RegisterFunction>(options, memory, pin, msi);
}

}  // namespace acrn::test
