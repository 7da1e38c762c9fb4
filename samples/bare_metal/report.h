// A line of what a kernel tells: a word, what it is about, what was seen.
#pragma once

#include "console.h"

void begin_line(const char* word, const char* about);
void begin_report(const char* lesson, bool ok);

template <typename... Parts>
void tell(const char* word, const char* about, Parts... seen) {
  begin_line(word, about);
  print(seen..., "\n");
}

// Of a lesson: ok or FAILED.
template <typename... Parts>
void report(const char* lesson, bool ok, Parts... seen) {
  begin_report(lesson, ok);
  print(seen..., "\n");
}

// No lesson so far has failed.
bool all_well();
