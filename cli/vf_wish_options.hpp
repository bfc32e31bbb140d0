// SPDX-License-Identifier: GPL-2.0-or-later
// The options that name attributes of VFs, of `vf create` and `vf set`.
#pragma once

#include <string>

#include "base/result.hpp"
#include "cli/command.hpp"
#include "sriov/vf_wish.hpp"

namespace pcivm::cli {

/// As given; empty = not given.
struct WishArguments {
  std::string mac;
  std::string vlan;
  std::string qos;
  std::string protocol;
  std::string trust;
  std::string spoofchk;
  std::string link_state;
  std::string min_tx_rate;
  std::string max_tx_rate;
  std::string rss_query;
  std::string node_guid;
  std::string port_guid;
  std::string msix;
  std::string roce;
  std::string migratable;
  std::string rate_parent;
};

/// All but --mac, which is one address or a pattern, and the GUIDs, which only one VF can have.
void add_wish_options(CLI::App& command, WishArguments& args);
void add_guid_options(CLI::App& command, WishArguments& args);
/// Of a PF in switchdev mode.
void add_function_options(CLI::App& command, WishArguments& args);

/// All but --mac. Errc::invalid names the option.
[[nodiscard]] Result<sriov::VfWish> wish_of(const WishArguments& args);

}  // namespace pcivm::cli
