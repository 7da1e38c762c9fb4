// Filter: a backend over a backend, which is as that one but for its channels.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "acrn/block/blockif.h"

namespace acrn {

class Filter : public BlockBackend {
 public:
  BlockInfo info() const override { return below_->info(); }
  Result<uint64_t> refresh_size() override { return below_->refresh_size(); }
  void on_new_size(const std::function<void()>& changed) override { below_->on_new_size(changed); }
  void use_memory(const std::shared_ptr<const MemoryMap>& memory) override { below_->use_memory(memory); }

 protected:
  explicit Filter(std::unique_ptr<BlockBackend> below) : below_(std::move(below)) {}
  BlockBackend& beneath() const { return *below_; }

 private:
  const std::unique_ptr<BlockBackend> below_;
};

}  // namespace acrn
