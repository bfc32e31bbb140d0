// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile guest against the BARs of two functions.
#include "tests/fuzz/play_entry.hpp"
#include "tests/vmm/assigned_bars_play.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pcivm::test::play<pcivm::test::AssignedBarsPlay>(data, size);
}
