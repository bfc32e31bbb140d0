// SPDX-License-Identifier: GPL-2.0-or-later
// driverctl keeps one file for each override: /etc/driverctl.d/0000:01:00.0 holds "vfio-pci".
#include <fmt/format.h>

#include "cli/config_import.hpp"
#include "cli/config_value.hpp"

namespace pcivm::cli {

void import_driverctl(std::span<const ConfigText> files, ConfigImport& import) {
  for (const auto& file : files) {
    const auto name = file.file.substr(file.file.rfind('/') + 1);
    const auto address = Bdf::parse(name);
    if (!address) {
      import.note(fmt::format("{} is left out: its name is no PCI address", excerpt(file.file)));
      continue;
    }
    ConfigNode node{};
    node.kind = ConfigNode::Kind::scalar;
    node.quoted = true;
    node.text = file.text.substr(0, file.text.find_last_not_of(" \t\n") + 1);
    const auto driver = driver_value(node);
    if (!driver) {
      import.note(fmt::format("{} is left out: {}", file.file, driver.error().text()));
      continue;
    }
    sriov::VfEntry entry;
    entry.bind = *driver;
    import.add_function(*address, entry, file.file);
  }
}

}  // namespace pcivm::cli
