// Preloaded: a host that forbids io_uring.
#include <cerrno>

struct io_uring;
extern "C" int io_uring_queue_init(unsigned, io_uring*, unsigned) { return -EPERM; }
struct io_uring_params;
extern "C" int io_uring_queue_init_params(unsigned, io_uring*, io_uring_params*) { return -EPERM; }
