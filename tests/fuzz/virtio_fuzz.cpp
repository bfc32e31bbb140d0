// SPDX-License-Identifier: GPL-2.0-or-later
// clang++-19 -std=c++23 -fsanitize=fuzzer,address,undefined: a hostile guest against a virtio function and its rings.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "tests/vmm/virtio/virtio_play.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto wrong = pcivm::test::VirtioPlay{std::span{data, size}}.run();
  if (wrong.empty()) return 0;
  std::fprintf(stderr, "%.*s\n", static_cast<int>(wrong.size()), wrong.data());
  std::abort();
}
