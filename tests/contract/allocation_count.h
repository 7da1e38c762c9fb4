// How often the program has called operator new: linked into a test program, it replaces the operators.
#pragma once

namespace acrn::test {

unsigned long allocation_count();

}  // namespace acrn::test
