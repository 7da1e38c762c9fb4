// The conformance self-test behind `vblk check`: a table of clauses, each with its source and a function that
// tries it on a freshly reset device. A clause says what it saw if that is not what the rule says.
#pragma once

#include <span>
#include <string>
#include <utility>

#include "dm/loopback/raw_guest.h"
#include "dm/tools/session.h"

namespace acrn {

struct Verdict {
  enum Kind : uint8_t { kHolds, kBroken, kSkipped } kind = kHolds;
  std::string text = {};  // what was seen, or what is missing
};

inline Verdict holds() { return {}; }
inline Verdict broken(std::string seen) { return {Verdict::kBroken, std::move(seen)}; }
inline Verdict skipped(std::string missing) { return {Verdict::kSkipped, std::move(missing)}; }

struct CheckContext {
  RawGuest& guest;  // restarted with all features before each clause
  PciAddress address;
  const BlockOptions& options;  // of the slot
  bool single_msi;              // --virtio_msi: no MSI-X

  bool has_disk() const { return !std::holds_alternative<NoDisk>(options.source); }
  bool writable() const { return has_disk() && !options.read_only; }
};

// The sectors that clauses may overwrite: [0, kScratchSectors) or the whole disk, if it is smaller.
inline constexpr uint64_t kScratchSectors = 64;

struct Clause {
  const char* name;
  const char* rule;
  const char* source;
  Verdict (*check)(CheckContext& context);
};

std::span<const Clause> pci_clauses();
std::span<const Clause> register_clauses();
std::span<const Clause> ring_clauses();
std::span<const Clause> block_clauses();

}  // namespace acrn

// In a clause: what was seen ends it if the condition does not hold.
#define REQUIRE(condition, ...)                                           \
  do {                                                                    \
    if (!(condition)) return ::acrn::broken(::acrn::concat(__VA_ARGS__)); \
  } while (false)
