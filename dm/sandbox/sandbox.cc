#include "dm/sandbox/sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <ctime>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/every_thread.h"
#include "dm/base/folder.h"
#include "dm/base/io_ring.h"
#include "dm/base/landlock.h"
#include "dm/sandbox/seccomp_filter.h"

namespace acrn {
namespace {

using Access = LandlockRules::Access;

constexpr size_t kKinds = 5;                             // of threads
constexpr int kArenasPerCpu = 8;                         // as glibc has them
constexpr size_t kHeapPiece = 64 << 10;                  // bytes: of the heap, not a mapping of its own
constexpr int kSetMdwe = 65;                             // PR_SET_MDWE, Linux 6.3
constexpr unsigned long kRefuseExecGain = 1, kOurs = 2;  // children are not concerned: Linux 6.6

// What each thread needs for itself, where a signal handler finds it. Written before any thread looks.
struct ForThreads {
  int rules = -1;                             // Landlock's
  std::array<SeccompFilter, kKinds> filters;  // by kind; empty: the process's is enough
  std::atomic<bool> failed{false};            // relaxed: read when all are done
};
ForThreads* for_threads = nullptr;         // never destroyed
SeccompFilter* recorder_filter = nullptr;  // never destroyed
std::atomic<bool> confined{false};         // relaxed: it stands for itself

// Of the calling thread. Async-signal-safe.
bool keep_capabilities(uint32_t kept) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  sets[0].effective = sets[0].permitted = kept;
  return ::syscall(SYS_capset, &header, sets.data()) == 0;
}

// On each thread.
void drop_rights() {
  bool done = keep_capabilities(0);
  done &= for_threads->rules >= 0 ? LandlockRules::restrict_self(for_threads->rules)
                                  : ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  if (!done) for_threads->failed.store(true, std::memory_order_relaxed);
}

// On each thread, and at the start of each new one.
void narrow_filter() {
  const SeccompFilter& filter = for_threads->filters[static_cast<size_t>(Thread::current_kind())];
  if (!filter.empty() && !load_filter(filter, false)) for_threads->failed.store(true, std::memory_order_relaxed);
}

// The C library looks some things up in files when it first needs them: the time zone; how many processors there are,
// by which it limits the number of its heaps; and, when it first gives memory of a thread's heap back, how the kernel
// overcommits memory.
void settle_c_library() {
  ::tzset();
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the heap's own lock is held
  ::mallopt(M_ARENA_MAX, kArenasPerCpu * static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)));
  Thread thread;
  const auto give_back = [] {
    std::array<void*, 16> pieces{};
    for (void*& piece : pieces) piece = std::malloc(kHeapPiece);
    for (void* const piece : pieces) std::free(piece);
  };
  if (thread.start("heap", give_back, Thread::Inherit::kProcess)) thread.join();
}

LandlockRules rules_of(const SandboxPlan& plan) {
  LandlockRules rules;
  for (const std::string& path : plan.paths) rules.allow(path, Access::kReadWrite);
  for (const std::string& path : plan.read_paths) rules.allow(path, Access::kRead);
  for (const std::string& path : plan.sockets) rules.allow(parent_folder(path), Access::kRemove);
  return rules;
}

Result<void> make_filters(const SandboxPlan& plan, SeccompFilter& whole) {
  const Refusal refusal = plan.mode == SandboxMode::kLog ? Refusal::kLog : Refusal::kKill;
  auto all = make_filter(kAllThreads, plan.parts, refusal);
  if (!all) return all.error();
  whole = std::move(all).value();
  for (const auto kind : {Thread::Kind::kQueue, Thread::Kind::kVcpu, Thread::Kind::kWorker, Thread::Kind::kLink}) {
    auto narrow = make_filter(set_of(kind), plan.parts, refusal);
    if (!narrow) return narrow.error();
    for_threads->filters[static_cast<size_t>(kind)] = std::move(narrow).value();
  }
  return {};
}

// Sockets are for their owner only, who is another one now. Nothing but a socket is given away, whoever may have put it
// there.
void give_away(const std::string& path, const SandboxUser& user) {
  const UniqueFd file(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!file || ::fstat(file.fd(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  [[maybe_unused]] const int kept = ::fchownat(file.fd(), "", user.user, user.group, AT_EMPTY_PATH);
}

Result<void> become(const SandboxPlan& plan) {
  for (const std::string& socket : plan.sockets) give_away(socket, *plan.user);
  return plan.user->become();
}

}  // namespace

void prepare_sandbox() { prepare_every_thread(); }

bool is_sandbox_prepared() { return every_thread_signal() != 0; }

bool is_confined() { return confined.load(std::memory_order_relaxed); }

void prepare_recorder() {
  if (auto filter = make_filter(kRecorder, kEveryProcess, Refusal::kKill); filter) {
    recorder_filter = new SeccompFilter(std::move(filter).value());
  }
}

void confine_recorder() {
  keep_capabilities(0);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (recorder_filter != nullptr) load_filter(*recorder_filter, false);
}

// What it cannot give up it keeps: it reads nothing but the table of mappings of a process.
void confine_observer() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> kept{};
  if (::syscall(SYS_capget, &header, kept.data()) == 0) {
    keep_capabilities(kept[0].permitted & CAP_TO_MASK(CAP_SYS_PTRACE));  // a client may be another user's
  }
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (const auto filter = make_filter(kObserver, kServerPart, Refusal::kKill); filter)
    load_filter(filter.value(), false);
}

Result<void> enter_sandbox(const SandboxPlan& plan) {
  if (plan.user) {
    if (auto became = become(plan); !became) return became;
  }
  if (plan.mode == SandboxMode::kOff) return {};
  for_threads = new ForThreads;
  confined.store(true, std::memory_order_relaxed);
  SeccompFilter whole;
  if (auto made = make_filters(plan, whole); !made) return made;
  std::string missing;
  const auto miss = [&](std::string_view what) { missing += concat(missing.empty() ? "" : ", ", what); };
  const LandlockRules rules = rules_of(plan);
  for_threads->rules = rules.fd();
  if (rules.fd() < 0) miss("Landlock (Linux 5.13)");
  settle_c_library();

  auto threads = run_on_every_thread(drop_rights);
  if (!threads) return threads.error();
  // A kernel without this has the filter, which refuses the same.
  if (::prctl(kSetMdwe, kRefuseExecGain | kOurs, 0, 0, 0) != 0) ::prctl(kSetMdwe, kRefuseExecGain, 0, 0, 0);
  IoRing::forbid_new();
  if (load_filter(whole, true)) {
    Thread::set_start_hook(narrow_filter);
    run_on_threads_again(threads.value(), narrow_filter);
  } else {
    miss("filters of system calls (CONFIG_SECCOMP_FILTER, Linux 4.14)");
  }
  if (for_threads->failed.load(std::memory_order_relaxed)) miss("some of it for some threads");
  if (!missing.empty()) {
    log(LogLevel::kWarning, concat("--sandbox: this host does without ", missing, "; the rest is on"));
  }
  if (threads.value().unreached != 0) {
    log(LogLevel::kInfo, concat("--sandbox: ", threads.value().unreached,
                                " threads of a library keep capabilities and files; their system calls are filtered"));
  }
  return {};
}

}  // namespace acrn
