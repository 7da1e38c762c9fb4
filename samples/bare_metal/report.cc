#include "report.h"

namespace {

bool failed;

void write_column(const char* text, unsigned width) {
  print(text);
  unsigned length = 0;
  while (text[length] != 0) ++length;
  for (; length < width; ++length) print(" ");
}

}  // namespace

void begin_line(const char* word, const char* about) {
  write_column(word, 8);
  write_column(about, 16);
}

void begin_report(const char* lesson, bool ok) {
  if (!ok) failed = true;
  begin_line(ok ? "ok" : "FAILED", lesson);
}

bool all_well() { return !failed; }
