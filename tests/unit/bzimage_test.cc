#include "dm/boot/bzimage.h"

#include <cstring>
#include <vector>

#include "dm/boot/boot_image.h"
#include "tests/support/bzimage_file.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

Result<BzImage> parse(const std::vector<std::byte>& file) {
  return parse_bzimage(std::span(file).first(std::min(file.size(), kBzImageHeaderBytes)), file.size());
}

std::string reason(const std::vector<std::byte>& file) {
  const auto parsed = parse(file);
  return parsed ? "" : parsed.error().message;
}

Result<std::unique_ptr<BootImage>> open(const std::string& kernel, std::optional<std::string> ramdisk, uint64_t ram) {
  return BootImage::open({.kernel = kernel, .ramdisk = ramdisk, .bootargs = "quiet", .ram = ram_layout(ram)});
}

}  // namespace

TEST(a_bzimage_says_where_it_wants_to_be) {
  const auto parsed = parse(test::bzimage_file());
  EXPECT(parsed.ok());
  EXPECT_EQ(parsed.value().payload_offset, 1024u);
  EXPECT_EQ(parsed.value().payload_size, test::kBzImageFileSize - 1024);
  EXPECT_EQ(parsed.value().memory_end, 0x300'0000u);
  EXPECT_EQ(parsed.value().ramdisk_end_max, 0x8000'0000u);
  EXPECT(parsed.value().long_mode);
}

TEST(a_kernel_without_a_64_bit_entry_is_entered_at_32_bits) {
  EXPECT(!parse(test::bzimage_file(0x20f, 0)).value().long_mode);
  EXPECT(!parse(test::bzimage_file(0x20b)).value().long_mode);  // the flag is not there yet
}

TEST(what_is_not_a_bzimage_is_refused_with_the_reason) {
  EXPECT_CONTAINS(reason({}), "not a bzImage");
  EXPECT_CONTAINS(reason(std::vector<std::byte>(100)), "not a bzImage");
  EXPECT_CONTAINS(reason(std::vector<std::byte>(test::kBzImageFileSize)), "not a bzImage");
  EXPECT_CONTAINS(reason(test::bzimage_file(0x205)), "boot protocol 2.5 is too old");
  auto low = test::bzimage_file();
  low[0x211] = std::byte{0};
  EXPECT_CONTAINS(reason(low), "zImage");
  auto cut = test::bzimage_file();
  cut.resize(test::kBzImageFileSize - 16);
  EXPECT_CONTAINS(reason(cut), "truncated");
  cut.resize(1024);
  EXPECT_CONTAINS(reason(cut), "truncated");
}

// COVERS(input): bzImage headers
TEST(any_byte_of_the_header_may_be_anything) {
  for (size_t at = 0x1f0; at < 0x280; at++) {
    for (const unsigned value : {0x00u, 0x7fu, 0x80u, 0xffu}) {
      auto file = test::bzimage_file();
      file[at] = std::byte{static_cast<unsigned char>(value)};
      const auto parsed = parse(file);
      if (!parsed) continue;
      EXPECT(parsed.value().payload_offset + parsed.value().payload_size == file.size());
      EXPECT(parsed.value().memory_end >= kKernelBase + parsed.value().payload_size);
    }
  }
}

TEST(a_kernel_that_does_not_fit_is_refused_before_anything_is_started) {
  const test::TempDir folder;
  const std::string kernel = folder.file("kernel", test::bzimage_file());
  EXPECT(open(kernel, std::nullopt, 64 * kMiB).ok());
  const auto small = open(kernel, std::nullopt, 32 * kMiB);
  EXPECT(!small.ok());
  EXPECT_CONTAINS(small.error().message, "-m 32M: too little for this kernel; give at least 50M");
  EXPECT_EQ(static_cast<int>(small.error().kind), 64);
  const std::string ramdisk = folder.file("ramdisk", std::vector<std::byte>(15 * kMiB + 1));
  EXPECT(!open(kernel, ramdisk, 62 * kMiB).ok());
  EXPECT(open(kernel, ramdisk, 66 * kMiB).ok());
}

TEST(missing_and_odd_files_are_named_with_their_option) {
  const test::TempDir folder;
  const std::string kernel = folder.file("kernel", test::bzimage_file());
  const auto refusal = [](Result<std::unique_ptr<BootImage>> opened) {
    return opened ? std::string() : opened.error().message;
  };
  EXPECT_CONTAINS(refusal(open(folder.path("none"), std::nullopt, 64 * kMiB)),
                  "-k " + folder.path("none") + ": No such file");
  EXPECT_CONTAINS(refusal(open(folder.path(""), std::nullopt, 64 * kMiB)), "not a regular file");
  EXPECT_CONTAINS(refusal(open(kernel, folder.path("none"), 64 * kMiB)),
                  "-r " + folder.path("none") + ": No such file");
  EXPECT_CONTAINS(refusal(open(kernel, folder.file("empty", 0), 64 * kMiB)), "empty");
}

}  // namespace acrn
