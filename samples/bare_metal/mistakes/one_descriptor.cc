// One descriptor for the whole request. But a descriptor has a direction: the device reads it, or writes it. A request
// needs both, so it has two descriptors at least (virtio 0.9.5 2.4.1, appendix D).
#include "mistakes/mistake.h"

namespace {

// What has to be in RAM side by side for that.
struct [[gnu::packed]] Request {
  Type type;
  uint32_t priority;
  uint64_t sector;
  uint8_t data[kSector];
  Status status;
};
Request request;

Status send(Disk& disk, const Buffer* buffers, unsigned count) {
  request = {Type::kRead, 0, 0, {}, Status::kNone};
  disk.queue().add(buffers, count);
  disk.kick();
  disk.wait(kPatienceMs);
  return request.status;
}

}  // namespace

void wrong(Disk& disk) {
  // The device is to write data and status. But then there is no header that it could read.
  const Buffer to_write{&request, sizeof request, true};
  tell("wrong", "device writes", name(send(disk, &to_write, 1)));

  // It is to read the header. But then there is no place for the status, and no way to say even that.
  const Buffer to_read{&request, sizeof request, false};
  tell("wrong", "device reads", name(send(disk, &to_read, 1)));
}

bool right(Disk& disk) {
  const Buffer buffers[] = {{&request, 16, false}, {request.data, kSector, true}, {&request.status, 1, true}};
  return send(disk, buffers, 3) == Status::kOk;
}
