// SPDX-License-Identifier: GPL-2.0-or-later
// Udev rules made from the host's configuration. Pure text; nothing but what is checked here gets into a rule, so that
// no name can end a string, add a rule, or be expanded ("$", "%").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"

namespace pcivm::udev {

/// Bound in the initramfs, before its native driver is loaded. Before 80-drivers.rules, which loads drivers.
inline constexpr std::string_view kEarlyRulesFile{"/etc/udev/rules.d/04-pcivm-early.rules"};
/// All else. After 60-pcivm.rules, which the package has; before 80-net-setup-link.rules, which names interfaces.
inline constexpr std::string_view kHostRulesFile{"/etc/udev/rules.d/61-pcivm-host.rules"};

/// A function that is given away whole. Another card in its place is left alone: the ids must fit.
struct WholeFunction {
  std::string device{};  ///< name in the configuration; only for the comment
  Bdf function{};
  std::uint16_t vendor_id{};
  std::uint16_t device_id{};
  std::string early_driver{};  ///< "vfio-pci"; empty = not bound early
  bool operator==(const WholeFunction&) const = default;
};

/// A VF that the configuration says something of, under the address that it has once its PF has made it.
struct RuledVf {
  std::string device{};
  Bdf function{};
  bool for_guests{};   ///< whoever configures the network on this host keeps off its interface
  std::string name{};  ///< of its interface; empty = udev decides
  bool operator==(const RuledVf&) const = default;
};

struct RuleFacts {
  std::vector<WholeFunction> functions{};
  std::vector<RuledVf> vfs{};
  bool operator==(const RuleFacts&) const = default;
};

/// Text of kEarlyRulesFile and of kHostRulesFile; empty = there is nothing to rule. Errc::invalid, naming the value,
/// for a driver or an interface name that cannot be one.
[[nodiscard]] Result<std::string> early_rules(const RuleFacts& facts);
[[nodiscard]] Result<std::string> host_rules(const RuleFacts& facts);

}  // namespace pcivm::udev
