// SPDX-License-Identifier: GPL-2.0-or-later
// Our file from what other tools have written. Addresses and interfaces are looked up on the host, when they are there;
// what cannot be carried over becomes a note.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/sysroot.hpp"
#include "cli/config_reader.hpp"
#include "sriov/host_config.hpp"

namespace pcivm::cli {

class ConfigImport final {
 public:
  /// `root` outlives it and is only read.
  explicit ConfigImport(const SysRoot& root) : root_{root} {}

  [[nodiscard]] const SysRoot& root() const { return root_; }
  void note(std::string text) { notes_.push_back(std::move(text)); }
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

  /// The device at that address, a new one if need be; it expects the card that is there now.
  [[nodiscard]] sriov::DeviceEntry& device(Bdf address);
  /// The same, null when there is none.
  [[nodiscard]] sriov::DeviceEntry* known(Bdf address);
  /// A function with that driver: given away whole, or, when the host knows it as a VF, an entry of its PF. `wish` and
  /// `mac` are for VFs only. `source` is where it is from, for notes.
  void add_function(Bdf address, const sriov::VfEntry& wish, std::string_view source);
  /// VFs of a PF. Indexes that are taken already stay as they are, with a note.
  void add_vfs(sriov::DeviceEntry& device, const sriov::VfEntry& entry, std::string_view source);
  void add_pool(const std::string& name) { config_.pools[name] = {}; }

  /// Sorted, neighbours that are alike put together.
  [[nodiscard]] sriov::HostConfig take();

 private:
  const SysRoot& root_;
  sriov::HostConfig config_;
  std::vector<std::string> notes_;
};

/// Overrides of driverctl: files that are called as an address and hold a driver's name.
void import_driverctl(std::span<const ConfigText> files, ConfigImport& import);
/// SriovNetworkNodePolicy, several documents in a file and lists too. Errc::invalid for what is no such file.
[[nodiscard]] Result<void> import_sriov_operator(std::span<const ConfigText> files, ConfigImport& import);
/// Domains and node devices of libvirt. Errc::invalid for what is no XML.
[[nodiscard]] Result<void> import_libvirt(std::span<const ConfigText> files, ConfigImport& import);

}  // namespace pcivm::cli
