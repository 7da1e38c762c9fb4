#include "dm/tools/crash/states.h"

#include <algorithm>
#include <random>
#include <utility>

namespace acrn {
namespace {

// The writes between two flushes.
class Epoch {
 public:
  // `marks`: how many of the writes were done by each.
  Epoch(const std::vector<LoggedWrite>& entries, size_t begin, std::vector<size_t> writes, std::vector<size_t> marks)
      : entries_(entries), begin_(begin), writes_(std::move(writes)), marks_(std::move(marks)) {}

  bool visit_all(const StateOptions& options, std::mt19937_64& random,
                 const std::function<bool(const CrashState&)>& visit) const {
    const size_t count = writes_.size(), step = count / kEach + 1;
    const auto prefix = [](size_t) { return true; };
    if (!visit({.flushed = begin_, .extra = {}})) return false;
    for (size_t end = 1; end <= count; end += end < count ? std::min(step, count - end) : 1) {
      const bool torn = !fua(end - 1) && torn_bytes(entries_[writes_[end - 1]], options.atomic) != 0;
      if (torn && !visit(state(end, prefix, true))) {
        return false;
      }
      if (!visit(state(end, prefix))) return false;
    }
    for (const size_t end : marks_) {
      if (step > 1 && !visit(state(end, prefix))) return false;
    }
    for (size_t i = 0; i + 1 < count; i += step) {
      if (fua(i)) continue;
      if (!visit(state(count, [i](size_t k) { return k != i; }))) return false;
    }
    for (size_t i = 1; i < count; i += step) {
      if (!visit(state(i + 1, [i](size_t k) { return k == i; }))) return false;
    }
    for (size_t i = 0; i + 1 < count; i += step) {
      const size_t over = next_over(i);
      if (over == count) continue;
      CrashState late = state(over + 1, [i](size_t k) { return k != i; });
      late.extra.push_back(writes_[i]);
      if (!visit(late)) return false;
    }
    // All of them, if they are that few.
    const uint64_t subsets = count < 32 ? uint64_t{1} << count : UINT64_MAX;
    for (uint64_t n = 0; n < std::min<uint64_t>(options.most, subsets) && count > 2; n++) {
      const uint64_t bits = subsets <= options.most ? n : random();
      std::vector<bool> chosen(count);
      for (size_t k = 0; k < count; k++) chosen[k] = k < 64 ? (bits >> k & 1) != 0 : (random() & 1) != 0;
      if (!visit(state(count, [&](size_t k) { return chosen[k]; }))) return false;
    }
    return true;
  }

 private:
  bool fua(size_t i) const { return entries_[writes_[i]].is(LogWritesEntry::kFua); }

  // The next write that has sectors of this one: a medium may have kept these of this one, and of the next one the
  // rest. The count of writes: there is none.
  size_t next_over(size_t i) const {
    const LoggedWrite& write = entries_[writes_[i]];
    for (size_t k = i + 1; k < writes_.size(); k++) {
      const LoggedWrite& next = entries_[writes_[k]];
      const bool over = write.offset < next.offset + next.length && next.offset < write.offset + write.length;
      if (over) return fua(i) || fua(k) ? writes_.size() : k;
    }
    return writes_.size();
  }

  template <class Wanted>
  CrashState state(size_t end, Wanted wanted, bool torn = false) const {
    CrashState state{.flushed = begin_, .extra = {}, .torn = torn};
    for (size_t k = 0; k < end; k++) {
      if (fua(k) || wanted(k)) state.extra.push_back(writes_[k]);
    }
    return state;
  }

  const std::vector<LoggedWrite>& entries_;
  const size_t begin_;
  const std::vector<size_t> writes_, marks_;
};

}  // namespace

uint64_t torn_bytes(const LoggedWrite& write, uint64_t atomic) {
  const uint64_t end = (write.offset + write.length / 2 + atomic - 1) / atomic * atomic;
  return end < write.offset + write.length ? end - write.offset : 0;
}

void for_each_state(const std::vector<LoggedWrite>& entries, const StateOptions& options,
                    const std::function<bool(const CrashState&)>& visit) {
  std::mt19937_64 random(options.seed);
  size_t begin = 0;
  std::vector<size_t> writes, marks;
  for (size_t i = 0; i <= entries.size(); i++) {
    const bool end = i == entries.size();
    if (!end && entries[i].writes()) writes.push_back(i);
    if (!end && entries[i].is(LogWritesEntry::kMark)) marks.push_back(writes.size());
    if (!end && !entries[i].is(LogWritesEntry::kFlush)) continue;
    if (!Epoch(entries, begin, std::exchange(writes, {}), std::exchange(marks, {})).visit_all(options, random, visit))
      return;
    begin = i + 1;
  }
}

uint64_t count_states(const std::vector<LoggedWrite>& entries, const StateOptions& options) {
  uint64_t count = 0;
  for_each_state(entries, options, [&](const CrashState&) {
    count++;
    return true;
  });
  return count;
}

}  // namespace acrn
