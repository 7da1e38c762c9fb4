// HttpSession: as much of HTTP/1.1 (RFC 9112) as a reader of metrics needs, for one client, without a socket. One
// request, one response, and the client is to go: whatever the bytes are, nothing of a second request is looked at.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "dm/control/open_metrics.h"
#include "dm/control/text_session.h"

namespace acrn {

// A response with that status and one line of text.
std::string http_error(std::string_view status, std::string_view text);

class HttpSession final : public TextSession {
 public:
  static constexpr size_t kMaxHead = 16 * 1024;  // bytes of request line and fields

  using Render = std::function<std::string(MetricsFormat format)>;
  explicit HttpSession(Render render) : render_(std::move(render)) {}

  void add(std::string_view bytes) override { head_ += bytes; }
  void finish() override { finished_ = true; }
  std::optional<std::string> next() override;
  bool is_over() const override { return answered_; }

 private:
  const Render render_;
  std::string head_;
  size_t scanned_ = 0;  // up to here there is no empty line
  bool finished_ = false, answered_ = false;
};

}  // namespace acrn
