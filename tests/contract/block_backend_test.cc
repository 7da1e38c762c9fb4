// The contract over every stack that open_disk() builds, and over parts of them alone.
#include <fcntl.h>

#include "dm/block/engines/pool.h"
#include "dm/block/engines/uring.h"
#include "dm/block/filters/align.h"
#include "dm/block/filters/throttle.h"
#include "dm/block/sources/ram_disk.h"
#include "tests/contract/block_backend_contract.h"
#include "tests/contract/block_rig.h"
#include "tests/contract/host_media.h"
#include "tests/support/filter_fault.h"

namespace acrn::test {
namespace {

using contract::kContractSize;

struct pool_on_a_file {
  TempDir dir;
  std::unique_ptr<BlockBackend> backend = open_backend(options_for(dir.file("disk", kContractSize)));
};

struct pool_on_a_tmpfs {
  SharedMemoryFile file{kContractSize};
  std::unique_ptr<BlockBackend> backend = open_backend(options_for(file.path()));
};

BlockOptions ring_for(const std::string& path) {
  if (EngineUring::unavailable() != 0) SKIP("io_uring");
  BlockOptions options = options_for(path);
  options.engine = BlockEngine::kIoUring;
  return options;
}

struct ring_on_a_file {
  TempDir dir;
  std::unique_ptr<BlockBackend> backend = open_backend(ring_for(dir.file("disk", kContractSize)));
};

struct ring_on_a_tmpfs {
  SharedMemoryFile file{kContractSize};
  std::unique_ptr<BlockBackend> backend = open_backend(ring_for(file.path()));
};

struct ring_on_a_loop_device {
  TempDir dir;
  LoopDevice device{dir.file("disk", kContractSize), 512};
  std::unique_ptr<BlockBackend> backend = open_backend(ring_for(device.path()));
};

struct pool_without_inline_reads {
  TempDir dir;
  std::unique_ptr<BlockBackend> backend = make();

  std::unique_ptr<BlockBackend> make() const {
    RawFileTraits traits;
    traits.info.size = kContractSize;
    traits.direct = true;  // though the file is not: so every request goes to a worker
    UniqueFd fd(::open(dir.file("disk", kContractSize).c_str(), O_RDWR | O_CLOEXEC));
    return std::make_unique<EnginePool>(std::make_unique<RawFile>(std::move(fd), traits), "test");
  }
};

template <BlockEngine engine>
struct nocache_on_a_file {
  TempDir dir;
  std::unique_ptr<BlockBackend> backend = make();

  std::unique_ptr<BlockBackend> make() const {
    BlockOptions options = options_for(dir.file("disk", kContractSize));
    options.nocache = true;
    options.engine = engine;
    auto facts = UniqueFd(::open(dir.path("disk").c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
    if (!facts) SKIP("no direct I/O in " + dir.path(""));
    return open_backend(options);
  }
};

struct window_of_a_file {
  TempDir dir;
  std::unique_ptr<BlockBackend> backend = make();

  std::unique_ptr<BlockBackend> make() const {
    BlockOptions options = options_for(dir.file("disk", 3 * kContractSize));
    options.range = BlockRange{77, kContractSize / 512};
    options.writeback = true;
    return open_backend(options);
  }
};

struct ram_disk {
  std::unique_ptr<BlockBackend> backend = make();

  static std::unique_ptr<BlockBackend> make() {
    BlockOptions options;
    options.source = RamDiskSource{kContractSize};
    return open_backend(options);
  }
};

struct loop_device {
  TempDir dir;
  LoopDevice device{dir.file("disk", kContractSize), 512};
  std::unique_ptr<BlockBackend> backend = open_backend(options_for(device.path()));
};

template <BlockEngine engine>
struct nocache_on_a_4k_loop_device {
  TempDir dir;
  LoopDevice device{dir.file("disk", kContractSize), 4096};
  std::unique_ptr<BlockBackend> backend = make();

  std::unique_ptr<BlockBackend> make() const {
    BlockOptions options = options_for(device.path());
    options.nocache = true;
    options.engine = engine;
    return open_backend(options);
  }
};

// Every bounce and read-modify-write, completed inside submit().
struct alignment_over_memory {
  std::unique_ptr<BlockBackend> backend = make();

  static std::unique_ptr<BlockBackend> make() {
    BlockInfo info;
    info.size = kContractSize;
    info.offset_alignment = 4096;
    info.memory_alignment = 512;
    auto plan = std::make_shared<FaultPlan>();
    return make_filter_align(make_filter_fault(std::move(make_ram_disk(info)).value(), plan));
  }
};

// Requests that pass at once, wait, or wait behind others.
struct limits_over_memory {
  static DiskLimits limits() {
    DiskLimits limits;
    limits[LimitKind::kRequests] = {20'000, 3};
    limits[LimitKind::kBytes] = {uint64_t{1} << 30, 0};
    return limits;
  }
  ThrottledDisk throttled{std::make_shared<ThrottleGroup>(limits())};
  std::unique_ptr<BlockBackend> backend =
      make_filter_throttle(std::move(make_ram_disk({.size = kContractSize})).value(), throttled);
};

ACRN_BLOCK_CONTRACT(pool_on_a_file);
ACRN_BLOCK_CONTRACT(pool_on_a_tmpfs);
ACRN_BLOCK_CONTRACT(pool_without_inline_reads);
ACRN_BLOCK_CONTRACT(ring_on_a_file);
ACRN_BLOCK_CONTRACT(ring_on_a_tmpfs);
ACRN_BLOCK_CONTRACT(ring_on_a_loop_device);
using nocache_with_workers = nocache_on_a_file<BlockEngine::kThreads>;
using nocache_with_whatever_suits = nocache_on_a_file<BlockEngine::kAuto>;
ACRN_BLOCK_CONTRACT(nocache_with_workers);
ACRN_BLOCK_CONTRACT(nocache_with_whatever_suits);
ACRN_BLOCK_CONTRACT(window_of_a_file);
ACRN_BLOCK_CONTRACT(ram_disk);
ACRN_BLOCK_CONTRACT(loop_device);
using nocache_with_workers_on_4k = nocache_on_a_4k_loop_device<BlockEngine::kThreads>;
using nocache_with_whatever_suits_on_4k = nocache_on_a_4k_loop_device<BlockEngine::kAuto>;
ACRN_BLOCK_CONTRACT(nocache_with_workers_on_4k);
ACRN_BLOCK_CONTRACT(nocache_with_whatever_suits_on_4k);
ACRN_BLOCK_CONTRACT(alignment_over_memory);
ACRN_BLOCK_CONTRACT(limits_over_memory);

}  // namespace
}  // namespace acrn::test
