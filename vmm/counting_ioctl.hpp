// SPDX-License-Identifier: GPL-2.0-or-later
// An ioctl port that counts what passes through it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/ioctl.hpp"

namespace pcivm::vmm {

/// Any thread. KVM_RUN is not counted here: a vCPU counts its own exits, without sharing a cache line with the others.
class CountingIoctl final : public IoctlPort {
 public:
  /// `next` outlives the object.
  explicit CountingIoctl(IoctlPort& next) : next_{next} {}
  int call(FdRef fd, unsigned long request, void* argument) override;

  /// Calls that were made elsewhere.
  void add(unsigned long request, std::uint64_t calls);
  /// Calls by request number, in the order of their first use.
  [[nodiscard]] std::vector<std::pair<unsigned long, std::uint64_t>> counts() const;

 private:
  struct Slot {
    std::atomic<unsigned long> request{0};
    std::atomic<std::uint64_t> count{0};
  };
  IoctlPort& next_;
  std::array<Slot, 96> slots_;  // more than all requests of kvm_uapi.hpp and vfio/uapi.hpp; later ones go uncounted
};

}  // namespace pcivm::vmm
