// The host's half of exchange/: answers a guest by way of the file that is its disk.
//   answer <image> mailbox|ring
// It sleeps until the file is written, so the file has to be one that the kernel tells of: no block device. The page
// cache is where the two meet, so the disk is without `nocache`. Runs until it is killed.
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstring>

#include "exchange/layout.h"

namespace {

constexpr off_t kSector = 512;

class Image {
 public:
  explicit Image(const char* path) : fd_(open(path, O_RDWR | O_CLOEXEC)), changes_(inotify_init1(IN_CLOEXEC)) {
    if (fd_ < 0 || inotify_add_watch(changes_, path, IN_MODIFY) < 0) fail(path);
  }

  void read(uint32_t sector, void* to, size_t size) const {
    if (pread(fd_, to, size, sector * kSector) != static_cast<ssize_t>(size)) fail("read");
  }
  void write(uint32_t sector, const void* from, size_t size) const {
    if (pwrite(fd_, from, size, sector * kSector) != static_cast<ssize_t>(size)) fail("write");
  }
  // Until somebody has written since the last call, be it we.
  void wait() const {
    std::array<char, 4096> events;
    if (::read(changes_, events.data(), events.size()) < 0) fail("inotify");
  }

 private:
  [[noreturn]] static void fail(const char* what) {
    std::perror(what);
    _exit(66);
  }

  const int fd_, changes_;
};

// What the host has come to, as in its control sector.
struct State {
  uint32_t sequence, value;
};

void show(const Image& image, State state) {
  Control control{};
  control.sequence = control.sequence_again = state.sequence;
  control.value = state.value;
  image.write(kHostControl, &control, sizeof control);
}

State answer(const Image& image, const Control& guest, State) {
  std::array<char, kRegion * kSector> region;
  image.read(kOutput, region.data(), region.size());
  const uint32_t length = std::min<uint32_t>(guest.value, region.size());
  std::transform(region.begin(), region.begin() + length, region.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  image.write(kInput, region.data(), region.size());
  return {guest.sequence, length};
}

State take(const Image& image, const Control& guest, State state) {
  if (guest.sequence - state.sequence > kSlots) {  // a guest is not to be believed
    std::fputs("the guest is more than a ring ahead\n", stderr);
    _exit(65);
  }
  while (state.sequence != guest.sequence) {
    Message message;
    image.read(kRing + state.sequence++ % kSlots, &message, sizeof message);
    for (const uint32_t word : message.words) state.value += word;
  }
  return state;
}

}  // namespace

int main(int argc, char** argv) {
  const bool mailbox = argc == 3 && std::strcmp(argv[2], "mailbox") == 0;
  if (!mailbox && (argc != 3 || std::strcmp(argv[2], "ring") != 0)) {
    std::fputs("usage: answer <image> mailbox|ring\n", stderr);
    return 64;
  }
  const Image image(argv[1]);
  Control guest, host;
  image.read(kHostControl, &host, sizeof host);
  State state{host.sequence, host.value};
  for (;; image.wait()) {
    image.read(kGuestControl, &guest, sizeof guest);
    if (!guest.whole() || guest.sequence == state.sequence) continue;
    state = mailbox ? answer(image, guest, state) : take(image, guest, state);
    show(image, state);
  }
}
