#include "dm/block/sources/vhost_user/back_end_facts.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "acrn/base/concat.h"
#include "acrn/virtio/virtio_spec.h"

namespace acrn {

using namespace vhost_user;  // NOLINT(google-build-using-namespace): the names of its messages

namespace {

constexpr uint64_t kWanted = kVersion1 | kProtocolFeatures | feature(VIRTIO_BLK_F_SIZE_MAX) |
                             feature(VIRTIO_BLK_F_SEG_MAX) | feature(VIRTIO_BLK_F_RO) | feature(VIRTIO_BLK_F_BLK_SIZE) |
                             feature(VIRTIO_BLK_F_FLUSH) | feature(VIRTIO_BLK_F_TOPOLOGY) | feature(VIRTIO_BLK_F_MQ) |
                             feature(VIRTIO_BLK_F_DISCARD) | feature(VIRTIO_BLK_F_WRITE_ZEROES);
constexpr uint32_t kMostBlock = 64 << 10, kMostPhysicalBlock = 1 << 20;  // bytes
constexpr uint64_t kMostSize = std::numeric_limits<int64_t>::max();      // what an off_t can reach
constexpr uint64_t kMostQueues = 64;

struct ConfigMessage {
  ConfigHead head;
  std::array<uint8_t, VIRTIO_BLK_CONFIG_SIZE> bytes;
};

Error unfit(std::string why) { return {ErrorKind::kNoInput, std::move(why)}; }

Result<VirtioBlkConfig> ask_for_config(BackEndSocket& socket) {
  const auto answer = socket.ask(GET_CONFIG, ConfigMessage{{0, VIRTIO_BLK_CONFIG_SIZE, 0}, {}});
  if (!answer) return answer.error();
  VirtioBlkConfig config{};
  std::memcpy(static_cast<void*>(&config), answer.value().bytes.data(), VIRTIO_BLK_CONFIG_SIZE);
  return config;
}

Result<uint64_t> size_in(const VirtioBlkConfig& config) {
  const uint64_t sectors = config.capacity;
  if (sectors <= kMostSize / VIRTIO_BLK_SECTOR_SIZE) return sectors * VIRTIO_BLK_SECTOR_SIZE;
  return unfit(concat("the server says that its disk has ", sectors, " sectors, which no disk has"));
}

// Whole blocks.
uint64_t bytes_of(uint32_t sectors, uint32_t block) {
  return uint64_t{sectors} * VIRTIO_BLK_SECTOR_SIZE / block * block;
}

void add_discard(const VirtioBlkConfig& config, BackEndFacts& facts) {
  facts.most_discard = bytes_of(config.max_discard_sectors, facts.block);
  facts.can_discard = facts.most_discard != 0;
  const uint64_t alignment = uint64_t{config.discard_sector_alignment} * VIRTIO_BLK_SECTOR_SIZE;
  if (std::has_single_bit(alignment) && alignment <= facts.most_discard && alignment <= kMostPhysicalBlock) {
    facts.discard_granularity = std::max(facts.discard_granularity, static_cast<uint32_t>(alignment));
  }
}

// The features are known.
Result<void> read_blocks(const VirtioBlkConfig& config, BackEndFacts& facts) {
  const auto has = [&](unsigned bit) { return (facts.features & feature(bit)) != 0; };
  if (has(VIRTIO_BLK_F_BLK_SIZE)) facts.block = config.blk_size;
  if (!std::has_single_bit(facts.block) || facts.block < VIRTIO_BLK_SECTOR_SIZE || facts.block > kMostBlock) {
    return unfit(concat("the server's blocks have ", facts.block, " bytes; 512 to ", kMostBlock,
                        " can be served, a power of two"));
  }
  facts.physical_block = facts.discard_granularity = facts.block;
  if (has(VIRTIO_BLK_F_TOPOLOGY) && config.physical_block_exp < 32 &&
      uint64_t{facts.block} << config.physical_block_exp <= kMostPhysicalBlock) {
    facts.physical_block = facts.block << config.physical_block_exp;
  }
  return {};
}

// The blocks are known.
Result<void> read_limits(const VirtioBlkConfig& config, BackEndFacts& facts) {
  const auto has = [&](unsigned bit) { return (facts.features & feature(bit)) != 0; };
  uint32_t most = has(VIRTIO_BLK_F_SIZE_MAX) ? uint32_t{config.size_max} : 0;
  if (most == 0) most = std::numeric_limits<uint32_t>::max();  // QEMU's has the feature and says 0
  facts.most_data = most / facts.block * facts.block;
  if (facts.most_data == 0) return unfit(concat("the server takes only ", most, " bytes at once, less than a block"));
  if (has(VIRTIO_BLK_F_SEG_MAX)) facts.segments = std::max(uint32_t{config.seg_max}, 1u);
  if (has(VIRTIO_BLK_F_DISCARD)) add_discard(config, facts);
  if (has(VIRTIO_BLK_F_WRITE_ZEROES)) {
    facts.most_zeroes = bytes_of(config.max_write_zeroes_sectors, facts.block);
    facts.can_write_zeroes = facts.most_zeroes != 0;
    facts.can_unmap_zeroes = config.write_zeroes_may_unmap == 1;
  }
  return {};
}

Result<unsigned> count_queues(BackEndSocket& socket, const VirtioBlkConfig& config, bool says_how_many) {
  uint64_t queues = says_how_many ? uint16_t{config.num_queues} : kMostQueues;
  if (socket.has(kMq)) {
    const auto most = socket.get<uint64_t>(GET_QUEUE_NUM);
    if (!most) return most.error();
    queues = std::min(queues, most.value());
  } else if (!says_how_many) {
    queues = 1;
  }
  if (queues == 0) return unfit("the server has no queue");
  return static_cast<unsigned>(std::min(queues, kMostQueues));
}

}  // namespace

Result<BackEndFacts> ask_for_facts(BackEndSocket& socket) {
  const auto asked = ask_for_config(socket);
  if (!asked) return asked.error();
  const VirtioBlkConfig& config = asked.value();
  BackEndFacts facts;
  facts.features = socket.features() & kWanted;
  const auto has = [&](unsigned bit) { return (facts.features & feature(bit)) != 0; };
  const auto size = size_in(config);
  if (!size) return size.error();
  facts.size = size.value();
  facts.read_only = has(VIRTIO_BLK_F_RO);
  facts.can_flush = has(VIRTIO_BLK_F_FLUSH);
  if (auto blocks = read_blocks(config, facts); !blocks) return blocks.error();
  if (auto limits = read_limits(config, facts); !limits) return limits.error();
  const auto queues = count_queues(socket, config, has(VIRTIO_BLK_F_MQ));
  if (!queues) return queues.error();
  facts.queues = queues.value();
  return facts;
}

Result<uint64_t> ask_for_size(BackEndSocket& socket) {
  const auto config = ask_for_config(socket);
  if (!config) return config.error();
  return size_in(config.value());
}

}  // namespace acrn
