#include "dm/sandbox/system_calls.h"

#include <asm/termbits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <array>
#include <utility>

#include "acrn/base/concat.h"

namespace acrn {
namespace {

// Whoever finds that it needs one may start a worker, and a worker may borrow a loop: so what serves a disk makes the
// same calls, whichever thread it is on. Links make their own, and control threads start threads of all kinds.
constexpr ThreadSet kServing = kControlThread | kQueueThread | kVcpuThread | kWorkerThread, kAll = kAllThreads,
                    kControl = kControlThread, kSources = kServing | kLinkThread;

constexpr SystemCall kCalls[] = {
    // Memory, threads and time.
    {.name = "mmap",
     .threads = kAll | kObserver,
     .rule = CallRule::kNotExecutable,
     .why = "the heap, stacks, pieces of images, memory of a peer"},
    {.name = "mprotect",
     .threads = kAll,
     .rule = CallRule::kNotExecutable,
     .why = "the heap, and the stack of a new thread"},
    {.name = "munmap", .threads = kAll | kObserver, .why = "the same, given back"},
    {.name = "mremap", .threads = kAll | kObserver, .why = "the heap: a large block that grows"},
    {.name = "brk", .threads = kAll | kObserver, .why = "the heap"},
    {.name = "madvise",
     .threads = kAll,
     .why = "stacks of threads that have ended, guest RAM that nobody dumps, an image without read-ahead"},
    {.name = "futex", .threads = kAll | kObserver, .why = "mutexes, and sleeping"},
    {.name = "clone", .threads = kAll, .rule = CallRule::kNewThread, .why = "workers, connections, ends of servers"},
    {.name = "clone3",
     .threads = kAll,
     .rule = CallRule::kNoSuchCall,
     .why = "its flags are in memory, where no filter can look"},
    {.name = "set_robust_list", .threads = kAll, .why = "the C library, in a new thread"},
    {.name = "rseq", .threads = kAll, .why = "the C library, in a new thread"},
    {.name = "prctl", .threads = kAll, .rule = CallRule::kOwnName, .why = "the name of a new thread"},
    {.name = "seccomp", .threads = kAll, .rule = CallRule::kFilter, .why = "the filter of a new thread"},
    {.name = "sched_getaffinity", .threads = kAll, .why = "a new thread runs where the process does"},
    {.name = "sched_setaffinity", .threads = kAll, .why = "a new thread runs where the process does"},
    {.name = "sched_getparam", .threads = kAll, .why = "a new thread runs where the process does"},
    {.name = "sched_getscheduler", .threads = kAll, .why = "a new thread runs where the process does"},
    {.name = "sched_setscheduler", .threads = kAll, .why = "a new thread runs where the process does"},
    {.name = "sched_yield", .threads = kAll, .why = "a loop that polls"},
    {.name = "getpid", .threads = kAll, .why = "the same, and signals to ourselves"},
    {.name = "gettid", .threads = kAll, .why = "signals to ourselves"},
    {.name = "tgkill",
     .threads = kAll,
     .rule = CallRule::kThisProcess,
     .why = "a vCPU is called back; the end by a second signal, or by our own bug"},
    {.name = "rt_sigaction", .threads = kAll, .why = "a crash, and the end by a second signal"},
    {.name = "rt_sigprocmask", .threads = kAll, .why = "a new thread takes no signals"},
    {.name = "rt_sigreturn",
     .threads = kAll,
     .why = "the end of a handler: a lost piece of a mapping, a vCPU that is called back"},
    {.name = "restart_syscall",
     .threads = kAll | kRecorder,
     .why = "the kernel, for a wait that a signal has interrupted"},
    {.name = "exit", .threads = kAll, .why = "the end of a thread"},
    {.name = "exit_group", .threads = kAll | kObserver | kRecorder, .why = "the end of the process"},
    {.name = "clock_gettime", .threads = kAll, .why = "the time, where the kernel has no page for it"},
    {.name = "clock_nanosleep", .threads = kAll, .why = "a wait for a lock of another process"},
    {.name = "getrandom", .threads = kAll, .why = "the C library's heap, and TLS"},
    // Descriptors, and waiting for them.
    {.name = "read", .threads = kAll | kObserver, .why = "eventfds and timers, terminals, clients"},
    {.name = "write", .threads = kAll, .why = "eventfds, terminals, clients, the log"},
    {.name = "close", .threads = kAll | kObserver, .why = "what has ended"},
    {.name = "fcntl", .threads = kAll, .why = "locks of images; O_NONBLOCK of what a client sends"},
    {.name = "dup3",
     .threads = kControl,
     .parts = kKvmPart,
     .why = "the VM that a reset makes takes the place of the last one"},
    {.name = "poll", .threads = kAll | kRecorder, .why = "signals; a server that is waited for; a pause"},
    {.name = "epoll_wait", .threads = kServing, .why = "a loop sleeps"},
    {.name = "epoll_ctl", .threads = kServing, .why = "what a loop waits for"},
    {.name = "eventfd2", .threads = kAll, .why = "notifiers of a disk or a client that comes later"},
    {.name = "timerfd_create", .threads = kServing, .why = "timers of a disk or a client that comes later"},
    {.name = "timerfd_settime", .threads = kServing, .why = "timers"},
    // Disks.
    {.name = "pread64", .threads = kServing, .why = "reads; a kernel that is loaded again"},
    {.name = "pwrite64", .threads = kServing, .why = "writes"},
    {.name = "preadv2", .threads = kServing, .why = "reads"},
    {.name = "pwritev2", .threads = kServing, .why = "writes"},
    {.name = "pwritev", .threads = kRecorder, .why = "what was traced"},
    {.name = "getppid", .threads = kRecorder, .why = "whether the process that is traced still runs"},
    {.name = "fdatasync", .threads = kServing, .why = "flushes"},
    {.name = "sync_file_range", .threads = kServing, .why = "errors that others were told"},
    {.name = "fallocate", .threads = kServing, .why = "DISCARD and WRITE_ZEROES"},
    {.name = "ioctl",
     .threads = kServing,
     .rule = CallRule::kDiskRequests,
     .why = "DISCARD, WRITE_ZEROES and size of a block device"},
    {.name = "fstat", .threads = kAll, .why = "the size of a file; what a client has sent"},
    {.name = "newfstatat",
     .threads = kAll | kObserver,
     .why = "the same, by the C library; whether a socket's path is still ours"},
    {.name = "lseek", .threads = kServing | kObserver, .why = "where a file has data"},
    {.name = "mincore", .threads = kServing, .why = "what of an image is in memory"},
    {.name = "getrusage", .threads = kServing, .why = "whether a copy had to wait for the medium"},
    {.name = "io_uring_enter",
     .threads = kAll,
     .why = "rings that were made before; each takes only the operations that it is for"},
    {.name = "io_uring_register",
     .threads = kAll,
     .rule = CallRule::kEventfd,
     .why = "a ring signals another client's eventfd"},
    {.name = "unlink", .threads = kControl, .why = "our sockets, at the end"},
    {.name = "unlink", .threads = kControl | kQueueThread, .parts = kServerPart, .why = "the socket of an NBD export"},
    // The control socket, the metrics, and servers.
    {.name = "accept4",
     .threads = kControl | kQueueThread,
     .parts = kServerPart | kControlSocketPart,
     .why = "a client"},
    {.name = "recvfrom",
     .threads = kServing,
     .parts = kServerPart | kControlSocketPart | kNbdPart | kBackEndPart | kImagePart | kRbdPart,
     .why = "what a client or a server says"},
    {.name = "recvfrom", .threads = kObserver, .parts = kServerPart, .why = "which client is to be looked at"},
    {.name = "sendto",
     .threads = kAll | kObserver,
     .why = "answers; interrupts of User Mode Linux; that the service is ready"},
    {.name = "openat", .threads = kObserver, .parts = kServerPart, .why = "how a client has its memory mapped"},
    {.name = "recvmsg",
     .threads = kServing,
     .parts = kServerPart | kBackEndPart | kImagePart | kRbdPart,
     .why = "what a VMM says, with its memory and eventfds; what the server of a disk says"},
    {.name = "recvmsg", .threads = kControl, .parts = kControlSocketPart, .why = "a command, with the file of a disk"},
    {.name = "sendmsg",
     .threads = kAll,
     .parts = kServerPart | kBackEndPart | kImagePart | kRbdPart,
     .why = "answers; questions to the server of a disk"},
    {.name = "getsockopt",
     .threads = kControl,
     .parts = kServerPart,
     .why = "which process a client is; the type of a socket that it has sent"},
    {.name = "shutdown",
     .threads = kAll,
     .parts = kServerPart | kBackEndPart | kNbdPart | kImagePart | kRbdPart,
     .why = "a client that is dropped, a server that is left; a socket that is only sent to"},
    {.name = "shutdown", .threads = kControl, .parts = kControlSocketPart, .why = "a reader of the metrics is done"},
    {.name = "readlink",
     .threads = kControl,
     .parts = kServerPart | kBackEndPart | kPathsPart | kControlSocketPart,
     .why = "whether a descriptor is an eventfd; where a path leads; what a file that was sent is called"},
    {.name = "fstatfs",
     .threads = kControl,
     .parts = kServerPart | kPathsPart | kControlSocketPart,
     .why = "whether a client's memory, or a file, can be mapped"},
    {.name = "getpeername",
     .threads = kControl,
     .parts = kServerPart,
     .why = "whether a client has sent a socket of a pair"},
    {.name = "ioctl",
     .threads = kControl,
     .parts = kServerPart,
     .rule = CallRule::kSocketRequests,
     .why = "whether something waits in it"},
    {.name = "memfd_create",
     .threads = kControl,
     .parts = kServerPart,
     .why = "what is in flight, which a front end of vhost-user keeps"},
    {.name = "ftruncate", .threads = kServing, .why = "the same; an older log=, which the first entry replaces"},
    {.name = "flock", .threads = kControl, .parts = kControlSocketPart, .why = "a log= of a disk that comes later"},
    // Terminals. Whoever crashes puts its mode back.
    {.name = "ioctl",
     .threads = kAll,
     .parts = kTerminalPart,
     .rule = CallRule::kTerminalRequests,
     .why = "the mode of a terminal"},
    {.name = "getpgrp", .threads = kControl, .parts = kTerminalPart, .why = "whether we are in the foreground"},
    // Hypervisors.
    {.name = "ioctl",
     .threads = kControl | kVcpuThread,
     .parts = kKvmPart,
     .rule = CallRule::kKvmGuestRequests,
     .why = "the guest"},
    {.name = "ioctl",
     .threads = kServing,
     .parts = kKvmPart,
     .rule = CallRule::kKvmInterruptRequests,
     .why = "interrupts, and doorbells that the guest moves"},
    {.name = "ioctl",
     .threads = kControl,
     .parts = kKvmPart,
     .rule = CallRule::kKvmControlRequests,
     .why = "pause, and a reset, which makes a new VM"},
    {.name = "ioctl",
     .threads = kControl | kVcpuThread,
     .parts = kAcrnPart,
     .rule = CallRule::kAcrnGuestRequests,
     .why = "the guest's requests"},
    {.name = "ioctl",
     .threads = kServing,
     .parts = kAcrnPart,
     .rule = CallRule::kAcrnInterruptRequests,
     .why = "interrupts, and doorbells that the guest moves"},
    {.name = "ioctl",
     .threads = kControl,
     .parts = kAcrnPart,
     .rule = CallRule::kAcrnControlRequests,
     .why = "pause, reset and end"},
    {.name = "wait4",
     .threads = kControl,
     .parts = kAcrnPart | kImagePart,
     .why = "the end of a child: of the program that reads an image, or of ACRN's guardian"},
    {.name = "pidfd_send_signal",
     .threads = kControl,
     .parts = kImagePart,
     .why = "the end of the program that reads an image"},
    // A server that has a disk, and was lost.
    {.name = "socket",
     .threads = kSources,
     .parts = kNbdPart | kBackEndPart,
     .rule = CallRule::kUnixSocket,
     .why = "a new connection"},
    {.name = "socket",
     .threads = kSources,
     .parts = kNetworkPart | kRbdPart,
     .why = "a new connection, and the address of a name"},
    {.name = "connect", .threads = kSources, .parts = kNbdPart | kBackEndPart | kRbdPart, .why = "a new connection"},
    {.name = "getsockopt", .threads = kSources, .parts = kNbdPart | kRbdPart, .why = "whether a connection was made"},
    {.name = "setsockopt",
     .threads = kSources,
     .parts = kNbdPart | kNetworkPart | kRbdPart,
     .why = "`TCP_NODELAY`, and the address of a name"},
    {.name = "bind", .threads = kSources, .parts = kNetworkPart, .why = "the address of a name"},
    {.name = "getsockname", .threads = kSources, .parts = kNetworkPart | kRbdPart, .why = "the address of a name"},
    {.name = "sendmmsg", .threads = kSources, .parts = kNetworkPart, .why = "the address of a name"},
    {.name = "recvmsg",
     .threads = kSources,
     .parts = kNetworkPart | kBackEndPart,
     .why = "the address of a name; what the server of a disk says"},
    {.name = "recvfrom", .threads = kLinkThread | kServing, .parts = kNbdPart, .why = "what the server of a disk says"},
    {.name = "uname", .threads = kSources, .parts = kNetworkPart | kRbdPart, .why = "the address of a name"},
    {.name = "openat",
     .threads = kSources,
     .parts = kNetworkPart | kRbdPart,
     .why = "the address of a name, certificates"},
    {.name = "lseek", .threads = kSources, .parts = kNetworkPart, .why = "the same"},
    {.name = "access", .threads = kSources, .parts = kNetworkPart, .why = "whether there are certificates"},
    {.name = "geteuid", .threads = kSources, .parts = kNetworkPart, .why = "whose certificates"},
    {.name = "memfd_create",
     .threads = kControl | kLinkThread,
     .parts = kBackEndPart,
     .why = "memory that the server of a disk shares with us"},
    {.name = "ftruncate", .threads = kControl | kLinkThread, .parts = kBackEndPart, .why = "the same"},
    {.name = "readlink", .threads = kLinkThread, .parts = kBackEndPart, .why = "whether a descriptor is an eventfd"},
    // A disk that comes later.
    {.name = "openat", .threads = kControl, .parts = kPathsPart, .why = "`blkrescan`"},
    {.name = "statx", .threads = kControl, .parts = kPathsPart | kControlSocketPart, .why = "`blkrescan`"},
    {.name = "getcwd", .threads = kControl, .parts = kPathsPart, .why = "`blkrescan`"},
    {.name = "ioctl",
     .threads = kControl,
     .parts = kPathsPart | kControlSocketPart,
     .rule = CallRule::kProbeRequests,
     .why = "`blkrescan`"},
};

#define ACRN_REQUEST(name) \
  DeviceRequest { #name, name }
constexpr std::array kDisk = {ACRN_REQUEST(BLKDISCARD), ACRN_REQUEST(BLKZEROOUT), ACRN_REQUEST(BLKGETSIZE64)};
constexpr std::array kProbe = {ACRN_REQUEST(BLKROGET), ACRN_REQUEST(BLKSSZGET), ACRN_REQUEST(BLKPBSZGET)};
// A mode is asked for and set by the one pair or, from glibc 2.42 on, by the other.
constexpr std::array kTerminal = {ACRN_REQUEST(TCGETS),  ACRN_REQUEST(TCSETS),    ACRN_REQUEST(TCGETS2),
                                  ACRN_REQUEST(TCSETS2), ACRN_REQUEST(TIOCGPGRP), ACRN_REQUEST(TIOCGDEV)};
constexpr std::array kSocket = {ACRN_REQUEST(FIONREAD)};
#undef ACRN_REQUEST

template <class Set, size_t size>
std::string words(Set set, const std::array<std::string_view, size>& names) {
  std::string text;
  for (size_t bit = 0; bit < size; bit++) {
    if ((set >> bit & 1) == 0) continue;
    if (!text.empty()) text += ", ";
    text += names[bit];
  }
  return text;
}

}  // namespace

std::span<const SystemCall> system_calls() { return kCalls; }

std::span<const DeviceRequest> requests_of(CallRule rule) {
  switch (rule) {
    case CallRule::kDiskRequests: return kDisk;
    case CallRule::kProbeRequests: return kProbe;
    case CallRule::kTerminalRequests: return kTerminal;
    case CallRule::kSocketRequests: return kSocket;
    case CallRule::kKvmGuestRequests: return kvm_requests().guest;
    case CallRule::kKvmInterruptRequests: return kvm_requests().interrupts;
    case CallRule::kKvmControlRequests: return kvm_requests().control;
    case CallRule::kAcrnGuestRequests: return acrn_requests().guest;
    case CallRule::kAcrnInterruptRequests: return acrn_requests().interrupts;
    case CallRule::kAcrnControlRequests: return acrn_requests().control;
    default: return {};
  }
}

std::string words_of_threads(ThreadSet threads) {
  constexpr std::array<std::string_view, 7> kNames = {"control", "queue",    "vCPU",    "worker",
                                                      "link",    "observer", "recorder"};
  if ((threads & kAll) != kAll) return words(threads, kNames);
  const std::string others = words(static_cast<ThreadSet>(threads & ~kAll), kNames);
  return others.empty() ? "all" : concat("all, ", others);
}

std::string words_of_parts(PartSet parts) {
  constexpr std::array<std::string_view, 11> kNames = {
      "KVM",    "ACRN",      "`--serve`",       "`--cmd_monitor`, `--metrics`",
      "`-l`",   "`nbd:`",    "`nbd:` over TCP", "`vhost-user:`",
      "`rbd:`", "`format=`", "`--sandbox-path`"};
  return words(parts, kNames);
}

std::string words_of_rule(CallRule rule) {
  switch (rule) {
    case CallRule::kAny: return "";
    case CallRule::kNotExecutable: return "without `PROT_EXEC`";
    case CallRule::kNewThread: return "a thread of this process, in its name spaces";
    case CallRule::kNoSuchCall: return "fails with `ENOSYS`";
    case CallRule::kThisProcess: return "this process";
    case CallRule::kOwnName: return "`PR_SET_NAME`";
    case CallRule::kFilter: return "`SECCOMP_SET_MODE_FILTER`, for the thread itself";
    case CallRule::kEventfd: return "`IORING_REGISTER_EVENTFD`, `IORING_UNREGISTER_EVENTFD`";
    case CallRule::kUnixSocket: return "`AF_UNIX`";
    default: break;
  }
  std::string text;
  for (const DeviceRequest& request : requests_of(rule)) text += concat(text.empty() ? "`" : ", `", request.name, "`");
  return text;
}

}  // namespace acrn
