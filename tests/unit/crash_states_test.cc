// The states that a crash could have left, and what makes two of them one.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "dm/tools/crash/fingerprint.h"
#include "dm/tools/crash/log_file.h"
#include "dm/tools/crash/states.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

namespace acrn::test {
namespace {

constexpr uint64_t kSector = 512;

// 'a' to 'z': a write to a sector of its own; a digit: two sectors from that one on; '|' a flush; '!' behind a write:
// it is stable.
std::vector<LoggedWrite> entries(const std::string& text) {
  std::vector<LoggedWrite> entries;
  for (const char c : text) {
    if (c == '!') {
      entries.back().flags = LogWritesEntry::kFua;
    } else if (c == '|') {
      entries.push_back({.flags = LogWritesEntry::kFlush, .mark = {}});
    } else if (c <= '9') {
      entries.push_back({.offset = (c - '0') * kSector, .length = 2 * kSector, .mark = {}});
    } else {
      entries.push_back({.offset = (c - 'a' + 100) * kSector, .length = kSector, .mark = {}});
    }
  }
  return entries;
}

// Each state, as what is there: the flushed part, a ':', and the rest in its order; '~' behind a write that is torn.
std::set<std::string> states_of(const std::string& text, unsigned most = 0, uint64_t atomic = 512) {
  const std::vector<LoggedWrite> log = entries(text);
  std::string letters;
  for (const char c : text) letters += c == '!' ? std::string() : std::string(1, c);
  std::set<std::string> states;
  uint64_t count = 0;
  const StateOptions options{.most = most, .atomic = atomic};
  for_each_state(log, options, [&](const CrashState& state) {
    std::string name = letters.substr(0, state.flushed) + ":";
    for (const size_t i : state.extra) name += letters[i];
    states.insert(name + (state.torn ? "~" : ""));
    count++;
    return true;
  });
  EXPECT_EQ(count, count_states(log, options));
  return states;
}

using Names = std::set<std::string>;

// A log of one sector for each entry and its data.
class LogBytes {
 public:
  LogBytes() { put(LogWritesSuper{kLogWritesMagic, kLogWritesVersion, 0, 512}); }
  LogBytes& entry(uint64_t sector, uint64_t sectors, uint64_t flags, const std::string& data = "", uint64_t text = 0) {
    put(LogWritesEntry{sector, sectors, flags, text});
    bytes_ += data;
    count_++;
    return *this;
  }
  std::string write(const TempDir& dir, size_t cut = 0) {
    const Le64 count = count_;
    std::memcpy(&bytes_[16], &count, sizeof(count));
    const std::string path = dir.path("log");
    std::ofstream(path, std::ios::binary) << bytes_.substr(0, bytes_.size() - cut);
    return path;
  }

 private:
  template <class Head>
  void put(const Head& head) {
    std::string sector(kSector, '\0');
    std::memcpy(sector.data(), &head, sizeof(head));
    bytes_ += sector;
  }

  std::string bytes_;
  uint64_t count_ = 0;
};

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

TEST(of_the_writes_between_two_flushes_each_prefix_each_alone_and_all_but_each_are_states) {
  EXPECT(states_of("abc|d") == (Names{":", ":a", ":ab", ":abc", ":bc", ":ac", ":b", ":c", "abc|:", "abc|:d"}));
}

TEST(a_write_of_several_sectors_may_be_torn_where_two_of_them_meet) {
  EXPECT(states_of("0") == (Names{":", ":0~", ":0"}));
  EXPECT(states_of("0", 0, 4096) == (Names{":", ":0"}));
  EXPECT(states_of("7", 0, 4096) == (Names{":", ":7~", ":7"}));  // its second sector is in the next 4 KiB
  EXPECT_EQ(torn_bytes({.offset = 7 * kSector, .length = 2 * kSector, .mark = {}}, 4096), kSector);
  EXPECT_EQ(torn_bytes({.offset = 0, .length = 3 * kSector, .mark = {}}, 512), 2 * kSector);
  EXPECT_EQ(torn_bytes({.offset = 0, .length = 16384, .mark = {}}, 4096), 8192u);
}

TEST(a_stable_write_is_there_from_its_moment_on_and_whole) {
  EXPECT(states_of("ab!c") == (Names{":", ":a", ":ab", ":abc", ":bc", ":b"}));
  EXPECT(states_of("0!") == (Names{":", ":0"}));
}

TEST(an_earlier_write_of_the_same_sectors_may_lie_over_a_later_one) {
  const Names states = states_of("0a1");
  EXPECT(states.count(":a10") == 1);
  EXPECT(states.count(":1a0") == 0);
  EXPECT(states_of("0a1!").count(":a10") == 0);  // that one was brought out by itself, and is newer
  EXPECT(states_of("0a3").count(":a30") == 0);
  EXPECT(states_of("0|1").count("0|:10") == 0);
}

TEST(of_few_writes_all_subsets_are_states) {
  EXPECT_EQ(states_of("abcd", 16).size(), 16u);
  EXPECT(states_of("abcd", 15).size() < 16);
}

TEST(other_subsets_are_chosen_by_chance_and_alike_for_the_same_seed) {
  const std::string text = "abcdefghijklmnop";
  EXPECT(states_of(text, 200) == states_of(text, 200));
  EXPECT(states_of(text, 200).size() > states_of(text).size() + 150);
}

TEST(of_many_writes_some_are_taken_and_the_last_state_has_all) {
  std::vector<LoggedWrite> log;
  for (uint64_t i = 0; i < 5000; i++) log.push_back({.offset = i * kSector, .length = kSector, .mark = {}});
  size_t most = 0;
  for_each_state(log, {.most = 0}, [&](const CrashState& state) {
    most = std::max(most, state.extra.size());
    return true;
  });
  EXPECT_EQ(most, log.size());
  EXPECT(count_states(log, {.most = 0}) < 4 * kEach);
  // At a mark it is known what has to be there.
  log.insert(log.begin() + 1234, {.flags = LogWritesEntry::kMark, .mark = "here"});
  bool marked = false;
  for_each_state(log, {.most = 0}, [&](const CrashState& state) {
    marked |= state.extra.size() == 1234 && state.extra.back() == 1233;
    return true;
  });
  EXPECT(marked);
}

TEST(disks_are_one_if_all_their_sectors_are) {
  const std::string a(kSector, 'a'), b(kSector, 'b'), ab = a + b;
  Fingerprint both, one_by_one, other_order, over;
  both.write(0, bytes_of(ab));
  one_by_one.write(0, bytes_of(a));
  one_by_one.write(kSector, bytes_of(b));
  over.write(0, bytes_of(b));
  over.write(kSector, bytes_of(b));
  EXPECT(over.value() != both.value());
  over.write(0, bytes_of(a));
  other_order.write(kSector, bytes_of(a));
  other_order.write(0, bytes_of(b));
  EXPECT_EQ(both.value(), one_by_one.value());
  EXPECT_EQ(both.value(), over.value());
  EXPECT(both.value() != other_order.value());
}

TEST(what_is_discarded_makes_another_disk_and_its_sectors_zeroes) {
  const std::string a(kSector, 'a'), zeroes(kSector, '\0');
  Fingerprint below;
  below.write(8 * kSector, bytes_of(a));
  Fingerprint cleared = Fingerprint::above(below), again = Fingerprint::above(below), smaller = again, then = again;
  cleared.clear(0, uint64_t{1} << 40);
  again.write(8 * kSector, bytes_of(zeroes));
  again.clear(0, uint64_t{1} << 40);
  again.clear(0, uint64_t{1} << 40);
  smaller.clear(0, uint64_t{1} << 39);
  then.clear(0, uint64_t{1} << 40);
  then.write(8 * kSector, bytes_of(a));
  EXPECT(cleared.value() != below.value());
  EXPECT_EQ(cleared.value(), again.value());
  EXPECT(cleared.value() != smaller.value());
  EXPECT(cleared.value() != then.value());
}

TEST(a_log_is_read_in_pieces_and_holes_as_zeroes) {
  TempDir dir;
  const std::string path = dir.path("log");
  constexpr uint64_t kHole = 64 << 20;
  { std::ofstream file(LogBytes().entry(8, kHole / kSector, 0).write(dir), std::ios::binary | std::ios::app); }
  EXPECT_EQ(::truncate(path.c_str(), static_cast<off_t>(2 * kSector + kHole + 4096)), 0);
  const LogFile log = must(LogFile::load(path));
  uint64_t zeroes = 0, end = 8 * kSector;
  const auto read = log.each_piece(log.entries()[0], kHole, [&](const LogFile::Piece& piece) -> Result<void> {
    EXPECT_EQ(piece.offset, end);
    EXPECT(piece.data.size() <= 1 << 20);
    if (piece.data.empty()) zeroes += piece.length;
    end += piece.length;
    return {};
  });
  EXPECT(read.ok());
  EXPECT_EQ(end, 8 * kSector + kHole);
  EXPECT(zeroes > kHole / 2);
}

TEST(a_log_that_lies_is_refused) {
  TempDir dir;
  const auto why = [&](LogBytes& bytes, size_t cut = 0) {
    const auto log = LogFile::load(bytes.write(dir, cut));
    return log ? std::string() : log.error().message;
  };
  LogBytes whole = LogBytes().entry(1, 2, 0, std::string(1024, 'x')).entry(0, 0, LogWritesEntry::kFlush);
  EXPECT_EQ(why(whole), "");
  EXPECT_CONTAINS(why(whole, 1), "it is damaged: entry 2 is behind its end");
  EXPECT_CONTAINS(why(whole, 513), "it is damaged: entry 1 has data behind its end");
  for (const auto& [sector, sectors] : {std::pair{uint64_t{1}, UINT64_MAX}, std::pair{UINT64_MAX, uint64_t{1}}}) {
    LogBytes bytes = LogBytes().entry(sector, sectors, 0);
    EXPECT_CONTAINS(why(bytes), "it is damaged: entry 1 makes no sense");
  }
  LogBytes text = LogBytes().entry(0, 0, LogWritesEntry::kMark, "", 481);
  EXPECT_CONTAINS(why(text), "makes no sense");
  LogBytes device = LogBytes().entry(0, uint64_t{1} << 40, LogWritesEntry::kDiscard);
  EXPECT_EQ(why(device), "");
  EXPECT_CONTAINS(LogFile::load(dir.file("other", 4096)).error().message, "no log of writes");
  EXPECT_CONTAINS(LogFile::load(dir.path("none")).error().message, "No such file");
}

}  // namespace acrn::test
