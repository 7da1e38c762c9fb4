#include "dm/ident/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <cstdint>

#include "acrn/base/check.h"

namespace acrn {

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

// SHA-256 is in every provider and nothing here depends on input, so a failure is not one to report.
Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  ACRN_CHECK(context_ != nullptr);
  ACRN_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

void Sha256::update(std::span<const std::byte> bytes) {
  ACRN_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish_hex() {
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  ACRN_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
  std::string text;
  for (const uint8_t byte : std::span(digest).first(size)) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 0xf];
  }
  return text;
}

}  // namespace acrn
