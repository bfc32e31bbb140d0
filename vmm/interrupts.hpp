// SPDX-License-Identifier: GPL-2.0-or-later
// How devices interrupt: level or edge lines into the chipset, and messages (MSI) into KVM's local APICs.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"

namespace pcivm::vmm {

/// A wire from a device to the interrupt controllers. Any thread. An edge source raises and lowers.
class InterruptLine {
 public:
  virtual ~InterruptLine() = default;
  virtual void set(bool asserted) = 0;
};

/// A message-signalled interrupt: what a device writes, and where (Intel SDM vol. 3, 11.11).
struct MsiMessage {
  std::uint64_t address{};
  std::uint32_t data{};
  bool operator==(const MsiMessage&) const = default;
};

/// Number of a KVM interrupt route. 0..23 belong to the pins of our IOAPIC: KVM looks at exactly these (the count given
/// to KVM_CAP_SPLIT_IRQCHIP) to know which vectors' EOIs to report (arch/x86/kvm/irq_comm.c, kvm_scan_ioapic_routes).
using Gsi = std::uint32_t;
inline constexpr Gsi kIoapicPins = 24;

/// The routing table of one VM (KVM_SET_GSI_ROUTING replaces it whole). Any thread.
/// Change-only: a commit with nothing changed makes no system call. Order that the kernel needs: route before irqfd is
/// assigned, irqfd deassigned before its route is taken away.
class InterruptRoutes final {
 public:
  /// `vm` is borrowed and outlives the object.
  InterruptRoutes(IoctlPort& port, FdRef vm) : port_{port}, vm_{vm.number()} {}

  /// Carries on with another VM, which knows no routes yet: all that are set here go to it at the next commit(). For a
  /// guest reboot, while no vCPU runs and no irqfd is attached.
  void rebind(FdRef vm);

  /// A GSI above the IOAPIC pins; Errc::kernel when the kMost routes of KVM are used up.
  [[nodiscard]] Result<Gsi> allocate();
  void release(Gsi gsi);

  static constexpr std::size_t kMost = 4096;  ///< KVM_MAX_IRQ_ROUTES
  /// That are taken, the pins of the IOAPIC among them.
  [[nodiscard]] std::size_t used();

  /// Sets where `gsi` goes; takes effect at the next commit(). `clear` removes the route.
  void route(Gsi gsi, MsiMessage message);
  void clear(Gsi gsi);
  /// One KVM_SET_GSI_ROUTING if anything changed since the last.
  [[nodiscard]] Result<void> commit();

  /// KVM_IRQFD: a signal on `event` becomes the interrupt of `gsi` without a wake-up of this process.
  [[nodiscard]] Result<void> attach(FdRef event, Gsi gsi);
  [[nodiscard]] Result<void> detach(FdRef event, Gsi gsi);

  /// KVM_SIGNAL_MSI: delivers one message now.
  [[nodiscard]] Result<void> signal(MsiMessage message) const;

 private:
  struct Slot {
    bool allocated{};
    bool routed{};
    MsiMessage message;
  };
  [[nodiscard]] Result<void> change_irqfd(FdRef event, Gsi gsi, std::uint32_t flags);

  IoctlPort& port_;
  int vm_;
  std::mutex mutex_;
  std::vector<Slot> slots_ = std::vector<Slot>(kIoapicPins);  // by GSI; guarded by mutex_
  bool dirty_{};                                              // guarded by mutex_
};

}  // namespace pcivm::vmm
