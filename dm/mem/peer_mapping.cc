#include "dm/mem/peer_mapping.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
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

constexpr unsigned kMostMappings = 100'000;  // of an honest process; Linux allows 65530 by default

// What is_mapped_privately() is asked, with the file by its numbers.
struct Question {
  pid_t process;
  dev_t device;
  ino_t inode;
  uint64_t offset, size;
};

bool look(const Question& question) {
  std::ifstream mappings(concat("/proc/", question.process, "/maps"));
  bool is_private = false;
  std::string line;
  for (unsigned count = 0; count < kMostMappings && std::getline(mappings, line); count++) {
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
    if (modes[3] == 's') return false;
    is_private = true;
  }
  return is_private;
}

// Our end of the socket to the child that looks for us.
class Observer {
 public:
  explicit Observer(UniqueFd socket) : socket_(std::move(socket)) {}
  // False, too, if that child is gone.
  bool ask(const Question& question) {
    MutexLock lock(mutex_);
    if (::send(socket_.fd(), &question, sizeof(question), MSG_NOSIGNAL) != sizeof(question)) return false;
    bool answer = false;
    ssize_t size = 0;
    while ((size = ::recv(socket_.fd(), &answer, sizeof(answer), 0)) < 0 && errno == EINTR) {
    }
    return size == sizeof(answer) && answer;
  }

 private:
  Mutex mutex_;  // leaf; held across a question to the child, and its answer
  const UniqueFd socket_;
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
    const bool answer = look(question);
    if (::send(kPlace, &answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer)) break;
  }
  ::_exit(0);
}

}  // namespace

bool is_mapped_privately(pid_t process, int fd, uint64_t offset, uint64_t size) {
  struct stat file;
  if (process <= 0 || ::fstat(fd, &file) != 0) return false;
  const Question question{process, file.st_dev, file.st_ino, offset, size};
  return observer != nullptr ? observer->ask(question) : look(question);
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
