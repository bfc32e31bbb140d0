// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding_transaction.hpp"

#include <fmt/format.h>

#include "base/log.hpp"
#include "vfio/modules.hpp"

namespace pcivm::vfio {

namespace {

Result<void> go_back(const Host& host, Journal& journal, Bdf function, const Target& former) {
  const auto now = TRY(situation(host, function));
  for (const auto& step : plan(now, former)) {
    // Undoing goes on without a journal: the entry is there already, and repair only reads its first fields.
    if (const auto noted = journal.step("undo: " + describe(step)); !noted) log::debug("{}", noted.error().text());
    TRY(apply(host, step));
  }
  const auto after = TRY(situation(host, function));
  if (!former.driver || after.state.driver == *former.driver) return {};
  return fail(Errc::kernel,
              fmt::format("{} has driver '{}', wanted '{}'", function.to_string(), after.state.driver, *former.driver));
}

}  // namespace

Result<Record> opening_record(const Host& host, std::string_view intent, const Situation& now) {
  Record record;
  record.set("intent", intent);
  record.set("identity", TRY(identity_of(host.root, now.function)));
  record.set("former_driver", now.state.driver);
  record.set("former_override", now.state.driver_override);
  if (now.physfn) record.set("former_autoprobe", now.autoprobe ? "1" : "0");
  return record;
}

Target former_target(const Record& record) {
  Target target{.driver = record.get("former_driver"), .driver_override = record.get("former_override")};
  if (record.has("former_autoprobe")) target.autoprobe = record.get("former_autoprobe") == "1";
  return target;
}

Result<void> move_to(const Host& host, Journal& journal, Bdf function, const Target& target) {
  const auto now = TRY(situation(host, function));
  for (const auto& step : plan(now, target)) {
    TRY(journal.step(describe(step)));
    log::debug("{}", describe(step));
    TRY(apply(host, step));
  }
  return {};
}

Result<void> probe_native(const Host& host, Journal& journal, Bdf function, const Target& target) {
  TRY(move_to(host, journal, function, target));
  const auto directory = directory_of(function);
  if (!host.root.link_name(directory + "/driver").empty() || !host.root.exists(directory + "/modalias")) return {};
  // The host's driver may not have been loaded since boot.
  const auto alias = TRY(host.root.read(directory + "/modalias"));
  if (const auto loaded = load_module(host.root, alias); !loaded) {
    host.note(fmt::format("{} stays without driver: {}", function.to_string(), loaded.error().text()));
    return {};
  }
  // Loading a driver offers it every function that has none.
  if (!host.root.link_name(directory + "/driver").empty()) return {};
  return move_to(host, journal, function, target);
}

bool blocked(const Error& error) { return error.kind() == Errc::timeout && error.sys_errno() == 0; }

Error conclude(Journal& journal, std::string_view subject, Result<void> back, Error cause) {
  if (back) back = journal.close();
  if (back) return std::move(cause).within(fmt::format("{} was put back as it was", subject)).as(Errc::rolled_back);
  return std::move(cause)
      .within(fmt::format("{} could not be put back ({})", subject, back.error().text()))
      .as(Errc::stranded)
      .advise("pcivm reconcile");
}

Error undo(const Host& host, Journal& journal, Bdf function, const Target& former, Error cause) {
  if (blocked(cause)) {
    return std::move(cause)
        .within(fmt::format("{} is blocked in the kernel and was left as it is", function.to_string()))
        .advise("end the process that has it open, then: pcivm reconcile");
  }
  return conclude(journal, function.to_string(), go_back(host, journal, function, former), std::move(cause));
}

}  // namespace pcivm::vfio
