#include "dm/mem/peer_mapping.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/mutex.h"
#include "acrn/base/unique_fd.h"

namespace acrn {
namespace {

// How long the child has to answer. A process can keep others from reading its mappings.
constexpr timeval kPatience{.tv_sec = 0, .tv_usec = 200'000};

// What PeerMappings is asked, with the file by its numbers.
struct Question {
  uint64_t number;
  pid_t process;
  dev_t device;
  ino_t inode;
  uint64_t offset, size;
};

enum class Found : uint8_t { kNothing, kShared, kPrivate, kTooMuch };

struct Answer {
  uint64_t number;
  Found found;
};

Found look(const Question& question) {
  std::ifstream mappings(concat("/proc/", question.process, "/maps"));
  Found found = Found::kNothing;
  std::string line;
  for (size_t read = 0; std::getline(mappings, line); read += line.size() + 1) {
    if (read > PeerMappings::kMostRead) return Found::kTooMuch;
    // <begin>-<end> rwxs <offset> <major>:<minor> <inode> <path>; proc(5).
    char modes[5];
    unsigned long begin, end, from, inode;
    unsigned major_number, minor_number;
    if (std::sscanf(line.c_str(), "%lx-%lx %4s %lx %x:%x %lu", &begin, &end, modes, &from, &major_number, &minor_number,
                    &inode) != 7) {
      continue;
    }
    if (inode != question.inode || makedev(major_number, minor_number) != question.device) continue;
    if (from >= question.offset + question.size || question.offset >= from + (end - begin)) continue;
    if (modes[3] == 's') return Found::kShared;
    found = Found::kPrivate;
  }
  return found;
}

// Our end of the socket to the child that looks for us.
class Observer {
 public:
  explicit Observer(UniqueFd socket) : socket_(std::move(socket)) {
    ::setsockopt(socket_.fd(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  }
  // kTooMuch, too, while that child is busy with an earlier question for longer than is waited for it; kNothing if it
  // is gone.
  Found ask(Question question) {
    MutexLock lock(mutex_);
    while (answered_ != asked_ && receive(MSG_DONTWAIT)) {
    }
    if (answered_ != asked_) return Found::kTooMuch;
    question.number = ++asked_;
    if (::send(socket_.fd(), &question, sizeof(question), MSG_NOSIGNAL) != sizeof(question)) {
      answered_ = asked_;
      return Found::kNothing;
    }
    return receive(0) ? found_ : Found::kTooMuch;
  }

 private:
  bool receive(int flags) ACRN_REQUIRES(mutex_) {
    Answer answer{};
    ssize_t size = 0;
    while ((size = ::recv(socket_.fd(), &answer, sizeof(answer), flags)) < 0 && errno == EINTR) {
    }
    if (size != sizeof(answer)) return false;
    answered_ = answer.number;
    found_ = answer.found;
    return true;
  }

  Mutex mutex_;  // leaf; held across a question to the child, and its answer
  const UniqueFd socket_;
  uint64_t asked_ ACRN_GUARDED_BY(mutex_) = 0, answered_ ACRN_GUARDED_BY(mutex_) = 0;  // the last question's number
  Found found_ ACRN_GUARDED_BY(mutex_) = Found::kNothing;                              // by the last answer
};

Observer* observer = nullptr;  // set before there is another thread, and never destroyed

[[noreturn]] void observe(int socket, void (*confine)()) {
  constexpr int kPlace = 3;  // above the standard descriptors, which a warning may need
  ::prctl(PR_SET_NAME, "acrn observer");
  ::setsid();
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  if (socket != kPlace) ::dup2(socket, kPlace);
  ::close_range(kPlace + 1, ~0u, 0);
  confine();
  ::send(kPlace, "", 1, MSG_NOSIGNAL);  // it is ready
  Question question;
  while (::recv(kPlace, &question, sizeof(question), 0) == sizeof(question)) {
    const Answer answer{question.number, look(question)};
    if (::send(kPlace, &answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer)) break;
  }
  ::_exit(0);
}

}  // namespace

bool PeerMappings::are_private(int fd, uint64_t offset, uint64_t size) {
  struct stat file;
  if (process_ <= 0 || ::fstat(fd, &file) != 0) return false;
  const Question question{0, process_, file.st_dev, file.st_ino, offset, size};
  const Found found = observer != nullptr ? observer->ask(question) : look(question);
  if (found == Found::kTooMuch) process_ = 0;
  return found == Found::kPrivate;
}

bool start_mapping_observer(void (*confine)()) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) ends = {-1, -1};
  UniqueFd theirs(ends[1]);
  observer = new Observer(UniqueFd(ends[0]));  // who nobody answers sees nothing
  if (!theirs) return false;
  const pid_t child = ::fork();
  if (child == 0) observe(theirs.fd(), confine);
  theirs.reset();  // the end of a child that dies is seen
  char ready = 0;
  return child > 0 && ::recv(ends[0], &ready, 1, 0) == 1;
}

}  // namespace acrn
