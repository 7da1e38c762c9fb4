// Attacks from inside. Each runs in a child that has threads of all kinds, has confined itself as acrn-dm does, and
// then has a hole: the attacker's code runs on one of its threads.
#include "dm/sandbox/sandbox.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/kcmp.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <latch>
#include <string>
#include <vector>

#include "dm/base/io_ring.h"
#include "dm/base/landlock.h"
#include "dm/base/thread.h"
#include "dm/event/event_trigger.h"
#include "dm/mem/peer_mapping.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"

namespace acrn {
namespace {

using Kind = Thread::Kind;
using test::must;
using test::TempDir;

constexpr std::array kKinds = {Kind::kControl, Kind::kQueue, Kind::kVcpu, Kind::kWorker, Kind::kLink};
// What a confined process may have and needs no server for: the most that a VM without disks of servers gets.
constexpr PartSet kParts = kKvmPart | kControlSocketPart | kTerminalPart;

// What the attacker finds.
struct Loot {
  std::string other_disk;  // a file that the process was not given
  pid_t victim = 0;        // the parent
  char* secret = nullptr;  // in its memory
  int vm_file = -1;
};

// Returns what the attack got: 0, nothing; the child's exit status.
using Attack = std::function<int(const Loot&)>;

int got(long result) { return result < 0 ? 0 : 1; }

struct NamedAttack {
  const char* name;
  Attack run;
};

int start_program() {
  char* const arguments[] = {const_cast<char*>("/bin/true"), nullptr};
  return got(::execve("/bin/true", arguments, nullptr));
}

// Those that end the process.
const std::vector<NamedAttack>& deadly_attacks() {
  static const std::vector<NamedAttack> attacks = {
      {"open of /etc/passwd", [](const Loot&) { return got(::syscall(SYS_open, "/etc/passwd", O_RDONLY)); }},
      {"openat of /etc/passwd", [](const Loot&) { return got(::open("/etc/passwd", O_RDONLY)); }},
      {"openat of another disk", [](const Loot& loot) { return got(::open(loot.other_disk.c_str(), O_RDWR)); }},
      {"openat2 of another disk",
       [](const Loot& loot) {
         std::array<uint64_t, 3> how{O_RDWR, 0, 0};
         return got(::syscall(SYS_openat2, AT_FDCWD, loot.other_disk.c_str(), how.data(), sizeof(how)));
       }},
      {"creat", [](const Loot& loot) { return got(::syscall(SYS_creat, (loot.other_disk + ".new").c_str(), 0600)); }},
      {"truncate of another disk", [](const Loot& loot) { return got(::truncate(loot.other_disk.c_str(), 0)); }},
      {"rename of another disk",
       [](const Loot& loot) { return got(::rename(loot.other_disk.c_str(), (loot.other_disk + ".new").c_str())); }},
      {"link to another disk",
       [](const Loot& loot) { return got(::link(loot.other_disk.c_str(), (loot.other_disk + ".new").c_str())); }},
      {"chmod of another disk", [](const Loot& loot) { return got(::chmod(loot.other_disk.c_str(), 0666)); }},
      {"chown of another disk", [](const Loot& loot) { return got(::chown(loot.other_disk.c_str(), 1, 1)); }},
      {"mkdir", [](const Loot& loot) { return got(::mkdir((loot.other_disk + ".new").c_str(), 0700)); }},
      {"mknod", [](const Loot& loot) { return got(::mknod((loot.other_disk + ".new").c_str(), S_IFIFO | 0600, 0)); }},
      {"socket of TCP", [](const Loot&) { return got(::socket(AF_INET, SOCK_STREAM, 0)); }},
      {"socket of UNIX", [](const Loot&) { return got(::socket(AF_UNIX, SOCK_STREAM, 0)); }},
      {"socket of netlink", [](const Loot&) { return got(::socket(AF_NETLINK, SOCK_RAW, 0)); }},
      {"socketpair",
       [](const Loot&) {
         std::array<int, 2> ends{};
         return got(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()));
       }},
      {"fork", [](const Loot&) { return got(::fork()); }},
      {"clone of a process",
       [](const Loot&) { return got(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0)); }},
      {"vfork",
       [](const Loot&) {
         return got(::syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr, nullptr, nullptr, 0));
       }},
      {"execve", [](const Loot&) { return start_program(); }},
      {"posix_spawn",
       [](const Loot&) {
         pid_t process = 0;
         char* const arguments[] = {const_cast<char*>("/bin/true"), nullptr};
         return ::posix_spawn(&process, "/bin/true", nullptr, nullptr, arguments, nullptr) == 0 ? 1 : 0;
       }},
      {"ptrace of the parent",
       [](const Loot& loot) { return got(::ptrace(PTRACE_SEIZE, loot.victim, nullptr, nullptr)); }},
      {"process_vm_readv of the parent",
       [](const Loot& loot) {
         std::array<char, 8> bytes{};
         const iovec ours{bytes.data(), bytes.size()}, theirs{loot.secret, bytes.size()};
         return got(::process_vm_readv(loot.victim, &ours, 1, &theirs, 1, 0));
       }},
      {"process_vm_writev to the parent",
       [](const Loot& loot) {
         std::array<char, 8> bytes{};
         const iovec ours{bytes.data(), bytes.size()}, theirs{loot.secret, bytes.size()};
         return got(::process_vm_writev(loot.victim, &ours, 1, &theirs, 1, 0));
       }},
      {"pidfd_open of the parent", [](const Loot& loot) { return got(::syscall(SYS_pidfd_open, loot.victim, 0)); }},
      {"kcmp", [](const Loot& loot) { return got(::syscall(SYS_kcmp, loot.victim, ::getpid(), KCMP_FILE, 0, 0)); }},
      {"kill of the parent", [](const Loot& loot) { return got(::kill(loot.victim, 0)); }},
      {"tgkill of the parent",
       [](const Loot& loot) { return got(::syscall(SYS_tgkill, loot.victim, loot.victim, 0)); }},
      {"a new ring of io_uring",
       [](const Loot&) {
         io_uring_params parameters{};
         return got(::syscall(SYS_io_uring_setup, 4, &parameters));
       }},
      {"a context of AIO",
       [](const Loot&) {
         aio_context_t context = 0;
         return got(::syscall(SYS_io_setup, 4, &context));
       }},
      {"mmap of executable memory",
       [](const Loot&) {
         void* const code = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         return code == MAP_FAILED ? 0 : 1;
       }},
      {"mprotect to executable memory",
       [](const Loot&) {
         void* const data = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         return got(::mprotect(data, 4096, PROT_READ | PROT_EXEC));
       }},
      {"pkey_mprotect", [](const Loot&) { return got(::syscall(SYS_pkey_mprotect, nullptr, 4096, PROT_EXEC, -1)); }},
      {"personality", [](const Loot&) { return got(::syscall(SYS_personality, 0x0400000)); }},
      {"memfd_create", [](const Loot&) { return got(::memfd_create("x", 0)); }},
      {"mount", [](const Loot&) { return got(::mount("none", "/mnt", "tmpfs", 0, nullptr)); }},
      {"unshare", [](const Loot&) { return got(::unshare(CLONE_NEWUSER)); }},
      {"chroot", [](const Loot&) { return got(::chroot("/tmp")); }},
      {"setuid", [](const Loot&) { return got(::syscall(SYS_setuid, 0)); }},
      {"capset", [](const Loot&) { return got(::syscall(SYS_capset, nullptr, nullptr)); }},
      {"prctl of dumpability", [](const Loot&) { return got(::prctl(PR_SET_DUMPABLE, 1)); }},
      {"perf_event_open",
       [](const Loot&) {
         perf_event_attr attributes{};
         return got(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
       }},
      {"bpf", [](const Loot&) { return got(::syscall(SYS_bpf, BPF_MAP_CREATE, nullptr, 0)); }},
      {"userfaultfd", [](const Loot&) { return got(::syscall(SYS_userfaultfd, 0)); }},
      {"add_key", [](const Loot&) { return got(::syscall(SYS_add_key, "user", "a", "b", 1, -3)); }},
      {"a listener of filters",
       [](const Loot&) {
         return got(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, nullptr));
       }},
      {"typing into a terminal", [](const Loot&) { return got(::ioctl(0, TIOCSTI, "x")); }},
  };
  return attacks;
}

// How a child has ended: its exit status, or minus the signal.
int end_of(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

constexpr int kNotConfined = 99, kNothing = 0;

// Threads that wait, and run one thing when they are told to.
class Threads {
 public:
  Threads() {
    for (const Kind kind : kKinds) {
      if (kind == Kind::kControl) continue;
      auto& thread = threads_[static_cast<size_t>(kind)];
      must(thread.start(
          "kind", [this, kind] { wait(kind); }, Thread::Inherit::kProcess, kind));
    }
  }
  // On the thread of that kind. Does not return: the child ends with it.
  [[noreturn]] void run(Kind kind, std::function<int()> body) {
    if (kind == Kind::kControl) ::_exit(body());
    body_ = std::move(body);
    wanted_.store(static_cast<int>(kind));
    for (;;) ::poll(nullptr, 0, -1);
  }

 private:
  void wait(Kind kind) {
    while (wanted_.load() != static_cast<int>(kind)) ::poll(nullptr, 0, 1);
    ::_exit(body_());
  }

  std::array<Thread, kKinds.size()> threads_;
  std::atomic<int> wanted_{-1};
  std::function<int()> body_;
};

// In a child: everything is opened, the process confines itself, then the attack runs on a thread of that kind.
int attack(Kind kind, const Loot& loot, const SandboxPlan& plan, const std::function<int(const Loot&)>& body) {
  const pid_t child = ::fork();
  EXPECT(child >= 0);
  if (child > 0) return end_of(child);
  ::signal(SIGSYS, SIG_DFL);
  prepare_sandbox();
  auto* const threads = new Threads;  // never destroyed: they end with the process
  if (!enter_sandbox(plan)) ::_exit(kNotConfined);
  threads->run(kind, [&] { return body(loot); });
}

SandboxPlan plan_of(PartSet parts) {
  return {.mode = SandboxMode::kOn, .parts = parts, .paths = {}, .read_paths = {}, .sockets = {}, .user = {}};
}

class Prey {
 public:
  Prey() : loot_{.other_disk = folder_.file("other.img", 4096), .victim = ::getpid(), .secret = secret_.data()} {}
  const Loot& loot() const { return loot_; }
  const TempDir& folder() const { return folder_; }

 private:
  TempDir folder_;
  std::string secret_ = "a secret of the parent";
  Loot loot_;
};

void skip_without_filters() {
  if (!kCanBeConfined) SKIP("a sanitizer's runtime makes calls of its own");
  if (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) SKIP("this kernel has no filters of system calls");
}

const char* name_of(Kind kind) {
  constexpr std::array<const char*, kKinds.size()> kNames = {"control", "queue", "vCPU", "worker", "link"};
  return kNames.at(static_cast<size_t>(kind));
}

TEST(an_attacker_on_any_kind_of_thread_opens_nothing_starts_nothing_and_reaches_nobody) {
  skip_without_filters();
  const Prey prey;
  for (const NamedAttack& each : deadly_attacks()) {
    for (const Kind kind : kKinds) {
      const int end = attack(kind, prey.loot(), plan_of(kParts), each.run);
      if (end == -SIGSYS) continue;
      throw test::Failure{each.name,
                          std::string("on a ") + name_of(kind) + " thread: ended with " + std::to_string(end)};
    }
  }
  EXPECT_EQ(std::filesystem::file_size(prey.loot().other_disk), 4096u);
  EXPECT(!std::filesystem::exists(prey.loot().other_disk + ".new"));
}

TEST(every_attack_succeeds_or_fails_by_itself_where_the_process_is_not_confined) {
  skip_without_filters();
  // So that a death above is the filter's doing.
  const Prey prey;
  SandboxPlan open = plan_of(kParts);
  open.mode = SandboxMode::kOff;
  for (const NamedAttack& each : deadly_attacks()) {
    if (std::string(each.name).find("fork") != std::string::npos || std::string(each.name).find("clone") == 0) continue;
    EXPECT(attack(Kind::kWorker, prey.loot(), open, each.run) != -SIGSYS);
    std::ofstream(prey.loot().other_disk).flush();
  }
}

TEST(a_ring_does_what_it_was_made_for_and_nothing_else) {
  skip_without_filters();
  const Prey prey;
  IoRing unrestricted;
  if (unrestricted.start(4, {0}) != 0) SKIP("this host has no io_uring for us");
  const auto result_of = [](IoRing& ring, const std::function<void(io_uring_sqe&)>& prepare) {
    prepare(*ring.next_entry());
    if (ring.submit_and_wait(1) != 0) return -EIO;
    std::array<io_uring_cqe*, 1> room{};
    const auto done = ring.peek(room);
    const int result = done.empty() ? -EIO : done[0]->res;
    ring.release(done.size());
    return result;
  };
  const auto open_another = [&](io_uring_sqe& entry) {
    io_uring_prep_openat(&entry, AT_FDCWD, prey.loot().other_disk.c_str(), O_RDWR, 0);
  };
  const int opened = result_of(unrestricted, open_another);
  EXPECT(opened >= 0);
  ::close(opened);
  for (const Kind kind : kKinds) {
    IoRing ring;
    EXPECT_EQ(ring.start(4, {0}, {IORING_OP_NOP, IORING_OP_READ}), 0);
    const int end = attack(kind, prey.loot(), plan_of(kParts), [&](const Loot&) {
      if (result_of(ring, [](io_uring_sqe& entry) { io_uring_prep_nop(&entry); }) != 0) return 1;
      if (result_of(ring, open_another) != -EACCES) return 2;
      if (result_of(ring, [](io_uring_sqe& entry) { io_uring_prep_socket(&entry, AF_INET, SOCK_STREAM, 0, 0); }) !=
          -EACCES)
        return 3;
      // Nor a file of the ring, in place of one of the process.
      if (result_of(ring, [](io_uring_sqe& entry) {
            io_uring_prep_read(&entry, 0, nullptr, 0, 0);
            entry.flags = IOSQE_FIXED_FILE;
          }) != -EACCES) {
        return 4;
      }
      IoRing another;
      return another.start(4, {0}) == EPERM ? kNothing : 5;
    });
    EXPECT_EQ(end, kNothing);
  }
}

TEST(a_ring_is_not_made_free_again) {
  skip_without_filters();
  IoRing ring;
  if (ring.start(4, {0}, {IORING_OP_NOP}) != 0) SKIP("this host has no io_uring for us");
  // IORING_REGISTER_FILES, by its ring.
  EXPECT_EQ(ring.register_file(0), EACCES);
}

TEST(a_new_thread_is_confined_as_its_kind_is) {
  skip_without_filters();
  const Prey prey;
  for (const Kind kind : kKinds) {
    const int end = attack(Kind::kControl, prey.loot(), plan_of(kParts), [&](const Loot&) {
      Thread thread;
      const auto ioctl_of_vm = [] { ::ioctl(-1, 0xae80 /* KVM_RUN */, 0); };
      if (!thread.start("late", ioctl_of_vm, Thread::Inherit::kProcess, kind)) return 1;
      thread.join();
      return kNothing;
    });
    const bool runs_guests = kind == Kind::kControl || kind == Kind::kVcpu;
    EXPECT_EQ(end, runs_guests ? kNothing : -SIGSYS);
  }
}

TEST(a_thread_of_one_kind_does_not_do_what_only_another_one_does) {
  skip_without_filters();
  const Prey prey;
  const auto run_guest = [](const Loot&) { return ::ioctl(-1, 0xae80 /* KVM_RUN */, 0) < 0 ? kNothing : 1; };
  const auto remove_file = [](const Loot& loot) { return ::unlink(loot.other_disk.c_str()) < 0 ? kNothing : 1; };
  for (const Kind kind : {Kind::kQueue, Kind::kWorker, Kind::kLink}) {
    EXPECT_EQ(attack(kind, prey.loot(), plan_of(kParts), run_guest), -SIGSYS);
    EXPECT_EQ(attack(kind, prey.loot(), plan_of(kParts), remove_file), -SIGSYS);
  }
  EXPECT_EQ(attack(Kind::kVcpu, prey.loot(), plan_of(kParts), run_guest), kNothing);
}

TEST(a_control_thread_removes_its_sockets_and_nothing_elsewhere) {
  skip_without_filters();
  if (LandlockRules().fd() < 0) SKIP("this kernel has no Landlock");
  const Prey prey;
  const TempDir sockets;
  SandboxPlan plan = plan_of(kParts);
  plan.sockets = {sockets.file("control.sock", 0)};
  const int end = attack(Kind::kControl, prey.loot(), plan, [&](const Loot& loot) {
    if (::unlink(loot.other_disk.c_str()) == 0 || errno != EACCES) return 1;
    return ::unlink(plan.sockets[0].c_str()) == 0 ? kNothing : 2;
  });
  EXPECT_EQ(end, kNothing);
  EXPECT(std::filesystem::exists(prey.loot().other_disk));
}

TEST(what_a_later_disk_may_be_opened_from_is_the_named_folder_and_nothing_else) {
  skip_without_filters();
  if (LandlockRules().fd() < 0) SKIP("this kernel has no Landlock");
  const Prey prey;
  const TempDir images;
  const std::string image = images.file("later.img", 4096);
  std::filesystem::create_symlink(prey.loot().other_disk, images.path("link"));
  SandboxPlan plan = plan_of(kParts | kPathsPart);
  plan.paths = {images.path("")};
  const int end = attack(Kind::kControl, prey.loot(), plan, [&](const Loot& loot) {
    if (::open(image.c_str(), O_RDWR) < 0) return 1;
    for (const std::string& path : {loot.other_disk, std::string("/etc/passwd"), images.path("link")}) {
      if (::open(path.c_str(), O_RDONLY) >= 0 || errno != EACCES) return 2;
    }
    return ::open(images.path("new").c_str(), O_RDWR | O_CREAT, 0600) < 0 && errno == EACCES ? kNothing : 3;
  });
  EXPECT_EQ(end, kNothing);
  for (const Kind kind : {Kind::kQueue, Kind::kVcpu, Kind::kWorker, Kind::kLink}) {
    EXPECT_EQ(attack(kind, prey.loot(), plan, [&](const Loot&) { return got(::open(image.c_str(), O_RDWR)); }),
              -SIGSYS);
  }
}

TEST(no_thread_has_a_capability_or_gets_one_back) {
  skip_without_filters();
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  EXPECT(child >= 0);
  if (child == 0) {
    prepare_sandbox();
    const auto* const threads = new Threads;
    if (threads == nullptr || !enter_sandbox(plan_of(kParts))) ::_exit(kNotConfined);
    [[maybe_unused]] const ssize_t told = ::write(ends[1], "", 1);
    for (;;) ::poll(nullptr, 0, -1);
  }
  ::close(ends[1]);
  char word = 0;
  const bool confined = ::read(ends[0], &word, 1) == 1;
  ::close(ends[0]);
  std::string wrong;
  unsigned seen = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(child) + "/task")) {
    std::ifstream status(thread.path() / "status");
    seen++;
    for (std::string line; std::getline(status, line);) {
      for (const char* key : {"CapPrm:", "CapEff:", "CapAmb:", "CapInh:"}) {
        if (line.starts_with(key) && line.find_first_not_of("0", std::string(key).size() + 1) != std::string::npos)
          wrong += line;
      }
      if (line.starts_with("NoNewPrivs:") && line.back() != '1') wrong += line;
      if (line.starts_with("Seccomp:") && line.back() != '2') wrong += line;
    }
  }
  ::kill(child, SIGKILL);
  EXPECT_EQ(end_of(child), -SIGKILL);
  EXPECT(confined);
  EXPECT_EQ(wrong, "");
  EXPECT_EQ(seen, kKinds.size());
}

TEST(all_threads_become_the_user) {
  skip_without_filters();
  if (::geteuid() != 0) SKIP("only root can become another user");
  if (!SandboxUser::find("nobody")) SKIP("this host has no user nobody");
  const Prey prey;
  SandboxPlan plan = plan_of(kParts);
  plan.mode = SandboxMode::kOff;
  plan.user = must(SandboxUser::find("nobody"));
  for (const Kind kind : kKinds) {
    const int end = attack(kind, prey.loot(), plan, [](const Loot& loot) {
      if (::geteuid() == 0 || ::getuid() == 0 || ::getegid() == 0) return 1;
      return ::setuid(0) == 0 || ::open(loot.other_disk.c_str(), O_RDWR) >= 0 ? 2 : kNothing;
    });
    EXPECT_EQ(end, kNothing);
  }
}

TEST(a_confined_process_signals_the_eventfds_of_clients_that_come_later) {
  skip_without_filters();
  constexpr unsigned kReserved = 2;
  IoRing ring;
  if (ring.start(1, {0}) != 0) SKIP("this host has no io_uring for us");
  EventTrigger::reserve(kReserved);
  const Prey prey;
  const int end = attack(Kind::kControl, prey.loot(), plan_of(kServerPart), [](const Loot&) {
    for (unsigned client = 0; client < 3; client++) {
      // One more than was reserved: it is written to, as where a host has no io_uring.
      std::array<UniqueFd, kReserved + 1> events;
      std::array<std::unique_ptr<EventTrigger>, kReserved + 1> triggers;
      for (size_t i = 0; i < events.size(); i++) {
        events[i] = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        int error = 0;
        triggers[i] = EventTrigger::create(UniqueFd(::fcntl(events[i].fd(), F_DUPFD_CLOEXEC, 0)), error);
        if (triggers[i] == nullptr) return 1;
      }
      for (size_t i = 0; i < events.size(); i++) {
        for (size_t times = 0; times <= i; times++) triggers[i]->signal();
        eventfd_t value = 0;
        if (::eventfd_read(events[i].fd(), &value) != 0 || value != i + 1) return 2;
      }
    }
    return kNothing;
  });
  EXPECT_EQ(end, kNothing);
}

TEST(a_confined_process_is_told_how_a_client_has_mapped_its_memory) {
  skip_without_filters();
  const Prey prey;
  const UniqueFd file(::memfd_create("ram", MFD_CLOEXEC)), other(::memfd_create("other", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(file.fd(), 8192), 0);
  EXPECT_EQ(::ftruncate(other.fd(), 8192), 0);
  void* const alone = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.fd(), 0);
  void* const shared = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, other.fd(), 0);
  const pid_t child = ::fork();
  EXPECT(child >= 0);
  if (child == 0) {
    prepare_sandbox();
    if (!start_mapping_observer(confine_observer)) ::_exit(kNotConfined);
    // Theirs go, so that what is found is the parent's.
    ::munmap(alone, 8192);
    ::munmap(shared, 8192);
    if (!enter_sandbox(plan_of(kServerPart))) ::_exit(kNotConfined);
    PeerMappings mappings(prey.loot().victim);
    ::_exit(mappings.are_private(file.fd(), 0, 8192) && !mappings.are_private(other.fd(), 0, 8192) ? kNothing : 1);
  }
  EXPECT_EQ(end_of(child), kNothing);
  ::munmap(alone, 8192);
  ::munmap(shared, 8192);
}

TEST(a_user_that_is_not_there_is_refused_by_name) {
  const auto user = SandboxUser::find("no-such-user");
  EXPECT(!user.ok());
  EXPECT_EQ(user.error().message,
            "--user no-such-user: there is no such user; give one of this host, like --user nobody");
}

TEST(a_confined_process_that_is_only_logged_goes_on) {
  skip_without_filters();
  const Prey prey;
  SandboxPlan plan = plan_of(kParts);
  plan.mode = SandboxMode::kLog;
  EXPECT_EQ(
      attack(Kind::kWorker, prey.loot(), plan, [](const Loot&) { return got(::socket(AF_UNIX, SOCK_STREAM, 0)); }), 1);
}

}  // namespace
}  // namespace acrn
