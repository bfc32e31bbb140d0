// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_slots.hpp"

#include <sstream>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "base/replace_file.hpp"
#include "base/text.hpp"

namespace pcivm::cli {

namespace {

constexpr unsigned kLastSlot{31};

}  // namespace

std::string vm_slots_file(const std::string& name) { return fmt::format("/var/lib/pcivm/vm/{}/slots", name); }

VmSlots load_slots(const SysRoot& root, const std::string& name) {
  VmSlots slots;
  std::istringstream lines{text_of(root, vm_slots_file(name))};
  for (std::string address, slot; lines >> address >> slot;) {
    const auto function = Bdf::parse(address);
    const auto number = parse_decimal<unsigned>(slot, kLastSlot);
    if (function && number) slots[*function] = *number;
  }
  return slots;
}

Result<void> save_slots(const SysRoot& root, const std::string& name, const VmSlots& slots) {
  std::string text;
  for (const auto& [function, slot] : slots) text += fmt::format("{} {}\n", function.to_string(), slot);
  return replace_file(root, vm_slots_file(name), text, 0600, 0700);
}

}  // namespace pcivm::cli
