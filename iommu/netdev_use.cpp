// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/netdev_use.hpp"

#include <net/if.h>

#include <algorithm>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "iommu/kernel_routes.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::string_view kNet = "/sys/class/net";
constexpr int kMaxDepth = 8;     // of stacked interfaces (MAX_NESTED_LINKS of the kernel)
constexpr int kMaxParents = 32;  // of this process

/// Value of `name` in the environment that process `pid` was started with.
std::string environment_of(const SysRoot& root, const std::string& pid, std::string_view name) {
  const auto block = root.read(fmt::format("/proc/{}/environ", pid)).value_or("");
  std::istringstream entries{block};
  for (std::string entry; std::getline(entries, entry, '\0');) {
    if (entry.starts_with(name) && entry.substr(name.size()).starts_with('=')) return entry.substr(name.size() + 1);
  }
  return {};
}

std::string parent_of(const SysRoot& root, const std::string& pid) {
  std::istringstream lines{root.read(fmt::format("/proc/{}/status", pid)).value_or("")};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("PPid:")) return line.substr(line.find_last_of(" \t") + 1);
  }
  return {};
}

struct SshSession {
  std::string peer;   ///< address of the client; empty = no session
  std::string local;  ///< address of this host that it came to
};

/// SSH_CONNECTION is "client port server port". sudo drops it from the environment, so the parents are asked too.
SshSession ssh_session(const SysRoot& root) {
  std::string pid{"self"};
  for (int i = 0; i < kMaxParents && !pid.empty() && pid != "0"; ++i) {
    const auto connection = environment_of(root, pid, "SSH_CONNECTION");
    if (!connection.empty()) {
      std::istringstream words{connection};
      SshSession session;
      std::string port;
      words >> session.peer >> port >> session.local;
      return session;
    }
    pid = parent_of(root, pid);
  }
  return {};
}

std::string path_of(const std::string& netdev) { return fmt::format("{}/{}", kNet, netdev); }

/// Interfaces directly on top: VLANs, bridges, bonds.
std::vector<std::string> uppers_of(const SysRoot& root, const std::string& netdev) {
  constexpr std::string_view kPrefix = "upper_";
  std::vector<std::string> uppers;
  for (const std::string_view entry : root.list(path_of(netdev)).value_or(std::vector<std::string>{})) {
    if (entry.starts_with(kPrefix)) uppers.emplace_back(entry.substr(kPrefix.size()));
  }
  return uppers;
}

/// Ways up from `netdev`: each interface that stands on it, with the chain "br0 -> eth2".
void climb(const SysRoot& root, const std::string& netdev, const std::string& chain, int depth,
           std::map<std::string, std::string>& chains) {
  if (depth > kMaxDepth || !chains.emplace(netdev, chain).second) return;
  for (const auto& upper : uppers_of(root, netdev)) {
    climb(root, upper, fmt::format("{} -> {}", upper, chain), depth + 1, chains);
  }
}

bool is_up(const SysRoot& root, const std::string& netdev) {
  const auto flags = root.read(path_of(netdev) + "/flags");
  return flags && (parse_hex_prefixed<std::uint32_t>(*flags).value_or(0) & IFF_UP) != 0;
}

}  // namespace

NetworkUse NetworkUse::read(const SysRoot& root) {
  NetworkUse use;
  const auto table = routes(root);
  for (const auto& route : table) {
    if (!route.is_default()) continue;
    auto& reasons = use.leaving_[route.netdev];
    const auto* text = route.ipv4 ? "default route" : "default route (IPv6)";
    if (std::ranges::find(reasons, text, &Reason::text) == reasons.end()) reasons.push_back({"route", text});
  }
  for (const auto& [netdev, number] : root.live() ? default_routes_of_all_tables() : std::vector<TableDefault>{}) {
    constexpr unsigned kMain{254};
    if (number != kMain) use.leaving_[netdev].push_back({"route", fmt::format("default route of table {}", number)});
  }
  use.addresses_ = addresses(root);
  use.add_ssh(root, table);
  return use;
}

// Packets of the session leave by the route to its peer and come in where its local address is; with policy routing
// these may be two interfaces.
void NetworkUse::add_ssh(const SysRoot& root, const std::vector<Route>& table) {
  const auto session = ssh_session(root);
  std::set<std::string> netdevs;
  if (const auto address = parse_ip(session.peer)) {
    if (const auto netdev = netdev_towards(table, *address)) netdevs.insert(*netdev);
  }
  for (const auto& [netdev, owned] : addresses_) {
    if (std::ranges::find(owned, session.local) != owned.end()) netdevs.insert(netdev);
  }
  for (const auto& netdev : netdevs) {
    leaving_[netdev].push_back({"ssh", fmt::format("this SSH session from {}", session.peer)});
  }
}

std::vector<InUse> NetworkUse::of(const SysRoot& root, const std::string& netdev) const {
  std::vector<InUse> users;
  std::map<std::string, std::string> chains;
  climb(root, netdev, netdev, 0, chains);
  for (const auto& [name, chain] : chains) {
    const auto found = leaving_.find(name);
    if (found == leaving_.end()) continue;
    for (const auto& [kind, text] : found->second) users.push_back({kind, fmt::format("{} -> {}", text, chain)});
  }
  const auto own = addresses_.find(netdev);
  if (own != addresses_.end() && is_up(root, netdev)) {
    users.push_back({"address", fmt::format("{} is up with {}", netdev, fmt::join(own->second, ", "))});
  }
  const auto master = root.link_name(path_of(netdev) + "/master");
  if (!master.empty()) {
    const auto* about = master == "ovs-system" ? " (Open vSwitch)" : "";
    users.push_back({"bridge", fmt::format("{} is a port of {}{}", netdev, master, about)});
  }
  for (const auto& upper : uppers_of(root, netdev)) {
    if (upper != master) users.push_back({"upper", fmt::format("{} carries {}", netdev, upper)});
  }
  return users;
}

}  // namespace pcivm::iommu
