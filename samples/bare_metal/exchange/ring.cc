// A ring over sectors: the guest writes messages to slot after slot, as many with one request as there is room for, and
// then to its control sector how many there are in all. The host takes them and says in its own how many it has taken.
// Neither waits for the other as long as the ring is neither full nor empty.
#include "exchange/exchange.h"
#include "open_disk.h"
#include "report.h"

namespace {

constexpr uint32_t kMessages = 10000;

Message messages[kSlots];
uint32_t sum;  // of all words

void compose(uint32_t number) {
  for (uint32_t i = 0; i < 128; ++i) sum += messages[number % kSlots].words[i] = number * 0x9e3779b9 ^ i;
}

uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

// Writes what there is room for, up to the ring's end. Leaves how many are written in all.
bool send(Disk& disk, uint32_t& written, uint32_t taken, uint32_t last) {
  const uint32_t slot = written % kSlots;
  const uint32_t room = kSlots - (written - taken);
  const uint32_t count = smaller(smaller(room, kSlots - slot), last - written);
  for (uint32_t i = 0; i < count; ++i) compose(written + i);
  written += count;
  return disk.run(Type::kWrite, kRing + slot, &messages[slot], count * kSector) == Status::kOk &&
         write_control(disk, written, 0);
}

}  // namespace

extern "C" void kernel_main() {
  Disk& disk = open_disk(kExchangeFeatures);
  Control mine{}, host{};
  bool ok = read_control(disk, kGuestControl, mine);
  uint32_t written = mine.sequence;
  const uint32_t last = written + kMessages;
  // What an earlier run has left behind is taken first.
  ok = ok && wait_for_host(disk, host, [&] { return host.sequence == written; });
  sum = host.value;
  const uint64_t begin = cycles();
  while (ok && written != last) {
    ok = wait_for_host(disk, host, [&] { return written - host.sequence < kSlots; }) &&
         send(disk, written, host.sequence, last);
  }
  ok = ok && wait_for_host(disk, host, [&] { return host.sequence == last; }) && host.value == sum;
  report("ring", ok, kMessages, " messages, ", divide(uint64_t{kMessages} * 1000000, microseconds(cycles() - begin)),
         " a second");
  power_off(all_well());
}
