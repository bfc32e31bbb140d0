// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/device_filter.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "cli/selector.hpp"

namespace pcivm::cli {

namespace {

/// PCI Code and ID Assignment, section 1: base class, or base class and subclass.
struct ClassWord {
  std::string_view word;
  std::string_view digits;
};
constexpr std::array<ClassWord, 12> kClasses{{{"net", "02"},
                                              {"gpu", "03"},
                                              {"nvme", "0108"},
                                              {"storage", "01"},
                                              {"sata", "0106"},
                                              {"usb", "0c03"},
                                              {"audio", "0403"},
                                              {"serial", "07"},
                                              {"ib", "0207"},
                                              {"accel", "12"},
                                              {"crypto", "10"},
                                              {"bridge", "06"}}};

constexpr auto kWords = [] {
  std::array<std::string_view, kClasses.size()> words{};
  std::ranges::transform(kClasses, words.begin(), &ClassWord::word);
  return words;
}();

/// Digits that the class code starts with; empty = not understood.
std::string_view digits_of(std::string_view text) {
  const auto* found = std::ranges::find(kClasses, text, &ClassWord::word);
  if (found != kClasses.end()) return found->digits;
  const bool digits = text.size() >= 2 && text.size() <= 6 && parse_hex<std::uint32_t>(text).has_value();
  return digits ? text : std::string_view{};
}

template <class Values, class Test>
bool none_or_any(const Values& values, Test test) {
  return values.empty() || std::ranges::any_of(values, test);
}

}  // namespace

std::span<const std::string_view> class_words() { return kWords; }

bool DeviceFilter::empty() const {
  return devices.empty() && drivers.empty() && classes.empty() && !vfs && !pfs && !sriov && !assignable && !in_use;
}

Result<DeviceChoice> DeviceChoice::make(const SysRoot& root, const DeviceFilter& filter) {
  DeviceChoice choice{filter};
  for (auto& name : choice.filter_.classes) {
    const auto digits = digits_of(name);
    if (digits.empty()) {
      return fail(
          Error::make(Errc::invalid, fmt::format("no class of devices is called '{}'", name))
              .advise(fmt::format("one of {}, or the first digits of a class code, as 0c03", fmt::join(kWords, ", "))));
    }
    name = digits;
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
  }
  for (const auto& device : filter.devices) choice.addresses_.push_back(TRY(select_function(root, device)));
  return choice;
}

bool DeviceChoice::takes(const iommu::Function& function) const {
  if (filter_.vfs && !function.is_vf()) return false;
  const auto code = fmt::format("{:06x}", function.class_code);
  return none_or_any(addresses_, [&](Bdf address) { return address == function.address; }) &&
         none_or_any(filter_.classes, [&](const std::string& digits) { return code.starts_with(digits); }) &&
         none_or_any(filter_.drivers, [&](const std::string& driver) {
           return function.driver.empty() ? driver == "none" : driver == function.driver;
         });
}

bool DeviceChoice::takes(const DeviceFacts& facts) const {
  const auto& sriov = facts.function.sriov;
  if (filter_.pfs && (!sriov || sriov->num_vfs == 0)) return false;
  if (filter_.sriov && !sriov) return false;
  if (filter_.assignable && !facts.assignable.ok()) return false;
  return takes(facts.function, facts.users);
}

}  // namespace pcivm::cli
