// SPDX-License-Identifier: GPL-2.0-or-later
// INTx of an assigned function: the kernel signals an eventfd and masks the interrupt; the line into the chipset is up
// until the guest's end of interrupt, which unmasks it. The kernel is asked for it when the guest has unmasked that
// line: most guests never do, because their drivers take messages.
#pragma once

#include <array>
#include <optional>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vfio/device.hpp"
#include "vmm/interrupts.hpp"
#include "vmm/msi_vectors.hpp"

namespace pcivm::vmm {

/// Where a pin of a slot is wired to.
struct IntxLine {
  InterruptLine* line{};  ///< null = nowhere
  bool wanted{};          ///< the guest has unmasked it at least once
};
/// INTA to INTD.
using IntxLines = std::array<IntxLine, 4>;

/// Held and locked by its function. VFIO lets a device have one kind of interrupt at a time: stop() comes before MSI or
/// MSI-X is enabled. While the guest has INTX_DISABLE set, the kernel keeps it masked (vfio_basic_config_write).
class Intx final {
 public:
  using Report = MsiVectors::Report;
  /// 0 to 3 for INTA to INTD, nothing when the function has no pin, or VFIO does not mask it by itself.
  [[nodiscard]] static std::optional<unsigned> pin_of(const vfio::Device& device);

  /// All outlive the object; `lines` may be filled later. `event` is what VFIO signals.
  Intx(const vfio::Device& device, unsigned pin, FdRef event, const IntxLines& lines, const Report& report)
      : device_{device}, pin_{pin}, event_{event}, lines_{lines}, report_{report} {}
  Intx(const Intx&) = delete;
  Intx& operator=(const Intx&) = delete;
  ~Intx() { stop(); }

  [[nodiscard]] unsigned pin() const { return pin_; }
  [[nodiscard]] bool wanted() const { return lines_.at(pin_).wanted; }
  [[nodiscard]] bool started() const { return started_; }
  void start();
  /// Lowers the line, too.
  void stop();
  /// The eventfd is readable.
  void fired();
  /// The kernel signals again at once when the device still asks.
  void end_of_interrupt();

 private:
  void set_line(bool asserted);

  const vfio::Device& device_;
  unsigned pin_;
  FdRef event_;
  const IntxLines& lines_;
  const Report& report_;
  bool started_{false};
  bool asserted_{false};
};

}  // namespace pcivm::vmm
