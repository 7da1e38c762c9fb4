// The options of a virtio-blk function: text to BlockOptions. Pure; nothing is opened.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "dm/cli/option_table.h"

namespace acrn {

inline constexpr unsigned kMaxQueues = 64;
inline constexpr unsigned kMaxIoThreads = 64;

// The values of aio=, map=, kick=, werror= and rerror=.
inline constexpr ChoiceWords<BlockEngine, 3> kEngineWords{
    {{"auto", BlockEngine::kAuto}, {"threads", BlockEngine::kThreads}, {"io_uring", BlockEngine::kIoUring}}};
inline constexpr ChoiceWords<MapMode, 3> kMapWords{
    {{"auto", MapMode::kAuto}, {"on", MapMode::kOn}, {"off", MapMode::kOff}}};
inline constexpr ChoiceWords<KickMode, 3> kKickWords{
    {{"auto", KickMode::kAuto}, {"inline", KickMode::kInline}, {"loop", KickMode::kLoop}}};
inline constexpr ChoiceWords<ErrorPolicy, 3> kWriteErrorWords{
    {{"report", ErrorPolicy::kReport}, {"enospc", ErrorPolicy::kEnospc}, {"stop", ErrorPolicy::kStop}}};
inline constexpr ChoiceWords<ErrorPolicy, 2> kReadErrorWords{
    {{"report", ErrorPolicy::kReport}, {"stop", ErrorPolicy::kStop}}};

// Each option once.
std::span<const OptionRow<BlockOptions>> block_option_rows();

// Whether a field, like "mq=2", may stand before the path: the first other one is the path.
bool may_precede_path(std::string_view field);

// `fields` is what follows the slot or the emulation, split at commas: [iothread..,][mq=..,]<path>[,opt...].
// Errors are kUsage and name the option, its value and what would be right.
Result<BlockOptions> parse_block_options(std::span<const std::string> fields);

// The same for the disk that a `nodisk` slot gets later (blkrescan): the slot's options, then those in `fields`. Those
// that the guest or its threads know already must stay as the slot has them.
Result<BlockOptions> parse_rescan_options(std::span<const std::string> fields, const BlockOptions& slot);

// The limits `now`, but for what the fields say, like "iops=2000" and "bps_burst=4M"; a rate of 0 ends a limit.
Result<DiskLimits> parse_limits(std::span<const std::string> fields, const DiskLimits& now);

// The source as the user would write it: a path, "nodisk" or "ram:<bytes>".
std::string source_text(const BlockSource& source);

}  // namespace acrn
