// Each descriptor of a chain in the available ring. But an entry there is a request: the head of a chain, from where
// the device goes on by `next` (virtio 0.9.5 2.3.4).
#include "clock.h"
#include "mistakes/mistake.h"

namespace {

struct {
  Type type = Type::kRead;
  uint32_t priority = 0;
  uint64_t sector = 0;
} header;
uint8_t data[kSector];
Status status;

// How many entries come back in the used ring, and what the device wrote to each chain.
uint32_t send(Disk& disk, unsigned entries) {
  Queue& queue = disk.queue();
  const Buffer buffers[] = {{&header, 16, false}, {data, sizeof data, true}, {&status, 1, true}};
  status = Status::kNone;
  const uint16_t before = queue.used().index;
  uint16_t number = queue.add(buffers, 3);
  // add() has made the head available. More of them are put behind it.
  Available& available = queue.available();
  const uint16_t index = queue.next_index();
  for (unsigned i = 1; i < entries; ++i) {
    number = queue.descriptor(number).next;
    available.entries[(index + i - 1) % queue.size()] = number;
  }
  __atomic_store_n(&available.index, static_cast<uint16_t>(index + entries - 1), __ATOMIC_RELEASE);
  disk.notify();
  const auto used = [&] {
    return static_cast<uint16_t>(__atomic_load_n(&queue.used().index, __ATOMIC_ACQUIRE) - before);
  };
  wait_ms(kPatienceMs, [&] { return used() == entries; });
  return used();
}

}  // namespace

void wrong(Disk& disk) {
  const uint32_t back = send(disk, 3);
  tell("wrong", "three heads", back, " entries in the used ring for one request");
  for (uint16_t i = 0; i < back; ++i) {
    const UsedEntry& used = disk.queue().used().entries[i];
    tell("wrong", "used entry", "head ", used.head, ", bytes written ", used.written);
  }
}

bool right(Disk& disk) { return send(disk, 1) == 1 && status == Status::kOk; }
