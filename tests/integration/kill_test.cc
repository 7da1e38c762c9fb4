// `vblk write` is killed at random moments, again and again, with the disk in the same process or as the client of a
// server, which dies too or serves the next one: every sector whose write was acknowledged before is in the file
// afterwards, and no sector is anything but an old or a new stamp.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <thread>

#include "acrn/base/unique_fd.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/unix_client.h"
#include "tests/support/wait_until.h"

using namespace acrn;
using namespace acrn::test;

namespace {

constexpr uint64_t kSectors = 2048;
constexpr unsigned kRounds = 150, kImageRounds = 40;

struct Child {
  pid_t pid;
  UniqueFd in, out;
};

// The disk is `which`'s `where`: that slot, or at that server. `quiet`: its complaints are expected.
Child spawn_vblk(const std::string& which, const std::string& where, bool quiet) {
  int in[2], out[2];
  EXPECT(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
  const pid_t pid = fork();
  EXPECT(pid >= 0);
  if (pid == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    if (quiet) dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
    execl(ACRN_VBLK, "vblk", "write", "--acknowledge", which.c_str(), where.c_str(), nullptr);
    _exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  return {pid, UniqueFd(in[1]), UniqueFd(out[0])};
}

// A sector of round r is r and its number, repeated.
void stamp(std::byte* sector, uint64_t number, uint64_t round) {
  const uint64_t word = round << 32 | number;
  for (size_t i = 0; i < 512; i += 8) std::memcpy(sector + i, &word, 8);
}

// The round in which that sector of the file was written; 0: never. A server whose client is dead may be in the middle
// of it, so one that is torn is read again: it must not stay that way.
uint64_t round_of(int file, uint64_t number) {
  uint64_t word = 0;
  EXPECT(wait_until([&] {
    std::byte sector[512], expected[512] = {};
    EXPECT_EQ(pread(file, sector, 512, static_cast<off_t>(number * 512)), 512);
    std::memcpy(&word, sector, 8);
    if (word != 0) stamp(expected, number, word >> 32);
    return std::memcmp(sector, expected, 512) == 0;
  }));
  return word >> 32;
}

// Sectors [0, n) were acknowledged: the sum of the lines "written <sector> <count>".
uint64_t acknowledged(const std::string& lines) {
  uint64_t end = 0;
  for (size_t at = 0; (at = lines.find("written ", at)) != std::string::npos; at++) {
    const size_t newline = lines.find('\n', at);
    if (newline == std::string::npos) break;
    const size_t space = lines.find(' ', at + 8);
    uint64_t sector = 0, count = 0;
    std::from_chars(&lines[at + 8], &lines[space], sector);
    std::from_chars(&lines[space + 1], &lines[newline], count);
    end = std::max(end, sector + count);
  }
  return end;
}

enum class Dies { kProgram, kImageReader, kClient, kClientAndServer };

bool runs(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;  // NOLINT: a test's own words
}

// The process that reads the image for it; itself, if it has none yet.
pid_t image_reader_of(pid_t process) {
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  std::error_code gone;
  for (const auto& thread : std::filesystem::directory_iterator(tasks, gone)) {
    std::ifstream children(thread.path() / "children");
    if (pid_t child; children >> child) return child;
  }
  return process;
}

// A file with the disk's bytes. The image is free when the process that reads it has closed it.
std::string raw_of(const std::string& image, const std::string& format) {
  if (format.empty()) return image;
  const std::string what = " -f " + format + " ";
  EXPECT(wait_until([&] {
    runs("qemu-img check -r all" + what + image);  // as the next writer does: what is in a log is carried out
    return runs("qemu-img convert" + what + "-O raw " + image + " " + image + ".raw");
  }));
  return image + ".raw";
}

// `format`: the image's, if it has one of its own.
void kill_and_check(const std::string& options, Dies dies = Dies::kProgram, const std::string& format = "") {
  TempDir dir;
  std::optional<ServerProcess> server;
  const std::string image = dir.file("disk.img", kSectors * 512);
  if (!format.empty() && !runs("qemu-img create -f " + format + " " + image + " 1M")) SKIP("qemu-img");
  std::mt19937 random(static_cast<unsigned>(options.size()));
  signal(SIGPIPE, SIG_IGN);
  std::vector<uint64_t> newest(kSectors, 0);  // acknowledged round of each sector
  for (uint64_t round = 1; round <= (format.empty() ? kRounds : kImageRounds); round++) {
    if ((dies == Dies::kClient || dies == Dies::kClientAndServer) && !server) {
      server.emplace(dir, image + options);
      EXPECT(wait_until([&] { return connect_to(dir.path("vm1.9.0.sock")); }));
    }
    const bool quiet = dies == Dies::kImageReader;
    Child child = server ? spawn_vblk("--connect", "vhost-user=" + dir.path("vm1.9.0.sock"), quiet)
                         : spawn_vblk("-s", "3,virtio-blk," + image + options, quiet);
    std::jthread feeder([&] {
      std::vector<std::byte> data(kSectors * 512);
      for (uint64_t i = 0; i < kSectors; i++) stamp(&data[i * 512], i, round);
      for (size_t done = 0; done < data.size();) {
        const ssize_t written = write(child.in.fd(), &data[done], data.size() - done);
        if (written <= 0) break;
        done += static_cast<size_t>(written);
      }
      child.in.reset();
    });
    // After so many acknowledgements, at a random moment of the next request.
    std::string lines;
    const auto wanted = random() % 20;
    char buffer[256];
    for (unsigned long seen = 0; seen < wanted; seen++) {
      const ssize_t got = read(child.out.fd(), buffer, sizeof(buffer));
      if (got <= 0) break;
      lines.append(buffer, static_cast<size_t>(got));
    }
    kill(dies == Dies::kImageReader ? image_reader_of(child.pid) : child.pid, SIGKILL);
    for (ssize_t got; (got = read(child.out.fd(), buffer, sizeof(buffer))) > 0;)
      lines.append(buffer, static_cast<size_t>(got));
    int status = 0;
    waitpid(child.pid, &status, 0);
    EXPECT(WIFSIGNALED(status) || WEXITSTATUS(status) == 0 || dies == Dies::kImageReader);
    if (dies == Dies::kClientAndServer) server.reset();

    std::fill_n(newest.begin(), acknowledged(lines), round);
    const UniqueFd file(open(raw_of(image, format).c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT(file);
    for (uint64_t i = 0; i < kSectors; i++) {
      const uint64_t found = round_of(file.fd(), i);
      EXPECT(found >= newest[i]);
      EXPECT(found <= round);
      newest[i] = found;
    }
  }
}

}  // namespace

// COVERS(crash): `kill -9` at a random moment
TEST(what_was_acknowledged_in_writethru_survives_kill_9) { kill_and_check(""); }
// COVERS(crash): `kill -9` at a random moment
TEST(what_was_acknowledged_in_writeback_survives_kill_9_of_the_process) { kill_and_check(",writeback"); }
// COVERS(crash): `kill -9` at a random moment
TEST(what_was_acknowledged_of_a_qcow2_image_survives_kill_9) {
  kill_and_check(",format=qcow2", Dies::kProgram, "qcow2");
}

TEST(what_was_acknowledged_of_a_qcow2_image_of_qemu_nbd_survives_kill_9) {
  kill_and_check(",format=qcow2,reader=qemu-nbd", Dies::kProgram, "qcow2");
}

TEST(what_was_acknowledged_of_a_qcow2_image_survives_kill_9_of_its_reader) {
  kill_and_check(",format=qcow2", Dies::kImageReader, "qcow2");
}

TEST(what_was_acknowledged_of_a_qcow2_image_survives_kill_9_of_qemu_nbd) {
  kill_and_check(",format=qcow2,reader=qemu-nbd", Dies::kImageReader, "qcow2");
}

TEST(what_was_acknowledged_of_a_vhdx_image_survives_kill_9_of_its_reader) {
  kill_and_check(",format=vhdx", Dies::kImageReader, "vhdx");
}

TEST(what_was_acknowledged_with_nocache_survives_kill_9) { kill_and_check(",nocache"); }
// COVERS(crash): `kill -9` at a random moment
TEST(what_a_server_acknowledged_survives_its_client) { kill_and_check(",writeback", Dies::kClient); }
// COVERS(crash): `kill -9` at a random moment
TEST(what_a_server_acknowledged_survives_both_of_them) { kill_and_check("", Dies::kClientAndServer); }
