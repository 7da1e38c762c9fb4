// Client: one connection of an NBD server: it negotiates, and then each request is one of the disk's. Requests are
// carried out at the same time, and answered as they are done. All of it on the server's loop.
//
// Nothing is read that there is no room for: a client has kSlots requests at a time, and kMostBytes of data; what it
// does not take waits in its own socket.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "acrn/block/blockif.h"
#include "acrn/block/disk_map.h"
#include "acrn/event/event_loop.h"
#include "dm/server/nbd/negotiation.h"

namespace acrn::nbd {

class Client final : private BlockSink {
 public:
  static constexpr unsigned kSlots = 64;
  static constexpr size_t kMostBytes = 2 * size_t{kMostPayload};

  // What the disk's options make of requests.
  struct Rules {
    bool writeback = false;  // else each write is stable before it is answered
    bool discard = false;    // zeroes may make holes
  };
  // `gone` runs once, when nothing of the client is in flight any more, possibly from within the client's calls: it
  // is destroyed later. `why`: what it did wrong, or nothing. Null: epoll does not take the socket.
  using Gone = std::function<void(std::string_view why)>;
  // `map`: what is known of the disk's zeroes; null: nothing.
  static std::unique_ptr<Client> create(EventLoop& loop, UniqueFd socket, std::unique_ptr<BlockChannel> channel,
                                        const ExportFacts& facts, DiskMap* map, const Rules& rules, Gone gone);

  // Takes and answers nothing more; `gone` runs when its requests are done.
  void close() { end(""); }
  // `gone` has run.
  bool is_gone() const { return gone_ == nullptr; }

 private:
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  // A request, and the room for its data.
  struct Slot : BlockRequest {
    uint64_t cookie = 0;
    Command command{};
    uint64_t start = 0;    // bytes: what was asked for
    bool flushes = false;  // a discard that has to be stable: it goes on as a flush
    std::unique_ptr<uint8_t, Free> memory;
    size_t memory_size = 0;  // bytes
    iovec vector{};
    ReplyHead head;
    size_t data = 0;       // bytes of the memory that follow the head
    Slot* next = nullptr;  // that is to be answered
  };

  Client(UniqueFd socket, std::unique_ptr<BlockChannel> channel, const ExportFacts& facts, DiskMap* map,
         const Rules& rules, Gone gone);

  void request_done(BlockRequest& request) override;
  void batch_done() override { work(); }

  void handle(uint32_t events);
  void work();
  bool take();
  bool negotiate();
  bool take_request();
  bool take_payload();
  bool fill(size_t wanted);
  std::span<const uint8_t> consume(size_t size);
  Slot* make_room(size_t bytes);
  void start(Slot& slot, const Request& request);
  int check(const Request& request) const;
  void fill(Slot& slot, const Request& request);
  void describe(Slot& slot, const Request& request);
  DiskMap::Extent whole_blocks(const DiskMap::Extent& extent, uint64_t left) const;
  void submit();
  void answer(Slot& slot, int error);
  bool send();
  bool send_text();
  void release(Slot& slot);
  void end(std::string_view why);
  void end_when_idle();

  const UniqueFd socket_;
  const std::unique_ptr<BlockChannel> channel_;
  const ExportFacts facts_;
  DiskMap* const map_;
  const Rules rules_;
  Agreed agreed_;
  Gone gone_;  // null: it has run
  std::unique_ptr<FdWatch> watch_;
  uint32_t watched_;  // epoll's events

  // What was received, from `input_start_` to `input_end_`.
  std::vector<uint8_t> input_;
  size_t input_start_ = 0, input_end_ = 0;
  std::vector<uint8_t> text_;  // of the negotiation, to be sent
  size_t text_sent_ = 0;
  std::optional<Negotiation> negotiation_;  // until requests may come
  std::optional<Request> request_;          // whose payload is being received, or for which there is no room yet
  Slot* receiving_ = nullptr;               // for that payload
  size_t received_ = 0;                     // bytes of it

  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Slot*> free_;
  std::vector<BlockRequest*> batch_;  // to be submitted
  unsigned in_flight_ = 0;            // with the channel
  size_t bytes_ = 0;                  // of the memory of all slots that are in use
  Slot *first_answer_ = nullptr, *last_answer_ = nullptr;
  size_t answer_sent_ = 0;  // bytes of the first one
  bool working_ = false;
  bool ended_ = false;
  std::string_view why_;
};

}  // namespace acrn::nbd
