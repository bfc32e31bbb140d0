// SPDX-License-Identifier: GPL-2.0-or-later
// The whole KVM surface of this folder, one line a request (<linux/kvm.h>, Documentation/virt/kvm/api.rst).
#pragma once

#include <linux/kvm.h>

#include "base/ioctl.hpp"

namespace pcivm::vmm::kvm {

inline constexpr IoctlValue get_api_version{"KVM_GET_API_VERSION", KVM_GET_API_VERSION};
inline constexpr IoctlValue check_extension{"KVM_CHECK_EXTENSION", KVM_CHECK_EXTENSION};
inline constexpr IoctlValue create_vm{"KVM_CREATE_VM", KVM_CREATE_VM};
inline constexpr IoctlValue get_vcpu_mmap_size{"KVM_GET_VCPU_MMAP_SIZE", KVM_GET_VCPU_MMAP_SIZE};

inline constexpr Ioctl<kvm_enable_cap> enable_cap{"KVM_ENABLE_CAP", KVM_ENABLE_CAP};
inline constexpr Ioctl<kvm_userspace_memory_region> set_user_memory_region{"KVM_SET_USER_MEMORY_REGION",
                                                                           KVM_SET_USER_MEMORY_REGION};
inline constexpr Ioctl<kvm_irq_routing> set_gsi_routing{"KVM_SET_GSI_ROUTING", KVM_SET_GSI_ROUTING};
inline constexpr Ioctl<kvm_irqfd> irqfd{"KVM_IRQFD", KVM_IRQFD};
inline constexpr Ioctl<kvm_ioeventfd> ioeventfd{"KVM_IOEVENTFD", KVM_IOEVENTFD};
inline constexpr Ioctl<kvm_msi> signal_msi{"KVM_SIGNAL_MSI", KVM_SIGNAL_MSI};
inline constexpr Ioctl<kvm_create_device> create_device{"KVM_CREATE_DEVICE", KVM_CREATE_DEVICE};
inline constexpr Ioctl<kvm_device_attr> set_device_attr{"KVM_SET_DEVICE_ATTR", KVM_SET_DEVICE_ATTR};

}  // namespace pcivm::vmm::kvm
