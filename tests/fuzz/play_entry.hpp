// SPDX-License-Identifier: GPL-2.0-or-later
// libFuzzer's entry of a play: what does not hold is printed, and the process ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

namespace pcivm::test {

template <class Play>
int play(const std::uint8_t* data, std::size_t size) {
  const auto wrong = Play{std::span{data, size}}.run();
  if (wrong.empty()) return 0;
  std::fprintf(stderr, "%.*s\n", static_cast<int>(wrong.size()), wrong.data());
  std::abort();
}

}  // namespace pcivm::test
