// SPDX-License-Identifier: GPL-2.0-or-later
// The steps for VFs that stay.
#include <algorithm>

#include <fmt/format.h>

#include "sriov/host_plan_draft.hpp"

namespace pcivm::sriov {

namespace {

bool reported(const VfAttributes& now, const VfChange& change) {
  struct Told {
    const VfAttributes& now;
    bool operator()(const MacAddress&) const { return now.mac.has_value(); }
    bool operator()(const Vlan&) const { return now.vlan.has_value(); }
    bool operator()(const Rate&) const { return now.rate.has_value(); }
    bool operator()(const SpoofCheck&) const { return now.spoofchk.has_value(); }
    bool operator()(const LinkState&) const { return now.link_state.has_value(); }
    bool operator()(const RssQuery&) const { return now.rss_query.has_value(); }
    bool operator()(const Trust&) const { return now.trust.has_value(); }
    bool operator()(const NodeGuid&) const { return now.node_guid.has_value(); }
    bool operator()(const PortGuid&) const { return now.port_guid.has_value(); }
    bool operator()(const Roce&) const { return now.roce.has_value(); }
    bool operator()(const Migratable&) const { return now.migratable.has_value(); }
    bool operator()(const RateParent&) const { return now.rate_parent.has_value(); }
    bool operator()(const MsixCount&) const { return now.msix_count.has_value(); }
  };
  return std::visit(Told{now}, change);
}

bool is_of_port(const VfChange& change) {
  return std::holds_alternative<Roce>(change) || std::holds_alternative<Migratable>(change) ||
         std::holds_alternative<RateParent>(change);
}

bool is_own_number(const VfChange& change) {
  const auto* msix = std::get_if<MsixCount>(&change);
  return msix != nullptr && msix->count == 0;
}

bool holds_msix(const std::vector<VfChange>& list) {
  return std::ranges::any_of(list, [](const auto& each) { return std::holds_alternative<MsixCount>(each); });
}

// igbvf and its like take the address, mlx5_core the GUIDs, when they are bound, and never again.
bool read_at_probe(const std::vector<VfChange>& list) {
  return std::ranges::any_of(list, [](const auto& each) {
    return std::holds_alternative<MacAddress>(each) || std::holds_alternative<NodeGuid>(each) ||
           std::holds_alternative<PortGuid>(each);
  });
}

/// One VF that stays.
struct VfPlan {
  Draft& draft;
  unsigned index;
  const VfState& vf;
  const VfWanted& wanted;
  bool ports_appear;
  std::vector<VfChange> list{};

  [[nodiscard]] std::string name() const {
    return fmt::format("VF {} of {} ({})", index, draft.name(), vf.address.to_string());
  }
  // What is not reported goes along with what is, but is no reason by itself: nobody could tell whether it is so.
  [[nodiscard]] std::vector<VfChange> due() const {
    auto all = changes(vf.attributes, wanted.wish);
    std::erase_if(all, is_own_number);
    const bool any = std::ranges::any_of(
        all, [&](const auto& each) { return reported(vf.attributes, each) || (ports_appear && is_of_port(each)); });
    return any ? all : std::vector<VfChange>{};
  }
  void set_driver(const DriverWish& wish, const std::string& reason) const {
    const auto what = !wish.driver           ? fmt::format("give {} to its host driver", name())
                      : wish.driver->empty() ? fmt::format("take {} from {}", name(), vf.driver.driver)
                                             : fmt::format("bind {} to {}", name(), *wish.driver);
    auto& step = draft.add(
        Phase::vfs, SetDriver{.functions = {vf.address}, .driver = wish.driver, .lasting = wish.lasting}, what, reason);
    if (vf.driver.driver.empty() || given_away(vf.driver.driver)) return;
    step.risks.push_back(driver_risk(vf.netdev, vf.driver.driver));
    if (!vf.netdev.empty()) step.risks.push_back({"link-drops", fmt::format("interface {} goes down", vf.netdev)});
  }
  void set_attributes(const std::string& reason) const {
    std::string what;
    for (const auto& each : list) what += fmt::format("{}{}", what.empty() ? "" : ", ", to_string(each));
    auto wish = wanted.wish;
    if (wish.msix_count == 0U) wish.msix_count.reset();
    auto& step = draft.add(Phase::vfs, SetVf{.index = index, .changes = list, .wish = std::move(wish)},
                           fmt::format("set {} of {}", what, name()), reason);
    const bool mac = std::ranges::any_of(list, [](const auto& c) { return std::holds_alternative<MacAddress>(c); });
    if (mac && !vf.driver.driver.empty()) {
      step.risks.push_back({"link-drops", "who uses it goes on with the old address until its driver starts anew"});
    }
  }
  void steps(const std::string& reason) {
    const bool moves = wanted.driver && !is_at(vf.driver, *wanted.driver);
    const bool bound = !vf.driver.driver.empty();
    const bool rebinds = !moves && bound && !given_away(vf.driver.driver) && read_at_probe(list);
    const bool unbinds = bound && (rebinds || holds_msix(list));
    const bool ends_unbound = moves && wanted.driver->driver == "";
    if (unbinds || ends_unbound) set_driver({.driver = "", .lasting = false}, reason);
    if (!list.empty()) set_attributes(reason);
    if (moves && !ends_unbound) set_driver(*wanted.driver, reason);
    if (!moves && unbinds) set_driver(driver_wish(vf.driver), reason);
  }
};

// "host.yaml:12:7 wants vlan.id 100 and bind vfio-pci, VF 3 has 0 and host"
std::string vf_reason(const Draft& draft, const VfWanted& wanted, unsigned index) {
  const auto prefix = fmt::format("sriov.vfs[{}].", index);
  std::string wants;
  std::string has;
  for (const auto& key : draft.keys) {
    if (key.verdict != KeyStatus::Verdict::drift || !key.key.starts_with(prefix)) continue;
    if (key.key.ends_with(".name")) continue;
    wants += fmt::format("{}{} {}", wants.empty() ? "" : " and ", key.key.substr(prefix.size()), key.wanted);
    has += fmt::format("{}{}", has.empty() ? "" : " and ", *key.found);
  }
  return fmt::format("{} wants {}, VF {} has {}", where(place_of(draft, wanted)), wants, index, has);
}

bool gives_back_vectors(const VfState& vf, const VfWish& wish) {
  return wish.msix_count && vf.attributes.msix_count && *wish.msix_count < *vf.attributes.msix_count;
}

}  // namespace

void plan_vfs(Draft& draft, const std::vector<VfWanted>& wanted, bool ports_appear) {
  const auto& vfs = draft.function.pf->vfs;
  // The pool of interrupt vectors may be used up: who gives some back goes first.
  for (const bool giving : {true, false}) {
    for (unsigned index = 0; index < std::min(vfs.size(), wanted.size()); ++index) {
      if (gives_back_vectors(vfs[index], wanted[index].wish) != giving) continue;
      VfPlan plan{
          .draft = draft, .index = index, .vf = vfs[index], .wanted = wanted[index], .ports_appear = ports_appear};
      plan.list = plan.due();
      const bool moves = plan.wanted.driver && !is_at(plan.vf.driver, *plan.wanted.driver);
      if (moves || !plan.list.empty()) plan.steps(vf_reason(draft, plan.wanted, index));
    }
  }
}

}  // namespace pcivm::sriov
