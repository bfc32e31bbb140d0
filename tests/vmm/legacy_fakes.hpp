// SPDX-License-Identifier: GPL-2.0-or-later
// What legacy devices are connected to in tests: lines, time, timers, and KVM as far as interrupts go.
#pragma once

#include <cstring>
#include <map>
#include <vector>

#include "base/ioctl.hpp"
#include "vmm/interrupts.hpp"
#include "vmm/kvm_uapi.hpp"
#include "vmm/legacy/clock.hpp"

namespace pcivm::vmm::test {

struct FakeLine final : InterruptLine {
  void set(bool level) override {
    if (level && !asserted) ++edges;
    asserted = level;
  }
  bool asserted{};
  int edges{};
};

/// Time stands still until the test moves it.
struct FakeTime {
  Nanoseconds monotonic{};
  Nanoseconds wall = std::chrono::seconds{1'700'000'000};  // 2023-11-14 22:13:20 UTC, a Tuesday
  void advance(Nanoseconds by) {
    monotonic += by;
    wall += by;
  }
  [[nodiscard]] Clocks clocks() {
    return {.monotonic = [this] { return monotonic; }, .wall = [this] { return wall; }};
  }
};

struct FakeTimer final : Timer {
  void arm(Nanoseconds after, Nanoseconds every) override {
    armed = true;
    first = after;
    period = every;
    ++arms;
  }
  void disarm() override { armed = false; }
  bool armed{};
  Nanoseconds first{};
  Nanoseconds period{};
  int arms{};
};

/// Keeps what was signalled and the routing table last set.
struct FakeKvm final : IoctlPort {
  int call(FdRef /*fd*/, unsigned long request, void* argument) override {
    if (request == KVM_SIGNAL_MSI) {
      const auto& msi = *static_cast<const kvm_msi*>(argument);
      if (signal_result >= 0) {
        signalled.push_back({.address = std::uint64_t{msi.address_hi} << 32U | msi.address_lo, .data = msi.data});
      }
      return signal_result;
    }
    if (request != kvm::set_gsi_routing.number) return -ENOTTY;
    ++commits;
    routes.clear();
    const auto* table = static_cast<const kvm::RoutingHead*>(argument);
    const auto* bytes = static_cast<const std::byte*>(argument) + sizeof(kvm::RoutingHead);
    for (std::uint32_t index = 0; index < table->nr; ++index) {
      kvm_irq_routing_entry entry{};
      std::memcpy(&entry, bytes + index * sizeof entry, sizeof entry);
      routes[entry.gsi] = {.address = entry.u.msi.address_lo, .data = entry.u.msi.data};
    }
    return commit_result;
  }
  std::vector<MsiMessage> signalled;
  std::map<Gsi, MsiMessage> routes;
  int commits{};
  int signal_result{1};
  int commit_result{0};
};

}  // namespace pcivm::vmm::test
