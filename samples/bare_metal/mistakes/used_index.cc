// used.idx compared with what it does not count. It is the number of all the chains that came back since the queue was
// set up, in 16 bits: it is no entry of the ring, it does not begin again with a request, and it goes on from 0xffff to
// 0 (virtio 0.9.5 2.3.5, 2.4.2).
#include "mistakes/mistake.h"

namespace {

using Arrived = bool (*)(Queue& queue, uint32_t sent);

uint16_t used_index(Queue& queue) { return __atomic_load_n(&queue.used().index, __ATOMIC_ACQUIRE); }

// Sends one request after the other. When the device is done with it, and that for sure, the driver's own condition is
// asked. With which request it does not hold, so that the driver would wait for ever; 0: with none.
uint32_t hangs_at(Disk& disk, Arrived arrived, uint32_t first) {
  static uint8_t id[20];
  disk.start(0);
  disk.run_many(first - 1);
  for (uint32_t sent = first; sent <= first + 100; ++sent) {
    if (disk.run(Type::kGetId, 0, id, sizeof id) != Status::kOk || !arrived(disk.queue(), sent)) return sent;
  }
  return 0;
}

constexpr uint32_t kBeforeWrap = 0x10000 - 50;

void try_out(Disk& disk, const char* condition, Arrived arrived, uint32_t first = 1) {
  tell("wrong", condition, "waits for ever with request ", hangs_at(disk, arrived, first));
}

}  // namespace

void wrong(Disk& disk) {
  try_out(disk, "idx == 1", [](Queue& queue, uint32_t) { return used_index(queue) == 1; });
  try_out(disk, "idx == entry", [](Queue& queue, uint32_t sent) { return used_index(queue) == sent % queue.size(); });
  try_out(
      disk, "idx >= sent", [](Queue& queue, uint32_t sent) { return used_index(queue) >= sent; }, kBeforeWrap);
}

bool right(Disk& disk) {
  // Equal or not, and both sides of 16 bits.
  const Arrived arrived = [](Queue& queue, uint32_t sent) { return used_index(queue) == static_cast<uint16_t>(sent); };
  return hangs_at(disk, arrived, 1) == 0 && hangs_at(disk, arrived, kBeforeWrap) == 0;
}
