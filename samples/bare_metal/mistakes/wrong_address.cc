// An address that is none of RAM. What a driver calls an address is often virtual: a kernel that lives in the upper
// half has its data at 0xc0000000 and more, wherever it is in RAM. The device has no page tables; it is given
// guest-physical addresses (virtio 0.9.5 2.3.2).
#include "mistakes/mistake.h"

namespace {

struct {
  Type type = Type::kRead;
  uint32_t priority = 0;
  uint64_t sector = 0;
} header;
uint8_t data[kSector];
Status status;

constexpr uint64_t kUpperHalf = 0xc0000000;

// A read, of which one descriptor has an address that many bytes off; 3: none.
Status send(Disk& disk, unsigned which) {
  Queue& queue = disk.queue();
  const Buffer buffers[] = {{&header, 16, false}, {data, sizeof data, true}, {&status, 1, true}};
  status = Status::kNone;
  uint16_t number = queue.add(buffers, 3);
  for (unsigned i = 0; i < which; ++i) number = queue.descriptor(number).next;
  if (which < 3) queue.descriptor(number).address += kUpperHalf;
  disk.kick();
  disk.wait(kPatienceMs);
  return status;
}

}  // namespace

void wrong(Disk& disk) {
  tell("wrong", "header", name(send(disk, 0)));
  tell("wrong", "data", name(send(disk, 1)));
  tell("wrong", "status", name(send(disk, 2)));
}

bool right(Disk& disk) { return send(disk, 3) == Status::kOk; }
