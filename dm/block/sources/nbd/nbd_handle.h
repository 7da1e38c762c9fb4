// A connection to an NBD server, as libnbd has it: how one is made, and what its server says of the export.
#pragma once

#include <libnbd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "acrn/base/result.h"
#include "acrn/block/disk_map.h"

namespace acrn {

struct CloseNbd {
  void operator()(nbd_handle* handle) const { nbd_close(handle); }
};
// Its end closes the connection, and nothing of its commands is touched from then on.
using NbdHandle = std::unique_ptr<nbd_handle, CloseNbd>;

// The export. Sizes in bytes.
struct NbdFacts {
  uint64_t size = 0;
  bool read_only = false;
  bool can_flush = false, can_fua = false, can_trim = false, can_zero = false;
  bool can_share = false;                    // several connections see one disk (NBD_FLAG_CAN_MULTI_CONN)
  uint32_t least = 1, preferred = 4096;      // of a request: powers of two
  uint32_t most_payload = 32 * 1024 * 1024;  // of a read or write
};

inline constexpr std::chrono::seconds kNbdPatience{10};  // for a server to answer, while something waits for it

// Connects to the export that the URI names (the NBD URI specification: nbd, nbds, nbd+unix, nbds+unix). Waits, until
// `patience` is over or the descriptor `cancel` is readable (-1: none). Errors: kNoInput, with libnbd's reason.
Result<NbdHandle> connect_nbd(const std::string& uri, std::chrono::milliseconds patience, int cancel = -1);
// The same, and the server is asked for its block status.
Result<NbdHandle> connect_nbd_for_status(const std::string& uri, std::chrono::milliseconds patience);
// The server's word on the first of these bytes, 1 or more (NBD_STATE_ZERO). Null: it has none to say, or does not in
// time.
std::optional<DiskMap::Extent> ask_status(nbd_handle* handle, uint64_t offset, uint64_t bytes,
                                          std::chrono::milliseconds patience);

NbdFacts facts_of(nbd_handle* handle);

}  // namespace acrn
