#include "dm/base/every_thread.h"

#include <dirent.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <ratio>
#include <set>
#include <string>
#include <string_view>
#include <thread>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{2};           // for one thread
constexpr std::chrono::milliseconds kBetweenSigns{1};  // of its life
// For those that block the signal, after the last one that did not.
constexpr unsigned kLooks = 100;
constexpr std::chrono::milliseconds kBetweenLooks{1};
constexpr const char* kThreads = "/proc/self/task";

std::atomic<int> signal_number{0};        // relaxed: set before there is another thread
std::atomic<void (*)()> wanted{nullptr};  // release and acquire: what it uses is there
// Whose turn it is; 0: it has called the function. One that comes late answers for nobody else.
std::atomic<pid_t> awaited{0};
sem_t called;

void on_signal(int) {
  const int error = errno;
  if (void (*const function)() = wanted.load(std::memory_order_acquire); function != nullptr) {
    function();
    pid_t self = ::gettid();
    if (awaited.compare_exchange_strong(self, 0)) ::sem_post(&called);
  }
  errno = error;
}

// The threads that a look finds, and whether that was all of them: it ends early where one ends just then.
struct ThreadsSeen {
  std::set<pid_t> ids;
  bool complete = false;
};

Result<ThreadsSeen> look_at_threads() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(kThreads), &::closedir);
  if (folder == nullptr) return Error{ErrorKind::kInternal, concat(kThreads, ": ", errno_text(errno))};
  ThreadsSeen seen;
  while (const dirent* const entry = ::readdir(folder.get())) {  // NOLINT(concurrency-mt-unsafe): it is ours alone
    pid_t thread = 0;
    std::from_chars(entry->d_name, entry->d_name + std::strlen(entry->d_name), thread);
    if (thread > 0) seen.ids.insert(thread);
  }
  struct stat status {};  // a link for each thread, beside the usual two
  seen.complete = ::fstat(::dirfd(folder.get()), &status) == 0 && status.st_nlink == seen.ids.size() + 2;
  return seen;
}

bool blocks_signal(pid_t thread) {
  constexpr std::string_view kBlocked = "SigBlk:\t";
  std::ifstream status(concat(kThreads, "/", thread, "/status"));
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(kBlocked)) continue;
    uint64_t blocked = 0;
    std::from_chars(line.data() + kBlocked.size(), line.data() + line.size(), blocked, 16);
    return (blocked >> (every_thread_signal() - 1) & 1) != 0;
  }
  return false;
}

bool signal(pid_t thread, int number) { return ::syscall(SYS_tgkill, ::getpid(), thread, number) == 0; }
bool has_ended(pid_t thread) { return !signal(thread, 0) && errno == ESRCH; }

void wait_for_a_call(std::chrono::milliseconds at_most) {
  timespec end{};
  ::clock_gettime(CLOCK_REALTIME, &end);
  end.tv_nsec += std::chrono::nanoseconds(at_most).count();
  if (end.tv_nsec >= std::nano::den) {
    end.tv_sec++;
    end.tv_nsec -= std::nano::den;
  }
  ::sem_timedwait(&called, &end);
}

// False: it did not call the function.
bool interrupt(pid_t thread) {
  awaited.store(thread);
  if (!signal(thread, every_thread_signal())) return errno == ESRCH;  // it has ended
  const auto end = Clock::now() + kPatience;
  while (awaited.load() == thread) {
    if (has_ended(thread)) return true;
    if (Clock::now() >= end) return !awaited.compare_exchange_strong(thread, 0);
    wait_for_a_call(kBetweenSigns);
  }
  return true;
}

}  // namespace

void prepare_every_thread() {
  const int number = SIGRTMIN + 1;
  signal_number.store(number, std::memory_order_relaxed);
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(number, &action, nullptr);
  sigset_t ours;
  ::sigemptyset(&ours);
  ::sigaddset(&ours, number);
  ::pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
}

int every_thread_signal() { return signal_number.load(std::memory_order_relaxed); }

Result<ReachedThreads> run_on_every_thread(void (*function)()) {
  ::sem_init(&called, 0, 0);
  wanted.store(function, std::memory_order_release);
  std::set<pid_t> done{::gettid()}, stuck;
  ReachedThreads result;
  // One that has just been made blocks all signals for a moment.
  for (unsigned looks = 0; looks < kLooks; looks++) {
    const auto all = look_at_threads();
    if (!all) return all.error();
    size_t blocking = 0;
    for (const pid_t thread : all.value().ids) {
      if (done.contains(thread) || stuck.contains(thread)) continue;
      if (blocks_signal(thread)) {
        blocking++;
        continue;
      }
      looks = 0;
      if (interrupt(thread)) {
        done.insert(thread);
        result.reached.push_back(thread);
      } else {
        stuck.insert(thread);
      }
    }
    result.unreached = static_cast<unsigned>(blocking + stuck.size());
    if (blocking != 0) std::this_thread::sleep_for(kBetweenLooks);
    if (blocking == 0 && looks > 0 && all.value().complete) break;  // nor was there a new one
  }
  wanted.store(nullptr, std::memory_order_release);
  function();
  return result;
}

void run_on_threads_again(const ReachedThreads& threads, void (*function)()) {
  ::sem_init(&called, 0, 0);
  wanted.store(function, std::memory_order_release);
  for (const pid_t thread : threads.reached) interrupt(thread);
  wanted.store(nullptr, std::memory_order_release);
  function();
}

}  // namespace acrn
