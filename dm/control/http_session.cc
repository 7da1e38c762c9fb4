#include "dm/control/http_session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "acrn/base/concat.h"

namespace acrn {
namespace {

using Text = std::string_view;

constexpr Text kPath = "/metrics";

std::string response(Text status, Text type, Text fields, Text body, bool with_body) {
  return concat("HTTP/1.1 ", status, "\r\nContent-Type: ", type, "\r\nContent-Length: ", body.size(), "\r\n", fields,
                "Connection: close\r\n\r\n", with_body ? body : Text());
}

constexpr Text kPlain = "text/plain; charset=utf-8";

std::string plain(Text status, Text fields, Text text) {
  return response(status, kPlain, fields, concat(text, "\n"), true);
}

// The characters of a method and of a field's name (RFC 9110 5.6.2).
bool is_token(Text text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || Text("!#$%&'*+-.^_`|~").find(c) != Text::npos;
  });
}

bool equal_letters(Text a, Text b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

// The next line of a head, without its end.
Text take_line(Text& head) {
  const size_t end = std::min(head.find('\n'), head.size());
  Text line = head.substr(0, end);
  head.remove_prefix(std::min(end + 1, head.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

struct Request {
  Text method, target, version;
  unsigned hosts = 0;
  bool open_metrics = false;  // it accepts that format
};

// False: it is no request line.
bool parse_request_line(Text line, Request& request) {
  const size_t first = line.find(' '), last = line.rfind(' ');
  if (first == Text::npos || first == last) return false;
  request.method = line.substr(0, first);
  request.target = line.substr(first + 1, last - first - 1);
  request.version = line.substr(last + 1);
  const bool printable =
      std::all_of(request.target.begin(), request.target.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return is_token(request.method) && !request.target.empty() && printable && request.version.starts_with("HTTP/");
}

// False: it is no field.
bool parse_field(Text line, Request& request) {
  const size_t colon = line.find(':');
  if (colon == Text::npos || !is_token(line.substr(0, colon))) return false;
  const Text name = line.substr(0, colon), value = line.substr(colon + 1);
  const bool clean = std::none_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
  if (equal_letters(name, "Host")) request.hosts++;
  if (equal_letters(name, "Accept") && value.find("application/openmetrics-text") != Text::npos) {
    request.open_metrics = true;
  }
  return clean;
}

// The path of a target, which may be a whole URI (RFC 9112 3.2.2).
Text path_of(Text target) {
  constexpr Text kScheme = "http://";
  if (target.starts_with(kScheme)) target.remove_prefix(std::min(target.find('/', kScheme.size()), target.size()));
  return target.substr(0, target.find('?'));
}

std::string answer(Text head, const HttpSession::Render& render) {
  Request request;
  if (!parse_request_line(take_line(head), request)) return http_error("400 Bad Request", "not a request line");
  if (request.version != "HTTP/1.1" && request.version != "HTTP/1.0") {
    return http_error("505 HTTP Version Not Supported", "give HTTP/1.1");
  }
  for (Text line = take_line(head); !line.empty(); line = take_line(head)) {
    if (!parse_field(line, request)) return http_error("400 Bad Request", "not a header field");
  }
  if (request.hosts > 1 || (request.hosts == 0 && request.version == "HTTP/1.1")) {
    return http_error("400 Bad Request", "give one Host field");
  }
  const bool head_only = request.method == "HEAD";
  if (!head_only && request.method != "GET") {
    return plain("405 Method Not Allowed", "Allow: GET, HEAD\r\n", "there is GET and HEAD");
  }
  if (path_of(request.target) != kPath) return http_error("404 Not Found", "the metrics are at /metrics");
  const auto format = request.open_metrics ? MetricsFormat::kOpenMetrics : MetricsFormat::kPrometheus;
  return response("200 OK",
                  request.open_metrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                       : "text/plain; version=0.0.4; charset=utf-8",
                  "Cache-Control: no-store\r\n", render(format), !head_only);
}

}  // namespace

std::string http_error(Text status, Text text) { return plain(status, "", text); }

std::optional<std::string> HttpSession::next() {
  if (answered_) return std::nullopt;
  // Lines may end without CR (RFC 9112 2.2).
  size_t end = std::string::npos;
  for (const Text empty : {Text("\n\r\n"), Text("\n\n")}) {
    const size_t at = head_.find(empty, scanned_ > 2 ? scanned_ - 2 : 0);
    if (at != std::string::npos) end = std::min(end, at + empty.size());
  }
  scanned_ = head_.size();
  if (std::min(end, head_.size()) > kMaxHead) {
    answered_ = true;
    return http_error("431 Request Header Fields Too Large", concat("give at most ", kMaxHead, " bytes"));
  }
  if (end == std::string::npos) {
    // A client that has left without a word is told nothing.
    answered_ = finished_;
    return finished_ && !head_.empty() ? std::optional(http_error("400 Bad Request", "the request is cut off"))
                                       : std::nullopt;
  }
  answered_ = true;
  return answer(Text(head_).substr(0, end), render_);
}

}  // namespace acrn
