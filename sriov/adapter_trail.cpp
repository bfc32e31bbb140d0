// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/adapter_trail.hpp"

#include <algorithm>
#include <ranges>

#include <fmt/format.h>

#include "vfio/binding_plan.hpp"

namespace pcivm::sriov {

namespace {

std::string file_of(Bdf physical) { return fmt::format("/run/pcivm/adapted/{}", physical.to_string()); }

std::string describe(const Assignment& wanted) { return fmt::format("set {} to '{}'", wanted.name, wanted.value); }

std::string key_of(std::string_view list, std::size_t index) { return fmt::format("{}.{:05}", list, index); }

void enter_list(vfio::Record& record, std::string_view list, const std::vector<Assignment>& entries) {
  for (std::size_t index = 0; index < entries.size(); ++index) {
    record.set(key_of(list, index), fmt::format("{}={}", entries[index].name, entries[index].value));
  }
}

std::vector<Assignment> list_of(const vfio::Record& record, std::string_view list) {
  std::vector<Assignment> entries;
  while (record.has(key_of(list, entries.size()))) {
    const auto text = record.get(key_of(list, entries.size()));
    const auto equals = std::min(text.find('='), text.size());
    entries.push_back({.name = text.substr(0, equals), .value = text.substr(std::min(equals + 1, text.size()))});
  }
  return entries;
}

}  // namespace

Result<void> AdapterTrail::take(const AdapterKind* kind, const AdapterRequest& request) {
  TRY(check_settings(kind, physical_, request.settings));
  if (kind == nullptr) return {};
  adapter_ = TRY(kind->make(request));
  kind_ = kind->name;
  after_driver_ = kind->after_driver;
  settings_ = request.settings;
  return {};
}

void AdapterTrail::read_entries(const vfio::Record& record) {
  pf_ = list_of(record, "pf");
  vf_ = list_of(record, "vf");
}

void AdapterTrail::enter(vfio::Record& record) const {
  record.set("adapter", kind_);
  std::vector<Assignment> settings;
  for (const auto& [key, value] : settings_) settings.push_back({.name = key, .value = value});
  enter_list(record, "setting", settings);
  enter_list(record, "pf", pf_);
  enter_list(record, "vf", vf_);
}

Result<AdapterTrail> AdapterTrail::begin(const AdapterRequest& request, std::span<const AdapterKind> kinds) {
  const auto& [host, physical, settings, force] = request;
  AdapterTrail trail{host, physical};
  TRY(trail.take(adapter_for(host.root, kinds, physical), request));
  // What an earlier removal could not put back is older than what the PF has now.
  const auto record = vfio::load(host.root, file_of(physical));
  const auto identity = TRY(vfio::identity_of(host.root, physical));
  if (record && record->get("identity") == identity && record->get("adapter") == trail.kind_) {
    trail.pf_ = list_of(*record, "pf");
  }
  return trail;
}

Result<AdapterTrail> AdapterTrail::kept(const vfio::Host& host, std::span<const AdapterKind> kinds, Bdf physical) {
  const auto record = vfio::load(host.root, file_of(physical));
  const auto identity = TRY(vfio::identity_of(host.root, physical));
  if (record && record->get("identity") == identity) return resume(host, kinds, physical, *record);
  if (!record && record.error().kind() != Errc::not_found) {
    host.note(fmt::format("what {} was before its VFs is not known: {}", physical.to_string(), record.error().text()));
  }
  return begin({.host = host, .physical = physical}, kinds);
}

Result<Settings> AdapterTrail::kept_settings(const SysRoot& root, Bdf physical) {
  Settings settings;
  const auto record = vfio::load(root, file_of(physical));
  if (!record) return settings;
  const auto identity = TRY(vfio::identity_of(root, physical));
  if (record->get("identity") != identity) return settings;
  for (auto& [key, value] : list_of(*record, "setting")) settings[key] = value;
  return settings;
}

Result<AdapterTrail> AdapterTrail::resume(const vfio::Host& host, std::span<const AdapterKind> kinds, Bdf physical,
                                          const vfio::Record& record) {
  AdapterTrail trail{host, physical};
  const auto name = record.get("adapter");
  if (name.empty()) return trail;
  const auto kind = std::ranges::find(kinds, name, &AdapterKind::name);
  if (kind == kinds.end()) {
    return fail(Errc::invalid, fmt::format("unknown adapter '{}' in the record of {}", name, physical.to_string()));
  }
  AdapterRequest request{.host = host, .physical = physical};
  for (auto& [key, value] : list_of(record, "setting")) request.settings[key] = value;
  TRY(trail.take(&*kind, request));
  trail.read_entries(record);
  return trail;
}

Result<std::vector<Assignment>> AdapterTrail::planned(unsigned count) {
  std::vector<Assignment> changes;
  if (!adapter_) return changes;
  for (auto& wanted : TRY(adapter_->before_create(count))) {
    const auto now = TRY(adapter_->read(wanted.name));
    if (now != wanted.value) changes.push_back(std::move(wanted));
  }
  return changes;
}

Result<void> AdapterTrail::write(vfio::Journal* journal, const Assignment& wanted) {
  if (journal != nullptr) TRY(journal->step(describe(wanted)));
  TRY_IN(adapter_->write(wanted), fmt::format("{}: {}", physical_.to_string(), describe(wanted)));
  const auto found = TRY(adapter_->read(wanted.name));
  if (found == wanted.value) return {};
  return fail(Errc::kernel,
              fmt::format("{}: {} was accepted, but it reads '{}'", physical_.to_string(), describe(wanted), found));
}

Result<void> AdapterTrail::set(vfio::Journal& journal, Part part, const std::vector<Assignment>& wanted) {
  auto& entries = part == Part::pf ? pf_ : vf_;
  for (const auto& each : wanted) {
    const auto former = TRY(adapter_->read(each.name));
    if (former == each.value) continue;
    journal.fields().set(key_of(part == Part::pf ? "pf" : "vf", entries.size()),
                         fmt::format("{}={}", each.name, former));
    entries.push_back({.name = each.name, .value = former});
    TRY(write(&journal, each));
  }
  return {};
}

Result<void> AdapterTrail::put_back(vfio::Journal* journal, const Former& former, Former* redo) {
  for (const auto& each : former | std::views::reverse) {
    const auto now = adapter_->read(each.name);
    if (!now && now.error().kind() == Errc::not_found) continue;
    if (!now) return fail(now.error());
    if (*now == each.value && !adapter_->latent(each.name)) continue;
    if (redo != nullptr) redo->push_back({.name = each.name, .value = *now});
    TRY(write(journal, each));
  }
  return {};
}

Result<void> AdapterTrail::before_create(vfio::Journal& journal, unsigned count) {
  if (!adapter_) return {};
  enter(journal.fields());
  const auto wanted = TRY(adapter_->before_create(count));
  return set(journal, Part::pf, wanted);
}

Result<void> AdapterTrail::provision(vfio::Journal& journal, unsigned index) {
  if (!adapter_) return {};
  const auto wanted = TRY(adapter_->provision(index));
  return set(journal, Part::vf, wanted);
}

Result<void> AdapterTrail::before_destroy(vfio::Journal* journal) {
  if (!adapter_) return {};
  TRY(put_back(journal, vf_, &redo_));
  // put_back() goes from the last to the first: so does this list.
  auto wanted = TRY(adapter_->before_destroy());
  std::ranges::reverse(wanted);
  return put_back(journal, wanted, &redo_);
}

Result<void> AdapterTrail::after_destroy(vfio::Journal* journal) {
  if (!adapter_) return {};
  auto done = put_back(journal, pf_, nullptr);
  if (done || done.error().kind() != Errc::busy) return done;
  // The VFs are gone as was asked; who uses the PF comes first.
  host_->note(
      fmt::format("{} is not put back as it was before its VFs: {}", physical_.to_string(), done.error().text()));
  left_ = true;
  return {};
}

Result<void> AdapterTrail::give_back(vfio::Journal& journal) {
  if (!adapter_) return {};
  return put_back(&journal, redo_, nullptr);
}

Result<void> AdapterTrail::keep() const {
  if (!adapter_) return {};
  vfio::Record record;
  record.set("identity", TRY(vfio::identity_of(host_->root, physical_)));
  enter(record);
  return vfio::store(host_->root, file_of(physical_), record);
}

Result<void> AdapterTrail::forget() {
  if (!left_) return vfio::erase(host_->root, file_of(physical_));
  vf_.clear();
  settings_.clear();
  return keep();
}

}  // namespace pcivm::sriov
