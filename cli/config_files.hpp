// SPDX-License-Identifier: GPL-2.0-or-later
// Where the configuration of a host is kept, and how its files are opened: what they say is done as root.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/config_reader.hpp"
#include "sriov/host_config.hpp"

namespace pcivm::cli {

inline constexpr std::string_view kConfigFolder{"/etc/pcivm"};
inline constexpr std::string_view kConfigFile{"/etc/pcivm/host.yaml"};
inline constexpr std::string_view kConfigFragments{"/etc/pcivm/host.d"};

/// One file as it was read.
struct ConfigFile {
  ConfigText content{};
  std::string distrust{};  ///< why it must not be followed: "owned by user 1000, wanted root"; empty = it may be
};

/// host.yaml, then host.d/*.yaml in the order of the bytes of their names. Hidden files and other endings are left out,
/// but host.d/NAME.yml is Errc::invalid, because somebody thinks that it counts. Errc::not_found with code
/// "config.none" when there is no file.
[[nodiscard]] Result<std::vector<ConfigFile>> host_config_files(const SysRoot& root);
/// A file as the operator named it: of the working directory, not of --root; "-" is standard input.
[[nodiscard]] Result<ConfigFile> named_config_file(const std::string& name);

/// The text of a file of pcivm's own folders. Errc::not_found; Errc::refused with code "config.untrusted" when others
/// than root, or the caller, can change it or put another in its place.
[[nodiscard]] Result<std::string> trusted_file(const SysRoot& root, std::string_view path, std::string_view folder);

/// What the host shall be: the files above, or `files` instead. Errc::refused with code "config.untrusted" for one that
/// others than root (or the caller, when that is somebody else) can change; Errc::invalid for the first thing that is
/// wrong with them.
[[nodiscard]] Result<sriov::HostConfig> load_host_config(const SysRoot& root,
                                                         const std::vector<std::string>& files = {});

}  // namespace pcivm::cli
