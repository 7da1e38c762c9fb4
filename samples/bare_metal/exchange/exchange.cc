#include "exchange/exchange.h"

bool read_control(Disk& disk, uint32_t sector, Control& control) {
  return disk.run(Type::kRead, sector, &control, sizeof control) == Status::kOk && control.whole();
}

bool write_control(Disk& disk, uint32_t sequence, uint32_t value) {
  static Control control;
  control.sequence = control.sequence_again = sequence;
  control.value = value;
  return disk.run(Type::kWrite, kGuestControl, &control, sizeof control) == Status::kOk;
}
