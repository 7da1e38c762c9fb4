// A mailbox: the guest writes a request to the output region, then its number to the control sector. The host answers
// in the input region, and writes the same number to its own control sector.
#include "exchange/exchange.h"
#include "open_disk.h"
#include "report.h"

namespace {

constexpr uint32_t kMessages = 100;

char output[kRegion * kSector], input[kRegion * kSector];

// A text, and its length.
uint32_t compose(uint32_t number) {
  static const char kText[] = "request ";
  uint32_t length = 0;
  for (; kText[length] != 0; ++length) output[length] = kText[length];
  for (uint32_t power = 1000; power != 0; power /= 10) {
    output[length++] = static_cast<char>('0' + number / power % 10);
  }
  return length;
}

// The host answers in capitals.
bool is_answer(uint32_t length) {
  for (uint32_t i = 0; i < length; ++i) {
    const bool small = output[i] >= 'a' && output[i] <= 'z';
    if (input[i] != (small ? output[i] - 'a' + 'A' : output[i])) return false;
  }
  return true;
}

bool exchange(Disk& disk, uint32_t number) {
  Control host{};
  const uint32_t length = compose(number);
  return disk.run(Type::kWrite, kOutput, output, sizeof output) == Status::kOk && write_control(disk, number, length) &&
         wait_for_host(disk, host, [&] { return host.sequence == number; }) &&
         disk.run(Type::kRead, kInput, input, sizeof input) == Status::kOk && host.value == length && is_answer(length);
}

}  // namespace

extern "C" void kernel_main() {
  Disk& disk = open_disk(kExchangeFeatures);
  Control mine{};
  bool ok = read_control(disk, kGuestControl, mine);  // of an earlier run, or zeroes
  const uint64_t begin = cycles();
  for (uint32_t i = 1; i <= kMessages && ok; ++i) ok = exchange(disk, mine.sequence + i);
  report("mailbox", ok, kMessages, " requests, ", microseconds(cycles() - begin) / kMessages, " us to an answer");
  power_off(all_well());
}
