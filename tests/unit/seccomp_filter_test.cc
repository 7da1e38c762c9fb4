// The filters against the table that they are made of: each number of a system call, in each kind of thread, with what
// its rule allows and with what it does not.
#include "dm/sandbox/seccomp_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "tests/support/must.h"

namespace acrn {
namespace {

using test::must;
using Arguments = std::array<uint64_t, 6>;

constexpr int kNumbers = 600;  // more than there are system calls
constexpr std::array kKinds = {kControlThread, kQueueThread, kVcpuThread, kWorkerThread, kLinkThread, kObserver};
// Each part alone, and what processes have together.
constexpr std::array<PartSet, 17> kPartSets = {
    kEveryProcess,
    kKvmPart,
    kAcrnPart,
    kServerPart,
    kControlSocketPart,
    kTerminalPart,
    kNbdPart,
    kNetworkPart,
    kBackEndPart,
    kRbdPart,
    kImagePart,
    kPathsPart,
    kKvmPart | kTerminalPart,
    kKvmPart | kTerminalPart | kControlSocketPart | kPathsPart,
    kAcrnPart | kTerminalPart | kControlSocketPart | kPathsPart | kImagePart,
    kServerPart | kControlSocketPart | kPathsPart | kBackEndPart | kNbdPart | kNetworkPart,
    0xffff};

seccomp_data call_of(int number, const Arguments& arguments) {
  seccomp_data data{};
  data.nr = number;
  data.arch = AUDIT_ARCH_X86_64;
  std::copy(arguments.begin(), arguments.end(), data.args);
  return data;
}

// What the kernel would do, as far as filters of libseccomp go: classic BPF over a seccomp_data.
uint32_t verdict(const SeccompFilter& filter, const seccomp_data& data) {
  uint32_t accumulator = 0;
  for (size_t at = 0; at < filter.size(); at++) {
    const sock_filter& step = filter[at];
    const auto jump = [&](bool taken) { at += taken ? step.jt : step.jf; };
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        // SAFETY: the bytes of a structure that the kernel defines.
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + step.k, sizeof(accumulator));
        break;
      case BPF_JMP | BPF_JA: at += step.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: jump(accumulator == step.k); break;
      case BPF_JMP | BPF_JGT | BPF_K: jump(accumulator > step.k); break;
      case BPF_JMP | BPF_JGE | BPF_K: jump(accumulator >= step.k); break;
      case BPF_JMP | BPF_JSET | BPF_K: jump((accumulator & step.k) != 0); break;
      case BPF_ALU | BPF_AND | BPF_K: accumulator &= step.k; break;
      case BPF_RET | BPF_K: return step.k;
      default: throw test::Failure{"verdict", "an instruction that is not known here"};
    }
  }
  throw test::Failure{"verdict", "the filter does not end"};
}

// Calls that a rule allows, and calls that it does not.
struct Examples {
  std::vector<Arguments> allowed, refused;
};

Examples examples_of(CallRule rule) {
  const auto self = static_cast<uint64_t>(::getpid());
  constexpr uint64_t kThread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD |
                               CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
  switch (rule) {
    case CallRule::kAny: return {{{}, {~0ull, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull}, {1, 2, 3, 4, 5, 6}}, {}};
    case CallRule::kNotExecutable:
      return {{{0, 4096, PROT_NONE}, {0, 4096, PROT_READ | PROT_WRITE}},
              {{0, 4096, PROT_EXEC}, {0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC}}};
    case CallRule::kNewThread:
      return {{{kThread}},
              {{},
               {SIGCHLD},
               {CLONE_VM | CLONE_VFORK | SIGCHLD},
               {kThread | CLONE_NEWUSER},
               {kThread | CLONE_NEWNET},
               {kThread & ~uint64_t{CLONE_THREAD}}}};
    case CallRule::kNoSuchCall: return {};
    case CallRule::kThisProcess: return {{{self, 5, 6}}, {{1, 5, 6}, {0}, {~0ull}, {self + 1}}};
    case CallRule::kOwnName: return {{{PR_SET_NAME}}, {{PR_SET_DUMPABLE, 1}, {PR_SET_SECCOMP}, {PR_SET_MM}}};
    case CallRule::kFilter:
      return {{{SECCOMP_SET_MODE_FILTER, 0}},
              {{SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER}, {SECCOMP_SET_MODE_STRICT}}};
    case CallRule::kEventfd: return {{{3, 4}, {3, 5}}, {{3, 0}, {3, 2}, {3, 11}, {3, 12}}};
    case CallRule::kUnixSocket: return {{{AF_UNIX}}, {{AF_INET}, {AF_INET6}, {AF_NETLINK}, {AF_PACKET}, {AF_ALG}}};
    default: break;
  }
  Examples examples{{}, {{3, 0x5412}, {3, 0x8913}}};  // TIOCSTI, SIOCGIFFLAGS
  for (const DeviceRequest& request : requests_of(rule)) examples.allowed.push_back({3, request.number});
  return examples;
}

bool allows(CallRule rule, const Arguments& arguments) {
  const Examples examples = examples_of(rule);
  return rule == CallRule::kAny ||
         std::find(examples.allowed.begin(), examples.allowed.end(), arguments) != examples.allowed.end();
}

int number_of(std::string_view name) { return ::seccomp_syscall_resolve_name(std::string(name).c_str()); }

// The rows of each number for such threads.
std::vector<std::vector<CallRule>> rules_by_number(ThreadSet threads, PartSet parts) {
  std::vector<std::vector<CallRule>> rules(kNumbers);
  for (const SystemCall& call : system_calls()) {
    if ((call.threads & threads) == 0 || !is_for(call, parts)) continue;
    rules.at(static_cast<size_t>(number_of(call.name))).push_back(call.rule);
  }
  return rules;
}

void check_exactly(ThreadSet threads, PartSet parts) {
  const SeccompFilter filter = must(make_filter(threads, parts, Refusal::kKill));
  const auto rules = rules_by_number(threads, parts);
  for (int number = 0; number < kNumbers; number++) {
    const auto& rows = rules[static_cast<size_t>(number)];
    const auto expect = [&](const Arguments& arguments, uint32_t wanted) {
      if (verdict(filter, call_of(number, arguments)) == wanted) return;
      throw test::Failure{"number " + std::to_string(number), "the filter is not what the table says"};
    };
    if (rows.empty()) {
      for (const Arguments& arguments : examples_of(CallRule::kAny).allowed)
        expect(arguments, SECCOMP_RET_KILL_PROCESS);
    }
    for (const CallRule rule : rows) {
      if (rule == CallRule::kNoSuchCall) expect({}, SECCOMP_RET_ERRNO | ENOSYS);
      const Examples examples = examples_of(rule);
      for (const Arguments& arguments : examples.allowed) expect(arguments, SECCOMP_RET_ALLOW);
      for (const Arguments& arguments : examples.refused) {
        const bool elsewhere =
            std::any_of(rows.begin(), rows.end(), [&](CallRule other) { return allows(other, arguments); });
        expect(arguments, elsewhere ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS);
      }
    }
  }
}

TEST(the_filter_of_each_kind_of_thread_is_exactly_what_the_table_says) {
  for (const PartSet parts : kPartSets) {
    for (const ThreadSet threads : kKinds) check_exactly(threads, parts);
  }
}

TEST(the_filter_of_the_process_allows_what_any_of_its_threads_may_do) {
  for (const PartSet parts : kPartSets) check_exactly(kAllThreads, parts);
}

TEST(a_call_of_another_architecture_ends_the_process) {
  const SeccompFilter filter = must(make_filter(kAllThreads, kEveryProcess, Refusal::kKill));
  seccomp_data data = call_of(number_of("read"), {});
  data.arch = AUDIT_ARCH_I386;
  EXPECT_EQ(verdict(filter, data), SECCOMP_RET_KILL_PROCESS);
  // x32 has numbers of its own.
  EXPECT_EQ(verdict(filter, call_of(number_of("read") | 0x4000'0000, {})), SECCOMP_RET_KILL_PROCESS);
}

TEST(what_is_refused_can_be_logged_instead) {
  const SeccompFilter filter = must(make_filter(kAllThreads, kEveryProcess, Refusal::kLog));
  EXPECT_EQ(verdict(filter, call_of(number_of("socket"), {AF_INET})), SECCOMP_RET_LOG);
  EXPECT_EQ(verdict(filter, call_of(number_of("read"), {})), SECCOMP_RET_ALLOW);
}

TEST(each_row_of_the_table_names_a_system_call_and_says_why) {
  for (const SystemCall& call : system_calls()) {
    EXPECT(number_of(call.name) >= 0);
    EXPECT(!call.why.empty() && call.why.back() != '.');
    EXPECT(call.threads != 0);
  }
}

// A filter is inherited, so a thread whose starter may not make a call cannot make it either.
TEST(whoever_starts_a_thread_may_do_what_that_one_may) {
  for (const SystemCall& call : system_calls()) {
    const auto implies = [&](ThreadSet started, ThreadSet starters) {
      return (call.threads & started) == 0 || (call.threads & starters) == starters;
    };
    // Control threads are under the filter of the process alone.
    EXPECT(implies(kWorkerThread, kQueueThread | kVcpuThread));
    // A virtual CPU starts queues; where clients are served there is none.
    if ((call.parts & kServerPart) == 0) EXPECT(implies(kQueueThread, kVcpuThread));
    if ((call.parts & kNbdPart) != 0) EXPECT(implies(kLinkThread, kQueueThread | kVcpuThread | kWorkerThread));
  }
}

}  // namespace
}  // namespace acrn
