// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/kvm.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "vmm/interrupts.hpp"

namespace pcivm::vmm {

namespace {

struct Capability {
  unsigned long number;
  std::string_view name;
};
constexpr Capability kNeeded[] = {
    {KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"}, {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
    {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},         {KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
    {KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},       {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},     {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},   {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM"},   {KVM_CAP_DEVICE_CTRL, "KVM_CAP_DEVICE_CTRL"},
    {KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ"},
};
constexpr int kApiVersion = 12;
constexpr std::uint32_t kMostCpuidEntries = 1024;

// Three pages and one page that VMX hosts without "unrestricted guest" need, below the local APICs, where neither RAM,
// BARs nor a firmware's image lie.
constexpr std::uint64_t kTssAddress = 0xfed0d000;
constexpr std::uint64_t kIdentityMapAddress = 0xfed0c000;

}  // namespace

Result<Kvm> Kvm::adopt(IoctlPort& port, Fd device) {
  const int version = TRY(kvm::get_api_version(port, device.ref()));
  if (version != kApiVersion) {
    return fail(Errc::kernel, fmt::format("/dev/kvm: API version {} found, {} wanted", version, kApiVersion));
  }
  for (const auto& needed : kNeeded) {
    if (TRY(kvm::check_extension(port, device.ref(), needed.number)) > 0) continue;
    return fail(Error::make(Errc::kernel, fmt::format("/dev/kvm: this kernel's KVM lacks {}", needed.name))
                    .advise("use Linux 5.10 or newer"));
  }
  const int run_size = TRY(kvm::get_vcpu_mmap_size(port, device.ref()));
  if (std::cmp_less(run_size, sizeof(kvm_run))) {
    return fail(Errc::kernel,
                fmt::format("/dev/kvm: vCPU mapping of {} bytes found, at least {} wanted", run_size, sizeof(kvm_run)));
  }
  return Kvm{port, std::move(device), static_cast<std::size_t>(run_size)};
}

Result<int> Kvm::extension(unsigned long capability) const {
  return kvm::check_extension(*port_, device_.ref(), capability);
}

Result<CpuidTable> Kvm::supported_cpuid() const {
  for (std::uint32_t count = 128; count <= kMostCpuidEntries; count *= 2) {
    FlexibleArgument<kvm::CpuidHead> request{count * sizeof(kvm_cpuid_entry2)};
    request.header().nent = count;
    auto outcome = kvm::get_supported_cpuid(*port_, device_.ref(), request.header());
    if (!outcome && outcome.error().sys_errno() == E2BIG) continue;
    if (!outcome) return fail(std::move(outcome).error());
    CpuidTable table(std::min(request.header().nent, count));
    const auto bytes = std::as_writable_bytes(std::span{table});
    std::ranges::copy(request.tail().first(bytes.size()), bytes.begin());
    return table;
  }
  return fail(Errc::kernel, fmt::format("KVM_GET_SUPPORTED_CPUID: more than {} entries", kMostCpuidEntries));
}

Result<Fd> Kvm::create_vm() const {
  for (;;) {
    auto made = kvm::create_vm(*port_, device_.ref());
    // A signal during the allocation of the VM's structures is no reason to give up (virt/kvm/kvm_main.c).
    if (!made && made.error().sys_errno() == EINTR) continue;
    if (!made) return fail(std::move(made).error());
    return Fd::adopt(*made);
  }
}

Result<Vm> Vm::create(IoctlPort& port, const Kvm& kvm) {
  Vm vm{port, TRY(kvm.create_vm())};
  kvm_enable_cap split{};
  split.cap = KVM_CAP_SPLIT_IRQCHIP;
  split.args[0] = kIoapicPins;
  TRY_IN(kvm::enable_cap(port, vm.ref(), split), "KVM_CAP_SPLIT_IRQCHIP");
  TRY(kvm::set_tss_addr(port, vm.ref(), kTssAddress));
  auto identity = kIdentityMapAddress;
  TRY(kvm::set_identity_map_addr(port, vm.ref(), identity));
  return vm;
}

Result<Fd> Vm::create_vcpu(unsigned index) const {
  return Fd::adopt(TRY_IN(kvm::create_vcpu(*port_, fd_.ref(), index), fmt::format("vCPU {}", index)));
}

Result<void> Vm::add_vfio(FdRef group_or_device) {
  if (!vfio_) {
    kvm_create_device request{};
    request.type = KVM_DEV_TYPE_VFIO;
    TRY_IN(kvm::create_device(*port_, fd_.ref(), request), "KVM_DEV_TYPE_VFIO");
    vfio_ = Fd::adopt(static_cast<int>(request.fd));
  }
  TRY_IN(change_vfio(group_or_device, KVM_DEV_VFIO_GROUP_ADD), "KVM_DEV_VFIO_FILE_ADD");
  return {};
}

Result<void> Vm::remove_vfio(FdRef group_or_device) {
  TRY_IN(change_vfio(group_or_device, KVM_DEV_VFIO_GROUP_DEL), "KVM_DEV_VFIO_FILE_DEL");
  return {};
}

// The attributes for files of both kinds have the numbers of those for groups (Linux 6.6).
Result<void> Vm::change_vfio(FdRef group_or_device, std::uint64_t attribute) {
  std::int32_t number = group_or_device.number();
  kvm_device_attr request{};
  request.group = KVM_DEV_VFIO_GROUP;
  request.attr = attribute;
  request.addr = std::bit_cast<std::uint64_t>(&number);
  TRY(kvm::set_device_attr(*port_, vfio_.ref(), request));
  return {};
}

}  // namespace pcivm::vmm
