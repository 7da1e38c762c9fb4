// The I/O ports of the board, which are those of a PC. The devices answer here, and the ACPI tables say so.
#pragma once

#include <cstdint>

namespace acrn {

struct PortRange {
  uint16_t first = 0, count = 0;
};

inline constexpr PortRange kPitPorts{0x40, 4};
inline constexpr PortRange kKeyboardDataPort{0x60, 1};
inline constexpr PortRange kSystemPortB{0x61, 1};
inline constexpr PortRange kKeyboardCommandPort{0x64, 1};
inline constexpr PortRange kRtcPorts{0x70, 2};  // index and data
inline constexpr PortRange kDebugExitPort{0xf4, 1};
inline constexpr PortRange kComPorts[4] = {{0x3f8, 8}, {0x2f8, 8}, {0x3e8, 8}, {0x2e8, 8}};
inline constexpr PortRange kPm1aPorts{0x400, 6};         // event block and control register
inline constexpr uint16_t kPm1aControl = 4;              // bytes from the first port to the control register
inline constexpr PortRange kSleepControlPort{0x600, 1};  // with firmware
inline constexpr PortRange kPmTimerPorts{0x608, 4};      // with firmware
inline constexpr PortRange kPciConfigAddress{0xcf8, 4};
inline constexpr PortRange kResetControlPort{0xcf9, 1};
inline constexpr PortRange kPciConfigData{0xcfc, 4};

}  // namespace acrn
