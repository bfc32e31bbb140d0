// SPDX-License-Identifier: GPL-2.0-or-later
// What several checks of the host ask for, read once: functions, kernel command line, modprobe's configuration.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ioctl.hpp"
#include "base/sysroot.hpp"
#include "iommu/function.hpp"
#include "iommu/host_caps.hpp"

namespace pcivm::iommu {

/// One line of modprobe.d(5) without its comment.
struct ModprobeLine {
  std::string file{};                ///< "/etc/modprobe.d/vfio.conf"
  std::vector<std::string> words{};  ///< {"options", "vfio-pci", "ids=8086:10c9"}
};

struct HostFacts {
  const SysRoot& root;
  IoctlPort* ioctls{};  ///< nullptr = drivers cannot be asked: a captured host
  HostCaps caps{};
  std::vector<Function> functions{};
  std::vector<std::string> parameters{};  ///< words of the kernel command line
  std::vector<ModprobeLine> modprobe{};
  std::string release{};  ///< "6.12.48-amd64"; empty when /proc does not say
  bool privileged{};      ///< this process has CAP_SYS_ADMIN

  [[nodiscard]] static HostFacts read(const SysRoot& root, IoctlPort* ioctls);

  /// Content of a file; empty when absent or unreadable.
  [[nodiscard]] std::string text(const std::string& path) const { return root.read(path).value_or(""); }
  [[nodiscard]] std::optional<std::uint64_t> number(const std::string& path) const;
  /// Entries of a directory; none when absent.
  [[nodiscard]] std::vector<std::string> names(const std::string& path) const;
  /// A module parameter of type bool is on.
  [[nodiscard]] bool is_on(std::string_view module, std::string_view parameter) const;
  /// Value of the last `name=value` on the kernel command line ("" for a bare `name`).
  [[nodiscard]] std::optional<std::string> parameter(std::string_view name) const;
  /// The file, or the command line, that keeps a module from being loaded; empty = nothing does. "-" and "_" are alike.
  [[nodiscard]] std::string blacklisted(std::string_view module) const;
  /// Lines for one module: `verb` is "options", "softdep", ...
  [[nodiscard]] std::vector<ModprobeLine> modprobe_of(std::string_view verb, std::string_view module) const;
  /// "y", "m", "n" by /boot/config-RELEASE; empty when that cannot be read.
  [[nodiscard]] std::string kernel_option(std::string_view name) const;
  /// Where a kernel parameter is set on this host: "add X to GRUB_CMDLINE_LINUX in /etc/default/grub, ...".
  [[nodiscard]] std::string add_parameter(std::string_view words) const;
  [[nodiscard]] std::string remove_parameter(std::string_view words) const;
};

/// std::ranges::contains, which GCC 12 lacks.
template <class Range, class Value, class Projection = std::identity>
[[nodiscard]] bool holds(const Range& range, const Value& value, Projection projection = {}) {
  return std::ranges::find(range, value, projection) != std::ranges::end(range);
}

[[nodiscard]] std::vector<std::string> words_of(const std::string& text);
[[nodiscard]] std::vector<std::string> lines_of(const std::string& text);
/// "16 GiB", "512 MiB", "0 B": the largest unit that divides it, else with one decimal.
[[nodiscard]] std::string human_size(std::uint64_t bytes);
/// The first few of many, joined: "a, b, c and 5 more".
[[nodiscard]] std::string some_of(const std::vector<std::string>& names, std::size_t most = 4);

}  // namespace pcivm::iommu
