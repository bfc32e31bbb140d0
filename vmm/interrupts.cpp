// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/interrupts.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <fmt/format.h>

#include "vmm/kvm_uapi.hpp"

namespace pcivm::vmm {

Result<Gsi> InterruptRoutes::allocate() {
  const std::scoped_lock lock{mutex_};
  const auto free =
      std::find_if(slots_.begin() + kIoapicPins, slots_.end(), [](const Slot& slot) { return !slot.allocated; });
  if (free != slots_.end()) {
    free->allocated = true;
    return static_cast<Gsi>(free - slots_.begin());
  }
  if (slots_.size() == kMost) {
    return fail(Errc::kernel, fmt::format("all {} interrupt routes of the VM are used", kMost));
  }
  slots_.push_back({.allocated = true, .routed = false, .message = {}});
  return static_cast<Gsi>(slots_.size() - 1);
}

void InterruptRoutes::release(Gsi gsi) {
  clear(gsi);
  const std::scoped_lock lock{mutex_};
  slots_.at(gsi).allocated = false;
}

std::size_t InterruptRoutes::used() {
  const std::scoped_lock lock{mutex_};
  return kIoapicPins + static_cast<std::size_t>(std::ranges::count(slots_, true, &Slot::allocated));
}

void InterruptRoutes::route(Gsi gsi, MsiMessage message) {
  const std::scoped_lock lock{mutex_};
  auto& slot = slots_.at(gsi);
  if (slot.routed && slot.message == message) return;
  slot.routed = true;
  slot.message = message;
  dirty_ = true;
}

void InterruptRoutes::clear(Gsi gsi) {
  const std::scoped_lock lock{mutex_};
  auto& slot = slots_.at(gsi);
  dirty_ = dirty_ || slot.routed;
  slot.routed = false;
}

void InterruptRoutes::rebind(FdRef vm) {
  const std::scoped_lock lock{mutex_};
  vm_ = vm.number();
  dirty_ = true;
}

Result<void> InterruptRoutes::commit() {
  const std::scoped_lock lock{mutex_};
  if (!dirty_) return {};
  const auto routed = static_cast<std::size_t>(std::ranges::count(slots_, true, &Slot::routed));
  FlexibleArgument<kvm::RoutingHead> table{routed * sizeof(kvm_irq_routing_entry)};
  for (std::size_t gsi = 0; gsi < slots_.size(); ++gsi) {
    if (!slots_[gsi].routed) continue;
    kvm_irq_routing_entry entry{};
    entry.gsi = static_cast<std::uint32_t>(gsi);
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = static_cast<std::uint32_t>(slots_[gsi].message.address);
    entry.u.msi.address_hi = static_cast<std::uint32_t>(slots_[gsi].message.address >> 32U);
    entry.u.msi.data = slots_[gsi].message.data;
    std::memcpy(table.tail().subspan(table.header().nr++ * sizeof entry).data(), &entry, sizeof entry);
  }
  TRY(kvm::set_gsi_routing(port_, FdRef{vm_}, table.header()));
  dirty_ = false;
  return {};
}

Result<void> InterruptRoutes::change_irqfd(FdRef event, Gsi gsi, std::uint32_t flags) {
  kvm_irqfd request{};
  request.fd = static_cast<std::uint32_t>(event.number());
  request.gsi = gsi;
  request.flags = flags;
  TRY(kvm::irqfd(port_, FdRef{vm_}, request));
  return {};
}

Result<void> InterruptRoutes::attach(FdRef event, Gsi gsi) { return change_irqfd(event, gsi, 0); }

Result<void> InterruptRoutes::detach(FdRef event, Gsi gsi) { return change_irqfd(event, gsi, KVM_IRQFD_FLAG_DEASSIGN); }

Result<void> InterruptRoutes::signal(MsiMessage message) const {
  kvm_msi request{};
  request.address_lo = static_cast<std::uint32_t>(message.address);
  request.address_hi = static_cast<std::uint32_t>(message.address >> 32U);
  request.data = message.data;
  TRY(kvm::signal_msi(port_, FdRef{vm_}, request));
  return {};
}

}  // namespace pcivm::vmm
