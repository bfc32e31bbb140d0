// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/journal.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "base/replace_file.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::string_view kJournal{"/run/pcivm/journal"};
constexpr std::string_view kBound{"/run/pcivm/bound"};
constexpr std::string_view kSetting{"setting."};

std::string file_of(std::string_view directory, Bdf function) {
  return fmt::format("{}/{}", directory, function.to_string());
}

std::vector<Bdf> functions_in(const SysRoot& root, std::string_view directory) {
  std::vector<Bdf> functions;
  const auto names = root.list(directory);
  if (!names) return functions;
  for (const auto& name : *names) {
    if (const auto function = Bdf::parse(name)) functions.push_back(*function);
  }
  return functions;
}

}  // namespace

Journal::Journal(const SysRoot& root, Bdf function, Record record)
    : root_{&root}, function_{function}, record_{std::move(record)} {}

Result<Journal> Journal::begin(const SysRoot& root, Bdf function, Record fields) {
  if (root.exists(file_of(kJournal, function))) {
    return fail(Error::make(Errc::busy, fmt::format("{} has an unfinished change", function.to_string()))
                    .coded("device.unfinished")
                    .advise("pcivm reconcile"));
  }
  Journal journal{root, function, std::move(fields)};
  TRY(journal.step("begin"));
  return journal;
}

Journal Journal::reopen(const SysRoot& root, Bdf function, Record record) {
  return {root, function, std::move(record)};
}

Result<void> Journal::step(std::string_view step) {
  record_.set("step", step);
  return store(*root_, file_of(kJournal, function_), record_);
}

Result<void> Journal::close() { return forget_entry(*root_, function_); }

Result<std::vector<LeftOver>> left_over(const SysRoot& root) {
  std::vector<LeftOver> entries;
  for (const auto function : functions_in(root, kJournal)) {
    entries.push_back({function, load(root, file_of(kJournal, function))});
  }
  return entries;
}

Result<void> remove_unwritten(const SysRoot& root) {
  TRY(remove_unfinished(root, kJournal));
  return remove_unfinished(root, kBound);
}

Result<void> forget_entry(const SysRoot& root, Bdf function) { return erase(root, file_of(kJournal, function)); }

void put_settings(Record& record, const Settings& settings) {
  for (const auto& [file, value] : settings) {
    auto key = fmt::format("{}{}", kSetting, file);
    std::ranges::replace(key, '/', '.');
    record.set(key, value);
  }
}

Settings settings_in(const Record& record) {
  Settings settings;
  for (const auto& [key, value] : record.fields()) {
    if (!key.starts_with(kSetting)) continue;
    auto file = key.substr(kSetting.size());
    std::ranges::replace(file, '.', '/');
    settings[file] = value;
  }
  return settings;
}

Result<Owner> Owner::of(const SysRoot& root, int pid) {
  const auto stat = TRY(root.read(fmt::format("/proc/{}/stat", pid)));
  // Field 2 is the command in brackets and may hold anything, so counting starts behind its last bracket.
  auto at = stat.rfind(')');
  for (int field = 3; field <= 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  if (at == std::string::npos) return fail(Errc::invalid, fmt::format("'/proc/{}/stat' is cut short", pid));
  return Owner{.pid = pid, .start = stat.substr(at + 1, stat.find(' ', at + 1) - at - 1)};
}

bool Owner::alive(const SysRoot& root) const {
  const auto now = of(root, pid);
  return now && *now == *this;
}

void put_netdev(Record& record, const std::optional<NetdevState>& netdev) {
  if (!netdev) return;
  record.set("netdev_mtu", netdev->mtu);
  record.set("netdev_up", netdev->up ? "1" : "0");
}

std::optional<NetdevState> netdev_in(const Record& record) {
  if (!record.has("netdev_mtu")) return std::nullopt;
  return NetdevState{.mtu = record.get("netdev_mtu"), .up = record.get("netdev_up") == "1"};
}

Bound bound_in(Bdf function, const Record& record) {
  const auto pid = parse_decimal<unsigned>(record.get("owner_pid"));
  return Bound{.function = function,
               .identity = record.get("identity"),
               .former = {.driver = record.get("former_driver"), .driver_override = record.get("former_override")},
               .managed = record.get("managed") == "1",
               .owner = {.pid = pid ? static_cast<int>(*pid) : 0, .start = record.get("owner_start")},
               .former_settings = settings_in(record),
               .netdev = netdev_in(record),
               .on_release = record.get("on_release")};
}

Result<Bound> load_bound(const SysRoot& root, Bdf function) {
  return bound_in(function, TRY(load(root, file_of(kBound, function))));
}

Record record_of(const Bound& bound) {
  Record record;
  record.set("identity", bound.identity);
  record.set("former_driver", bound.former.driver);
  record.set("former_override", bound.former.driver_override);
  record.set("managed", bound.managed ? "1" : "0");
  record.set("owner_pid", fmt::to_string(bound.owner.pid));
  record.set("owner_start", bound.owner.start);
  if (!bound.on_release.empty()) record.set("on_release", bound.on_release);
  put_netdev(record, bound.netdev);
  put_settings(record, bound.former_settings);
  return record;
}

Result<void> store_bound(const SysRoot& root, const Bound& bound) {
  return store(root, file_of(kBound, bound.function), record_of(bound));
}

Result<void> forget_bound(const SysRoot& root, Bdf function) { return erase(root, file_of(kBound, function)); }

std::vector<Bound> all_bound(const SysRoot& root) {
  std::vector<Bound> all;
  for (const auto function : functions_in(root, kBound)) {
    if (auto bound = load_bound(root, function)) all.push_back(std::move(*bound));
  }
  return all;
}

}  // namespace pcivm::vfio
