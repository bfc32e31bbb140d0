// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/netdev_loss.hpp"

#include <net/if.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "iommu/ip_routes.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::string_view kUsualMtu{"1500"};
constexpr std::chrono::seconds kInterfaceTime{3};

std::vector<std::string> interfaces_of(const SysRoot& root, Bdf function) {
  return root.list(directory_of(function) + "/net").value_or(std::vector<std::string>{});
}

std::uint32_t flags_of(const SysRoot& root, const std::string& directory) {
  return parse_hex_prefixed<std::uint32_t>(root.read(directory + "/flags").value_or("0x0")).value_or(0);
}

NetdevState state_of(const SysRoot& root, const std::string& directory) {
  return {.mtu = root.read(directory + "/mtu").value_or(std::string{kUsualMtu}),
          .up = (flags_of(root, directory) & IFF_UP) != 0};
}

std::vector<std::string> worth_telling(const NetdevState& state) {
  std::vector<std::string> found;
  if (state.up) found.emplace_back("up");
  if (state.mtu != kUsualMtu) found.push_back("mtu " + state.mtu);
  return found;
}

std::vector<std::string> lost_for_good(const SysRoot& root, const std::string& netdev, const std::string& directory) {
  std::vector<std::string> found;
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

// Drivers on the auxiliary bus make their interface after the probe has returned.
std::string await_interface(const SysRoot& root, Bdf function) {
  const auto end = std::chrono::steady_clock::now() + kInterfaceTime;
  for (;;) {
    const auto found = interfaces_of(root, function);
    if (!found.empty()) return found.front();
    if (std::chrono::steady_clock::now() >= end) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  }
}

Result<void> give(const Host& host, const std::string& directory, const NetdevState& state) {
  const auto now = state_of(host.root, directory);
  if (state.mtu != now.mtu) TRY(write_within(host, directory + "/mtu", state.mtu));
  if (state.up && !now.up) {
    TRY(write_within(host, directory + "/flags", fmt::format("{:#x}", flags_of(host.root, directory) | IFF_UP)));
  }
  return {};
}

}  // namespace

std::optional<std::string> netdev_loss(const SysRoot& root, Bdf function) {
  const auto interfaces = interfaces_of(root, function);
  std::vector<std::string> sentences;
  for (const auto& netdev : interfaces) {
    const auto directory = fmt::format("{}/net/{}", directory_of(function), netdev);
    const auto kept = worth_telling(state_of(root, directory));
    auto all = kept;
    std::ranges::copy(lost_for_good(root, netdev, directory), std::back_inserter(all));
    if (all.empty()) continue;
    const bool some = !kept.empty() && interfaces.size() == 1;
    sentences.push_back(fmt::format("{} goes with what it has: {}; release {}", netdev, fmt::join(all, ", "),
                                    some ? fmt::format("puts back {} only", fmt::join(kept, ", "))
                                         : "brings the interface back without these"));
  }
  if (sentences.empty()) return std::nullopt;
  return fmt::to_string(fmt::join(sentences, "; "));
}

std::optional<NetdevState> netdev_state(const SysRoot& root, Bdf function) {
  const auto interfaces = interfaces_of(root, function);
  if (interfaces.size() != 1) return std::nullopt;
  return state_of(root, fmt::format("{}/net/{}", directory_of(function), interfaces.front()));
}

void restore_netdev(const Host& host, Bdf function, std::string_view driver, const NetdevState& state) {
  const auto things = worth_telling(state);
  if (things.empty() || driver.empty() || host.root.link_name(directory_of(function) + "/driver") != driver) return;
  const auto what = fmt::to_string(fmt::join(things, ", "));
  const auto netdev = await_interface(host.root, function);
  if (netdev.empty()) {
    host.note(fmt::format("{} has no interface to which to give back: {}", function.to_string(), what));
    return;
  }
  const auto directory = fmt::format("{}/net/{}", directory_of(function), netdev);
  const auto now = state_of(host.root, directory);
  if (now.mtu == state.mtu && (now.up || !state.up)) return;  // it never went away
  const auto given = give(host, directory, state);
  host.note(given ? fmt::format("{} is back with what it had: {}", netdev, what)
                  : fmt::format("{} is back without what it had ({}): {}", netdev, what, given.error().text()));
}

}  // namespace pcivm::vfio
