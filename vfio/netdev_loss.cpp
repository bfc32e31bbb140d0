// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/netdev_loss.hpp"

#include <net/if.h>

#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "iommu/ip_routes.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::string_view kUsualMtu{"1500"};

std::vector<std::string> belongings(const SysRoot& root, const std::string& netdev, const std::string& directory) {
  std::vector<std::string> found;
  const auto flags = parse_hex_prefixed<std::uint32_t>(root.read(directory + "/flags").value_or("0x0"));
  if (flags && (*flags & IFF_UP) != 0) found.emplace_back("up");
  const auto mtu = root.read(directory + "/mtu").value_or(std::string{kUsualMtu});
  if (mtu != kUsualMtu) found.push_back("mtu " + mtu);
  const auto alias = root.read(directory + "/ifalias").value_or("");
  if (!alias.empty()) found.push_back(fmt::format("alias '{}'", alias));
  const auto master = root.link_name(directory + "/master");
  if (!master.empty()) found.push_back("its place in " + master);
  const auto addresses = iommu::addresses(root);
  if (const auto own = addresses.find(netdev); own != addresses.end()) {
    found.insert(found.end(), own->second.begin(), own->second.end());
  }
  return found;
}

}  // namespace

std::optional<std::string> netdev_loss(const SysRoot& root, Bdf function) {
  const auto directory = directory_of(function) + "/net";
  std::vector<std::string> sentences;
  for (const auto& netdev : root.list(directory).value_or(std::vector<std::string>{})) {
    const auto things = belongings(root, netdev, fmt::format("{}/{}", directory, netdev));
    if (things.empty()) continue;
    sentences.push_back(fmt::format("{} goes with what it has: {}; release brings the interface back without these",
                                    netdev, fmt::join(things, ", ")));
  }
  if (sentences.empty()) return std::nullopt;
  return fmt::to_string(fmt::join(sentences, "; "));
}

}  // namespace pcivm::vfio
