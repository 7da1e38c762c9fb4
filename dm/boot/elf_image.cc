#include "dm/boot/elf_image.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "acrn/base/bytes.h"
#include "acrn/base/concat.h"
#include "dm/boot/boot_environment.h"
#include "dm/boot/ram_map.h"

namespace acrn {
namespace {

constexpr uint64_t kTop = uint64_t{1} << 32;  // of what 32-bit code reaches

// What a kernel is told lies in one page, which a bzImage uses for the same.
constexpr uint64_t kModules = kZeroPage + 0x100, kRamMap = kZeroPage + 0x200;

// Xen's public/arch-x86/hvm/start_info.h
struct PvhStartInfo {
  Le32 magic = 0x336e'c578, version = 1, flags = 0, modules = 0;
  Le64 module_list = 0, command_line = 0, rsdp = 0, memory_map = 0;
  Le32 memory_map_entries = 0, reserved = 0;
};
struct PvhModule {
  Le64 address = 0, size = 0, command_line = 0, reserved = 0;
};
struct PvhRange {
  Le64 address, size;
  Le32 type, reserved;
};
static_assert(sizeof(PvhStartInfo) == 56 && sizeof(PvhModule) == 32 && sizeof(PvhRange) == 24);

// The Multiboot Specification 0.6.96, 3.1.1, 3.2 and 3.3.
constexpr uint32_t kMultibootLoaded = 0x2bad'b002;
// What a kernel may ask for: aligned modules, sizes of memory, a video mode; others are only told of.
constexpr uint32_t kMultibootAsks = 0xffff, kMultibootKnown = 7;
struct MultibootInfo {
  Le32 flags = 0, memory_lower = 0, memory_upper = 0, boot_device = 0, command_line = 0, modules = 0, module_list = 0;
  std::array<Le32, 4> symbols{};
  Le32 map_bytes = 0, map = 0;
};
constexpr uint32_t kHasMemory = 1 << 0, kHasCommandLine = 1 << 2, kHasModules = 1 << 3, kHasMap = 1 << 6;
struct MultibootModule {
  Le32 begin = 0, end = 0, text = 0, reserved = 0;
};
struct MultibootRange {
  Le32 entry_bytes;  // without this field
  std::array<Le32, 2> address, size;
  Le32 type;
};
static_assert(sizeof(MultibootInfo) == 52 && sizeof(MultibootModule) == 16 && sizeof(MultibootRange) == 24);

std::array<Le32, 2> halves(uint64_t value) {
  return {static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32)};
}

template <class T>
void put(const MemoryMap& memory, uint64_t address, const T& value) {
  ram_at(memory, address, sizeof(value)).copy_in(0, &value, sizeof(value));
}

}  // namespace

Result<bool> ElfImage::recognizes(const BootFile& file) {
  std::array<std::byte, kElfMagicBytes> start;
  if (file.size() < start.size()) return false;
  if (auto read = file.read(0, start); !read) return read.error();
  return is_elf(start);
}

Result<std::unique_ptr<BootImage>> ElfImage::open(Files files) {
  std::unique_ptr<ElfImage> image(new ElfImage(std::move(files)));
  if (const auto placed = image->place(); !placed) return placed.error();
  return std::unique_ptr<BootImage>(std::move(image));
}

Result<ElfImage::Placement> ElfImage::place() const {
  const BootFile& file = files_.kernel;
  const auto read = [&](uint64_t offset, std::span<std::byte> to) { return file.try_read(offset, to); };
  auto parsed = parse_elf(read, file.size());
  if (!parsed) return file.refuse(parsed.error().message);
  Placement placement{std::move(parsed).value()};
  const ElfKernel& kernel = placement.kernel;
  if (!kernel.pvh_entry) {
    if (auto checked = check_multiboot(); !checked) return checked.error();
  }
  uint64_t end = 0;
  for (const ElfSegment& segment : kernel.segments) {
    if (segment.address < kKernelBase || segment.address + segment.size > kLowRamLimit) {
      return file.refuse(concat("wants to be loaded to ", hex(segment.address), "..",
                                hex(segment.address + segment.size - 1),
                                "; there is RAM for a kernel from 1 MiB to 2 GiB"));
    }
    end = std::max(end, segment.address + segment.size);
  }
  placement.entry = kernel.pvh_entry.value_or(kernel.entry);
  const bool inside = std::any_of(kernel.segments.begin(), kernel.segments.end(), [&](const ElfSegment& segment) {
    return placement.entry - segment.address < segment.size;
  });
  if (!inside) return file.refuse(concat("its entry ", hex(placement.entry), " is in none of its segments"));
  const auto ramdisk = files_.place_ramdisk(end, kTop);
  if (!ramdisk) return ramdisk.error();
  placement.ramdisk = ramdisk.value();
  return placement;
}

Result<void> ElfImage::check_multiboot() const {
  const BootFile& file = files_.kernel;
  std::vector<std::byte> start(std::min<uint64_t>(kMultibootSearchBytes, file.size()));
  if (auto read = file.read(0, start); !read) return read;
  const auto flags = find_multiboot(start);
  if (!flags) {
    return file.refuse("an ELF file with neither a PVH note nor a Multiboot header; give one with, or a bzImage");
  }
  const uint32_t unknown = *flags & kMultibootAsks & ~kMultibootKnown;
  if (unknown == 0) return {};
  return file.refuse(concat("its Multiboot header asks for what nobody knows (flags ", hex(unknown), ")"));
}

Result<BootState> ElfImage::load(const MemoryMap& memory, bool /*long_mode*/) const {
  const auto placed = place();  // again: the file may be another by now
  if (!placed) return placed.error();
  const auto& [kernel, entry, ramdisk] = placed.value();
  for (const ElfSegment& segment : kernel.segments) {
    const auto to = bytes_in(ram_at(memory, segment.address, segment.size));
    if (auto read = files_.kernel.read(segment.offset, to.first(segment.file_size)); !read) return read.error();
    const auto rest = to.subspan(segment.file_size);
    std::memset(rest.data(), 0, rest.size());
  }
  if (auto loaded = files_.load_ramdisk(memory, ramdisk); !loaded) return loaded.error();
  files_.load_bootargs(memory);
  BootState boot = write_boot_environment(memory, false);
  boot.instruction = entry;
  boot.rbx = kZeroPage;
  if (kernel.pvh_entry) {
    describe_for_pvh(memory, ramdisk);
  } else {
    boot.rax = kMultibootLoaded;
    describe_for_multiboot(memory, ramdisk);
  }
  return boot;
}

void ElfImage::describe_for_pvh(const MemoryMap& memory, uint64_t ramdisk) const {
  PvhStartInfo info;
  info.command_line = kCommandLine;
  info.rsdp = kAcpiTables;
  info.memory_map = kRamMap;
  if (files_.ramdisk) {
    info.modules = 1;
    info.module_list = kModules;
    put(memory, kModules, PvhModule{.address = ramdisk, .size = files_.ramdisk_size()});
  }
  uint32_t entries = 0;
  for (const auto& [address, size, type] : ram_map(files_.ram)) {
    put(memory, kRamMap + entries++ * sizeof(PvhRange), PvhRange{address, size, type, uint32_t{0}});
  }
  info.memory_map_entries = entries;
  put(memory, kZeroPage, info);
}

void ElfImage::describe_for_multiboot(const MemoryMap& memory, uint64_t ramdisk) const {
  MultibootInfo info;
  uint32_t flags = kHasMemory | kHasCommandLine | kHasMap;
  info.memory_lower = static_cast<uint32_t>(kLegacyHole >> 10);
  info.memory_upper = static_cast<uint32_t>((files_.ram.low - kKernelBase) >> 10);
  info.command_line = static_cast<uint32_t>(kCommandLine);
  if (files_.ramdisk) {
    flags |= kHasModules;
    info.modules = 1;
    info.module_list = static_cast<uint32_t>(kModules);
    put(memory, kModules,
        MultibootModule{.begin = static_cast<uint32_t>(ramdisk),
                        .end = static_cast<uint32_t>(ramdisk + files_.ramdisk_size()),
                        .text = static_cast<uint32_t>(kCommandLine + files_.bootargs.size())});  // an empty one
  }
  uint32_t bytes = 0;
  for (const auto& [address, size, type] : ram_map(files_.ram)) {
    put(memory, kRamMap + bytes,
        MultibootRange{uint32_t{sizeof(MultibootRange) - 4}, halves(address), halves(size), type});
    bytes += sizeof(MultibootRange);
  }
  info.flags = flags;
  info.map_bytes = bytes;
  info.map = static_cast<uint32_t>(kRamMap);
  put(memory, kZeroPage, info);
}

}  // namespace acrn
