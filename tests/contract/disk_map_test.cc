// What is known of a disk's zeroes without reading it: of a file's holes, and by an NBD server's word.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "dm/block/open_disk_map.h"
#include "tests/contract/block_rig.h"
#include "tests/support/nbd_server.h"
#include "tests/support/temp_dir.h"

namespace acrn::test {
namespace {

constexpr uint64_t kSize = 8 << 20, kPiece = 64 << 10;

// A file of kSize bytes with data in some pieces, and which they are.
std::vector<bool> make_sparse(const std::string& path, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<bool> has_data(kSize / kPiece);
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  EXPECT(file && ::ftruncate(file.fd(), kSize) == 0);
  const auto data = pattern(7, kPiece);
  for (size_t i = 0; i + 1 < has_data.size(); i++) {  // the last one is a hole
    if (random() % 4 != 0) continue;
    has_data[i] = true;
    EXPECT_EQ(::pwrite(file.fd(), data.data(), kPiece, static_cast<off_t>(i * kPiece)), static_cast<ssize_t>(kPiece));
  }
  return has_data;
}

// Whoever walks along the map finds all of the disk, no data in its zeroes, and each hole if `all`.
void expect_map_of(DiskMap& map, const std::vector<bool>& has_data, size_t first = 0) {
  std::vector<bool> zeroes(has_data.size());
  for (uint64_t at = 0; at < kSize - first * kPiece;) {
    const DiskMap::Extent extent = map.extent_at(at);
    EXPECT(extent.bytes != 0);
    const uint64_t end = std::min(kSize - first * kPiece, at + extent.bytes);
    for (uint64_t piece = at / kPiece; piece * kPiece < end; piece++) {
      if (extent.zeroes) EXPECT(!has_data[first + piece]);
      if (extent.zeroes && piece * kPiece >= at && (piece + 1) * kPiece <= end) zeroes[first + piece] = true;
    }
    at = end;
  }
  for (size_t i = first; i < has_data.size(); i++) EXPECT_EQ(zeroes[i], !has_data[i]);
}

TEST(the_holes_of_a_file_are_known) {
  const TempDir dir;
  for (unsigned seed = 1; seed < 8; seed++) {
    const auto has_data = make_sparse(dir.path("disk"), seed);
    const auto map = open_disk_map(options_for(dir.path("disk")));
    EXPECT(map != nullptr);
    expect_map_of(*map, has_data);
    EXPECT(!map->extent_at(kSize).zeroes);
  }
}

TEST(a_window_of_a_file_has_the_holes_that_are_in_it) {
  const TempDir dir;
  const auto has_data = make_sparse(dir.path("disk"), 1);
  BlockOptions options = options_for(dir.path("disk"));
  options.range = BlockRange{5 * kPiece / 512, (kSize - 5 * kPiece) / 512};
  expect_map_of(*open_disk_map(options), has_data, 5);
}

TEST(nothing_is_known_of_what_is_no_raw_file) {
  const TempDir dir;
  EXPECT(open_disk_map(options_for(dir.path("missing"))) == nullptr);
  EXPECT(open_disk_map(options_for("/dev/zero")) == nullptr);
  EXPECT_EQ(::mkfifo(dir.path("pipe").c_str(), 0600), 0);
  EXPECT(open_disk_map(options_for(dir.path("pipe"))) == nullptr);
  BlockOptions image = options_for(dir.file("image", kSize));
  image.format = ImageFormat::kQcow2;
  EXPECT(open_disk_map(image) == nullptr);
}

std::vector<std::string> nbdkit(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"nbdkit", "--foreground", "--exit-with-parent", "--unix", "SOCKET"});
  return arguments;
}

BlockOptions options_of(const NbdServer& server) {
  BlockOptions options;
  options.source = NbdUri{server.uri()};
  return options;
}

TEST(an_nbd_server_tells_of_its_zeroes) {
  const TempDir dir;
  const auto has_data = make_sparse(dir.path("disk"), 3);
  for (const auto& command : {nbdkit({"file", dir.path("disk")}), NbdServer::file(dir.path("disk"))}) {
    const NbdServer server(command);
    const auto map = open_disk_map(options_of(server));
    EXPECT(map != nullptr);
    expect_map_of(*map, has_data);
    EXPECT(!map->extent_at(kSize).zeroes);
  }
}

TEST(a_server_that_does_not_tell_or_goes_away_leaves_all_unknown) {
  const TempDir dir;
  make_sparse(dir.path("disk"), 3);
  {
    const NbdServer silent(nbdkit({"--no-sr", "file", dir.path("disk")}));
    EXPECT(open_disk_map(options_of(silent)) == nullptr);
  }
  NbdServer server(nbdkit({"file", dir.path("disk")}));
  const auto map = open_disk_map(options_of(server));
  EXPECT(map != nullptr);
  server.end(SIGKILL);
  for (uint64_t at = 0; at < kSize; at += kPiece) EXPECT(!map->extent_at(at).zeroes);
  EXPECT(open_disk_map(options_of(server)) == nullptr);
}

// Its one connection is for the disk.
TEST(a_server_that_takes_one_connection_is_not_asked) {
  const TempDir dir;
  make_sparse(dir.path("disk"), 3);
  const NbdServer server(nbdkit({"--filter=noparallel", "file", dir.path("disk"), "serialize=connections"}));
  EXPECT(open_disk_map(options_of(server)) == nullptr);
}

}  // namespace
}  // namespace acrn::test
