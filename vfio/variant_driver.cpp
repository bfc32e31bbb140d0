// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/variant_driver.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <sstream>

#include <fmt/format.h>

#include "vfio/binding_plan.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::string_view kPlain{"vfio-pci"};

struct Alias {
  std::string pattern;
  std::string module;
};

// "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci"
std::vector<Alias> vfio_aliases(const std::string& list) {
  std::vector<Alias> aliases;
  std::istringstream lines{list};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words{line};
    std::string alias;
    Alias found;
    if (words >> alias >> found.pattern >> found.module && alias == "alias" && found.pattern.starts_with("vfio_pci:")) {
      aliases.push_back(std::move(found));
    }
  }
  return aliases;
}

}  // namespace

Result<std::string> variant_driver(const SysRoot& root, Bdf function) {
  const auto modalias = root.read(directory_of(function) + "/modalias");
  const auto release = root.read("/proc/sys/kernel/osrelease");
  if (!modalias || !release || !modalias->starts_with("pci:")) return std::string{kPlain};
  const auto list = root.read(fmt::format("/lib/modules/{}/modules.alias", *release));
  if (!list) return std::string{kPlain};
  const auto wanted = "vfio_" + *modalias;
  std::string best{kPlain};
  auto fewest = std::string::npos;
  for (const auto& [pattern, module] : vfio_aliases(*list)) {
    if (module == "vfio_pci" || ::fnmatch(pattern.c_str(), wanted.c_str(), 0) != 0) continue;
    const auto wildcards = static_cast<std::size_t>(std::ranges::count(pattern, '*'));
    if (wildcards >= fewest) continue;
    fewest = wildcards;
    best = module;  // the variants' drivers are named as their modules, KBUILD_MODNAME
  }
  return best;
}

}  // namespace pcivm::vfio
