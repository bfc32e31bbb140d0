// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_recreate.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sriov/vf_access.hpp"
#include "sriov/vf_steps.hpp"

namespace pcivm::sriov {

namespace {

/// One VF as it is.
struct FormerVf {
  Bdf address;
  VfAttributes attributes;
  vfio::DriverState driver;
  std::optional<vfio::Record> bound{};
};

Result<std::vector<FormerVf>> snapshot(const vfio::Host& host, VfPort* port, Bdf physical) {
  auto attributes = VfAccess{host, port, physical}.read();
  const auto vfs = vfs_of(host.root, physical);
  attributes.resize(vfs.size());
  std::vector<FormerVf> states;
  for (const auto vf : vfs) {
    const auto now = TRY(vfio::situation(host, vf));
    states.push_back({.address = vf, .attributes = attributes[states.size()], .driver = now.state});
    if (const auto bound = vfio::load_bound(host.root, vf)) states.back().bound = record_of(*bound);
  }
  return states;
}

VfTarget target_of(const FormerVf& state) {
  return {.wish = as_wish(state.attributes),
          .driver = {.driver = state.driver.driver, .driver_override = state.driver.driver_override}};
}

std::vector<VfTarget> targets_of(const std::vector<FormerVf>& states) {
  std::vector<VfTarget> targets;
  std::ranges::transform(states, std::back_inserter(targets), target_of);
  return targets;
}

// Of all, or of those that stay with their driver.
std::vector<std::optional<vfio::Record>> bound_of(const std::vector<FormerVf>& states,
                                                  const std::vector<VfTarget>* wanted = nullptr) {
  std::vector<std::optional<vfio::Record>> bound;
  for (std::size_t index = 0; index < states.size(); ++index) {
    const bool stays = wanted == nullptr || (index < wanted->size() && (*wanted)[index].keep_driver);
    bound.push_back(stays ? states[index].bound : std::nullopt);
  }
  return bound;
}

// What the request names wins over what the VF was.
std::vector<VfTarget> merged(const std::vector<FormerVf>& states, std::vector<VfTarget> wanted) {
  for (std::size_t index = 0; index < std::min(states.size(), wanted.size()); ++index) {
    auto former = target_of(states[index]);
    wanted[index].wish = merged(std::move(former.wish), wanted[index].wish);
    if (wanted[index].keep_driver) wanted[index].driver = std::move(former.driver);
  }
  return wanted;
}

// ---- the journal ----

std::string key(std::size_t index, std::string_view name) { return fmt::format("was.{:05}.{}", index, name); }

/// What must be there again when the change fails.
struct Former {
  bool autoprobe{};
  std::optional<Eswitch> eswitch{};  // of a change that is about it too
  Settings settings{};
  std::vector<FormerVf> states{};
};

Result<vfio::Record> opening(const vfio::Host& host, Bdf physical, const Former& former) {
  vfio::Record record;
  record.set("intent", kIntentRecreate);
  record.set("identity", TRY(vfio::identity_of(host.root, physical)));
  record.set("autoprobe", former.autoprobe ? "1" : "0");
  if (former.eswitch) record.set("eswitch", serialize(*former.eswitch));
  for (std::size_t index = 0; index < former.states.size(); ++index) {
    const auto& state = former.states[index];
    record.set(key(index, "attributes"), serialize(state.attributes));
    record.set(key(index, "driver"), state.driver.driver);
    record.set(key(index, "override"), state.driver.driver_override);
    if (state.bound) record.set(key(index, "bound"), state.bound->serialize());
  }
  std::size_t number{};
  for (const auto& [name, value] : former.settings) {
    record.set(key(number++, "setting"), fmt::format("{}={}", name, value));
  }
  return record;
}

Result<Former> former_of(const vfio::Record& record) {
  Former former{.autoprobe = record.get("autoprobe") != "0"};
  if (record.has("eswitch")) former.eswitch = parse_eswitch(record.get("eswitch"));
  while (record.has(key(former.states.size(), "driver"))) {
    const auto index = former.states.size();
    auto attributes = TRY(parse_attributes(record.get(key(index, "attributes"))));
    former.states.push_back({.address = {},
                             .attributes = std::move(attributes),
                             .driver = {.driver = record.get(key(index, "driver")),
                                        .driver_override = record.get(key(index, "override"))}});
    const auto bound = key(index, "bound");
    if (record.has(bound)) former.states.back().bound = TRY(vfio::Record::parse(record.get(bound)));
  }
  for (std::size_t number = 0; record.has(key(number, "setting")); ++number) {
    const auto text = record.get(key(number, "setting"));
    former.settings.emplace(text.substr(0, text.find('=')), text.substr(text.find('=') + 1));
  }
  if (former.states.empty()) return fail(Errc::invalid, "the journal names no former VF");
  return former;
}

// ---- the steps ----

/// What every step of a change and of its undo is given.
struct Change {
  const vfio::Host& host;
  VfPort* port;
  std::span<const AdapterKind> adapters;
  Bdf physical;
};

/// What the VFs become with their number.
struct Around {
  bool autoprobe{};
  std::vector<std::optional<vfio::Record>> bound{};
  Eswitch eswitch{};
};

Result<std::vector<Bdf>> make(const Change& change, vfio::Journal& journal, AdapterTrail& trail, const Around& around,
                              const std::vector<VfTarget>& targets) {
  return make_vfs({.host = change.host,
                   .port = change.port,
                   .journal = journal,
                   .trail = trail,
                   .physical = change.physical,
                   .autoprobe_after = around.autoprobe,
                   .bound = around.bound,
                   .eswitch = around.eswitch},
                  targets);
}

// From wherever the change stopped: `present` is the trail of the VFs that are there now.
Result<void> put_back(const Change& change, vfio::Journal& journal, AdapterTrail& present, const Former& former) {
  TRY(remove_vfs(change.host, nullptr, change.physical, present));
  auto trail = TRY(AdapterTrail::begin({.host = change.host, .physical = change.physical, .settings = former.settings},
                                       change.adapters));
  // Without VFs, so that every driver lets it be changed; make() finds it so already.
  const auto eswitch = former.eswitch.value_or(Eswitch{});
  if (former.eswitch) TRY(restore_eswitch(change.port, change.physical, eswitch));
  TRY(make(change, journal, trail,
           {.autoprobe = former.autoprobe, .bound = bound_of(former.states), .eswitch = eswitch},
           targets_of(former.states)));
  return {};
}

std::string lost(const FormerVf& state, std::size_t index) {
  std::string text = fmt::format("lost: VF {} ({})", index, state.address.to_string());
  for (const auto& change : changes({}, as_wish(state.attributes))) text += ", " + to_string(change);
  if (!state.driver.driver.empty()) text += ", bound to " + state.driver.driver;
  return text;
}

}  // namespace

Result<void> check_recreate(const vfio::Host& host, const PhysicalFunction& pf, const CreateRequest& request) {
  const auto address = pf.address.to_string();
  TRY_IN(refuse_vfs_in_use(host, pf.address, request.force),
         fmt::format("{} has {} VFs, and another number needs them all removed", address, pf.num_vfs));
  if (request.allow_recreate) return {};
  return fail(
      Error::make(Errc::busy, fmt::format("{} has {} VFs already; their number can only be changed by removing "
                                          "all of them",
                                          address, pf.num_vfs))
          .coded("vf.exist")
          .advise(fmt::format("--allow-recreate makes them anew with their attributes; pcivm vf destroy {}", address)));
}

Result<std::vector<Bdf>> recreate(const vfio::Host& host, const PhysicalFunction& pf, const CreateRequest& request) {
  const Change change{.host = host, .port = request.port, .adapters = request.adapters, .physical = pf.address};
  auto old = TRY(AdapterTrail::kept(host, request.adapters, pf.address));
  Former former{
      .autoprobe = pf.autoprobe, .settings = old.settings(), .states = TRY(snapshot(host, request.port, pf.address))};
  if (request.eswitch != Eswitch{}) former.eswitch = TRY(read_eswitch(*request.port, pf.address));
  const AdapterRequest adapted{.host = host,
                               .physical = pf.address,
                               .settings = request.settings.empty() ? former.settings : request.settings,
                               .force = request.force};
  auto trail = TRY(AdapterTrail::begin(adapted, request.adapters));
  const auto targets = merged(former.states, request.targets);
  const auto record = TRY(opening(host, pf.address, former));
  auto journal = TRY(vfio::Journal::begin(host.root, pf.address, record));
  bool removed{};
  const auto steps = [&]() -> Result<std::vector<Bdf>> {
    TRY(remove_vfs(host, &journal, pf.address, old));
    removed = true;
    return make(change, journal, trail,
                {.autoprobe = request.autoprobe_after.value_or(pf.autoprobe),
                 .bound = bound_of(former.states, &request.targets),
                 .eswitch = request.eswitch},
                targets);
  };
  auto vfs = steps();
  if (vfs) {
    TRY(journal.close());
    return vfs;
  }
  return fail(
      end_failed(journal, pf.address, std::move(vfs).error(), [&] {
        return put_back(change, journal, removed ? trail : old, former);
      }).within(fmt::format("change {} VFs of {} to {}", pf.num_vfs, pf.address.to_string(), request.targets.size())));
}

Result<std::vector<std::string>> preview_recreate(const vfio::Host& host, const PhysicalFunction& pf,
                                                  const CreateRequest& request) {
  const auto states = TRY(snapshot(host, request.port, pf.address));
  auto lines = TRY(preview(host, DestroyRequest{.physical = pf.address, .force = request.force}));
  for (const auto& line :
       describe_making(pf, merged(states, request.targets), request.autoprobe_after.value_or(pf.autoprobe))) {
    lines.push_back(line);
  }
  for (std::size_t index = request.targets.size(); index < states.size(); ++index)
    lines.push_back(lost(states[index], index));
  return lines;
}

Result<std::string> repair_recreate(const vfio::Host& host, VfPort* port, std::span<const AdapterKind> adapters,
                                    Bdf physical, const vfio::Record& record) {
  TRY(refuse_vfs_in_use(host, physical, {}));
  const auto former = TRY(former_of(record));
  // The journal tells of an adapter as soon as new VFs are being made; before that, the old trail is still kept.
  auto present = TRY(record.get("adapter").empty() ? AdapterTrail::kept(host, adapters, physical)
                                                   : AdapterTrail::resume(host, adapters, physical, record));
  auto journal = vfio::Journal::reopen(host.root, physical, record);
  TRY(put_back({.host = host, .port = port, .adapters = adapters, .physical = physical}, journal, present, former));
  return fmt::format("with its {} virtual functions as before", former.states.size());
}

}  // namespace pcivm::sriov
