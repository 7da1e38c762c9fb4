// SHA-256 of a stream of bytes. Owned and used by one thread at a time. The only user of OpenSSL.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

extern "C" {
struct evp_md_ctx_st;
}

namespace acrn {

class Sha256 {
 public:
  Sha256();

  void update(std::span<const std::byte> bytes);
  // The digest of everything so far: 64 lower-case hexadecimal digits. The last call on this object.
  std::string finish_hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace acrn
