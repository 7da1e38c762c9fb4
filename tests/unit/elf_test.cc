#include "dm/boot/elf.h"

#include <cstring>
#include <vector>

#include "acrn/base/bytes.h"
#include "dm/boot/boot_image.h"
#include "tests/support/elf_file.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

using test::ElfFile;
using test::must;

constexpr uint64_t kRam = 8 * kMiB;

Result<std::unique_ptr<BootImage>> open(const test::TempDir& folder, const std::vector<std::byte>& kernel,
                                        std::optional<std::string> ramdisk = std::nullopt, const char* option = "-E") {
  return BootImage::open({.kernel = folder.file("kernel", kernel),
                          .option = option,
                          .ramdisk = std::move(ramdisk),
                          .bootargs = "quiet",
                          .ram = {kRam, kMiB}});
}

std::string refusal(const std::vector<std::byte>& kernel) {
  const test::TempDir folder;
  const auto opened = open(folder, kernel);
  EXPECT(!opened.ok());
  return opened ? "" : opened.error().message;
}

// RAM of a guest, full of what an earlier boot has left.
struct Ram {
  std::vector<std::byte> bytes = std::vector<std::byte>(kRam, std::byte{0x5a});
  MemoryMap map{{{Gpa{0}, kRam, bytes.data(), nullptr}}};
  template <class T>
  T at(uint64_t address) const {
    T value;
    std::memcpy(&value, bytes.data() + address, sizeof(value));
    return value;
  }
  std::string text(uint64_t address) const { return reinterpret_cast<const char*>(bytes.data()) + address; }
};

void expect_loaded(const Ram& ram, const std::vector<std::byte>& file) {
  EXPECT(std::memcmp(ram.bytes.data() + kKernelBase, file.data() + ElfFile::kSegment, ElfFile::kSegmentBytes) == 0);
  for (uint64_t at = ElfFile::kSegmentBytes; at < 0x4000; at++) EXPECT(ram.bytes[kKernelBase + at] == std::byte{0});
  EXPECT(ram.bytes[kKernelBase + 0x4000] == std::byte{0x5a});
}

}  // namespace

TEST(a_pvh_kernel_is_entered_where_its_note_says_with_its_ramdisk_and_the_map_of_ram) {
  for (const auto& file : {ElfFile().bytes32(), ElfFile().bytes64(), ElfFile{.multiboot = true}.bytes32()}) {
    const test::TempDir folder;
    const std::vector<std::byte> ramdisk(5000, std::byte{7});
    Ram ram;
    const auto image = must(open(folder, file, folder.file("ramdisk", ramdisk), "-k"));
    const BootState boot = must(image->load(ram.map, true));
    expect_loaded(ram, file);
    EXPECT(!boot.long_mode);
    EXPECT_EQ(boot.instruction, kKernelBase + 16);
    const uint64_t info = boot.rbx;
    EXPECT_EQ(ram.at<uint32_t>(info), 0x336ec578u);
    EXPECT_EQ(ram.at<uint32_t>(info + 4), 1u);
    EXPECT_EQ(ram.at<uint32_t>(info + 12), 1u);  // modules
    const auto modules = ram.at<uint64_t>(info + 16);
    const auto module = ram.at<uint64_t>(modules);
    EXPECT_EQ(module, kRam - 8192);
    EXPECT_EQ(ram.at<uint64_t>(modules + 8), ramdisk.size());
    EXPECT(std::memcmp(ram.bytes.data() + module, ramdisk.data(), ramdisk.size()) == 0);
    EXPECT_EQ(ram.text(ram.at<uint64_t>(info + 24)), "quiet");
    EXPECT_EQ(ram.at<uint64_t>(info + 32), kAcpiTables);
    EXPECT_EQ(ram.at<uint32_t>(info + 48), 4u);  // ranges
    const auto ranges = ram.at<uint64_t>(info + 40);
    EXPECT_EQ(ram.at<uint64_t>(ranges + 8), kLegacyHole);
    EXPECT_EQ(ram.at<uint64_t>(ranges + 48), kKernelBase);
    EXPECT_EQ(ram.at<uint64_t>(ranges + 56), kRam - kKernelBase);
    EXPECT_EQ(ram.at<uint64_t>(ranges + 72), kHighRamBase);
    EXPECT_EQ(ram.at<uint64_t>(ranges + 80), kMiB);
  }
}

TEST(a_multiboot_kernel_is_entered_at_its_entry_with_what_multiboot_tells) {
  // The second one says its entry as it will see it with paging.
  for (const ElfFile& kernel :
       {ElfFile{.entry = 0x10'0020, .pvh = false, .multiboot = true},
        ElfFile{.virtual_address = 0xc010'0000, .entry = 0xc010'0020, .pvh = false, .multiboot = true}}) {
    const test::TempDir folder;
    Ram ram;
    const auto file = kernel.bytes32();
    const auto image = must(open(folder, file, folder.file("ramdisk", std::vector<std::byte>(5000))));
    const BootState boot = must(image->load(ram.map, true));
    expect_loaded(ram, file);
    EXPECT_EQ(boot.instruction, kKernelBase + 0x20);
    EXPECT_EQ(boot.rax, 0x2badb002u);
    const uint64_t info = boot.rbx;
    EXPECT_EQ(ram.at<uint32_t>(info), 1u | 4 | 8 | 64);
    EXPECT_EQ(ram.at<uint32_t>(info + 4), 640u);
    EXPECT_EQ(ram.at<uint32_t>(info + 8), (kRam - kKernelBase) >> 10);
    EXPECT_EQ(ram.text(ram.at<uint32_t>(info + 16)), "quiet");
    EXPECT_EQ(ram.at<uint32_t>(info + 20), 1u);
    const auto module = ram.at<uint32_t>(info + 24);
    EXPECT_EQ(ram.at<uint32_t>(module + 4) - ram.at<uint32_t>(module), 5000u);
    EXPECT_EQ(ram.text(ram.at<uint32_t>(module + 8)), "");
    EXPECT_EQ(ram.at<uint32_t>(info + 44), 4u * 24);
    const auto map = ram.at<uint32_t>(info + 48);
    EXPECT_EQ(ram.at<uint32_t>(map), 20u);
    EXPECT_EQ(ram.at<uint64_t>(map + 12), kLegacyHole);
  }
}

TEST(what_is_no_kernel_that_can_be_entered_is_refused_with_the_reason) {
  EXPECT_CONTAINS(refusal(std::vector<std::byte>(3)), "not an ELF file; give a bzImage by -k");
  EXPECT_CONTAINS(refusal(ElfFile{.pvh = false}.bytes64()), "neither a PVH note nor a Multiboot header");
  EXPECT_CONTAINS(refusal(ElfFile{.pvh = false, .multiboot = true, .multiboot_flags = 8}.bytes32()),
                  "asks for what nobody knows (flags 0x8)");
  EXPECT_CONTAINS(refusal(ElfFile{.address = 0x8000}.bytes32()), "wants to be loaded to 0x8000..0xbfff");
  EXPECT_CONTAINS(refusal(ElfFile{.address = uint64_t{1} << 40}.bytes64()), "there is RAM for a kernel from 1 MiB");
  EXPECT_CONTAINS(refusal(ElfFile{.size = kRam}.bytes64()), "-m 8M: too little for this kernel; give at least");
  EXPECT_CONTAINS(refusal(ElfFile{.entry = 0x20'0000, .pvh = false, .multiboot = true}.bytes32()),
                  "its entry 0x200000 is in none of its segments");
  EXPECT_CONTAINS(refusal(ElfFile{.address = 0xffff'ffff'ffff'f000, .size = 0x1000}.bytes64()), "or has no end");
  EXPECT_CONTAINS(refusal(ElfFile{.size = 0x10}.bytes64()), "larger in the file than in memory");
  auto other = ElfFile().bytes64();
  other[EI_DATA] = std::byte{ELFDATA2MSB};
  EXPECT_CONTAINS(refusal(other), "big-endian");
  other = ElfFile().bytes64();
  other[offsetof(Elf64_Ehdr, e_machine)] = std::byte{EM_ARM};
  EXPECT_CONTAINS(refusal(other), "for another machine (ELF machine 40)");
  other = ElfFile().bytes64();
  other[offsetof(Elf64_Ehdr, e_type)] = std::byte{ET_REL};
  EXPECT_CONTAINS(refusal(other), "no program");
}

TEST(a_file_that_became_shorter_since_it_was_opened_is_told_of_once) {
  const test::TempDir folder;
  const auto image = must(open(folder, ElfFile().bytes64()));
  std::filesystem::resize_file(folder.path("kernel"), 70);  // in the program headers
  Ram ram;
  const auto loaded = image->load(ram.map, false);
  EXPECT(!loaded.ok());
  EXPECT_EQ(loaded.error().message, "-E " + folder.path("kernel") + ": became shorter while it was read");
}

// Whatever the headers say, it is refused with a reason or loaded inside RAM; ASan looks on.
TEST(any_byte_of_the_headers_may_be_anything_and_a_file_may_end_anywhere) {
  const test::TempDir folder;
  for (const auto& good :
       {ElfFile().bytes32(), ElfFile().bytes64(), ElfFile{.pvh = false, .multiboot = true}.bytes32()}) {
    const auto load = [&](const std::vector<std::byte>& file) {
      const auto image = open(folder, file);
      if (!image) return EXPECT(!image.error().message.empty());
      Ram ram;
      must(image.value()->load(ram.map, false));
    };
    for (size_t at = 0; at < 0x200; at++) {
      for (const unsigned value : {0x00u, 0x7fu, 0xffu}) {
        auto file = good;
        file[at] = std::byte(value);
        load(file);
      }
    }
    for (size_t size = 0; size < good.size(); size += 7) load({good.begin(), good.begin() + static_cast<long>(size)});
  }
}

}  // namespace acrn
