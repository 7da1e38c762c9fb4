#include "dm/server/vhost_user/front_end.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "dm/vhost_user/protocol.h"

namespace acrn::vhost_user {

int FrontEnd::set_call(unsigned queue, UniqueFd event) {
  std::unique_ptr<EventTrigger> trigger;
  int error = 0;
  if (event) {
    // User Mode Linux has sockets.
    trigger = is_eventfd(event.fd()) ? EventTrigger::create(std::move(event), error)
                                     : EventTrigger::create_for_socket(std::move(event), error);
    if (trigger == nullptr) return error;
  }
  if (trigger != nullptr) trigger->signal();
  calls_[queue].place(std::move(trigger));
  return 0;
}

int FrontEnd::set_socket(UniqueFd socket) {
  if (socket && !make_send_only(socket.fd())) return EINVAL;
  MutexLock lock(mutex_);
  socket_ = std::move(socket);
  return 0;
}

void FrontEnd::clear() {
  set_socket({});
  for (EventSlot& call : calls_) {
    call.place(nullptr);
    call.forget();
  }
}

// One that does not read its messages misses them.
void FrontEnd::config_interrupt() {
  const Header message{BACKEND_CONFIG_CHANGE_MSG, kVersion, 0};
  MutexLock lock(mutex_);
  if (socket_) ::send(socket_.fd(), &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace acrn::vhost_user
