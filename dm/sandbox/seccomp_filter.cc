#include "dm/sandbox/seccomp_filter.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "acrn/base/concat.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

constexpr uint64_t kAllBits = UINT32_MAX;                         // of an argument that the kernel takes for 32 bits
constexpr uint64_t kRegisterEventfd = 4, kUnregisterEventfd = 5;  // of io_uring_register(2)
constexpr uint64_t kNameSpaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
constexpr uint64_t kOfThreads = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
constexpr uint32_t kBinaryTree = 2;  // how libseccomp looks a call up

class Rules {
 public:
  explicit Rules(Refusal refusal)
      : context_(::seccomp_init(refusal == Refusal::kKill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_LOG), &::seccomp_release) {
    if (context_ == nullptr) return;
    ::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, kBinaryTree);
    ::seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  }
  explicit operator bool() const { return context_ != nullptr; }

  // 0 or an errno.
  int add(const SystemCall& call) {
    const int number = ::seccomp_syscall_resolve_name(std::string(call.name).c_str());
    if (number == __NR_SCMP_ERROR) return EINVAL;
    const auto allow = [&](const scmp_arg_cmp& argument) { return allow_if(number, {argument}); };
    switch (call.rule) {
      case CallRule::kAny: return allow_if(number, {});
      case CallRule::kNotExecutable: return allow(SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
      case CallRule::kNewThread: return allow(SCMP_A0_64(SCMP_CMP_MASKED_EQ, kOfThreads | kNameSpaces, kOfThreads));
      case CallRule::kNoSuchCall:
        return -::seccomp_rule_add_array(context_.get(), SCMP_ACT_ERRNO(ENOSYS), number, 0, nullptr);
      case CallRule::kThisProcess:
        return allow(SCMP_A0_64(SCMP_CMP_MASKED_EQ, kAllBits, static_cast<uint64_t>(::getpid())));
      case CallRule::kOwnName: return allow(SCMP_A0_64(SCMP_CMP_EQ, PR_SET_NAME));
      case CallRule::kFilter:
        return allow_if(number, {SCMP_A0_64(SCMP_CMP_EQ, SECCOMP_SET_MODE_FILTER), SCMP_A1_64(SCMP_CMP_EQ, 0)});
      case CallRule::kEventfd:
        if (const int error = allow(SCMP_A1_64(SCMP_CMP_EQ, kRegisterEventfd)); error != 0) return error;
        return allow(SCMP_A1_64(SCMP_CMP_EQ, kUnregisterEventfd));
      case CallRule::kUnixSocket: return allow(SCMP_A0_64(SCMP_CMP_EQ, AF_UNIX));
      default: break;
    }
    for (const DeviceRequest& request : requests_of(call.rule)) {
      if (const int error = allow(SCMP_A1_64(SCMP_CMP_MASKED_EQ, kAllBits, request.number)); error != 0) return error;
    }
    return 0;
  }

  // The program, by way of a file: libseccomp writes it to a descriptor.
  Result<SeccompFilter> program() const {
    const auto failed = [](int error) {
      return Error{ErrorKind::kInternal, concat("a filter of system calls: ", errno_text(error))};
    };
    const UniqueFd file(::memfd_create("filter", MFD_CLOEXEC));
    if (!file) return failed(errno);
    if (const int error = ::seccomp_export_bpf(context_.get(), file.fd()); error != 0) return failed(-error);
    const off_t size = ::lseek(file.fd(), 0, SEEK_END);
    SeccompFilter filter(size > 0 ? static_cast<size_t>(size) / sizeof(sock_filter) : 0);
    const auto bytes = filter.size() * sizeof(sock_filter);
    if (size <= 0 || ::pread(file.fd(), filter.data(), bytes, 0) != static_cast<ssize_t>(bytes)) return failed(EIO);
    return filter;
  }

 private:
  int allow_if(int number, const std::vector<scmp_arg_cmp>& arguments) {
    return -::seccomp_rule_add_array(context_.get(), SCMP_ACT_ALLOW, number, static_cast<unsigned>(arguments.size()),
                                     arguments.data());
  }

  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
};

}  // namespace

Result<SeccompFilter> make_filter(ThreadSet threads, PartSet parts, Refusal refusal) {
  Rules rules(refusal);
  if (!rules) return Error{ErrorKind::kInternal, concat("a filter of system calls: ", errno_text(ENOMEM))};
  for (const SystemCall& call : system_calls()) {
    if ((call.threads & threads) == 0 || !is_for(call, parts)) continue;
    if (const int error = rules.add(call); error != 0) {
      return Error{ErrorKind::kInternal, concat("a filter of system calls: ", call.name, ": ", errno_text(error))};
    }
  }
  return rules.program();
}

bool load_filter(const SeccompFilter& filter, bool all_threads) {
  sock_fprog program{};
  program.len = static_cast<unsigned short>(filter.size());
  program.filter = const_cast<sock_filter*>(filter.data());  // which the kernel only reads
  const unsigned flags = all_threads ? SECCOMP_FILTER_FLAG_TSYNC : 0u;
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0;
}

}  // namespace acrn
