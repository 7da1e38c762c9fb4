#include "dm/base/every_thread.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "acrn/base/unique_fd.h"
#include "tests/support/must.h"
#include "tests/support/wait_until.h"

namespace acrn {
namespace {

using test::must;
using test::wait_until;

// Who has called the function, in that order.
std::array<std::atomic<pid_t>, 64> callers;
std::atomic<size_t> calls{0};

void call() { callers.at(calls.fetch_add(1)).store(::gettid()); }
long calls_of(pid_t thread) { return std::count(callers.begin(), callers.end(), thread); }
void forget_calls() {
  calls = 0;
  for (auto& caller : callers) caller = 0;
}

ReachedThreads reach(void (*function)() = call) {
  prepare_every_thread();
  forget_calls();
  return must(run_on_every_thread(function));
}
bool has(const ReachedThreads& result, pid_t thread) {
  return std::find(result.reached.begin(), result.reached.end(), thread) != result.reached.end();
}
// A thread that ends when it is released.
class Sleeper {
 public:
  explicit Sleeper(std::function<void()> body = {}) : body_(std::move(body)), thread_([this] { run(); }) {
    EXPECT(wait_until([this] { return id_ != 0; }));
  }
  ~Sleeper() {
    release();
    thread_.join();
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  pid_t id() const { return id_; }
  void release() { released_ = true; }

 private:
  void run() {
    id_ = ::gettid();
    if (body_) body_();
    while (!released_) ::poll(nullptr, 0, 1);
  }

  const std::function<void()> body_;
  std::atomic<pid_t> id_{0};
  std::atomic<bool> released_{false};
  std::thread thread_;
};

// Threads of a sanitizer, which no signal reaches. It makes them with our first one.
unsigned unreached_before() {
  static const unsigned threads = [] {
    const Sleeper any;
    return reach().unreached;
  }();
  return threads;
}

// A thread that is inside the kernel until it is released: it waits there for its child, which waits for us.
class Stuck {
 public:
  Stuck() : sleeper_([this] { wait_for_child(); }) { read(begun_.fd()); }
  ~Stuck() { release(); }
  Stuck(const Stuck&) = delete;
  Stuck& operator=(const Stuck&) = delete;

  pid_t id() const { return sleeper_.id(); }
  void release() { write(end_.fd()); }  // async-signal-safe

 private:
  // Without the C library, which may be another one's in a child of several threads.
  static void read(int event) {
    uint64_t count = 0;
    while (::syscall(SYS_read, event, &count, sizeof(count)) < 0 && errno == EINTR) {
    }
  }
  static void write(int event) {
    const uint64_t one = 1;
    ::syscall(SYS_write, event, &one, sizeof(one));
  }
  void wait_for_child() const {
    const long child = ::syscall(SYS_clone, CLONE_VFORK | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (child == 0) {
      write(begun_.fd());
      read(end_.fd());
      ::syscall(SYS_exit_group, 0);
    }
    ::waitpid(static_cast<pid_t>(child), nullptr, 0);
  }

  const UniqueFd begun_{::eventfd(0, EFD_CLOEXEC)}, end_{::eventfd(0, EFD_CLOEXEC)};
  Sleeper sleeper_;
};

void block_signals(int how) {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(how, &all, nullptr);
}

// For functions that are to be called.
std::atomic<pid_t> thread_before{0};
std::atomic<Sleeper*> ends_meanwhile{nullptr};
std::atomic<Stuck*> goes_on_meanwhile{nullptr};

// Each link of a chain of threads makes the next one, which takes this over, and ends.
constexpr int kSlack = 12'345, kLinks = 300;
std::atomic<int> slack_of_last{0};
std::atomic<bool> last_may_end{false}, last_has_ended{false};

void set_slack() {
  ::prctl(PR_SET_TIMERSLACK, kSlack);
  calls++;
}
void link(int number) {
  while (calls == 0) ::sched_yield();
  if (number < kLinks) {
    std::thread(link, number + 1).detach();
    return;
  }
  while (!last_may_end) ::poll(nullptr, 0, 1);
  slack_of_last = ::prctl(PR_GET_TIMERSLACK);
  last_has_ended = true;
}

}  // namespace

TEST(each_thread_calls_it_once_and_the_caller_last) {
  const unsigned before = unreached_before();
  const Sleeper first, second, third;
  const ReachedThreads result = reach();
  EXPECT_EQ(calls.load(), 4u);
  for (const pid_t thread : {first.id(), second.id(), third.id()}) {
    EXPECT_EQ(calls_of(thread), 1);
    EXPECT(has(result, thread));
  }
  EXPECT_EQ(callers[3].load(), ::gettid());
  EXPECT_EQ(result.reached.size(), 3u);
  EXPECT_EQ(result.unreached, before);
}

TEST(threads_that_are_made_while_others_end_are_reached) {
  const Sleeper first;
  forget_calls();
  std::thread(link, 0).detach();
  prepare_every_thread();
  must(run_on_every_thread(set_slack));
  last_may_end = true;
  EXPECT(wait_until([] { return last_has_ended.load(); }));
  EXPECT_EQ(slack_of_last.load(), kSlack);
}

TEST(a_thread_that_blocks_signals_for_a_moment_is_reached) {
  const unsigned before = unreached_before();
  const Sleeper other;
  std::atomic<bool> blocks{false};
  const Sleeper sleeper([&] {
    block_signals(SIG_BLOCK);
    blocks = true;
    while (calls_of(other.id()) == 0) ::sched_yield();
    block_signals(SIG_UNBLOCK);
  });
  EXPECT(wait_until([&] { return blocks.load(); }));
  const ReachedThreads result = reach();
  EXPECT(has(result, sleeper.id()));
  EXPECT_EQ(calls_of(sleeper.id()), 1);
  EXPECT_EQ(result.unreached, before);
}

TEST(a_thread_that_blocks_signals_for_good_is_told_of) {
  const unsigned before = unreached_before();
  std::atomic<bool> blocks{false};
  const Sleeper sleeper([&] {
    block_signals(SIG_BLOCK);
    blocks = true;
  });
  EXPECT(wait_until([&] { return blocks.load(); }));
  const ReachedThreads result = reach();
  EXPECT(!has(result, sleeper.id()));
  EXPECT_EQ(calls_of(sleeper.id()), 0);
  EXPECT_EQ(result.unreached, before + 1);
}

TEST(a_thread_that_ends_before_its_turn_is_no_loss) {
  const unsigned before = unreached_before();
  Sleeper first, second;
  // Their turns are in the order of their numbers.
  thread_before = std::min(first.id(), second.id());
  Sleeper& later = first.id() < second.id() ? second : first;
  ends_meanwhile = &later;
  const ReachedThreads result = reach([] {
    call();
    if (::gettid() != thread_before) return;
    const pid_t ending = ends_meanwhile.load()->id();
    ends_meanwhile.load()->release();
    while (::syscall(SYS_tgkill, ::getpid(), ending, 0) == 0) ::sched_yield();
  });
  EXPECT_EQ(calls_of(thread_before), 1);
  EXPECT_EQ(calls_of(later.id()), 0);
  EXPECT_EQ(result.unreached, before);
}

TEST(a_thread_that_is_late_answers_for_no_other) {
  const unsigned before = unreached_before();
  Stuck late;
  const Sleeper between;
  const Stuck other;
  if (late.id() > between.id() || between.id() > other.id()) SKIP("numbers of threads that rise");
  thread_before = between.id();
  goes_on_meanwhile = &late;
  const ReachedThreads result = reach([] {
    call();
    if (::gettid() != thread_before) return;
    goes_on_meanwhile.load()->release();
    while (calls_of(goes_on_meanwhile.load()->id()) == 0) ::sched_yield();
  });
  EXPECT(has(result, between.id()));
  EXPECT(!has(result, other.id()));
  EXPECT_EQ(calls_of(other.id()), 0);
  EXPECT_EQ(result.unreached, before + 2);
}

TEST(those_that_were_reached_and_still_run_do_it_again) {
  const Sleeper stays;
  auto ends = std::make_unique<Sleeper>();
  const ReachedThreads result = reach();
  const pid_t ended = ends->id();
  ends.reset();
  const Sleeper later;
  forget_calls();
  run_on_threads_again(result, call);
  EXPECT_EQ(calls_of(stays.id()), 1);
  EXPECT_EQ(calls_of(::gettid()), 1);
  EXPECT_EQ(calls_of(later.id()) + calls_of(ended), 0);
}

}  // namespace acrn
