// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/doorbells.hpp"

#include <fmt/format.h>

#include "vmm/kvm_uapi.hpp"

namespace pcivm::vmm {

// A length of 0 takes writes of every width (KVM_CAP_IOEVENTFD_ANY_LENGTH, Linux 4.4).
Result<void> Doorbells::change(Gpa address, FdRef event, std::uint32_t flags) {
  kvm_ioeventfd request{};
  request.addr = address.value;
  request.fd = event.number();
  request.flags = flags;
  TRY_IN(kvm::ioeventfd(port_, FdRef{vm_}, request), fmt::format("doorbell at {:#x}", address.value));
  return {};
}

Result<void> Doorbells::detach(Gpa address, FdRef event) { return change(address, event, KVM_IOEVENTFD_FLAG_DEASSIGN); }

}  // namespace pcivm::vmm
