// AccessPath: a virtio-blk function on a guest's board, and one of the ways in which a guest gets to it. The guest's
// side is always the loopback board; what lies between that and the function differs.
#pragma once

#include <memory>
#include <string>

#include "dm/devices/device_table.h"
#include "dm/loopback/loopback_machine.h"
#include "tests/support/test.h"

namespace acrn::test {

class AccessPath {
 public:
  static constexpr PciAddress kAddress{0, 9, 0};

  virtual ~AccessPath() = default;
  virtual LoopbackMachine& board() = 0;
  // What an operator does and sees.
  virtual uint64_t resize() = 0;  // returns bytes
  virtual uint64_t guest_errors(GuestRule rule) = 0;
  // False: a kick of a queue that is not there ends before it gets to the device.
  virtual bool hears_every_kick() const { return true; }
};

struct AccessPathOptions {
  std::string disk;  // what follows "virtio-blk," in -s
  bool single_msi = false;
  LoopOptions loop = {};  // of the queues; the library has its own
};

using MakeReach = std::unique_ptr<AccessPath> (*)(const AccessPathOptions& options);
// The function is on the board's own bus.
std::unique_ptr<AccessPath> reach_directly(const AccessPathOptions& options);
// It is plugged into a Machine whose virtual CPU is the test: accesses are exits, kicks are doorbells.
std::unique_ptr<AccessPath> reach_on_the_machine(const AccessPathOptions& options);
// The same, and the machine's hypervisor is the port to ACRN over a stand-in for its module: accesses are requests of
// virtual CPUs, configuration space is ports 0xcf8 and 0xcfc.
std::unique_ptr<AccessPath> reach_over_the_hsm(const AccessPathOptions& options);
// It is served over a socket, and the board has the client.
std::unique_ptr<AccessPath> reach_over_vfio_user(const AccessPathOptions& options);
// A device is served over a socket, and the function around it is the board's.
std::unique_ptr<AccessPath> reach_over_vhost_user(const AccessPathOptions& options);
// It is a whole function of libacrn-blk, on the board's own bus; the same with interrupts as eventfds; and its register
// block, in a function of the host.
std::unique_ptr<AccessPath> reach_by_the_library(const AccessPathOptions& options);
std::unique_ptr<AccessPath> reach_by_its_eventfds(const AccessPathOptions& options);
std::unique_ptr<AccessPath> reach_by_its_registers(const AccessPathOptions& options);

}  // namespace acrn::test
