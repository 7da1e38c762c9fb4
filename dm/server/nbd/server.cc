#include "dm/server/nbd/server.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"
#include "dm/socket/listening_socket.h"

namespace acrn::nbd {
namespace {

constexpr std::string_view kOption = "--serve", kAdvice = "give a folder for new sockets, like --serve nbd=/run/acrn";

ExportFacts facts_of(const BlockInfo& info, const BlockOptions& options, bool tells_zeroes) {
  ExportFacts facts{.size = info.size, .tells_zeroes = tells_zeroes};
  facts.least_block = std::max(facts.least_block, info.offset_alignment);
  facts.best_block = std::max({facts.best_block, facts.least_block, info.physical_block});
  // A flush of any channel is one of the disk, so clients may share it over several connections.
  facts.flags |= kSendFlush | kSendFua | kCanMultiConn;
  if (options.read_only) return facts.flags |= kReadOnly, facts;
  facts.flags |= kSendWriteZeroes;
  if (options.discard) facts.flags |= kSendTrim;
  return facts;
}

}  // namespace

Result<std::unique_ptr<BlockServer>> NbdServer::create(const std::string& slot, EpollLoop& loop) {
  return std::unique_ptr<BlockServer>(new NbdServer(concat("nbd ", slot), loop));
}

Result<void> NbdServer::check(const std::string& path) { return ListeningSocket::check(kOption, path, kAdvice); }

Result<void> NbdServer::bind(const std::string& path) {
  auto socket = ListeningSocket::create(kOption, path, kAdvice);
  if (!socket) return socket.error();
  socket_.emplace(std::move(socket).value());
  return {};
}

Result<void> NbdServer::serve(BlockBackend& disk, DiskMap* map, const BlockOptions& options, const std::string& path) {
  if (!socket_) {
    if (auto bound = bind(path); !bound) return bound;
  }
  bool served = false;
  loop_.run([&] {
    disk_ = &disk;
    map_ = map;
    options_ = options;
    acceptor_ = Acceptor::create(loop_, *std::exchange(socket_, std::nullopt),
                                 [this](UniqueFd client, int error) { accept(std::move(client), error); });
    served = acceptor_ != nullptr;
  });
  if (served) return {};
  return Error{ErrorKind::kInternal, concat("--serve ", path, ": epoll_ctl failed")};
}

void NbdServer::stop() {
  std::latch all_gone(1);
  loop_.run([&] {
    acceptor_.reset();
    all_gone_ = &all_gone;
    for (const auto& client : clients_) client->close();
    remove_clients();
  });
  all_gone.wait();
  loop_.run([] {});  // what the last clients have posted has run
}

void NbdServer::accept(UniqueFd socket, int error) {
  const auto turn_away = [this](std::string_view why) {
    log(LogLevel::kDebug, concat(name_, ": a client was turned away: ", why));
  };
  if (error != 0) return turn_away(errno_text(error));
  if (clients_.size() == kMostClients) return turn_away("there are as many as there may be");
  auto channel = disk_->open_channel(loop_, Client::kSlots);
  if (!channel) return turn_away(channel.error().message);
  auto client = Client::create(loop_, std::move(socket), std::move(channel).value(),
                               facts_of(disk_->info(), options_, map_ != nullptr), map_,
                               {.writeback = options_.writeback, .discard = options_.discard.has_value()},
                               [this](std::string_view why) { client_gone(why); });
  if (client == nullptr) return;
  clients_.push_back(std::move(client));
  if (on_client_) on_client_(true);
}

void NbdServer::client_gone(std::string_view why) {
  // Each one that misbehaves, but not each time of one that goes on for ever.
  if (!why.empty() && std::has_single_bit(++misbehaved_)) {
    log(LogLevel::kWarning, concat(name_, ": a client was dropped: ", why,
                                   misbehaved_ > 1 ? concat(" (", misbehaved_, " clients so far)") : ""));
  }
  // It is in the middle of its handler.
  loop_.post([this] {
    remove_clients();
    if (acceptor_ != nullptr) acceptor_->retry();
  });
}

void NbdServer::remove_clients() {
  const size_t gone = std::erase_if(clients_, [](const auto& client) { return client->is_gone(); });
  for (size_t i = 0; i < gone && on_client_; i++) on_client_(false);
  if (clients_.empty() && all_gone_ != nullptr) std::exchange(all_gone_, nullptr)->count_down();
}

}  // namespace acrn::nbd
