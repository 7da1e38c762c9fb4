// Tests as sentences: TEST(read_past_the_end_is_an_error) { EXPECT_EQ(a, b); ... }. A failed check throws, so
// destructors run; the adapter in test_main.cc, the only file that knows cmocka, reports it from a frame that
// owns nothing.
#pragma once

#include <sstream>
#include <string>
#include <utility>

namespace acrn::test {

struct Failure {
  std::string where, what;
};
struct Skipped {
  std::string reason;
};

using Body = void (*)();
struct Registration {
  Registration(const char* name, Body body);
};

template <class T>
std::string show(const T& value) {
  if constexpr (requires(std::ostream & out) { out << value; }) {
    std::ostringstream out;
    if constexpr (sizeof(T) == 1 && std::is_integral_v<T>)
      out << static_cast<int>(value);
    else
      out << value;
    return out.str();
  } else {
    return "(value)";
  }
}

template <class A, class B>
void expect_equal(const A& actual, const B& expected, const char* text, const char* file, int line) {
  if (actual == expected) return;
  throw Failure{std::string(file) + ":" + std::to_string(line),
                std::string(text) + ": got " + show(actual) + ", expected " + show(expected)};
}

inline void expect(bool holds, const char* text, const char* file, int line) {  // allocates nothing
  if (!holds) throw Failure{std::string(file) + ":" + std::to_string(line), text};
}

inline void expect_contains(const std::string& text, const std::string& part, const char* file, int line) {
  if (text.find(part) != std::string::npos) return;
  throw Failure{std::string(file) + ":" + std::to_string(line), "\"" + text + "\" does not contain \"" + part + "\""};
}

inline void expect(bool holds, const std::string& text, const char* file, int line) {
  if (!holds) throw Failure{std::string(file) + ":" + std::to_string(line), text};
}

}  // namespace acrn::test

#define TEST(name)                                                      \
  static void name();                                                   \
  static const ::acrn::test::Registration register_##name(#name, name); \
  static void name()

#define EXPECT(condition) \
  ::acrn::test::expect(static_cast<bool>(condition), #condition " does not hold", __FILE__, __LINE__)
#define EXPECT_EQ(actual, expected) ::acrn::test::expect_equal((actual), (expected), #actual, __FILE__, __LINE__)
#define EXPECT_CONTAINS(text, part) ::acrn::test::expect_contains((text), (part), __FILE__, __LINE__)
#define SKIP(reason) \
  throw ::acrn::test::Skipped { reason }
