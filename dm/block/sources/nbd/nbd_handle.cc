#include "dm/block/sources/nbd/nbd_handle.h"

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "acrn/base/concat.h"
#include "dm/base/wait_for.h"

namespace acrn {
namespace {

using Clock = std::chrono::steady_clock;

Error refusal(const std::string& uri, const std::string& why) {
  return {ErrorKind::kNoInput, concat("virtio-blk ", uri, ": ", why)};
}

Error last_error(const std::string& uri) {
  const char* const why = nbd_get_error();
  return refusal(uri, why != nullptr ? why : "not connected");
}

uint32_t block_size(nbd_handle* handle, int which, uint32_t otherwise) {
  const int64_t size = nbd_get_block_size(handle, which);
  return size > 0 && size <= UINT32_MAX ? static_cast<uint32_t>(size) : otherwise;
}

// 0: the time is up, or this has been cancelled.
short wait_for_server(nbd_handle* handle, int cancel, Clock::time_point end) {
  const unsigned direction = nbd_aio_get_direction(handle);
  short events = 0;
  if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0) events |= POLLIN;
  if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) events |= POLLOUT;
  return wait_for(nbd_aio_get_fd(handle), events, cancel, end);
}

enum class Progress { kMade, kNoTime, kFailed };

// Waits for the server, and lets libnbd go on.
Progress progress(nbd_handle* handle, int cancel, Clock::time_point end) {
  const short ready = wait_for_server(handle, cancel, end);
  if (ready <= 0) return Progress::kNoTime;
  const bool readable =
      (ready & (POLLIN | POLLHUP | POLLERR)) != 0 && (nbd_aio_get_direction(handle) & LIBNBD_AIO_DIRECTION_READ) != 0;
  const int notified = readable ? nbd_aio_notify_read(handle) : nbd_aio_notify_write(handle);
  return notified < 0 ? Progress::kFailed : Progress::kMade;
}

// Whose key it is, where the URI names nobody. libnbd would look it up for each connection, which a process that is
// confined by then cannot.
const std::string& login_name() {
  static const std::string name = [] {
    std::array<char, LOGIN_NAME_MAX + 1> text{};
    return std::string(::getlogin_r(text.data(), text.size()) == 0 ? text.data() : "");
  }();
  return name;
}

Result<NbdHandle> connect(const std::string& uri, std::chrono::milliseconds patience, int cancel, bool wants_status) {
  const auto end = Clock::now() + patience;
  NbdHandle handle(nbd_create());
  if (handle == nullptr) return last_error(uri);
  nbd_set_pread_initialize(handle.get(), false);
  nbd_set_uri_allow_local_file(handle.get(), true);  // tls-psk-file=
  if (uri.starts_with("nbds") && !login_name().empty()) nbd_set_tls_username(handle.get(), login_name().c_str());
  if (wants_status && nbd_add_meta_context(handle.get(), LIBNBD_CONTEXT_BASE_ALLOCATION) < 0) return last_error(uri);
  if (nbd_aio_connect_uri(handle.get(), uri.c_str()) < 0) return last_error(uri);
  while (nbd_aio_is_ready(handle.get()) != 1) {
    if (nbd_aio_is_dead(handle.get()) == 1 || nbd_aio_is_closed(handle.get()) == 1) return last_error(uri);
    switch (progress(handle.get(), cancel, end)) {
      case Progress::kMade: break;
      case Progress::kNoTime: return refusal(uri, "the server does not answer");
      case Progress::kFailed: return last_error(uri);
    }
  }
  return handle;
}

// Entries are pairs: bytes, and what they are.
int take_status(void* context, const char*, uint64_t, uint32_t* entries, size_t count, int*) {
  auto& status = *static_cast<std::optional<DiskMap::Extent>*>(context);
  for (size_t i = 0; i + 1 < count && entries[i] != 0; i += 2) {
    const bool zeroes = (entries[i + 1] & LIBNBD_STATE_ZERO) != 0;
    if (!status) status = DiskMap::Extent{0, zeroes};
    if (status->zeroes != zeroes) break;
    status->bytes += entries[i];
  }
  return 0;
}

}  // namespace

Result<NbdHandle> connect_nbd(const std::string& uri, std::chrono::milliseconds patience, int cancel) {
  return connect(uri, patience, cancel, false);
}

Result<NbdHandle> connect_nbd_for_status(const std::string& uri, std::chrono::milliseconds patience) {
  return connect(uri, patience, -1, true);
}

std::optional<DiskMap::Extent> ask_status(nbd_handle* handle, uint64_t offset, uint64_t bytes,
                                          std::chrono::milliseconds patience) {
  const auto end = Clock::now() + patience;
  std::optional<DiskMap::Extent> status;
  const nbd_extent_callback take{take_status, &status, nullptr};
  const int64_t command = nbd_aio_block_status(handle, bytes, offset, take, NBD_NULL_COMPLETION, 0);
  if (command < 0) return std::nullopt;
  for (;;) {
    const int done = nbd_aio_command_completed(handle, static_cast<uint64_t>(command));
    if (done > 0) return status;
    if (done < 0 || progress(handle, -1, end) != Progress::kMade) return std::nullopt;
  }
}

NbdFacts facts_of(nbd_handle* handle) {
  NbdFacts facts;
  facts.size = static_cast<uint64_t>(std::max<int64_t>(nbd_get_size(handle), 0));
  facts.read_only = nbd_is_read_only(handle) == 1;
  facts.can_flush = nbd_can_flush(handle) == 1;
  facts.can_fua = nbd_can_fua(handle) == 1;
  facts.can_trim = nbd_can_trim(handle) == 1;
  facts.can_zero = nbd_can_zero(handle) == 1;
  facts.can_share = nbd_can_multi_conn(handle) == 1;
  facts.least = std::bit_floor(block_size(handle, LIBNBD_SIZE_MINIMUM, facts.least));
  facts.preferred = std::max(facts.least, std::bit_floor(block_size(handle, LIBNBD_SIZE_PREFERRED, facts.preferred)));
  facts.most_payload = std::min(block_size(handle, LIBNBD_SIZE_MAXIMUM, facts.most_payload), facts.most_payload);
  return facts;
}

}  // namespace acrn
