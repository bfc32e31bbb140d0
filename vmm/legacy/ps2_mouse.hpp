// SPDX-License-Identifier: GPL-2.0-or-later
// A PS/2 mouse that nobody moves (IBM PS/2 technical reference, "Mouse"): it answers, and reports no movement.
#pragma once

#include <cstdint>
#include <functional>

namespace pcivm::vmm {

/// The owner locks.
class Ps2Mouse final {
 public:
  /// A byte from the controller; the answers go to `reply`, in order.
  void receive(std::uint8_t value, const std::function<void(std::uint8_t)>& reply);
  /// Power-on state.
  void reset() { *this = {}; }

 private:
  [[nodiscard]] std::uint8_t status() const;

  std::uint8_t waiting_{};  ///< the command whose parameter comes next; 0 = none
  std::uint8_t resolution_{2};
  std::uint8_t rate_{100};
  bool reporting_{};
  bool remote_{};
  bool scaling_{};
  bool wrap_{};
};

}  // namespace pcivm::vmm
