// AcrnRig: the port to ACRN over a stand-in for its module, with the test's threads as virtual CPUs and a board that
// remembers what it was asked.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "acrn/base/mutex.h"
#include "dm/hypervisor/acrn/acrn.h"
#include "tests/support/event_fd.h"
#include "tests/support/faulty_hsm.h"
#include "tests/support/scripted_hypervisor.h"
#include "tests/support/test.h"
#include "tests/support/wait_until.h"

namespace acrn::test {

// What is behind the exits. Each register reads as a value of its own; ports from 0xe000 on are nobody's.
class RecordingBoard final : public ExitHandler {
 public:
  struct Write {
    char kind;  // 'p'ort, 'm'emory, 'c'onfiguration
    uint64_t address;
    unsigned size;
    uint64_t value;
    friend bool operator==(const Write&, const Write&) = default;
  };
  static constexpr uint16_t kUnclaimed = 0xe000;

  static uint32_t port_value(uint16_t port) { return port >= kUnclaimed ? ~0u : 0x8000'0000u | port * 3u; }
  static uint64_t memory_value(uint64_t address) { return ~address; }
  static uint32_t config_value(PciAddress function, unsigned offset) {
    return 0xc000'0000u | function.bus << 20 | function.slot << 15 | function.function << 12 | offset;
  }

  // Called in every read of a port. Before the first start.
  std::function<void(uint16_t port)> on_port_read = [](uint16_t) {};

  std::vector<Write> writes() const {
    MutexLock lock(mutex_);
    return writes_;
  }
  std::vector<std::string> failures() const {
    MutexLock lock(mutex_);
    return failures_;
  }
  unsigned reads() const { return reads_; }

  uint32_t io_read(uint16_t port, unsigned) override {
    on_port_read(port);
    reads_++;
    return port_value(port);
  }
  void io_write(uint16_t port, unsigned size, uint32_t value) override { add({'p', port, size, value}); }
  uint64_t memory_read(uint64_t address, unsigned) override {
    reads_++;
    return memory_value(address);
  }
  void memory_write(uint64_t address, unsigned size, uint64_t value) override { add({'m', address, size, value}); }
  uint32_t config_read(PciAddress function, unsigned offset, unsigned) override {
    reads_++;
    return config_value(function, offset);
  }
  void config_write(PciAddress function, unsigned offset, unsigned size, uint32_t value) override {
    add({'c', config_value(function, offset), size, value});
  }
  void cpu_shutdown() override {}
  void cpu_failed(std::string what) override {
    MutexLock lock(mutex_);
    failures_.push_back(std::move(what));
  }

 private:
  void add(const Write& write) {
    MutexLock lock(mutex_);
    writes_.push_back(write);
  }

  mutable Mutex mutex_;  // leaf
  std::vector<Write> writes_ ACRN_GUARDED_BY(mutex_);
  std::vector<std::string> failures_ ACRN_GUARDED_BY(mutex_);
  std::atomic<unsigned> reads_ = 0;
};

inline MemoryRegion some_ram(uint64_t base, size_t size = 1 << 20) {
  void* const bytes = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(bytes != MAP_FAILED);
  const std::shared_ptr<const void> owner(bytes, [size](void* mapped) { ::munmap(mapped, size); });
  return {Gpa{base}, size, static_cast<std::byte*>(bytes), owner};
}

class AcrnRig {
 public:
  using Requests = std::vector<std::string>;

  explicit AcrnRig(ScriptedHypervisor::Options below = {}, FakeHsmOptions module_options = {})
      : hypervisor(below), module(hypervisor, module_options) {
    hypervisor.connect(module);
    options.vm_name = "vm1";
    options.vcpus = below.vcpus;
    options.pause_between_tries = {};
  }

  // What a machine does. The error of the first step that fails.
  Result<void> create() {
    auto made = Acrn::create(options, std::make_unique<FaultyHsm>(module, faults));
    if (!made) return made.error();
    acrn = std::move(made).value();
    return {};
  }
  Result<void> start() { return acrn->start(boot, board); }
  Result<void> run() {
    if (auto made = create(); !made) return made;
    if (auto mapped = acrn->map_ram(some_ram(0)); !mapped) return mapped;
    return start();
  }
  AcrnRig& running() {
    if (const auto result = run(); !result) throw Failure{"AcrnRig", result.error().message};
    return *this;
  }
  HsmVcpu& cpu(unsigned index = 0) { return hypervisor.vcpu(index); }
  // It is there, and answers.
  bool answers(unsigned index = 0) { return cpu(index).in(0x1234, 4) == RecordingBoard::port_value(0x1234); }

  RecordingBoard board;
  ScriptedHypervisor hypervisor;
  HsmFaults faults;
  FakeHsm module;
  AcrnOptions options;
  BootState boot{.instruction = 0x10'0000,
                 .rsi = 0x7000,
                 .descriptors = 0x6000,
                 .descriptors_limit = 31,
                 .code_selector = 0x10,
                 .data_selector = 0x18};
  std::unique_ptr<Acrn> acrn;
};

}  // namespace acrn::test
