// Uses a disk over vhost-user through libblkio, a front end that is not ours: what is read is what was written.
//   libblkio_client <socket> <file>            writes, on two queues; the file gets what the disk has to hold then
//   libblkio_client <socket> <file> read-only  the disk is read-only and holds what the file does
// Prints what is wrong, a line each; exit status 1 then.
#include <csignal>
#include <ctime>
// What it uses is declared by these two.
#include <blkio.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr size_t kSector = 512;
constexpr size_t kPage = 4096;
constexpr size_t kMostSectors = 128;  // of a request
constexpr size_t kInFlight = 16;      // on a queue
constexpr int kSeconds = 10;          // for any request

int failures = 0;

[[gnu::format(printf, 1, 2)]] void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::printf("FAILED: ");
  std::vprintf(format, arguments);
  std::printf("\n");
  va_end(arguments);
  if (++failures >= 20) std::exit(1);
}

// What the library returns: below 0 is fatal.
int must(const char* what, int status) {
  if (status >= 0) return status;
  fail("%s: %s: %s", what, std::strerror(-status), blkio_get_error_msg());
  std::exit(1);
}

std::mt19937 random_bits;  // the same on each run
size_t random_in(size_t least, size_t most) { return least + random_bits() % (most - least + 1); }

struct Destroy {
  void operator()(blkio* b) const { blkio_destroy(&b); }
};
using Blkio = std::unique_ptr<blkio, Destroy>;

Blkio connect(const char* socket, bool read_only = false) {
  blkio* b = nullptr;
  must("blkio_create", blkio_create("virtio-blk-vhost-user", &b));
  must("path", blkio_set_str(b, "path", socket));
  must("read-only", blkio_set_bool(b, "read-only", read_only));
  must("blkio_connect", blkio_connect(b));
  return Blkio(b);
}

void expect(const Blkio& b, const char* property, const std::string& expected) {
  char* value = nullptr;
  must(property, blkio_get_str(b.get(), property, &value));
  if (value != expected) fail("%s: got '%s', expected '%s'", property, value, expected.c_str());
  std::free(value);
}

// Memory for data, shared with the server for as long as this lives: of the library, or a part of a file of ours.
class Region {
 public:
  Region(const Blkio& b, size_t bytes, bool ours) : b_(b.get()), ours_(ours) {
    if (ours_) {
      map_file(bytes);
    } else {
      must("blkio_alloc_mem_region", blkio_alloc_mem_region(b_, &region_, bytes));
    }
    status_ = blkio_map_mem_region(b_, &region_);
  }
  ~Region() {
    if (status_ == 0) blkio_unmap_mem_region(b_, &region_);
    if (ours_) {
      munmap(region_.addr, region_.len);
      close(region_.fd);  // not before: the library sends it along when it takes the region back
    } else {
      blkio_free_mem_region(b_, &region_);
    }
  }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  int status() const { return status_; }
  uint8_t* data() const { return static_cast<uint8_t*>(region_.addr); }
  size_t size() const { return region_.len; }

 private:
  void map_file(size_t bytes) {
    const auto offset = static_cast<int64_t>(random_in(0, 3) * kPage);
    const int fd = memfd_create("data", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, offset + static_cast<int64_t>(bytes)) != 0) must("memfd_create", -errno);
    void* const address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
    if (address == MAP_FAILED) must("mmap", -errno);
    region_ = {.addr = address, .len = bytes, .iova = 0, .fd_offset = offset, .fd = fd, .flags = 0};
  }

  blkio* b_;
  bool ours_;
  int status_ = 0;
  blkio_mem_region region_{};
};

struct Extent {
  size_t start;
  size_t bytes;
};

// Its data is in two regions of odd sizes, up to the last byte of one and from within the other, in odd segments.
struct Request {
  bool write = false;
  Extent extent{};
  std::array<std::unique_ptr<Region>, 2> regions;
  std::vector<iovec> segments;
};

enum class Wait { kEvent, kBlock, kSpin };

struct Queue {
  blkioq* q;
  Wait wait;
  std::vector<std::unique_ptr<Request>> requests;  // in flight
};

// What the disk holds.
using Image = std::vector<uint8_t>;

// Waits for at least one request of those that are in flight, or at times for none.
std::vector<blkio_completion> completed(Queue& queue, size_t in_flight) {
  std::vector<blkio_completion> done(in_flight);
  const int most = static_cast<int>(in_flight);
  timespec limit{.tv_sec = kSeconds, .tv_nsec = 0};
  int count = 0;
  switch (queue.wait) {
    case Wait::kBlock: count = blkioq_do_io(queue.q, done.data(), 1, most, &limit); break;
    case Wait::kSpin: {
      const time_t end = std::time(nullptr) + kSeconds;
      while ((count = blkioq_do_io(queue.q, done.data(), 0, most, nullptr)) == 0) {
        if (std::time(nullptr) > end) must("spinning", -ETIME);
      }
      break;
    }
    case Wait::kEvent: {
      pollfd event{.fd = blkioq_get_completion_fd(queue.q), .events = POLLIN, .revents = 0};
      if (poll(&event, 1, kSeconds * 1000) != 1) must("the completion descriptor", -ETIME);
      uint64_t ignored = 0;
      if (read(event.fd, &ignored, sizeof(ignored)) != sizeof(ignored)) must("the completion descriptor", -errno);
      count = blkioq_do_io(queue.q, done.data(), 0, most, nullptr);
      break;
    }
  }
  done.resize(static_cast<size_t>(must("blkioq_do_io", count)));
  return done;
}

// One request that is not in `requests`: its status.
int single(Queue& queue) {
  must("blkioq_do_io", blkioq_do_io(queue.q, nullptr, 0, 0, nullptr));
  for (;;) {
    if (const auto done = completed(queue, 1); !done.empty()) return done[0].ret;
  }
}

void expect_status(const char* what, int got, int expected) {
  if (got != expected) fail("%s: got %s, expected %s", what, std::strerror(-got), std::strerror(-expected));
}

// The bytes of an image, to the request's memory or compared with it.
void fill(const Request& request, const Image& image) {
  const uint8_t* from = image.data() + request.extent.start;
  for (const iovec& each : request.segments) {
    std::memcpy(each.iov_base, from, each.iov_len);
    from += each.iov_len;
  }
}
void compare(const Request& request, const Image& image) {
  size_t at = request.extent.start;
  for (const iovec& each : request.segments) {
    const auto* got = static_cast<const uint8_t*>(each.iov_base);
    const auto* end = got + each.iov_len;
    if (const auto* wrong = std::mismatch(got, end, image.data() + at).first; wrong != end) {
      fail("read at %zu of %zu bytes: byte %zu of the disk is wrong", request.extent.start, request.extent.bytes,
           at + static_cast<size_t>(wrong - got));
      return;
    }
    at += each.iov_len;
  }
}

void make_segments(const Blkio& b, Request& request, size_t most) {
  const size_t split = random_in(1, request.extent.bytes - 1), pad = random_in(0, kPage);
  const std::array<size_t, 2> bytes{split, request.extent.bytes - split}, offset{pad, random_in(0, pad)};
  for (size_t i = 0; i < bytes.size(); i++) {
    const size_t tail = i == 0 ? 0 : random_in(0, kPage);
    request.regions[i] = std::make_unique<Region>(b, offset[i] + bytes[i] + tail, random_in(0, 1) == 1);
    must("blkio_map_mem_region", request.regions[i]->status());
    uint8_t* at = request.regions[i]->data() + offset[i];
    size_t left = bytes[i];
    for (size_t n = 1; left > 0; n++) {
      const size_t length = n == most / 2 ? left : random_in(1, std::min(left, 2 * request.extent.bytes / most));
      request.segments.push_back({at, length});
      at += length;
      left -= length;
    }
  }
}

void submit(const Blkio& b, Queue& queue, bool write, const Extent& extent, const Image& image, size_t segments) {
  auto request = std::make_unique<Request>(Request{write, extent, {}, {}});
  // While other requests of both queues are in flight.
  make_segments(b, *request, segments);
  auto* const vector = request->segments.data();
  const int count = static_cast<int>(request->segments.size());
  if (write) {
    fill(*request, image);
    const uint32_t flags = random_in(0, 7) == 0 ? BLKIO_REQ_FUA : 0;
    blkioq_writev(queue.q, extent.start, vector, count, request.get(), flags);
  } else {
    blkioq_readv(queue.q, extent.start, vector, count, request.get(), 0);
  }
  queue.requests.push_back(std::move(request));
}

void reap(Queue& queue, const Image& image) {
  for (const blkio_completion& each : completed(queue, queue.requests.size())) {
    const auto found = std::find_if(queue.requests.begin(), queue.requests.end(),
                                    [&](const auto& request) { return request.get() == each.user_data; });
    if (found == queue.requests.end()) {
      fail("a request is complete that was not in flight");
      continue;
    }
    const Request& request = **found;
    if (each.ret != 0) {
      fail("%s at %zu of %zu bytes: %s", request.write ? "write" : "read", request.extent.start, request.extent.bytes,
           std::strerror(-each.ret));
    } else if (!request.write) {
      compare(request, image);
    }
    queue.requests.erase(found);
  }
}

// All of these extents, of the image, several on each queue at a time.
void transfer(const Blkio& b, std::vector<Queue>& queues, bool write, std::vector<Extent> extents, const Image& image) {
  std::shuffle(extents.begin(), extents.end(), random_bits);
  for (;;) {
    for (Queue& queue : queues) {
      while (!extents.empty() && queue.requests.size() < kInFlight) {
        submit(b, queue, write, extents.back(), image, 8);
        extents.pop_back();
        if (random_in(0, 1) == 1) must("blkioq_do_io", blkioq_do_io(queue.q, nullptr, 0, 0, nullptr));
      }
      must("blkioq_do_io", blkioq_do_io(queue.q, nullptr, 0, 0, nullptr));
    }
    bool busy = false;
    for (Queue& queue : queues) {
      if (!queue.requests.empty()) reap(queue, image);
      busy = busy || !queue.requests.empty();
    }
    if (!busy && extents.empty()) return;
  }
}

// A part of the disk in pieces.
std::vector<Extent> pieces(size_t start, size_t end) {
  std::vector<Extent> result;
  while (start < end) {
    const size_t bytes = std::min(end - start, random_in(1, kMostSectors) * kSector);
    result.push_back({start, bytes});
    start += bytes;
  }
  return result;
}

// Every word says where it is, and in which round it was written.
void stamp(Image& image, size_t start, size_t end, uint64_t round) {
  for (size_t at = start; at < end; at += sizeof(uint64_t)) {
    const uint64_t word = (at << 8) | round;
    std::memcpy(image.data() + at, &word, sizeof(word));
  }
}

void flush(Queue& queue) {
  blkioq_flush(queue.q, nullptr, 0);
  expect_status("flush", single(queue), 0);
}

Blkio start(const char* socket, int queues, int poll_queues) {
  Blkio b = connect(socket);
  must("num-queues", blkio_set_int(b.get(), "num-queues", queues));
  must("num-poll-queues", blkio_set_int(b.get(), "num-poll-queues", poll_queues));
  must("blkio_start", blkio_start(b.get()));
  return b;
}

// The whole disk is written and read, with completion descriptors and with waiting.
void write_everything(const char* socket, Image& image) {
  const Blkio b = start(socket, 2, 0);
  std::vector<Queue> queues;
  queues.push_back({blkio_get_queue(b.get(), 0), Wait::kEvent, {}});
  queues.push_back({blkio_get_queue(b.get(), 1), Wait::kBlock, {}});
  blkioq_set_completion_fd_enabled(queues[0].q, true);
  stamp(image, 0, image.size(), 1);
  transfer(b, queues, true, pieces(0, image.size()), image);
  for (Queue& queue : queues) flush(queue);
  transfer(b, queues, false, pieces(0, image.size()), image);
}

// A queue that the library polls beside one that the program polls; requests for zeroes. The disk is read first: a new
// connection, and no memory of the former.
void poll_and_zero(const char* socket, Image& image) {
  const Blkio b = start(socket, 1, 1);
  std::vector<Queue> queues;
  queues.push_back({blkio_get_queue(b.get(), 0), Wait::kSpin, {}});
  queues.push_back({blkio_get_poll_queue(b.get(), 0), Wait::kBlock, {}});
  transfer(b, queues, false, pieces(0, image.size()), image);
  stamp(image, 0, image.size() / 2, 2);
  transfer(b, queues, true, pieces(0, image.size() / 2), image);

  size_t at = 0;
  auto zero = [&](const char* what, Queue& queue, size_t bytes, auto request) {
    request(queue.q, at, bytes);
    expect_status(what, single(queue), 0);
    std::fill_n(image.begin() + static_cast<ptrdiff_t>(at), bytes, 0);
    at += bytes + 64 * kPage;
  };
  for (Queue& queue : queues) {
    zero("discard", queue, 16 * kPage,
         [](blkioq* q, size_t start, size_t bytes) { blkioq_discard(q, start, bytes, nullptr, 0); });
    for (const uint32_t flags : {0, int{BLKIO_REQ_NO_UNMAP}, int{BLKIO_REQ_FUA}}) {
      zero("write zeroes", queue, 16 * kPage + 3 * kSector,
           [&](blkioq* q, size_t start, size_t bytes) { blkioq_write_zeroes(q, start, bytes, nullptr, flags); });
      at = at / kPage * kPage;
    }
    flush(queue);
  }
  transfer(b, queues, false, pieces(0, image.size()), image);
}

// As many regions as the server has said, and one too many; as many segments as it has said.
void go_to_the_limits(const char* socket, Image& image) {
  const Blkio b = start(socket, 2, 0);
  std::vector<Queue> queues;
  queues.push_back({blkio_get_queue(b.get(), 0), Wait::kBlock, {}});
  queues.push_back({blkio_get_queue(b.get(), 1), Wait::kEvent, {}});
  blkioq_set_completion_fd_enabled(queues[1].q, true);
  uint64_t most = 0;
  must("max-mem-regions", blkio_get_uint64(b.get(), "max-mem-regions", &most));
  std::vector<std::unique_ptr<Region>> regions;
  do {
    regions.push_back(std::make_unique<Region>(b, random_in(1, 2 * kPage), false));
  } while (regions.back()->status() == 0 && regions.size() <= most);
  // A few are the library's own.
  if (regions.size() > most || regions.size() + 8 < most) fail("%zu regions of %zu", regions.size(), size_t{most});
  regions.erase(regions.begin() + 1, regions.end());
  if (regions[0]->status() != 0) fail("the first region: %s", std::strerror(-regions[0]->status()));

  int segments = 0, entries = 0;
  must("max-segments", blkio_get_int(b.get(), "max-segments", &segments));
  must("queue-size", blkio_get_int(b.get(), "queue-size", &entries));
  // The request's header and status are two more; the library waits for room forever.
  if (segments + 2 > entries) return fail("%d segments, which are too many for a ring of %d", segments, entries);
  const Extent extent{image.size() - 64 * kSector, 64 * kSector};
  stamp(image, extent.start, image.size(), 3);
  for (Queue& queue : queues) {
    for (const bool write : {true, false}) {
      submit(b, queue, write, extent, image, static_cast<size_t>(segments));
      must("blkioq_do_io", blkioq_do_io(queue.q, nullptr, 0, 0, nullptr));
      while (!queue.requests.empty()) reap(queue, image);
    }
  }
  transfer(b, queues, false, pieces(0, image.size()), image);
  flush(queues[0]);
}

void read_only(const char* socket, const Image& image) {
  {
    const Blkio b = connect(socket);
    expect_status("a read-only disk for writing", blkio_start(b.get()), -EROFS);
  }
  const Blkio b = connect(socket, true);
  expect(b, "capacity", std::to_string(image.size()));
  must("blkio_start", blkio_start(b.get()));
  std::vector<Queue> queues;
  queues.push_back({blkio_get_queue(b.get(), 0), Wait::kBlock, {}});
  transfer(b, queues, false, pieces(0, image.size()), image);
  const Region region(b, kSector, false);
  blkioq_write(queues[0].q, 0, region.data(), kSector, nullptr, 0);
  expect_status("a write to a read-only disk", single(queues[0]), -EBADF);
}

Image contents(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (argc < 3) return 64;
  if (argc > 3) {
    read_only(argv[1], contents(argv[2]));
    return failures == 0 ? 0 : 1;
  }
  uint64_t capacity = 0;
  {
    const Blkio b = connect(argv[1]);
    must("capacity", blkio_get_uint64(b.get(), "capacity", &capacity));
    expect(b, "max-queues", "2");
    expect(b, "needs-mem-regions", "true");
    expect(b, "supports-poll-queues", "true");
    expect(b, "flush-needed", "true");
  }
  Image image(capacity);
  write_everything(argv[1], image);
  poll_and_zero(argv[1], image);
  go_to_the_limits(argv[1], image);
  std::ofstream(argv[2], std::ios::binary).write(std::data(std::string(image.begin(), image.end())), std::ssize(image));
  return failures == 0 ? 0 : 1;
}
