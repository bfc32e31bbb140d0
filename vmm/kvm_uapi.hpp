// SPDX-License-Identifier: GPL-2.0-or-later
// The whole KVM surface of this folder, one line a request (<linux/kvm.h>, Documentation/virt/kvm/api.rst).
#pragma once

#include <linux/kvm.h>

#include "base/ioctl.hpp"

namespace pcivm::vmm::kvm {

// Heads of structures that end in a flexible array. The kernel's own come out 4 or 8 bytes too long in C++ with headers
// since 6.x (__DECLARE_FLEX_ARRAY puts an empty structure before the array, and C++ gives that a size), and the size is
// part of the request's number.
struct CpuidHead {
  __u32 nent;
  __u32 padding;
};
struct MsrsHead {
  __u32 nmsrs;
  __u32 pad;
};
struct RoutingHead {
  __u32 nr;
  __u32 flags;
};

inline constexpr IoctlValue get_api_version{"KVM_GET_API_VERSION", KVM_GET_API_VERSION};
inline constexpr IoctlValue check_extension{"KVM_CHECK_EXTENSION", KVM_CHECK_EXTENSION};
inline constexpr IoctlValue create_vm{"KVM_CREATE_VM", KVM_CREATE_VM};
inline constexpr IoctlValue get_vcpu_mmap_size{"KVM_GET_VCPU_MMAP_SIZE", KVM_GET_VCPU_MMAP_SIZE};

inline constexpr IoctlValue create_vcpu{"KVM_CREATE_VCPU", KVM_CREATE_VCPU};
inline constexpr IoctlValue set_tss_addr{"KVM_SET_TSS_ADDR", KVM_SET_TSS_ADDR};
inline constexpr IoctlValue get_tsc_khz{"KVM_GET_TSC_KHZ", KVM_GET_TSC_KHZ};

inline constexpr Ioctl<std::uint64_t> set_identity_map_addr{"KVM_SET_IDENTITY_MAP_ADDR", KVM_SET_IDENTITY_MAP_ADDR};
inline constexpr Ioctl<CpuidHead> get_supported_cpuid{"KVM_GET_SUPPORTED_CPUID", _IOWR(KVMIO, 0x05, CpuidHead)};
inline constexpr Ioctl<CpuidHead> set_cpuid2{"KVM_SET_CPUID2", _IOW(KVMIO, 0x90, CpuidHead)};
inline constexpr Ioctl<kvm_regs> get_regs{"KVM_GET_REGS", KVM_GET_REGS};
inline constexpr Ioctl<kvm_regs> set_regs{"KVM_SET_REGS", KVM_SET_REGS};
inline constexpr Ioctl<kvm_sregs> get_sregs{"KVM_GET_SREGS", KVM_GET_SREGS};
inline constexpr Ioctl<kvm_sregs> set_sregs{"KVM_SET_SREGS", KVM_SET_SREGS};
inline constexpr Ioctl<MsrsHead> set_msrs{"KVM_SET_MSRS", _IOW(KVMIO, 0x89, MsrsHead)};
inline constexpr Ioctl<kvm_interrupt> interrupt{"KVM_INTERRUPT", KVM_INTERRUPT};

inline constexpr Ioctl<kvm_enable_cap> enable_cap{"KVM_ENABLE_CAP", KVM_ENABLE_CAP};
inline constexpr Ioctl<kvm_userspace_memory_region> set_user_memory_region{"KVM_SET_USER_MEMORY_REGION",
                                                                           KVM_SET_USER_MEMORY_REGION};
inline constexpr Ioctl<RoutingHead> set_gsi_routing{"KVM_SET_GSI_ROUTING", _IOW(KVMIO, 0x6a, RoutingHead)};
inline constexpr Ioctl<kvm_irqfd> irqfd{"KVM_IRQFD", KVM_IRQFD};
inline constexpr Ioctl<kvm_ioeventfd> ioeventfd{"KVM_IOEVENTFD", KVM_IOEVENTFD};
inline constexpr Ioctl<kvm_msi> signal_msi{"KVM_SIGNAL_MSI", KVM_SIGNAL_MSI};
inline constexpr Ioctl<kvm_create_device> create_device{"KVM_CREATE_DEVICE", KVM_CREATE_DEVICE};
inline constexpr Ioctl<kvm_device_attr> set_device_attr{"KVM_SET_DEVICE_ATTR", KVM_SET_DEVICE_ATTR};

}  // namespace pcivm::vmm::kvm
