// Which system calls the process makes once it is confined: one row for each, with the threads that make it, the part
// of the program that needs it, and why. The filters are made of it (seccomp_filter), and so is the table of
// docs/confinement.md. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "dm/base/thread.h"
#include "dm/hypervisor/requests.h"

namespace acrn {

// Kinds of threads, as bits.
using ThreadSet = uint8_t;
constexpr ThreadSet set_of(Thread::Kind kind) { return static_cast<ThreadSet>(1u << static_cast<unsigned>(kind)); }
inline constexpr ThreadSet kControlThread = set_of(Thread::Kind::kControl), kQueueThread = set_of(Thread::Kind::kQueue),
                           kVcpuThread = set_of(Thread::Kind::kVcpu), kWorkerThread = set_of(Thread::Kind::kWorker),
                           kLinkThread = set_of(Thread::Kind::kLink),
                           // The process that looks at the mappings of clients.
    kObserver = 1 << 5,
                           // The process that writes a trace.
    kRecorder = 1 << 6, kAllThreads = kControlThread | kQueueThread | kVcpuThread | kWorkerThread | kLinkThread;

// Parts of the program that a process may be without, as bits. A row without one is for all processes.
using PartSet = uint16_t;
inline constexpr PartSet kEveryProcess = 0, kKvmPart = 1 << 0, kAcrnPart = 1 << 1, kServerPart = 1 << 2,
                         kControlSocketPart = 1 << 3, kTerminalPart = 1 << 4, kNbdPart = 1 << 5, kNetworkPart = 1 << 6,
                         kBackEndPart = 1 << 7, kRbdPart = 1 << 8, kImagePart = 1 << 9, kPathsPart = 1 << 10;

// What a call's arguments must be.
enum class CallRule : uint8_t {
  kAny,
  kNotExecutable,  // mmap, mprotect: no PROT_EXEC
  kNewThread,      // clone: of this process, in its name spaces
  kNoSuchCall,     // clone3: fails with ENOSYS, and the C library calls clone()
  kThisProcess,    // of its first argument
  kOwnName,        // prctl: PR_SET_NAME
  kFilter,         // seccomp: yet another filter for the thread itself
  kEventfd,        // io_uring_register: an eventfd, and none any more
  kUnixSocket,     // socket: AF_UNIX
  // ioctl: requests_of()
  kDiskRequests,
  kProbeRequests,
  kTerminalRequests,
  kSocketRequests,
  kKvmGuestRequests,
  kKvmInterruptRequests,
  kKvmControlRequests,
  kAcrnGuestRequests,
  kAcrnInterruptRequests,
  kAcrnControlRequests,
};

struct SystemCall {
  std::string_view name;
  ThreadSet threads;
  PartSet parts = kEveryProcess;  // any of them
  CallRule rule = CallRule::kAny;
  std::string_view why;  // for the page: a phrase without a period
};

std::span<const SystemCall> system_calls();

// The requests of a rule for ioctl; empty for any other.
std::span<const DeviceRequest> requests_of(CallRule rule);

// Whether a process with these parts makes the call.
constexpr bool is_for(const SystemCall& call, PartSet parts) {
  return call.parts == kEveryProcess || (call.parts & parts) != 0;
}

// For the page, in the order of their bits: "queue, worker"; "nbd:"; "no PROT_EXEC".
std::string words_of_threads(ThreadSet threads);
std::string words_of_parts(PartSet parts);
std::string words_of_rule(CallRule rule);

}  // namespace acrn
