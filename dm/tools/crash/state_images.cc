#include "dm/tools/crash/state_images.h"

namespace acrn {
namespace {

void add(Fingerprint& print, const LogFile::Piece& piece) {
  piece.data.empty() ? print.clear(piece.offset, piece.length) : print.write(piece.offset, piece.data);
}

Result<void> put(const Image& image, const LogFile::Piece& piece) {
  return piece.data.empty() ? image.clear(piece.offset, piece.length) : image.write(piece.offset, piece.data);
}

}  // namespace

Result<void> StateImages::roll_to(size_t flushed) {
  if (!rolling_ || rolled_ > flushed) {
    auto cloned = Image::clone(base_, path_);
    if (!cloned) return cloned.error();
    rolling_.emplace(std::move(cloned).value());
    flushed_ = {};
    rolled_ = 0;
  }
  for (; rolled_ < flushed; rolled_++) {
    const LoggedWrite& write = log_.entries()[rolled_];
    if (!write.writes()) continue;
    auto read = log_.each_piece(write, write.length, [this](const LogFile::Piece& piece) {
      add(flushed_, piece);
      return put(*rolling_, piece);
    });
    if (!read) return read;
  }
  return {};
}

// Calls visit(piece) for what a state has beside what is flushed.
Result<void> StateImages::each_extra(const CrashState& state, const LogFile::Visit& visit) const {
  for (const size_t i : state.extra) {
    const LoggedWrite& write = log_.entries()[i];
    const bool torn = state.torn && i == state.extra.back();
    const uint64_t bytes = torn ? torn_bytes(write, atomic_) : write.length;
    if (Result<void> read = log_.each_piece(write, bytes, visit); !read) return read;
  }
  return {};
}

Result<uint64_t> StateImages::fingerprint(const CrashState& state) const {
  Fingerprint print = Fingerprint::above(flushed_);
  auto read = each_extra(state, [&](const LogFile::Piece& piece) -> Result<void> {
    add(print, piece);
    return {};
  });
  if (!read) return read.error();
  return print.value();
}

Result<void> StateImages::make(const CrashState& state, const std::string& image) const {
  const auto made = Image::clone(path_, image);
  if (!made) return made.error();
  return each_extra(state, [&](const LogFile::Piece& piece) { return put(made.value(), piece); });
}

}  // namespace acrn
