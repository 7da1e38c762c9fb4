// EpollLoop: nothing that it is told of is lost, whether it sleeps, polls or works.
#include "dm/event/epoll_loop.h"

#include <unistd.h>

#include <latch>
#include <thread>

#include "tests/support/test.h"

namespace acrn {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

std::unique_ptr<EpollLoop> make_loop(std::chrono::nanoseconds longest_poll) {
  auto loop = EpollLoop::create("test", {}, {.longest_poll = longest_poll});
  EXPECT(loop.ok());
  return std::move(loop).value();
}

template <class Condition>
bool soon(Condition&& condition) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
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
  bool pays() const override { return true; }
  bool rest() override {
    rests++;
    return made.load() != seen.load();
  }

  std::atomic<unsigned> made{0}, seen{0}, rests{0};
};

// Keeps a loop's window open: work that comes again and again after a few microseconds.
void keep_busy(EpollLoop& loop, unsigned rounds) {
  for (unsigned i = 0; i < rounds; i++) loop.run([] {});
}

}  // namespace

TEST(no_notification_is_lost_whether_the_loop_sleeps_or_polls) {
  for (const auto longest_poll : {0us, 50us, 500us}) {
    const auto loop = make_loop(longest_poll);
    CounterPoller poller;
    loop->run([&] { loop->add_poller(poller); });
    std::atomic<unsigned> handled{0}, told{0};
    auto notifier = loop->make_notifier([&] { handled = told.load(); });
    EXPECT(notifier.ok());
    for (unsigned i = 1; i <= 20'000; i++) {
      told = i;
      notifier.value()->notify();
      if (i % 64 == 0) std::this_thread::sleep_for(std::chrono::microseconds(i % 128));
      if (i % 16 == 0) EXPECT(soon([&] { return handled == i; }));
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
    EXPECT(soon([&] { return handled == told; }));
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
      EXPECT(soon([&] { return handled >= i; }));
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
    EXPECT(soon([&] { return done.load(); }));
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

TEST(who_polls_is_asked_to_rest_before_the_loop_sleeps) {
  const auto loop = make_loop(50us);
  CounterPoller poller;
  loop->run([&] { loop->add_poller(poller); });
  EXPECT(soon([&] { return poller.rests > 0; }));
  // What came before the rest is found, what comes after it has to be told.
  poller.made++;
  loop->post([] {});
  EXPECT(soon([&] { return poller.seen == 1; }));
  loop->run([&] { loop->remove_poller(poller); });
}

TEST(timers_and_descriptors_have_their_turn_while_a_loop_never_rests) {
  const auto loop = make_loop(50us);
  std::atomic<unsigned> ticks{0};
  std::atomic<bool> over{false};
  auto timer = loop->make_timer(100'000, [&] { ticks++; });
  EXPECT(timer.ok());
  std::function<void()> again = [&] {
    if (!over) loop->post(again);
  };
  loop->post(again);
  EXPECT(soon([&] { return ticks >= 20; }));
  over = true;
  loop->run([] {});
  loop->run([&] { timer.value().reset(); });
}

}  // namespace acrn
