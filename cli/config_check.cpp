// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_check.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/nearest.hpp"
#include "sriov/mac_template.hpp"

namespace pcivm::cli {

namespace {

using sriov::DeviceEntry;
using sriov::HostConfig;
using sriov::Place;
using sriov::SriovEntry;
using sriov::VfEntry;
using sriov::VfWish;

constexpr std::size_t kMostMacs{65'536};

class Check final {
 public:
  Check(const HostConfig& config, ConfigProblems& problems) : config_{config}, problems_{problems} {}

  void run() {
    for (const auto& device : config_.devices) {
      claim(device.place, fmt::format("a card with {}", to_string(device.match)));
      if (device.sriov) check_sriov(device, *device.sriov);
      if (device.passthrough && device.passthrough->pool)
        check_pool(device.passthrough->place, *device.passthrough->pool);
    }
    if (problems_.empty()) claim_macs();
    settle_claims();
  }

 private:
  /// Something that only one can have.
  struct Claim {
    std::string what;
    const Place* place;
  };

  void add(const Place& place, std::string text, std::string hint = {}) {
    if (problems_.size() < kConfigMostProblems) problems_.push_back({place, std::move(text), std::move(hint)});
  }
  void claim(const Place& place, std::string what) { claims_.push_back({std::move(what), &place}); }

  void check_sriov(const DeviceEntry& device, const SriovEntry& sriov) {
    check_wish(sriov.place, sriov.vf_defaults);
    const VfEntry* before = nullptr;
    for (const auto& entry : sriov.vfs) {
      if (before != nullptr && entry.first <= before->last) report_overlap(device, *before, entry);
      if (before == nullptr || entry.last > before->last) before = &entry;
      check_vf(sriov, entry);
    }
  }

  void report_overlap(const DeviceEntry& device, const VfEntry& one, const VfEntry& other) {
    add(other.place,
        fmt::format("VF {} of {} is described here and at {}", other.first, device.name, to_string(one.place)));
  }

  void check_vf(const SriovEntry& sriov, const VfEntry& entry) {
    if (sriov.num_vfs && entry.last >= *sriov.num_vfs) {
      add(entry.place, fmt::format("VF {} with numVfs {} at {}", entry.last, *sriov.num_vfs, to_string(sriov.place)),
          *sriov.num_vfs == 0 ? "" : fmt::format("the last VF is {}", *sriov.num_vfs - 1));
    }
    check_wish(entry.place, with_defaults(entry.wish, sriov.vf_defaults));
    const auto& bind = entry.bind ? entry.bind : sriov.vf_bind;
    if (entry.name) {
      claim(entry.place, fmt::format("an interface called {}", *entry.name));
      if (bind != "host") {
        add(entry.place, fmt::format("name {} of a VF with bind {}", *entry.name, bind.value_or("not given")),
            "only a VF with bind host has an interface here");
      }
    }
    if (entry.wish.node_guid) claim(entry.place, fmt::format("node GUID {}", entry.wish.node_guid->to_string()));
    if (entry.wish.port_guid) claim(entry.place, fmt::format("port GUID {}", entry.wish.port_guid->to_string()));
    if (entry.pool) check_pool(entry.place, *entry.pool);
  }

  /// As far as check_wish() looks.
  static VfWish with_defaults(const VfWish& own, const VfWish& defaults) {
    auto wish = own;
    if (!wish.vlan) wish.vlan = defaults.vlan;
    if (!wish.qos) wish.qos = defaults.qos;
    if (!wish.protocol) wish.protocol = defaults.protocol;
    if (!wish.min_tx_rate) wish.min_tx_rate = defaults.min_tx_rate;
    if (!wish.max_tx_rate) wish.max_tx_rate = defaults.max_tx_rate;
    return wish;
  }

  void check_wish(const Place& place, const VfWish& wish) {
    if (!wish.vlan && (wish.qos || wish.protocol)) add(place, "vlan without an id", "give vlan.id too, 0 for untagged");
    if (wish.vlan == 0 && wish.qos.value_or(0) != 0) {
      add(place, fmt::format("vlan.qos {} with vlan.id 0: untagged frames have no priority", *wish.qos));
    }
    if (wish.max_tx_rate.value_or(0) != 0 && wish.min_tx_rate.value_or(0) > *wish.max_tx_rate) {
      add(place, fmt::format("rate.min {} is above rate.max {}", *wish.min_tx_rate, *wish.max_tx_rate));
    }
  }

  void check_pool(const Place& place, const std::string& pool) {
    if (config_.pools.contains(pool)) return;
    std::vector<std::string> known;
    for (const auto& [name, where] : config_.pools) known.push_back(name);
    const auto meant = nearest(pool, known);
    add(place, fmt::format("pool {} is not declared", pool),
        meant.empty() ? fmt::format("add it: pools: {{{}: {{}}}}", pool) : fmt::format("did you mean {}", meant));
  }

  void claim_macs() {
    std::size_t count = 0;
    for (const auto& device : config_.devices) {
      if (!device.sriov) continue;
      for (const auto& entry : device.sriov->vfs) {
        if (!entry.mac) continue;
        for (unsigned index = entry.first; index <= entry.last; ++index) {
          if (++count > kMostMacs) return add(entry.place, fmt::format("more than {} VFs with a MAC", kMostMacs));
          if (const auto mac = sriov::mac_of(*entry.mac, index)) claim(entry.place, "MAC address " + mac->to_string());
        }
      }
    }
  }

  void settle_claims() {
    std::ranges::stable_sort(claims_, {}, &Claim::what);
    for (std::size_t i = 1; i < claims_.size(); ++i) {
      if (claims_[i].what != claims_[i - 1].what) continue;
      add(*claims_[i].place,
          fmt::format("{} is described here and at {}", claims_[i].what, to_string(*claims_[i - 1].place)));
    }
  }

  const HostConfig& config_;
  ConfigProblems& problems_;
  std::vector<Claim> claims_;
};

}  // namespace

void check_config(const HostConfig& config, ConfigProblems& problems) { Check{config, problems}.run(); }

}  // namespace pcivm::cli
