// Tables whose rows have names.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

namespace acrn {

// Null if no row has that name.
template <class Row>
const Row* find_row(std::span<const Row> table, std::string_view name) {
  const auto row = std::find_if(table.begin(), table.end(), [&](const Row& each) { return each.name == name; });
  return row == table.end() ? nullptr : &*row;
}

}  // namespace acrn
