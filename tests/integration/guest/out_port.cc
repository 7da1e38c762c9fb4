// out_port <port> <byte>: for a guest whose kernel has no /dev/port.
#include <sys/io.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc != 3) return 64;
  const auto port = static_cast<unsigned short>(std::strtoul(argv[1], nullptr, 0));
  const auto value = static_cast<unsigned char>(std::strtoul(argv[2], nullptr, 0));
  if (ioperm(port, 1, 1) != 0) {
    std::perror("ioperm");
    return 70;
  }
  outb(value, port);
  return 0;
}
