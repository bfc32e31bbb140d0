// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/ring_memory.hpp"

#include <fmt/format.h>

namespace pcivm::vmm {

Result<RingMemory> RingMemory::map(const GuestMemory& memory, Gpa address, std::uint64_t length,
                                   std::uint64_t alignment) {
  if (!is_aligned(address.value, alignment)) {
    return fail(Errc::invalid, fmt::format("{:#x} is not aligned to {} bytes", address.value, alignment));
  }
  return RingMemory{TRY(memory.window(address, length))};
}

}  // namespace pcivm::vmm
