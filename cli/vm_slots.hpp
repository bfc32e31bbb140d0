// SPDX-License-Identifier: GPL-2.0-or-later
// Which slot of its guest a function was in: /var/lib/pcivm/vm/NAME/slots, so that it is there again the next time.
#pragma once

#include <map>
#include <string>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::cli {

using VmSlots = std::map<Bdf, unsigned>;

[[nodiscard]] std::string vm_slots_file(const std::string& name);
/// What is there and makes sense.
[[nodiscard]] VmSlots load_slots(const SysRoot& root, const std::string& name);
[[nodiscard]] Result<void> save_slots(const SysRoot& root, const std::string& name, const VmSlots& slots);

}  // namespace pcivm::cli
