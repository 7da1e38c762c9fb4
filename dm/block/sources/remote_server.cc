#include "dm/block/sources/remote_server.h"

#include "acrn/base/concat.h"
#include "acrn/base/log.h"

namespace acrn {

void RemoteServer::log_lost(uint64_t number, std::string_view why) const {
  if (!worth_telling(number)) return;
  const std::string words = why.empty() && last_words ? last_words() : std::string(why);
  const std::string outlook =
      comes_back ? concat("requests wait for it for ", patience.count(), " s") : "requests fail from now on";
  log(LogLevel::kWarning, concat("virtio-blk ", name, ": the server is lost (number ", number,
                                 words.empty() ? "" : ": ", words, "); ", outlook));
}

void RemoteServer::log_lost_writes() const {
  log(LogLevel::kError,
      concat("virtio-blk ", name, ": writes that were not flushed may be lost; flushes fail from now on"));
}

}  // namespace acrn
