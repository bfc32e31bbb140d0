// SPDX-License-Identifier: GPL-2.0-or-later
// Names of vendors, devices and classes from pci.ids, by libpci.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

struct pci_access;

namespace pcivm::iommu {

/// All lookups give an empty string when the database does not know, or is not there. Single-threaded.
class PciNames final {
 public:
  /// `file` = another database than the system's. Never fails: without a database nothing has a name.
  [[nodiscard]] static PciNames open(const std::string& file = {});

  [[nodiscard]] std::string vendor(std::uint16_t vendor) const;
  [[nodiscard]] std::string device(std::uint16_t vendor, std::uint16_t device) const;
  /// Of base class and subclass; `class_code` has 24 bits.
  [[nodiscard]] std::string class_name(std::uint32_t class_code) const;

 private:
  struct Close {
    void operator()(pci_access* access) const;
  };
  explicit PciNames(pci_access* access) : access_{access} {}
  [[nodiscard]] std::string lookup(int flags, int first, int second) const;

  std::unique_ptr<pci_access, Close> access_;
};

/// A vendor's name without its legal form, for tables: "Intel Corporation" -> "Intel",
/// "Advanced Micro Devices, Inc. [AMD/ATI]" -> "AMD/ATI".
[[nodiscard]] std::string short_vendor(const std::string& name);

/// One word for a class, for tables: "net", "nvme", "vga", "bridge".
[[nodiscard]] std::string short_class(std::uint32_t class_code);

}  // namespace pcivm::iommu
