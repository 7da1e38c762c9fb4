// The C interface of the library (include/acrn-blk.h). No exception leaves it.
#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "acrn-blk.h"
#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/base/one_line.h"
#include "dm/base/thread.h"
#include "dm/cli/option_table.h"
#include "dm/devices/device_report.h"
#include "dm/devices/device_table.h"
#include "dm/devices/slot.h"
#include "dm/devices/virtio_disk.h"
#include "dm/event/epoll_loop.h"
#include "dm/mem/shared_mapping.h"
#include "dm/plugin/blk_form.h"

using acrn::concat;
using acrn::ErrorKind;
using acrn::Gpa;
using acrn::Result;

namespace {

// Events of a handle, as its host takes them.
class HostEvents final : public acrn::DeviceEvents {
 public:
  void set(acrn_blk_event_callback* callback, void* context) {
    callback_ = callback;
    context_ = context;
  }
  void tell(const acrn::DeviceEvent& event) override {
    // The interface has no such event: the host hears of a new size by the interrupt of the configuration.
    if (callback_ == nullptr || event.kind == acrn::DeviceEvent::Kind::kResized) return;
    const acrn_blk_event told{static_cast<int>(event.kind), event.name, event.count, event.value};
    callback_(context_, &told);
  }

 private:
  acrn_blk_event_callback* callback_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace

struct acrn_blk {
  std::string error;
  HostEvents events;
  acrn::GuestMemory memory{std::make_shared<const acrn::MemoryMap>(std::vector<acrn::MemoryRegion>())};
  // Each lives on what stands above it.
  std::unique_ptr<acrn::EpollLoop> loop;
  std::string slot;
  std::unique_ptr<acrn::VirtioDisk> disk;
  std::unique_ptr<acrn::BlkForm> form;  // null until the handle is created
};

namespace {

constexpr std::string_view kEmulation = "virtio-blk";
constexpr std::array<std::string_view, 7> kFeatures{"function", "registers", "memory-fd", "stats",
                                                    "sigbus",   "events",    "eventfds"};
using MadeForm = Result<std::unique_ptr<acrn::BlkForm>>;

int errno_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage: return EINVAL;
    case ErrorKind::kNoInput: return ENOENT;
    case ErrorKind::kUnavailable: return ENOTSUP;
    case ErrorKind::kInternal: return EAGAIN;
    case ErrorKind::kIo: return EIO;
  }
  return EIO;
}

int fail(acrn_blk& blk, int error, std::string_view text) {
  blk.error = acrn::one_line(text);
  return -error;
}

// A call that can fail: its result, and the text of an error.
template <class Call>
int control(acrn_blk* blk, Call&& call) noexcept {
  if (blk == nullptr) return -EINVAL;
  try {
    const Result<void> result = call();
    return result ? 0 : fail(*blk, errno_of(result.error().kind), result.error().message);
  } catch (const std::bad_alloc&) {
    blk->error.clear();
    return -ENOMEM;
  }
}

// An access. A host that is out of memory sees none of it.
template <class Call>
auto with_form(acrn_blk* blk, decltype(std::declval<Call>()(std::declval<acrn::BlkForm&>())) none,
               Call&& call) noexcept {
  if (blk->form == nullptr) return none;
  try {
    return call(*blk->form);
  } catch (const std::bad_alloc&) {
    return none;
  }
}

// The same for a handle that has been created.
template <class Call>
int control_created(acrn_blk* blk, Call&& call) noexcept {
  return control(blk, [&]() -> Result<void> {
    if (blk->form == nullptr) return acrn::usage_error("the handle has no disk; call acrn_blk_create_*() first");
    return call();
  });
}

bool has_size(size_t size) { return size == 1 || size == 2 || size == 4 || size == 8; }

// A structure as the host has compiled it, which may know more members than this library. Errors: kUsage.
template <class T>
Result<T> copy_of(const T* from, std::string_view name) {
  if (from == nullptr || from->struct_size < sizeof(T)) {
    return acrn::usage_error(concat(name, ": struct_size is too small; give sizeof(struct ", name, ")"));
  }
  return *from;
}

constexpr uint64_t kRegionUnit = 4096;  // bytes

// A region that the library has mapped, or an errno and a text.
struct Mapped {
  acrn::MemoryRegion region{};
  int error = 0;
  std::string text = {};
};

Mapped map_region(const acrn_blk_region& region) {
  const std::string name = concat("the region at ", acrn::hex(region.gpa));
  if (region.size == 0 || region.gpa + (region.size - 1) < region.gpa) {
    return {{}, EINVAL, concat(name, ": its size, ", region.size, ", is 0 or goes past the end of addresses")};
  }
  // SAFETY: for its value alone.
  const auto host = reinterpret_cast<uintptr_t>(region.host);
  if ((region.gpa | region.size | region.offset | host) % kRegionUnit != 0) {
    return {{}, EINVAL, concat(name, ": gpa, size, host and offset have to be multiples of ", kRegionUnit)};
  }
  if (region.host != nullptr) {
    return {{Gpa{region.gpa}, region.size, static_cast<std::byte*>(region.host), {}}};
  }
  int error = 0;
  std::shared_ptr<const acrn::SharedMapping> mapping =
      acrn::SharedMapping::create(region.fd, region.offset, region.size, error);
  if (mapping == nullptr) {
    return {{}, error, concat(name, ": descriptor ", region.fd, " cannot be mapped: ", acrn::errno_text(error))};
  }
  return {acrn::SharedMapping::region(mapping, Gpa{region.gpa}, region.size)};
}

// Empty: they do not.
std::string overlap(std::span<const acrn::MemoryRegion> sorted) {
  for (size_t i = 1; i < sorted.size(); i++) {
    if (raw(sorted[i].base) - raw(sorted[i - 1].base) >= sorted[i - 1].size) continue;
    return concat("the regions at ", acrn::hex(raw(sorted[i - 1].base)), " and ", acrn::hex(raw(sorted[i].base)),
                  " overlap");
  }
  return "";
}

Result<acrn::PciSlotConfig> parse_disk(const acrn_blk_disk& disk) {
  if (disk.slot == nullptr || disk.options == nullptr) {
    return acrn::usage_error("acrn_blk_disk: slot or options are missing; give them as in \"9\" and \"/disk.img\"");
  }
  auto slot = acrn::parse_slot(concat(disk.slot, ",", kEmulation, ",", disk.options));
  if (!slot) return slot.error();
  const unsigned vcpus = disk.vcpus == 0 ? UINT_MAX : disk.vcpus;
  if (auto checked = acrn::check_slots({slot.value()}, vcpus); !checked) return checked.error();
  return slot;
}

// `make_form` makes the transport around the device.
template <class MakeForm>
Result<void> create(acrn_blk& blk, const acrn_blk_disk* asked, MakeForm&& make_form) {
  if (blk.form != nullptr) return acrn::usage_error("the handle has a disk already; make another handle");
  const auto disk = copy_of(asked, "acrn_blk_disk");
  if (!disk) return disk.error();
  const auto slot = parse_disk(disk.value());
  if (!slot) return slot.error();
  const std::string name = full_name(slot.value().address);

  if (const std::string& trace = block_options(slot.value())->trace; !trace.empty()) {
    return in_slot(slot.value(),
                   acrn::Error{acrn::ErrorKind::kUsage, concat("trace=", trace,
                                                               ": it takes a process of its own, which a library "
                                                               "does not start; leave it out")});
  }
  const acrn::SignalsBlocked blocked;  // the threads of the loops inherit it
  auto loop = acrn::EpollLoop::create(concat("blk ", name), {}, acrn::kQueueLoop);
  if (!loop) return loop.error();
  auto made = acrn::VirtioDisk::create(name, *block_options(slot.value()),
                                       {.memory = blk.memory, .shared_loop = *loop.value(), .events = &blk.events});
  if (!made) return in_slot(slot.value(), made.error());
  std::unique_ptr<acrn::VirtioDisk> virtio_disk = std::move(made).value();
  MadeForm form = make_form(virtio_disk->take_device(), virtio_disk->guest_errors(), *loop.value());
  if (!form) return form.error();
  if (auto opened = virtio_disk->open(); !opened) return in_slot(slot.value(), opened.error());
  blk.slot = name;
  blk.loop = std::move(loop).value();
  blk.disk = std::move(virtio_disk);
  blk.form = std::move(form).value();
  return {};
}

}  // namespace

unsigned acrn_blk_version() { return ACRN_BLK_VERSION; }

int acrn_blk_has(const char* feature) {
  return feature != nullptr && std::find(kFeatures.begin(), kFeatures.end(), feature) != kFeatures.end() ? 1 : 0;
}

acrn_blk* acrn_blk_new() {
  try {
    return new acrn_blk;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void acrn_blk_free(acrn_blk* blk) {
  if (blk == nullptr) return;
  with_form(blk, 0, [](acrn::BlkForm& form) { return form.function().reset(), 0; });  // which lowers the interrupt
  delete blk;
}

const char* acrn_blk_error(const acrn_blk* blk) { return blk == nullptr ? "no handle" : blk->error.c_str(); }

int acrn_blk_set_events(acrn_blk* blk, acrn_blk_event_callback* event, void* context) {
  return control(blk, [&]() -> Result<void> {
    if (blk->form != nullptr) return acrn::usage_error("acrn_blk_set_events: the handle has a disk; call it before");
    blk->events.set(event, context);
    return {};
  });
}

int acrn_blk_set_memory(acrn_blk* blk, const acrn_blk_region* regions, size_t count, size_t region_size) {
  if (blk == nullptr) return -EINVAL;
  try {
    if (region_size < sizeof(acrn_blk_region)) {
      return fail(*blk, EINVAL, "region_size is too small; give sizeof(struct acrn_blk_region)");
    }
    if (regions == nullptr && count != 0) return fail(*blk, EINVAL, "the regions are missing");
    std::vector<acrn::MemoryRegion> mapped;
    for (size_t i = 0; i < count; i++) {
      acrn_blk_region region;
      std::memcpy(&region, reinterpret_cast<const char*>(regions) + i * region_size,  // SAFETY: bytes of an array
                  sizeof(region));
      Mapped one = map_region(region);
      if (one.error != 0) return fail(*blk, one.error, one.text);
      mapped.push_back(std::move(one.region));
    }
    auto map = std::make_shared<const acrn::MemoryMap>(std::move(mapped));
    if (const std::string text = overlap(map->regions()); !text.empty()) return fail(*blk, EINVAL, text);
    const auto change = [&] { blk->memory.replace(std::move(map)); };
    blk->form == nullptr ? change() : blk->form->registers().change_memory(change);
    return 0;
  } catch (const std::bad_alloc&) {
    blk->error.clear();
    return -ENOMEM;
  }
}

int acrn_blk_handle_sigbus(void* address) { return acrn::SharedMapping::recover(address) ? 1 : 0; }

int acrn_blk_create_function(acrn_blk* blk, const acrn_blk_disk* disk, const acrn_blk_function_callbacks* callbacks) {
  return control(blk, [&]() -> Result<void> {
    const auto own = copy_of(callbacks, "acrn_blk_function_callbacks");
    if (!own) return own.error();
    if (own.value().send_msi == nullptr) return acrn::usage_error("acrn_blk_function_callbacks: send_msi is missing");
    if ((own.value().connect_msi == nullptr) != (own.value().disconnect_msi == nullptr)) {
      return acrn::usage_error("acrn_blk_function_callbacks: connect_msi and disconnect_msi come together");
    }
    return create(*blk, disk,
                  [&](std::unique_ptr<acrn::VirtioDevice> device, acrn::GuestErrors& guest_errors,
                      acrn::EpollLoop& loop) -> MadeForm {
                    return acrn::make_function_form(std::move(device), guest_errors, loop, own.value());
                  });
  });
}

int acrn_blk_create_registers(acrn_blk* blk, const acrn_blk_disk* disk, const acrn_blk_register_callbacks* callbacks) {
  return control(blk, [&]() -> Result<void> {
    const auto own = copy_of(callbacks, "acrn_blk_register_callbacks");
    if (!own) return own.error();
    if (own.value().msix_enabled == nullptr || own.value().send_vector == nullptr || own.value().set_isr == nullptr) {
      return acrn::usage_error("acrn_blk_register_callbacks: msix_enabled, send_vector or set_isr is missing");
    }
    return create(
        *blk, disk,
        [&](std::unique_ptr<acrn::VirtioDevice> device, acrn::GuestErrors& guest_errors, acrn::EpollLoop&) -> MadeForm {
          return acrn::make_register_form(std::move(device), guest_errors, own.value());
        });
  });
}

uint32_t acrn_blk_config_read(acrn_blk* blk, unsigned offset, unsigned size) {
  if (!has_size(size) || size > 4) return ~0u;
  return with_form(blk, ~0u, [=](acrn::BlkForm& form) { return form.function().config_read(offset, size); });
}

void acrn_blk_config_write(acrn_blk* blk, unsigned offset, unsigned size, uint32_t value) {
  if (!has_size(size) || size > 4) return;
  with_form(blk, 0, [=](acrn::BlkForm& form) { return form.function().config_write(offset, size, value), 0; });
}

uint64_t acrn_blk_bar_read(acrn_blk* blk, unsigned bar, uint64_t offset, unsigned size) {
  if (!has_size(size)) return ~uint64_t{0};
  return with_form(blk, ~uint64_t{0}, [=](acrn::BlkForm& form) { return form.function().bar_read(bar, offset, size); });
}

void acrn_blk_bar_write(acrn_blk* blk, unsigned bar, uint64_t offset, unsigned size, uint64_t value) {
  if (!has_size(size)) return;
  with_form(blk, 0, [=](acrn::BlkForm& form) { return form.function().bar_write(bar, offset, size, value), 0; });
}

uint32_t acrn_blk_bar_size(acrn_blk* blk, unsigned bar) {
  return with_form(blk, 0u, [=](acrn::BlkForm& form) { return form.function().bar_shape(bar).size; });
}

uint64_t acrn_blk_bar_address(acrn_blk* blk, unsigned bar) {
  if (bar >= acrn::kPciBars) return UINT64_MAX;
  return with_form(blk, uint64_t{UINT64_MAX},
                   [=](acrn::BlkForm& form) { return form.function().bar_address(bar).value_or(UINT64_MAX); });
}

unsigned acrn_blk_vectors(acrn_blk* blk) {
  return with_form(blk, 0u, [](acrn::BlkForm& form) { return form.registers().vectors(); });
}

// An access, so it leaves the text of an error alone.
int acrn_blk_get_doorbell(acrn_blk* blk, unsigned number, acrn_blk_doorbell* doorbell) {
  if (doorbell == nullptr || doorbell->struct_size < sizeof(*doorbell)) return -EINVAL;
  try {
    const auto all = blk->form == nullptr ? std::vector<acrn::BarDoorbell>() : blk->form->registers().doorbells();
    if (number >= all.size()) return -ENOENT;
    const acrn::BarDoorbell& one = all[number];
    doorbell->bar = one.bar;
    doorbell->offset = one.offset;
    doorbell->size = one.size;
    doorbell->data = one.data;
    doorbell->fd = one.event_fd;
    return 0;
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

int acrn_blk_reset(acrn_blk* blk) {
  return control_created(blk, [&]() -> Result<void> { return blk->form->function().reset(), Result<void>(); });
}

int acrn_blk_quiesce(acrn_blk* blk) {
  return control_created(blk, [&]() -> Result<void> { return blk->form->registers().suspend(), Result<void>(); });
}

int acrn_blk_resume(acrn_blk* blk) {
  return control_created(blk, [&]() -> Result<void> { return blk->form->registers().resume(), Result<void>(); });
}

int acrn_blk_flush(acrn_blk* blk) {
  return control_created(blk, [&] { return blk->disk->flush(); });
}

int acrn_blk_rescan(acrn_blk* blk, const char* options) {
  return control_created(blk, [&]() -> Result<void> {
    if (options == nullptr) return acrn::usage_error("acrn_blk_rescan: the path is missing");
    const auto request = acrn::parse_rescan(concat(blk->slot, ",", options));
    if (!request) return request.error();
    return blk->disk->rescan(request.value().disk, request.value().file);
  });
}

int acrn_blk_resize(acrn_blk* blk, uint64_t* bytes) {
  return control_created(blk, [&]() -> Result<void> {
    const auto size = blk->disk->resize();
    if (!size) return size.error();
    if (bytes != nullptr) *bytes = size.value();
    return {};
  });
}

int acrn_blk_stats(acrn_blk* blk, char** json) {
  return control_created(blk, [&]() -> Result<void> {
    acrn::DeviceReport report{.slot = blk->slot, .emulation = std::string(kEmulation), .source = blk->disk->source()};
    add_counts(*blk->disk, report);
    const std::string text = to_text(report);
    *json = ::strdup(text.c_str());
    if (*json == nullptr) throw std::bad_alloc();
    return {};
  });
}

void acrn_blk_free_text(char* text) { std::free(text); }
