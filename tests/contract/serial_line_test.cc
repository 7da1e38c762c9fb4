#include "dm/serial/serial_line.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "acrn/base/mutex.h"
#include "hw/platform/uart_16550.h"
#include "tests/contract/serial_rig.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace acrn {
namespace {

using test::in_child;
using test::only_pty;
using test::Pty;
using test::read_up_to;
using test::TempDir;
using test::wait_until;
using test::write_all;

std::string counted(size_t bytes) {
  std::string text;
  for (unsigned line = 0; text.size() < bytes; line++) text += "line " + std::to_string(line) + "\r\n";
  text.resize(bytes);
  return text;
}

std::string content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// A line with a guest that takes bytes when the test says so.
class Rig final : private SerialListener {
 public:
  explicit Rig(const std::string& backend) {
    auto created = EpollLoop::create("serial", {});
    EXPECT(created.ok());
    loop_ = std::move(created).value();
    auto opened = HostSerialLine::open(backend, "-l com1", *loop_, [this] { left_++; });
    EXPECT(opened.ok());
    line_ = std::move(opened).value();
    line_->connect(this);
  }
  ~Rig() { close(); }

  HostSerialLine& line() { return *line_; }
  void close() {
    if (!line_) return;
    line_->connect(nullptr);
    line_.reset();
  }
  // As much as there is room for.
  size_t print_some(const std::string& text) {
    size_t sent = 0;
    while (sent < text.size() && line_->send(static_cast<uint8_t>(text[sent]))) sent++;
    return sent;
  }
  void print(const std::string& text) {
    for (size_t sent = 0; sent < text.size();) {
      const unsigned before = rooms_;
      const size_t more = print_some(text.substr(sent));
      sent += more;
      if (sent < text.size()) EXPECT(wait_until([&] { return rooms_ != before; }));
    }
  }
  std::string take(size_t bytes) {
    std::string text;
    wait_until([&] {
      while (text.size() < bytes) {
        const auto byte = line_->receive();
        if (!byte) return false;
        text += static_cast<char>(*byte);
      }
      return true;
    });
    return text;
  }
  unsigned inputs() const { return inputs_; }
  unsigned rooms() const { return rooms_; }
  unsigned left() const { return left_; }

 private:
  void input_arrived() override { inputs_++; }
  void room_arrived() override { rooms_++; }

  std::atomic<unsigned> inputs_{0}, rooms_{0}, left_{0};
  std::unique_ptr<EpollLoop> loop_;
  std::unique_ptr<HostSerialLine> line_;
};

std::string refusal(const std::string& backend) {
  auto loop = EpollLoop::create("serial", {});
  EXPECT(loop.ok());
  const auto opened = HostSerialLine::open(backend, "-l com1", *loop.value(), [] {});
  EXPECT(!opened.ok());
  EXPECT(opened.error().kind == ErrorKind::kNoInput);
  EXPECT_EQ(opened.error().message.find('\n'), std::string::npos);
  EXPECT_EQ(opened.error().message.find("-l com1: "), 0u);
  return opened.error().message;
}

UniqueFd open_fd(const std::string& path, int flags) {
  UniqueFd fd(::open(path.c_str(), flags | O_NOCTTY | O_CLOEXEC));
  EXPECT(static_cast<bool>(fd));
  return fd;
}

}  // namespace

TEST(a_pty_carries_bytes_both_ways_unchanged) {
  Rig rig("pty");
  const UniqueFd user = open_fd(only_pty(), O_RDWR);
  rig.print("login: \r\n\x01");
  EXPECT_EQ(read_up_to(user.fd(), 10), "login: \r\n\x01");
  write_all(user.fd(), "root\r\x03\x01x\xff");
  EXPECT_EQ(rig.take(9), "root\r\x03\x01x\xff");
  EXPECT(wait_until([&] { return rig.inputs() > 0; }));  // the guest is told after the bytes can be had
  EXPECT_EQ(rig.left(), 0u);                             // the escape is for the user's own terminal
}

TEST(a_pty_that_nobody_opened_holds_up_no_guest_and_keeps_the_newest) {
  Rig rig("pty");
  const std::string text = counted(300 << 10);
  rig.print(text);
  const UniqueFd user = open_fd(only_pty(), O_RDWR);
  rig.print("END");
  std::string seen;
  while (seen.size() < 3 || seen.substr(seen.size() - 3) != "END") {
    const std::string more = read_up_to(user.fd(), 1);
    EXPECT_EQ(more.size(), 1u);
    seen += more;
  }
  EXPECT(seen.size() > HostSerialLine::kOutputBytes / 4);
  EXPECT_EQ(seen, (text + "END").substr(text.size() + 3 - seen.size()));
}

TEST(a_pty_can_be_closed_and_opened_again) {
  Rig rig("pty");
  for (const char* text : {"first", "second", "third"}) {
    const UniqueFd user = open_fd(only_pty(), O_RDWR);
    write_all(user.fd(), text);
    EXPECT_EQ(rig.take(std::string(text).size()), text);
    rig.print(text);
    EXPECT_EQ(read_up_to(user.fd(), std::string(text).size()), text);
  }
}

TEST(what_a_short_visitor_of_a_pty_leaves_arrives) {
  Rig rig("pty");
  write_all(open_fd(only_pty(), O_WRONLY).fd(), "echo hello\r");
  EXPECT_EQ(rig.take(11), "echo hello\r");
}

TEST(a_slow_reader_loses_nothing_and_the_guest_is_told_of_room) {
  const TempDir dir;
  const std::string fifo = dir.path("console");
  EXPECT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const UniqueFd reader = open_fd(fifo, O_RDONLY | O_NONBLOCK);
  Rig rig(fifo);
  const std::string text = counted(400 << 10);
  // Never read: the pipe and then the ring fill up, and no call waits.
  size_t sent = 0;
  EXPECT(wait_until([&] {
    sent += rig.print_some(text.substr(sent));
    return !rig.line().has_room() && sent >= HostSerialLine::kOutputBytes + 4096;
  }));
  std::string seen;
  std::jthread slow([&] { seen = read_up_to(reader.fd(), text.size()); });
  rig.print(text.substr(sent));
  slow.join();
  EXPECT(seen == text);
  EXPECT(wait_until([&] { return rig.rooms() > 0; }));
}

TEST(a_reader_that_goes_away_ends_nothing) {
  const TempDir dir;
  const std::string fifo = dir.path("console");
  EXPECT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  UniqueFd reader = open_fd(fifo, O_RDONLY | O_NONBLOCK);
  Rig rig(fifo);
  rig.print("before");
  EXPECT_EQ(read_up_to(reader.fd(), 6), "before");
  reader.reset();
  rig.print(counted(200 << 10));
  EXPECT(wait_until([&] {
    reader = open_fd(fifo, O_RDONLY | O_NONBLOCK);
    rig.print("again");
    pollfd one{.fd = reader.fd(), .events = POLLIN, .revents = 0};
    return ::poll(&one, 1, 100) == 1 && (one.revents & POLLIN) != 0;
  }));
}

TEST(a_reader_that_goes_away_while_the_pipe_is_full_ends_nothing) {
  const TempDir dir;
  const std::string fifo = dir.path("console");
  EXPECT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  UniqueFd reader = open_fd(fifo, O_RDONLY | O_NONBLOCK);
  Rig rig(fifo);
  EXPECT(wait_until([&] { return rig.print_some(counted(1000)) == 0; }));
  reader.reset();
  rig.print(counted(200 << 10));
}

TEST(a_fifo_without_a_reader_is_refused_at_once) {
  const TempDir dir;
  const std::string fifo = dir.path("console");
  EXPECT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_CONTAINS(refusal(fifo), fifo + ": nobody reads this FIFO");
}

TEST(a_file_is_made_for_its_owner_and_appended_to) {
  const TempDir dir;
  const std::string file = dir.path("console.log");
  Rig(file).print("first\r\n");
  Rig(file).print("second\r\n");
  EXPECT_EQ(content(file), "first\r\nsecond\r\n");
  struct stat status {};
  EXPECT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777 & 0077, 0u);
}

TEST(what_cannot_be_a_serial_port_is_refused_in_one_line) {
  const TempDir dir;
  EXPECT_CONTAINS(refusal(dir.path("")), "it is a directory");
  EXPECT_CONTAINS(refusal(dir.path("missing/console")), "No such file or directory");
  EXPECT_CONTAINS(refusal(""), "No such file or directory");
  EXPECT_CONTAINS(refusal(dir.path("a\nb/c")), "a\\x0ab");
  EXPECT_CONTAINS(refusal(std::string(5000, 'x')), "File name too long");
  const std::string path = dir.path("socket");
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  EXPECT_EQ(::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_CONTAINS(refusal(path), "no terminal, FIFO or file");
}

TEST(a_terminal_given_by_its_path_is_used_raw_and_given_back) {
  const Pty pty;
  {
    Rig rig(pty.path);
    EXPECT(pty.raw());
    rig.print("guest\r\n");
    EXPECT_EQ(read_up_to(pty.master.fd(), 7), "guest\r\n");
    write_all(pty.master.fd(), "user\r");
    EXPECT_EQ(rig.take(5), "user\r");
  }
  EXPECT(!pty.raw());
}

TEST(a_terminal_that_hangs_up_ends_nothing) {
  Pty pty;
  Rig rig(pty.path);
  pty.master.reset();
  rig.print(counted(200 << 10));
}

TEST(devices_that_take_or_give_everything_are_fine) {
  Rig null("/dev/null");
  null.print(counted(200 << 10));
  Rig full("/dev/full");
  full.print(counted(200 << 10));
  Rig zero("/dev/zero");
  EXPECT(zero.take(100 << 10) == std::string(100 << 10, '\0'));
}

TEST(a_slow_guest_loses_no_input) {
  Rig rig("pty");
  const UniqueFd user = open_fd(only_pty(), O_RDWR);
  const std::string text = counted(100 << 10);
  std::jthread typist([&] { write_all(user.fd(), text); });
  std::string seen;
  while (seen.size() < text.size()) {
    const std::string more = rig.take(std::min<size_t>(777, text.size() - seen.size()));
    if (more.empty()) break;
    seen += more;
  }
  typist.join();
  EXPECT(seen == text);
}

TEST(what_is_left_is_written_at_the_end_and_nobody_is_waited_for_long) {
  const TempDir dir;
  const std::string fifo = dir.path("console");
  EXPECT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const UniqueFd reader = open_fd(fifo, O_RDONLY | O_NONBLOCK);
  const std::string text = counted(20 << 10);  // a pipe holds 64 KiB, but less of it in small pieces
  {
    Rig rig(fifo);
    rig.print(text);
  }
  EXPECT(read_up_to(reader.fd(), text.size()) == text);
  Rig stuck(fifo);
  EXPECT(wait_until([&] { return stuck.print_some(counted(1000)) == 0; }));
  stuck.close();
}

TEST(stdio_on_pipes_does_not_change_what_the_shell_shares) {
  int in[2], out[2];
  EXPECT(::pipe(in) == 0 && ::pipe(out) == 0);
  UniqueFd in_end(in[0]), typist(in[1]), reader(out[0]), out_end(out[1]);
  write_all(typist.fd(), "typed\x01x");
  typist.reset();  // then the end of the input: the VM goes on
  const int status = in_child([&] {
    ::dup2(in_end.fd(), STDIN_FILENO);
    ::dup2(out_end.fd(), STDOUT_FILENO);
    Rig rig("stdio");
    EXPECT_EQ(rig.take(7), "typed\x01x");
    EXPECT_EQ(rig.left(), 0u);
    rig.print("printed");
    EXPECT_EQ(::fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_EQ(::fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0);
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read_up_to(reader.fd(), 7), "printed");
}

TEST(stdio_from_a_file_and_to_a_file_keeps_their_places) {
  const TempDir dir;
  const std::string script = counted(50 << 10);
  std::ofstream(dir.path("in")) << script;
  const int status = in_child([&] {
    const UniqueFd in = open_fd(dir.path("in"), O_RDONLY);
    const UniqueFd out(::open(dir.path("out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ::dup2(in.fd(), STDIN_FILENO);
    ::dup2(out.fd(), STDOUT_FILENO);
    write_all(STDOUT_FILENO, "before ");
    Rig rig("stdio");
    EXPECT(rig.take(script.size()) == script);
    rig.print("printed");
    rig.close();
    write_all(STDOUT_FILENO, " after");
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(content(dir.path("out")), "before printed after");
}

TEST(stdio_on_sockets_does_not_wait_for_the_other_side) {
  int pair[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const UniqueFd ours(pair[0]), theirs(pair[1]);
  const int status = in_child([&] {
    ::dup2(theirs.fd(), STDIN_FILENO);
    ::dup2(theirs.fd(), STDOUT_FILENO);
    Rig rig("stdio");
    const std::string text = counted(2 << 20);
    size_t sent = 0;
    EXPECT(wait_until([&] {
      const size_t more = rig.print_some(text.substr(sent));
      sent += more;
      return more == 0;
    }));
    std::string seen;
    std::jthread peer([&] { seen = read_up_to(ours.fd(), text.size()); });
    rig.print(text.substr(sent));
    peer.join();
    EXPECT(seen == text);
    write_all(ours.fd(), "typed");
    EXPECT_EQ(rig.take(5), "typed");
    EXPECT_EQ(::fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0);
  });
  EXPECT_EQ(status, 0);
}

TEST(stdio_without_stdin_is_output_only_and_without_stdout_it_is_refused) {
  const TempDir dir;
  const int status = in_child([&] {
    const UniqueFd out(::open(dir.path("out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ::dup2(out.fd(), STDOUT_FILENO);
    auto loop = EpollLoop::create("serial", {});  // before, or it would get a descriptor that is closed here
    EXPECT(loop.ok());
    ::close(STDIN_FILENO);
    auto line = HostSerialLine::open("stdio", "-l com1", *loop.value(), [] {});
    EXPECT(line.ok());
    EXPECT(line.value()->send('a'));
    EXPECT(!line.value()->receive());
    line = HostSerialLine::open("/dev/null", "-l com1", *loop.value(), [] {});
    ::close(STDOUT_FILENO);
    line = HostSerialLine::open("stdio", "-l com1", *loop.value(), [] {});
    EXPECT(!line.ok());
    EXPECT_CONTAINS(line.error().message, "-l com1: stdio: standard output is closed");
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(content(dir.path("out")), "a");
}

TEST(ctrl_a_x_on_the_users_terminal_leaves_once) {
  const Pty pty;
  const int status = in_child([&] {
    ::dup2(pty.side.fd(), STDIN_FILENO);
    ::dup2(pty.side.fd(), STDOUT_FILENO);
    Rig rig("stdio");
    EXPECT(pty.raw());
    write_all(pty.master.fd(), "ls\r\x01\x01\x01z\x03");
    EXPECT_EQ(rig.take(7), "ls\r\x01\x01z\x03");
    write_all(pty.master.fd(), "\x01x\x01x.");
    EXPECT_EQ(rig.take(1), ".");
    EXPECT_EQ(rig.left(), 1u);
    rig.print("bye\n");
    EXPECT_EQ(read_up_to(pty.master.fd(), 5), "bye\r\n");  // the terminal is not ours alone
    rig.close();
    EXPECT(!pty.raw());
  });
  EXPECT_EQ(status, 0);
}

TEST(in_the_background_the_users_terminal_is_left_alone_until_we_are_in_front) {
  const Pty pty;
  const int status = in_child([&] {
    EXPECT(::setsid() > 0);
    const UniqueFd terminal = UniqueFd(::open(pty.path.c_str(), O_RDWR | O_CLOEXEC));  // and now ours
    const pid_t front = test::idle_group();
    EXPECT_EQ(::tcsetpgrp(terminal.fd(), front), 0);
    ::dup2(terminal.fd(), STDIN_FILENO);
    ::dup2(terminal.fd(), STDOUT_FILENO);
    Rig rig("stdio");
    EXPECT(!pty.raw());
    rig.print("out");
    EXPECT_EQ(read_up_to(pty.master.fd(), 3), "out");
    // In front again, as after the shell's fg.
    ::signal(SIGTTOU, SIG_IGN);
    EXPECT_EQ(::tcsetpgrp(terminal.fd(), ::getpgrp()), 0);
    EXPECT(wait_until([&] { return pty.raw(); }));
    write_all(pty.master.fd(), "x");
    EXPECT_EQ(rig.take(1), "x");
  });
  EXPECT_EQ(status, 0);
}

TEST(a_uart_on_a_pty_carries_more_than_all_the_buffers_both_ways) {
  class NoPin final : public IrqPin {
    void set_level(bool) override {}
  } pin;
  auto loop = EpollLoop::create("serial", {});
  EXPECT(loop.ok());
  auto line = HostSerialLine::open("pty", "-l com1", *loop.value(), [] {});
  EXPECT(line.ok());
  Uart16550 uart(*line.value(), pin);
  uart.write(2, 1, 0x01);
  const UniqueFd user = open_fd(only_pty(), O_RDWR);
  const std::string text = counted(200 << 10);
  std::string seen, received;
  std::jthread reader([&] { seen = read_up_to(user.fd(), text.size()); });
  std::jthread typist([&] { write_all(user.fd(), text); });
  size_t sent = 0;
  EXPECT(wait_until([&] {
    for (unsigned i = 0; i < 2000; i++) {
      const uint32_t status = uart.read(5, 1);
      if ((status & 0x01) != 0) received += static_cast<char>(uart.read(0, 1));
      if ((status & 0x20) == 0) continue;
      for (unsigned burst = 0; burst < 16 && sent < text.size(); burst++) {
        uart.write(0, 1, static_cast<uint8_t>(text[sent++]));
      }
    }
    return sent == text.size() && received.size() == text.size();
  }));
  reader.join();
  typist.join();
  EXPECT(seen == text);
  EXPECT(received == text);
}

}  // namespace acrn
