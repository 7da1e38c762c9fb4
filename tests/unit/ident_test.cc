#include "dm/ident/disk_serial.h"
#include "dm/ident/sha256.h"
#include "dm/ident/vm_uuid.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

std::string sha256(std::initializer_list<std::string_view> parts) {
  Sha256 hash;
  for (const std::string_view part : parts) hash.update(std::as_bytes(std::span(part)));
  return hash.finish_hex();
}

}  // namespace

// FIPS 180-2 appendix B.
TEST(sha256_gives_the_published_digests) {
  EXPECT_EQ(sha256({"abc"}), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(sha256_does_not_depend_on_how_the_bytes_are_cut) {
  EXPECT_EQ(sha256({"a", "", "bc"}), sha256({"abc"}));
  EXPECT(sha256({"abd"}) != sha256({"abc"}));
}

TEST(disk_serial_has_twenty_upper_case_characters) {
  EXPECT_EQ(disk_serial("abc"), "ACRN--BA78-16BF-8F01");
  EXPECT_EQ(disk_serial("abc").size(), 20u);
}

// COVERS(device page, 7): the serial is stable and differs between disks
TEST(disk_serial_is_stable_and_differs_between_identities) {
  EXPECT_EQ(disk_serial("file:/a.img:0+512"), disk_serial("file:/a.img:0+512"));
  EXPECT(disk_serial("file:/a.img:0+512") != disk_serial("file:/a.img:512+512"));
  EXPECT(disk_serial("nodisk:0:9:0") != disk_serial("nodisk:0:10:0"));
}

TEST(uuid_of_a_name_is_stable_and_of_version_five) {
  const VmUuid uuid = uuid_of_name("vm1");
  EXPECT_EQ(to_text(uuid), "dec72539-b150-57cc-b4ab-dc6f67150983");
  EXPECT(uuid == uuid_of_name("vm1"));
  EXPECT(!(uuid == uuid_of_name("vm2")));
  EXPECT_EQ(uuid.bytes[6] >> 4, 5);
  EXPECT_EQ(uuid.bytes[8] >> 6, 2);
}

TEST(uuid_text_is_read_in_either_case_and_written_in_lower_case) {
  const auto uuid = parse_uuid("615DB82A-e189-4b4f-8dbb-d321343e4ab3");
  EXPECT(uuid.has_value());
  EXPECT_EQ(to_text(*uuid), "615db82a-e189-4b4f-8dbb-d321343e4ab3");
  EXPECT_EQ(uuid->bytes[0], 0x61);
}

TEST(uuid_text_that_is_no_uuid_is_refused) {
  for (const std::string_view text :
       {"", "615db82a", "615db82ae1894b4f8dbbd321343e4ab3", "{15db82a-e189-4b4f-8dbb-d321343e4ab3",
        "615db82a-e189-4b4f-8dbb-d321343e4abg", "615db82a-e189-4b4f-8dbb-d321343e4ab3 "}) {
    EXPECT(!parse_uuid(text));
  }
  EXPECT(!parse_uuid(std::string_view("615db82a-e189-4b4f-8dbb-d321343e4ab\0", 36)));
}

}  // namespace acrn
