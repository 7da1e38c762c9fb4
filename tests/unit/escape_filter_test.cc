#include "dm/serial/escape_filter.h"

#include <string>

#include "dm/serial/byte_ring.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

struct Typed {
  std::string passed;
  unsigned leaves = 0;
};

Typed type(const std::string& keys) {
  EscapeFilter filter;
  Typed typed;
  for (const char key : keys) {
    const auto output = filter.feed(static_cast<uint8_t>(key));
    typed.passed.append(output.for_guest().begin(), output.for_guest().end());
    if (output.leave) typed.leaves++;
  }
  return typed;
}

}  // namespace

TEST(ordinary_keys_pass_at_once) {
  EXPECT_EQ(type("xax\r\x02\xff").passed, "xax\r\x02\xff");
  EXPECT_EQ(type("x").leaves, 0u);
}

TEST(ctrl_a_x_leaves_and_passes_nothing) {
  EXPECT_EQ(type("a\x01xb").passed, "ab");
  EXPECT_EQ(type("a\x01xb").leaves, 1u);
}

TEST(ctrl_a_twice_is_one_ctrl_a) {
  EXPECT_EQ(type("\x01\x01x").passed, "\x01x");
  EXPECT_EQ(type("\x01\x01x").leaves, 0u);
  EXPECT_EQ(type("\x01\x01\x01x").leaves, 1u);
}

TEST(ctrl_a_before_another_key_passes_with_it) {
  EXPECT_EQ(type("\x01Xy").passed, "\x01Xy");
  EXPECT_EQ(type("\x01").passed, "");  // waits for the next key
}

TEST(a_ring_is_full_at_its_capacity_and_keeps_the_order_around_its_end) {
  ByteRing ring(8);
  unsigned pushed = 0, taken = 0;
  for (unsigned round = 0; round < 20; round++) {
    while (ring.push(static_cast<uint8_t>(pushed))) pushed++;
    EXPECT_EQ(ring.size(), 8u);
    EXPECT_EQ(ring.room(), 0u);
    for (unsigned i = 0; i < 1 + round % 8; i++) EXPECT_EQ(ring.take().value(), static_cast<uint8_t>(taken++));
    EXPECT_EQ(ring.size(), pushed - taken);
  }
  while (ring.take()) taken++;
  EXPECT_EQ(taken, pushed);
  EXPECT(ring.readable().empty());
}

}  // namespace acrn
