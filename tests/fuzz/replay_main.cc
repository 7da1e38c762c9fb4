// main() of a fuzz target without libFuzzer: replays a corpus folder, and each of its inputs a few hundred times
// with bytes changed by a fixed sequence, so that every compiler and sanitizer runs the targets as tests.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "acrn/base/log.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s <corpus folder>\n", argv[0]);
    return 64;
  }
  constexpr unsigned kMutations = 200;
  std::mt19937 random(1);  // NOLINT(bugprone-random-generator-seed): the same inputs in every run
  size_t inputs = 0;
  for (const auto& file : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream stream(file.path(), std::ios::binary);
    const std::vector<uint8_t> original((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    LLVMFuzzerTestOneInput(original.data(), original.size());
    inputs++;
    for (unsigned i = 0; i < kMutations && !original.empty(); i++) {
      std::vector<uint8_t> changed = original;
      for (unsigned n = random() % 4 + 1; n > 0; n--)
        changed[random() % changed.size()] = static_cast<uint8_t>(random());
      changed.resize(changed.size() - random() % std::min<size_t>(changed.size(), 8));
      LLVMFuzzerTestOneInput(changed.data(), changed.size());
    }
  }
  std::printf("%zu inputs, each with %u mutations\n", inputs, kMutations);
  return inputs != 0 ? 0 : 1;
}
