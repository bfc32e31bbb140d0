// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile guest against a virtio function and its rings.
#include "tests/fuzz/play_entry.hpp"
#include "tests/vmm/virtio/virtio_play.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pcivm::test::play<pcivm::test::VirtioPlay>(data, size);
}
