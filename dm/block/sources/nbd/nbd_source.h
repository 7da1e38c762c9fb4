// NbdSource: the disk is an export of an NBD server. Each loop has a connection, which completes there; a server that
// wants only one connection gets one.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "acrn/base/result.h"
#include "acrn/block/blockif.h"
#include "dm/block/sources/loop_channels.h"
#include "dm/block/sources/nbd/nbd_connection.h"
#include "dm/block/sources/nbd/nbd_export.h"

namespace acrn {

// What the server says of the export. Errors: kNoInput.
Result<NbdFacts> inspect_nbd(const std::string& uri, std::chrono::milliseconds patience = kNbdPatience);

class NbdSource final : public BlockBackend {
 public:
  // `info`: what info() is to say.
  NbdSource(NbdPlace place, const NbdFacts& facts, const BlockInfo& info)
      : export_(std::move(place), facts), info_(info) {}

  BlockInfo info() const override;
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override;
  // Connections see the new size when they have been made anew, which this asks them for.
  Result<uint64_t> refresh_size() override;

 private:
  NbdExport export_;
  const BlockInfo info_;
  LoopChannels<NbdConnection> channels_;
};

}  // namespace acrn
