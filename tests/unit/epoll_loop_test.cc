// EpollLoop: nothing that it is told of is lost, whether it sleeps, is borrowed, polls or works. Its parts: how long to
// poll, in which order to run.
#include "dm/event/epoll_loop.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "tests/support/no_threads.h"
#include "tests/support/test.h"
#include "tests/support/wait_until.h"

namespace acrn {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using test::NoThreads;
using test::wait_until;

std::unique_ptr<EpollLoop> make_loop(std::chrono::nanoseconds longest_poll) {
  auto loop = EpollLoop::create("test", {}, {.longest_poll = longest_poll});
  EXPECT(loop.ok());
  return std::move(loop).value();
}

std::unique_ptr<EpollLoop> make_loop_to_borrow(std::chrono::nanoseconds longest_poll = 50us) {
  auto loop = EpollLoop::create("test", {}, {.longest_poll = longest_poll, .allow_borrow = true});
  EXPECT(loop.ok());
  return std::move(loop).value();
}

// Waits until the loop sleeps.
LoopLease borrow(EventLoop& loop) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (std::chrono::steady_clock::now() < end) {
    if (LoopLease lease = loop.try_borrow()) return lease;
    std::this_thread::yield();
  }
  test::expect(false, "the loop does not sleep", __FILE__, __LINE__);
  return {};
}

// A counter that another thread advances, as a driver does with its ring.
class CounterPoller final : public Poller {
 public:
  bool poll() override {
    const unsigned now = made.load();
    if (now == seen.load()) return false;
    seen = now;
    return true;
  }
  bool wants_polling() const override { return true; }
  bool prepare_sleep() override {
    sleeps_prepared++;
    return made.load() != seen.load();
  }

  std::atomic<unsigned> made{0}, seen{0}, sleeps_prepared{0};
};

// Keeps a loop's window open: work that comes again and again after a few microseconds.
void keep_busy(EpollLoop& loop, unsigned rounds) {
  for (unsigned i = 0; i < rounds; i++) loop.run([] {});
}

std::unique_ptr<EpollLoop> make_late_loop() {
  auto loop = EpollLoop::create("test", {}, {.allow_borrow = true, .start_late = true});
  EXPECT(loop.ok());
  return std::move(loop).value();
}

}  // namespace

TEST(no_notification_is_lost_whether_the_loop_sleeps_or_polls) {
  for (const auto longest_poll : {0us, 50us, 500us}) {
    const auto loop = make_loop_to_borrow(longest_poll);
    CounterPoller poller;
    loop->run([&] { loop->add_poller(poller); });
    std::atomic<unsigned> handled{0}, told{0};
    auto notifier = loop->make_notifier([&] { handled = told.load(); });
    EXPECT(notifier.ok());
    for (unsigned i = 1; i <= 20'000; i++) {
      told = i;
      notifier.value()->notify();
      if (i % 16 == 0) EXPECT(wait_until([&] { return handled == i; }));
      if (i % 64 == 0) borrow(*loop);  // the next one comes while it sleeps
    }
    loop->run([&] {
      notifier.value().reset();
      loop->remove_poller(poller);
    });
  }
}

TEST(notifications_of_several_threads_all_arrive) {
  const auto loop = make_loop(50us);
  std::atomic<unsigned> told{0}, handled{0};
  std::vector<std::unique_ptr<Notifier>> notifiers;
  for (unsigned i = 0; i < 4; i++) {
    auto notifier = loop->make_notifier([&] { handled = told.load(); });
    EXPECT(notifier.ok());
    notifiers.push_back(std::move(notifier).value());
  }
  for (unsigned round = 0; round < 200; round++) {
    std::vector<std::thread> threads;
    for (auto& notifier : notifiers) {
      threads.emplace_back([&] {
        told++;
        notifier->notify();
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT(wait_until([&] { return handled == told; }));
  }
  loop->run([&] { notifiers.clear(); });
}

TEST(a_write_to_a_notifiers_eventfd_is_a_notification) {
  for (const auto longest_poll : {0us, 500us}) {
    const auto loop = make_loop(longest_poll);
    std::atomic<unsigned> handled{0};
    auto notifier = loop->make_notifier([&] { handled++; });
    EXPECT(notifier.ok());
    for (unsigned i = 1; i <= 100; i++) {
      const uint64_t one = 1;
      EXPECT(::write(notifier.value()->fd(), &one, sizeof(one)) == sizeof(one));
      EXPECT(wait_until([&] { return handled >= i; }));
    }
    loop->run([&] { notifier.value().reset(); });
  }
}

TEST(a_handler_may_end_another_notifier_that_is_waiting_to_run) {
  const auto loop = make_loop(50us);
  std::atomic<unsigned> ended_ones_ran{0};
  for (unsigned round = 0; round < 100; round++) {
    std::unique_ptr<Notifier> first, second;
    std::latch told(1);
    std::atomic<bool> done{false};
    first = std::move(loop->make_notifier([&] {
              second.reset();
              done = true;
            })).value();
    second = std::move(loop->make_notifier([&] { ended_ones_ran++; })).value();
    loop->post([&] { told.wait(); });  // both are told before either runs
    first->notify();
    second->notify();
    told.count_down();
    EXPECT(wait_until([&] { return done.load(); }));
    loop->run([&] { first.reset(); });
  }
  EXPECT_EQ(ended_ones_ran.load(), 0u);
}

TEST(a_busy_loop_finds_work_without_being_told) {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) SKIP("one CPU only, where a loop does not poll");
  const auto loop = make_loop(20ms);
  CounterPoller poller;
  bool polls = false;
  loop->run([&] { polls = loop->add_poller(poller); });
  EXPECT(polls);
  keep_busy(*loop, 100);
  unsigned found = 0;
  for (unsigned i = 1; i <= 200; i++) {
    poller.made++;
    const auto end = std::chrono::steady_clock::now() + 5ms;
    while (poller.seen != i && std::chrono::steady_clock::now() < end) {
    }
    found += poller.seen == i ? 1 : 0;
    keep_busy(*loop, 1);  // as a driver that looks whether it has to kick
  }
  EXPECT(found > 0);
  loop->run([&] { loop->remove_poller(poller); });
}

TEST(a_poller_is_asked_to_prepare_before_the_loop_sleeps) {
  const auto loop = make_loop(50us);
  CounterPoller poller;
  loop->run([&] { loop->add_poller(poller); });
  EXPECT(wait_until([&] { return poller.sleeps_prepared > 0; }));
  // What came before it is found, what comes after it has to be told.
  poller.made++;
  loop->post([] {});
  EXPECT(wait_until([&] { return poller.seen == 1; }));
  loop->run([&] { loop->remove_poller(poller); });
}

TEST(timers_and_descriptors_have_their_turn_while_a_loop_never_sleeps) {
  const auto loop = make_loop(50us);
  std::atomic<unsigned> ticks{0};
  std::atomic<bool> over{false};
  auto timer = loop->make_timer([&] { ticks++; });
  EXPECT(timer.ok());
  timer.value()->start_periodic(100'000);
  std::function<void()> again = [&] {
    if (!over) loop->post(again);
  };
  loop->post(again);
  EXPECT(wait_until([&] { return ticks >= 20; }));
  over = true;
  loop->run([] {});
  loop->run([&] { timer.value().reset(); });
}

TEST(a_loop_that_polls_takes_what_only_the_kernel_tells_of) {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) SKIP("one CPU only, where a loop does not poll");
  const auto loop = make_loop_to_borrow(200ms);
  CounterPoller poller;
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  std::unique_ptr<FdWatch> watch;
  std::atomic<unsigned> told{0}, sleeps_by_then{0};
  loop->run([&] {
    loop->add_poller(poller);
    watch = loop->watch_event(event.fd(), [&] {
      sleeps_by_then = poller.sleeps_prepared.load();
      told++;
    });
  });
  for (unsigned i = 0; i < 15; i++) {  // work that comes as soon as the loop sleeps: it polls longer and longer
    borrow(*loop);
    loop->run([] {});
  }
  bool found = false;
  for (unsigned i = 1; i <= 20 && !found; i++) {
    loop->run([] {});
    const unsigned sleeps = poller.sleeps_prepared;
    const uint64_t one = 1;
    EXPECT_EQ(::write(event.fd(), &one, sizeof(one)), ssize_t{sizeof(one)});
    EXPECT(wait_until([&] { return told == i; }));
    found = sleeps_by_then == sleeps;
  }
  EXPECT(found);
  loop->run([&] {
    watch.reset();
    loop->remove_poller(poller);
  });
}

TEST(a_timer_that_is_started_once_runs_once_and_at_its_latest_time) {
  const auto loop = make_loop(0us);
  std::atomic<unsigned> ran{0}, other_ran{0};
  auto timer = loop->make_timer([&] { ran++; }), other = loop->make_timer([&] { other_ran++; });
  EXPECT(timer.ok() && other.ok());
  timer.value()->start_once(3'600'000'000'000);  // an hour, which the next start replaces
  timer.value()->start_once(1000);
  EXPECT(wait_until([&] { return ran == 1; }));
  other.value()->start_periodic(100'000);
  EXPECT(wait_until([&] { return other_ran >= 20; }));
  EXPECT_EQ(ran.load(), 1u);
  loop->run([&] {
    other.value()->start_once(1000);  // no longer periodic
    other_ran = 0;
  });
  EXPECT(wait_until([&] { return other_ran == 1; }));
  timer.value()->start_once(2'000'000);
  EXPECT(wait_until([&] { return ran == 2; }));
  EXPECT_EQ(other_ran.load(), 1u);
  loop->run([&] {
    timer.value().reset();
    other.value().reset();
  });
}

TEST(a_lease_makes_the_borrower_the_loop_until_the_end_of_its_scope) {
  const auto loop = make_loop_to_borrow();
  EXPECT(!loop->is_current());
  {
    const LoopLease lease = borrow(*loop);
    EXPECT(loop->is_current());
    bool ran = false;
    loop->run([&] { ran = true; });  // on this thread, or it would wait for us
    EXPECT(ran);
  }
  EXPECT(!loop->is_current());
  EXPECT(borrow(*loop));  // it was returned
}

TEST(a_lease_that_is_moved_returns_the_loop_once) {
  const auto loop = make_loop_to_borrow();
  {
    LoopLease first = borrow(*loop);
    const LoopLease second = std::move(first);
    EXPECT(!first && second);
    EXPECT(loop->is_current());
  }
  EXPECT(!loop->is_current());
  EXPECT(borrow(*loop));
}

TEST(who_posts_to_a_loop_without_a_thread_is_the_loop_until_it_starts) {
  const auto loop = make_late_loop();
  const auto here = std::this_thread::get_id();
  std::vector<int> order;
  loop->run([&] {
    EXPECT(loop->is_current() && std::this_thread::get_id() == here);
    loop->post([&] { order.push_back(2); });
    order.push_back(1);
  });
  EXPECT((order == std::vector<int>{1, 2}));
  std::atomic<unsigned> handled{0};
  auto notifier = loop->make_notifier([&] { handled++; });
  EXPECT(notifier.ok());
  notifier.value()->notify();
  {
    // What comes meanwhile is the borrower's.
    const LoopLease lease = borrow(*loop);
    std::thread other([&] { loop->post([&] { order.push_back(3); }); });
    other.join();
    EXPECT_EQ(order.size(), 2u);
  }
  EXPECT_EQ(order.size(), 3u);
  EXPECT_EQ(handled.load(), 0u);

  EXPECT(loop->start().ok() && loop->start().ok());
  EXPECT(wait_until([&] { return handled.load() != 0; }));
  // Perhaps it sleeps and is borrowed, but not by run().
  bool elsewhere = false;
  sigset_t blocked;
  loop->run([&] {
    elsewhere = std::this_thread::get_id() != here;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  });
  EXPECT(elsewhere && sigismember(&blocked, SIGTERM) == 1);  // whoever started it
  loop->run([&] { notifier.value().reset(); });
}

TEST(what_threads_post_while_a_loop_starts_runs_once_and_in_each_ones_order) {
  constexpr unsigned kThreads = 4, kTasks = 200;
  for (unsigned round = 0; round < 50; round++) {
    const auto loop = make_late_loop();
    std::array<unsigned, kThreads> next{};
    std::atomic<unsigned> wrong{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < kThreads; i++) {
      threads.emplace_back([&, i] {
        for (unsigned task = 0; task < kTasks; task++) {
          loop->post([&, i, task] { wrong += loop->is_current() && next[i]++ == task ? 0 : 1; });
          if (task % 16 == 0) loop->try_borrow();
          if (round % 2 == 0 && task == kTasks / 2) EXPECT(loop->start().ok());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    loop->run([] {});
    loop->run([&] {
      for (const unsigned done : next) EXPECT_EQ(done, kTasks);
    });
    EXPECT_EQ(wrong.load(), 0u);
  }
}

TEST(a_loop_whose_thread_cannot_be_had_says_so_and_goes_on_without) {
  const auto loop = make_late_loop();
  {
    const NoThreads none;
    EXPECT_CONTAINS(loop->start().error().message, "thread test: ");
  }
  unsigned runs = 0;
  loop->run([&] { runs++; });
  EXPECT_EQ(runs, 1u);
  EXPECT(loop->start().ok());
  loop->run([&] { runs++; });
  EXPECT_EQ(runs, 2u);
}

TEST(what_tasks_post_at_the_end_of_a_loop_runs_too) {
  std::atomic<unsigned> runs{0};
  auto loop = make_loop(0us);
  EventLoop& its = *loop;
  std::latch ending(1);
  loop->post([&] {
    ending.wait();
    its.post([&] {
      runs++;
      its.post([&] { runs++; });
    });
  });
  std::thread end([&] { loop.reset(); });
  ending.count_down();
  end.join();
  EXPECT_EQ(runs.load(), 2u);
}

TEST(a_loop_that_is_awake_cannot_be_borrowed) {
  const auto loop = make_loop_to_borrow();
  std::latch working(1), tried(1);
  loop->post([&] {
    working.count_down();
    tried.wait();
  });
  working.wait();
  for (unsigned i = 0; i < 1000; i++) EXPECT(!loop->try_borrow());
  EXPECT(!loop->is_current());
  tried.count_down();
  EXPECT(borrow(*loop));
}

TEST(a_loop_that_does_not_allow_it_is_never_borrowed) {
  const auto loop = make_loop(50us);
  for (unsigned i = 0; i < 1000; i++) {
    EXPECT(!loop->try_borrow());
    std::this_thread::yield();
  }
}

TEST(a_loop_is_borrowed_by_one_thread_at_a_time) {
  const auto loop = make_loop_to_borrow();
  std::atomic<unsigned> inside{0}, leases{0}, runs{0};
  std::atomic<bool> two{false};
  const auto work = [&] {
    if (inside.fetch_add(1) != 0) two = true;
    inside.fetch_sub(1);
  };
  auto notifier = loop->make_notifier([&] {
    work();
    runs++;
  });
  std::atomic<unsigned> told{0}, done{0};
  auto short_notifier = loop->make_short_notifier([&] {
    work();
    done = told.load();
  });
  EXPECT(notifier.ok() && short_notifier.ok());
  const auto try_often = [&] {
    for (unsigned i = 0; i < 20'000; i++) {
      if (const LoopLease lease = loop->try_borrow()) {
        work();
        leases++;
      }
      if (i % 100 == 0) notifier.value()->notify();
      told++;
      short_notifier.value()->notify();
    }
  };
  std::thread one(try_often), other(try_often);
  one.join();
  other.join();
  EXPECT(!two);
  EXPECT(wait_until([&] { return done == told; }));
  EXPECT(leases + runs > 0);
  loop->run([&] {
    notifier.value().reset();
    short_notifier.value().reset();
  });
}

TEST(what_is_queued_during_a_lease_runs_on_the_loop_after_it) {
  const auto loop = make_loop_to_borrow();
  std::atomic<unsigned> handled{0};
  std::atomic<bool> borrowed{false}, two{false}, on_borrower{false};
  const std::thread::id borrower = std::this_thread::get_id();
  auto notifier = loop->make_notifier([&] {
    if (borrowed) two = true;
    if (std::this_thread::get_id() == borrower) on_borrower = true;
    handled++;
  });
  EXPECT(notifier.ok());
  for (unsigned i = 1; i <= 2000; i++) {
    {
      const LoopLease lease = borrow(*loop);
      borrowed = true;
      notifier.value()->notify();  // wakes the loop's thread, which waits for the lease's end
      EXPECT_EQ(handled.load(), i - 1);
      borrowed = false;
    }
    EXPECT(wait_until([&] { return handled == i; }));
  }
  EXPECT(!two && !on_borrower);
  loop->run([&] { notifier.value().reset(); });
}

TEST(short_work_that_comes_during_a_lease_is_done_by_the_borrower) {
  const auto loop = make_loop_to_borrow();
  std::atomic<unsigned> handled{0};
  std::atomic<bool> elsewhere{false}, not_borrowed{false};
  const std::thread::id borrower = std::this_thread::get_id();
  auto notifier = loop->make_short_notifier([&] {
    if (std::this_thread::get_id() != borrower) elsewhere = true;
    if (!loop->is_current() || !loop->is_borrowed()) not_borrowed = true;
    handled++;
  });
  EXPECT(notifier.ok());
  for (unsigned i = 1; i <= 200; i++) {
    {
      const LoopLease lease = borrow(*loop);
      std::thread([&] { notifier.value()->notify(); }).join();
      EXPECT_EQ(handled.load(), i - 1);
    }
    EXPECT_EQ(handled.load(), i);
  }
  EXPECT(!elsewhere && !not_borrowed);
  loop->run([&] { notifier.value().reset(); });
}

TEST(short_work_that_a_borrower_notifies_itself_is_for_the_loops_thread) {
  const auto loop = make_loop_to_borrow();
  std::atomic<unsigned> handled{0};
  std::atomic<bool> on_borrower{false};
  const std::thread::id borrower = std::this_thread::get_id();
  auto notifier = loop->make_short_notifier([&] {
    if (std::this_thread::get_id() == borrower) on_borrower = true;
    handled++;
  });
  EXPECT(notifier.ok());
  for (unsigned i = 1; i <= 200; i++) {
    {
      const LoopLease lease = borrow(*loop);
      notifier.value()->notify();
    }
    EXPECT(wait_until([&] { return handled == i; }));
  }
  EXPECT(!on_borrower);
  loop->run([&] { notifier.value().reset(); });
}

TEST(a_borrower_leaves_short_work_that_does_not_end_to_the_loops_thread) {
  constexpr unsigned kRuns = 20;
  const auto loop = make_loop_to_borrow();
  std::atomic<unsigned> by_borrower{0}, by_loop{0};
  const std::thread::id borrower = std::this_thread::get_id();
  std::unique_ptr<Notifier> notifier;
  auto made = loop->make_short_notifier([&] {
    (std::this_thread::get_id() == borrower ? by_borrower : by_loop)++;
    if (by_borrower + by_loop < kRuns) std::thread([&] { notifier->notify(); }).join();
  });
  EXPECT(made.ok());
  notifier = std::move(made).value();
  {
    const LoopLease lease = borrow(*loop);
    std::thread([&] { notifier->notify(); }).join();
  }
  EXPECT(by_borrower > 0 && by_borrower < kRuns);
  EXPECT(wait_until([&] { return by_borrower + by_loop == kRuns; }));
  loop->run([&] { notifier.reset(); });
}

TEST(who_borrows_a_loop_from_another_loop_is_that_one_again_afterwards) {
  const auto loop = make_loop_to_borrow(), other = make_loop_to_borrow();
  bool inside = false, outside = true, back = false;
  loop->run([&] {
    {
      const LoopLease lease = borrow(*other);
      inside = other->is_current();
      outside = loop->is_current();
    }
    back = loop->is_current() && !other->is_current();
  });
  EXPECT(inside && !outside && back);
}

TEST(a_loop_polls_longer_after_short_waits_and_less_after_long_ones) {
  const struct {
    std::chrono::nanoseconds longest;
    std::vector<std::chrono::nanoseconds> waits;
    std::chrono::nanoseconds length;
  } cases[] = {
      {50us, {}, 0us},                        // it begins without
      {50us, {49us}, 20us},                   // the shortest poll
      {50us, {49us, 49us}, 40us},             // it doubles,
      {50us, {49us, 49us, 49us}, 50us},       // up to the longest
      {50us, {49us, 49us, 49us, 1us}, 50us},  //
      {50us, {50us}, 0us},                    // as long as the longest poll is long
      {50us, {1us, 1us, 1s}, 20us},           // half,
      {50us, {1us, 1us, 1us, 1s}, 25us},      //
      {50us, {1us, 1us, 1us, 1s, 1s}, 0us},   // and none where that is too short
      {50us, {1us, 1s}, 0us},                 //
      {50us, {1us, 1s, 1us}, 20us},           // it learns again
      {400us, {300us, 300us, 300us, 300us, 300us}, 320us},
      {400us, {300us, 300us, 300us, 300us, 300us, 300us}, 400us},
      {0us, {0us, 1us, 1s}, 0us},  // a loop that never polls
  };
  for (const auto& each : cases) {
    PollWindow window(each.longest);
    for (const auto waited : each.waits) window.record_wait(waited);
    EXPECT_EQ(window.length().count(), each.length.count());
    EXPECT_EQ(window.may_poll(), each.longest != 0us);
  }
}

TEST(notifiers_run_once_and_in_the_order_of_their_notifications) {
  NotifierQueue queue;
  std::string ran;
  NotifierQueue::Entry a([&] { ran += 'a'; }), c([&] { ran += 'c'; });
  NotifierQueue::Entry b([&] {
    ran += 'b';
    queue.remove(c);
    queue.push(a);  // again, for the next run
  });
  EXPECT(!queue.has_entries() && !queue.run_all());
  EXPECT(queue.push(a) && queue.push(b) && queue.push(c));
  EXPECT(!queue.push(a) && a.is_queued());
  EXPECT(queue.has_entries() && queue.seems_to_have_entries());
  EXPECT(queue.run_all());
  EXPECT_EQ(ran, "ab");
  EXPECT(queue.run_all());
  EXPECT_EQ(ran, "aba");
  EXPECT(!queue.has_entries() && !queue.run_all());
}

}  // namespace acrn
