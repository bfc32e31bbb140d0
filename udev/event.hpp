// SPDX-License-Identifier: GPL-2.0-or-later
// What udev tells of a device, as far as pcivm asks. Pure data.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/bdf.hpp"

namespace pcivm::udev {

struct Event {
  std::string action{};           ///< "add", "bind", "change", "move", "unbind", "remove", ...
  std::string subsystem{};        ///< "pci", "net", "nvme", ...
  std::string name{};             ///< of the device in the kernel: "0000:01:00.0", "eth2"
  std::optional<Bdf> function{};  ///< the PCI function that it is, or belongs to
  std::string driver{};           ///< empty = none
  bool managed{};                 ///< udev/files/60-pcivm.rules or the generated rules marked it (PCIVM_MANAGED)
  bool operator==(const Event&) const = default;
};

/// From the properties of a uevent after all rules have run (`udevadm monitor --property` shows them).
[[nodiscard]] Event event_of(const std::map<std::string, std::string, std::less<>>& properties);

/// The PCI function of a path below /sys: the last component that is an address.
[[nodiscard]] std::optional<Bdf> function_in(std::string_view devpath);

}  // namespace pcivm::udev
