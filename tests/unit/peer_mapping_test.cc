// PeerMappings: whether a client's process sees what it writes in a file that it gave us.
#include "dm/mem/peer_mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

constexpr size_t kPage = 4096;

// A mapping of a memfd in this process.
class Mapping {
 public:
  explicit Mapping(int flags, const std::string& name = "ram") : fd_(::memfd_create(name.c_str(), MFD_CLOEXEC)) {
    EXPECT_EQ(::ftruncate(fd_.fd(), 2 * kPage), 0);
    place_ = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, flags, fd_.fd(), kPage);
    EXPECT(place_ != MAP_FAILED);
  }
  ~Mapping() { ::munmap(place_, kPage); }
  Mapping(const Mapping&) = delete;

  int fd() const { return fd_.fd(); }

 private:
  const UniqueFd fd_;
  void* place_;
};

TEST(a_file_that_a_process_has_mapped_for_itself_alone_is_told_from_a_shared_one) {
  const Mapping alone(MAP_PRIVATE), shared(MAP_SHARED);
  PeerMappings mappings(::getpid());
  EXPECT(mappings.are_private(alone.fd(), kPage, kPage));
  EXPECT(!mappings.are_private(alone.fd(), 0, kPage));  // that part is not mapped
  EXPECT(!mappings.are_private(shared.fd(), kPage, kPage));
  EXPECT(!PeerMappings(0).are_private(alone.fd(), kPage, kPage));
}

TEST(a_process_with_more_mappings_than_are_read_is_looked_at_once) {
  const Mapping alone(MAP_PRIVATE);  // high up, so listed behind those to come
  PeerMappings mappings(::getpid());
  const UniqueFd file(::memfd_create(std::string(200, 'x').c_str(), MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(file.fd(), 2 * kPage), 0);
  std::vector<void*> places;
  const size_t count = PeerMappings::kMostRead / 200;
  for (size_t i = 0; i < count; i++) {
    // The same page again and again, which is not joined to its neighbour.
    places.push_back(::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, file.fd(), 0));
    EXPECT(places.back() != MAP_FAILED);
  }
  EXPECT(!mappings.are_private(alone.fd(), kPage, kPage));
  for (void* place : places) ::munmap(place, kPage);
  EXPECT(!mappings.are_private(alone.fd(), kPage, kPage));
  EXPECT(PeerMappings(::getpid()).are_private(alone.fd(), kPage, kPage));
}

}  // namespace
}  // namespace acrn
