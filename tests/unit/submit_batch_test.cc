// SubmitBatch: when a batch is due, and that all of it reaches the channel, in order.
#include "hw/pci/virtio/submit_batch.h"

#include <vector>

#include "tests/support/test.h"

namespace acrn {
namespace {

class RecordingChannel final : public BlockChannel {
 public:
  void submit(std::span<BlockRequest* const> batch) override { batches.emplace_back(batch.begin(), batch.end()); }
  std::vector<std::vector<BlockRequest*>> batches;
};

}  // namespace

TEST(a_batch_is_due_when_it_is_full) {
  SubmitBatch batch;
  RecordingChannel channel;
  std::vector<BlockRequest> requests(SubmitBatch::kRequests);
  std::vector<BlockRequest*> expected;
  for (BlockRequest& request : requests) {
    request.length = 1 << 20;
    expected.push_back(&request);
    EXPECT_EQ(batch.push(request), expected.size() == SubmitBatch::kRequests);
    EXPECT(!batch.empty());
  }
  batch.flush(&channel);
  EXPECT(batch.empty());
  EXPECT_EQ(channel.batches.size(), 1u);
  EXPECT(channel.batches[0] == expected);
}

TEST(a_batch_is_due_when_it_has_enough_bytes) {
  SubmitBatch batch;
  RecordingChannel channel;
  batch.set_flush_bytes(8192);
  std::vector<BlockRequest> requests(3);
  for (BlockRequest& request : requests) request.length = 4096;
  for (int round = 0; round < 2; round++) {  // the bytes are counted from zero after a flush
    EXPECT(!batch.push(requests[0]));
    EXPECT(batch.push(requests[1]));
    batch.flush(&channel);
  }
  batch.set_flush_bytes(UINT64_MAX);
  for (BlockRequest& request : requests) EXPECT(!batch.push(request));
  batch.flush(&channel);
  EXPECT_EQ(channel.batches.size(), 3u);
  EXPECT_EQ(channel.batches[2].size(), 3u);
}

TEST(an_empty_batch_needs_no_channel) {
  SubmitBatch batch;
  batch.flush(nullptr);
  RecordingChannel channel;
  batch.flush(&channel);
  EXPECT(channel.batches.empty());
}

}  // namespace acrn
