// SPDX-License-Identifier: GPL-2.0-or-later
// The differentiated system description: the devices that a guest cannot find by itself.
#pragma once

#include "vmm/acpi_aml.hpp"
#include "vmm/acpi_tables.hpp"

namespace pcivm::vmm {

/// The AML after the table header. `config` has been checked. Pure.
[[nodiscard]] aml::Bytes dsdt_body(const AcpiConfig& config);

}  // namespace pcivm::vmm
