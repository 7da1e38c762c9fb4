// A Ceph cluster of one monitor and one OSD on this host, in a folder of its own, until the object ends.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "acrn/base/unique_fd.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"
#include "tests/support/wait_until.h"

namespace acrn::test {

class CephCluster {
 public:
  // Skips the test if Ceph is not there.
  CephCluster() {
    for (const char* program : {"ceph", "ceph-mon", "ceph-osd", "monmaptool", "rbd"}) {
      if (!runs("command -v " + std::string(program))) SKIP(program);
    }
    const std::string address = "v1:127.0.0.1:" + std::to_string(free_port());
    std::ofstream(conf()) << "[global]\nfsid = " << kId << "\nmon host = " << address
                          << "\nauth cluster required = none\nauth service required = none\n"
                             "auth client required = none\nms bind msgr2 = false\npublic addr = 127.0.0.1\n"
                             "mon allow pool size one = true\nmon data avail crit = 1\n"
                             "osd pool default size = 1\nosd pool default min size = 1\n"
                             "osd crush chooseleaf type = 0\nbluestore block size = 8589934592\n"
                             "osd client watch timeout = 5\n"
                             // Else an OSD may ask before it knows the cluster's ID, and ends.
                             "osd crush update on start = false\nosd class update on start = false\nmon data = "
                          << folder_.path("mon") << "\nosd data = " << folder_.path("osd")
                          << "\nrun dir = " << folder_.path("")
                          << "\nadmin socket = " << folder_.path("$name.$pid.asok")
                          << "\nlog file = " << folder_.path("$name.log") << "\nkeyring = " << folder_.path("keyring")
                          << "\n";
    const std::string monitors = folder_.path("monmap");
    must_run("mkdir " + folder_.path("mon") + " " + folder_.path("osd"));
    must_run("monmaptool --create --fsid " + std::string(kId) + " --addv a '[" + address + "]' " + monitors);
    must_run("ceph-mon -c " + conf() + " --mkfs -i a --monmap " + monitors);
    monitor_ = start("ceph-mon", "a");
    ceph("osd new " + std::string(kOsdId));
    must_run("ceph-osd -c " + conf() + " -i 0 --mkfs --osd-uuid " + std::string(kOsdId));
    start_osd();
    ceph("osd crush add osd.0 1 root=default host=localhost");
    ceph("osd pool create rbd 8 8 replicated");
    // Now and then an OSD forgets the placement groups of a new pool.
    for (int attempt = 0; !runs("timeout 20 rbd -c " + conf() + " pool init rbd"); attempt++) {
      EXPECT(attempt < 5);
      kill_osd();
      start_osd();
    }
  }
  ~CephCluster() {
    end(osd_);
    end(monitor_);
  }
  CephCluster(const CephCluster&) = delete;
  CephCluster& operator=(const CephCluster&) = delete;

  std::string conf() const { return folder_.path("ceph.conf"); }
  // Now and then a monitor that has just started does not say which commands there are.
  void ceph(const std::string& words) const {
    const std::string command = "timeout 120 ceph -c " + conf() + " " + words;
    for (int attempt = 0; attempt < 4; attempt++) {
      if (runs(command)) return;
    }
    must_run(command);
  }
  void rbd(const std::string& words) const { must_run("timeout 120 rbd -c " + conf() + " " + words); }
  // Returns when it is up. Now and then one does not come up, and is started again.
  void start_osd() {
    for (int attempt = 0;; attempt++) {
      EXPECT(attempt < 5);
      osd_ = start("ceph-osd", "0");
      bool up = false;
      wait_until([&] { return (up = osd_is_up()) || has_ended(osd_); });
      if (up) return;
      kill_osd();
    }
  }
  void kill_osd() { end(osd_); }
  // Returns when none of its threads runs any more.
  void pause_osd() const {
    ::kill(osd_, SIGSTOP);
    EXPECT(wait_until([this] {
      for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(osd_) + "/task")) {
        std::ifstream file(thread.path() / "stat");
        const std::string stat{std::istreambuf_iterator<char>(file), {}};
        if (stat.find(") T ") == std::string::npos) return false;
      }
      return true;
    }));
  }
  void resume_osd() const { ::kill(osd_, SIGCONT); }

 private:
  static constexpr const char *kId = "7a0b4f5e-0000-4000-8000-000000000001",
                              *kOsdId = "7a0b4f5e-0000-4000-8000-000000000002";

  bool runs(const std::string& command) const {
    const std::string quiet = "{ " + command + "; } >>" + folder_.path("commands.log") + " 2>&1 </dev/null";
    return std::system(quiet.c_str()) == 0;  // NOLINT: a test's own words
  }
  void must_run(const std::string& command) const {
    if (runs(command)) return;
    std::ifstream file(folder_.path("commands.log"));
    const std::string said{std::istreambuf_iterator<char>(file), {}};
    constexpr std::size_t kEnd = 1000;
    expect(false, command + "\n" + said.substr(said.size() - std::min(kEnd, said.size())), __FILE__, __LINE__);
  }

  static unsigned free_port() {
    const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t size = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT(::bind(socket.fd(), any, size) == 0 && ::getsockname(socket.fd(), any, &size) == 0);
    return ntohs(address.sin_port);
  }

  pid_t start(const char* program, const char* name) const {
    const pid_t process = ::fork();
    EXPECT(process >= 0);
    if (process == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::chdir("/") != 0) ::_exit(127);  // Debian 13's OSD looks for its classes from where it is
      const int nowhere = ::open("/dev/null", O_RDWR);
      for (const int fd : {0, 1, 2}) ::dup2(nowhere, fd);
      const std::string path = conf();
      ::execlp(program, program, "-c", path.c_str(), "-f", "-i", name, nullptr);
      ::_exit(127);
    }
    return process;
  }
  bool osd_is_up() const {
    const std::string socket = folder_.path("osd.0." + std::to_string(osd_) + ".asok");
    return runs("timeout 20 ceph --admin-daemon " + socket + " status | grep -q '\"state\": \"active\"'");
  }
  // It stays to be waited for.
  static bool has_ended(pid_t process) {
    siginfo_t ended{};
    return ::waitid(P_PID, static_cast<id_t>(process), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid != 0;
  }
  static void end(pid_t& process) {
    if (process == 0) return;
    ::kill(process, SIGKILL);
    ::waitpid(std::exchange(process, 0), nullptr, 0);
  }

  const TempDir folder_;
  pid_t monitor_ = 0, osd_ = 0;
};

}  // namespace acrn::test
