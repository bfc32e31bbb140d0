// SPDX-License-Identifier: GPL-2.0-or-later
// ACPI tables for a firmware to place (QEMU's linker/loader: the files etc/acpi/tables, etc/acpi/rsdp, and the script
// etc/table-loader that says which fields are addresses).
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "vmm/acpi_tables.hpp"

namespace pcivm::vmm {

inline constexpr std::string_view kAcpiTablesFile{"etc/acpi/tables"};
inline constexpr std::string_view kAcpiRsdpFile{"etc/acpi/rsdp"};
inline constexpr std::string_view kAcpiLoaderFile{"etc/table-loader"};

/// Each is always of one size, zeros at its end, because a firmware learns the sizes before it can know the contents.
struct AcpiFiles {
  std::vector<std::byte> tables;
  std::vector<std::byte> rsdp;
  std::vector<std::byte> loader;
};
inline constexpr std::size_t kAcpiFileRoom = 16 * kKiB;
inline constexpr std::size_t kAcpiLoaderRoom = 4 * kKiB;

/// Pure. `config.address` and `config.room` are not looked at. Errors of build_acpi_tables().
[[nodiscard]] Result<AcpiFiles> build_acpi_files(AcpiConfig config);

}  // namespace pcivm::vmm
