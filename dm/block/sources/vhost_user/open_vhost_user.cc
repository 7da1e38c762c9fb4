#include "dm/block/sources/vhost_user/open_vhost_user.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/block/disk_plan.h"
#include "dm/block/sources/vhost_user/vhost_user_source.h"

namespace acrn {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A back end has one client at a time, and may still be at the end of our last look.
constexpr milliseconds kRetries{1000}, kBetweenTries{20};

struct BackEndPlan : DiskPlan {
  std::unique_ptr<BackEndConnection> connection;
};

std::string name_of(const std::string& socket) { return concat("vhost-user:", socket); }

Error refusal(const Error& error) {
  return {error.kind == ErrorKind::kIo ? ErrorKind::kNoInput : error.kind,
          concat("virtio-blk vhost-user:", error.message)};
}

Result<std::unique_ptr<BackEndConnection>> connect(const std::string& socket) {
  const auto end = steady_clock::now() + kRetries;
  for (;;) {
    auto made = BackEndConnection::open(socket);
    if (made || made.error().kind != ErrorKind::kIo || steady_clock::now() > end) return made;
    std::this_thread::sleep_for(kBetweenTries);
  }
}

Result<BackEndPlan> plan_vhost_user(const BlockOptions& options, const std::string& socket) {
  const std::string name = name_of(socket);
  auto connection = connect(socket);
  if (!connection) return refusal(connection.error());
  const BackEndFacts& facts = connection.value()->facts();
  if (facts.size == 0) return misfit(name, "the disk is empty");
  if (facts.read_only && !options.read_only) return misfit(name, "the disk is read-only; give ro");
  auto plan = plan_disk(options, {.name = name,
                                  .kind = "vhost-user",
                                  .identity = name,
                                  .size = facts.size,
                                  .physical_block = facts.physical_block,
                                  .discard_granularity = facts.discard_granularity});
  if (!plan) return plan.error();
  return BackEndPlan{std::move(plan).value(), std::move(connection).value()};
}

}  // namespace

Result<DiskFacts> inspect_vhost_user_disk(const BlockOptions& options, const std::string& socket) {
  auto plan = plan_vhost_user(options, socket);
  if (!plan) return plan.error();
  plan.value().connection->leave();
  return std::move(plan).value().facts;
}

Result<OpenedDisk> open_vhost_user_disk(const BlockOptions& options, const std::string& socket) {
  auto planned = plan_vhost_user(options, socket);
  if (!planned) return planned.error();
  BackEndPlan& plan = planned.value();
  const BackEndFacts facts = plan.connection->facts();
  BlockInfo whole = plan.facts.info;
  whole.size = facts.size;
  whole.offset_alignment = facts.block;
  BackEndPlace place{.path = socket,
                     .queues = std::min(facts.queues, options.queues),
                     .share = options.share,
                     .server = {.name = name_of(socket), .patience = std::chrono::seconds(options.reconnect)}};
  auto link = BackEndLink::create(std::move(place), std::move(plan.connection));
  if (!link) return refusal(link.error());
  auto source = std::make_unique<VhostUserSource>(std::move(link).value(), whole);
  return OpenedDisk{plan.facts, in_filters(std::move(source), facts.block > kSmallestSector, options, plan)};
}

}  // namespace acrn
