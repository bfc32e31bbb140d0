// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile guest against both ways to configuration space.
#include "tests/fuzz/play_entry.hpp"
#include "tests/vmm/pci_bus_play.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pcivm::test::play<pcivm::test::PciBusPlay>(data, size);
}
