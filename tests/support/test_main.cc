// The adapter between tests that throw and cmocka, whose failures longjmp. Also main() of every test program.
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "tests/support/test.h"

extern "C" {
#include <cmocka.h>
}

namespace acrn::test {
namespace {

struct Case {
  const char* name;
  Body body;
};

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

// Where the outcome waits until no frame with a destructor is left: a longjmp must not pass one.
char outcome_text[4096];
enum class Outcome { kPassed, kFailed, kSkipped };

void remember(const std::string& text) { std::snprintf(outcome_text, sizeof(outcome_text), "%s", text.c_str()); }

Outcome run_body(Body body) {
  try {
    body();
    return Outcome::kPassed;
  } catch (const Failure& failure) {
    remember(failure.where + ": " + failure.what);
    return Outcome::kFailed;
  } catch (const Skipped& skipped) {
    remember(skipped.reason);
    return Outcome::kSkipped;
  } catch (const std::exception& error) {
    remember(std::string("exception: ") + error.what());
    return Outcome::kFailed;
  }
}

// cmocka puts a handler of its own there before each test and takes it away after it, which undoes what the code under
// test does once in a process.
Outcome run_with_bus_errors_as_they_were(Body body) {
  static struct sigaction from_test;
  static bool changed = false;
  struct sigaction from_cmocka, now;
  sigaction(SIGBUS, changed ? &from_test : nullptr, &from_cmocka);
  const Outcome outcome = run_body(body);
  sigaction(SIGBUS, nullptr, &now);
  if (now.sa_sigaction != from_cmocka.sa_sigaction) {
    changed = true;
    from_test = now;
  }
  return outcome;
}

void trampoline(void** state) {
  const Case* test_case = static_cast<const Case*>(*state);
  switch (run_with_bus_errors_as_they_were(test_case->body)) {
    case Outcome::kPassed: break;
    case Outcome::kSkipped:
      print_message("             %s: skipped: %s\n", test_case->name, outcome_text);
      _skip(__FILE__, __LINE__);
      break;
    case Outcome::kFailed:
      print_error("%s\n", outcome_text);
      _fail(__FILE__, __LINE__);
      break;
  }
}

}  // namespace

Registration::Registration(const char* name, Body body) { cases().push_back({name, body}); }

}  // namespace acrn::test

// Arguments: parts of test names to run; none for all.
int main(int argc, char** argv) {
  using namespace acrn::test;
  std::vector<CMUnitTest> tests;
  for (Case& test_case : cases()) {
    bool wanted = argc < 2;
    for (int i = 1; i < argc; i++) wanted = wanted || std::strstr(test_case.name, argv[i]) != nullptr;
    if (wanted) tests.push_back({test_case.name, trampoline, nullptr, nullptr, &test_case});
  }
  if (tests.empty()) {
    std::fprintf(stderr, "no test has a name with these words\n");
    return 64;
  }
  return _cmocka_run_group_tests(argv[0], tests.data(), tests.size(), nullptr, nullptr);
}
