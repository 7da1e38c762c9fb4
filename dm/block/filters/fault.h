// A disk that does wrong what its rules say (`fault=`), for people who test what lives on it.
#pragma once

#include <memory>
#include <span>

#include "acrn/block/blockif.h"
#include "acrn/block/fault_rule.h"

namespace acrn {

std::unique_ptr<BlockBackend> make_filter_fault(std::unique_ptr<BlockBackend> below, std::span<const FaultRule> rules);

}  // namespace acrn
