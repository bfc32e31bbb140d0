// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding_transaction.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.hpp"
#include "vfio/blocker.hpp"
#include "vfio/modules.hpp"

namespace pcivm::vfio {

namespace {

Result<void> go_back(const Host& host, Journal& journal, Bdf function, const Target& former) {
  auto now = TRY(situation(host, function));
  now.settings = TRY(read_settings(host, function, former.settings));
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

Result<void> carry_out_step(const Host& host, const Step& step) {
  log::debug("{}", describe(step));
  return apply(host, step);
}

Result<void> carry_out_step(const Host& host, Journal& journal, const Step& step) {
  TRY(journal.step(describe(step)));
  return carry_out_step(host, step);
}

// The host's driver may not have been loaded since boot.
Result<void> load_native(const Host& host, Journal& journal, Bdf function, const Target& target) {
  const auto directory = directory_of(function);
  if (!host.root.link_name(directory + "/driver").empty() || !host.root.exists(directory + "/modalias")) return {};
  const auto alias = TRY(host.root.read(directory + "/modalias"));
  if (const auto loaded = load_module(host.root, alias); !loaded) {
    host.note(fmt::format("{} stays without driver: {}", function.to_string(), loaded.error().text()));
    return {};
  }
  // Loading a driver offers it every function that has none.
  if (!host.root.link_name(directory + "/driver").empty()) return {};
  return move_to(host, journal, function, target);
}

Error conclude(std::string_view subject, const Result<void>& back, Error cause) {
  if (back) return std::move(cause).within(fmt::format("{} was put back as it was", subject)).as(Errc::rolled_back);
  return std::move(cause)
      .within(fmt::format("{} could not be put back ({})", subject, back.error().text()))
      .as(Errc::stranded)
      .advise("pcivm reconcile");
}

}  // namespace

Result<Record> opening_record(const Host& host, std::string_view intent, const Situation& now) {
  Record record;
  record.set("intent", intent);
  record.set("identity", TRY(identity_of(host.root, now.function)));
  record.set("former_driver", now.state.driver);
  record.set("former_override", now.state.driver_override);
  if (now.physfn) record.set("former_autoprobe", now.autoprobe ? "1" : "0");
  put_settings(record, now.settings);
  return record;
}

Target former_target(const Record& record) {
  Target target{.driver = record.get("former_driver"), .driver_override = record.get("former_override")};
  if (record.has("former_autoprobe")) target.autoprobe = record.get("former_autoprobe") == "1";
  target.settings = settings_in(record);
  return target;
}

Result<void> move_to(const Host& host, Journal& journal, Bdf function, const Target& target) {
  const auto now = TRY(situation(host, function));
  for (const auto& step : plan(now, target)) TRY(carry_out_step(host, journal, step));
  return {};
}

Result<void> move_to(const Host& host, Bdf function, const Target& target) {
  const auto now = TRY(situation(host, function));
  for (const auto& step : plan(now, target)) TRY(carry_out_step(host, step));
  return {};
}

Result<void> probe_native(const Host& host, Journal& journal, Bdf function, const Target& target) {
  TRY(move_to(host, journal, function, target));
  return load_native(host, journal, function, target);
}

bool blocked(const Error& error) { return error.kind() == Errc::timeout && error.sys_errno() == 0; }

Error conclude(Journal& journal, std::string_view subject, Result<void> back, Error cause) {
  if (back) back = journal.close();
  return conclude(subject, back, std::move(cause));
}

Result<Transaction> Transaction::begin(const Host& host, std::vector<Member> members) {
  Transaction transaction{host, std::move(members)};
  for (const auto& member : transaction.members_) {
    auto journal = Journal::begin(host.root, member.move.now.function, member.record);
    if (!journal) {
      if (const auto gone = transaction.close(); !gone) log::debug("{}", gone.error().text());
      return fail(std::move(journal).error());
    }
    transaction.journals_.push_back(std::move(*journal));
  }
  return transaction;
}

Journal& Transaction::journal_of(Bdf function) {
  const auto owner =
      std::ranges::find_if(members_, [&](const Member& member) { return member.move.now.function == function; });
  return journals_.at(static_cast<std::size_t>(owner - members_.begin()));
}

std::string Transaction::subject() const {
  std::string names;
  for (const auto& member : members_) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", member.move.now.function.to_string());
  }
  return names;
}

Result<void> Transaction::carry_out() {
  std::vector<Move> moves;
  for (const auto& member : members_) moves.push_back(member.move);
  for (const auto& step : plan_all(moves)) TRY(carry_out_step(*host_, journal_of(step.function), step));
  for (const auto& [now, target] : moves) {
    if (!target.driver) TRY(load_native(*host_, journal_of(now.function), now.function, target));
  }
  return {};
}

Result<void> Transaction::mark(std::string_view step) {
  for (auto& journal : journals_) TRY(journal.step(step));
  return {};
}

Result<void> Transaction::close() {
  for (auto& journal : journals_) TRY(journal.close());
  return {};
}

Error Transaction::undo(Error cause) {
  if (blocked(cause)) {
    std::string blockers;
    for (const auto& member : members_) {
      if (!blockers.empty()) break;
      blockers = blockers_of(host_->root, member.move.now.function);
    }
    return std::move(cause)
        .within(fmt::format("{} is blocked in the kernel and was left as it is{}{}", subject(),
                            blockers.empty() ? "" : ": ", blockers))
        .advise("end the process that has it open, then: pcivm reconcile");
  }
  const auto gone = [&](const Member& member) {
    return !host_->root.exists(directory_of(member.move.now.function));
  };
  if (std::ranges::all_of(members_, gone)) {
    if (const auto closed = close(); !closed) log::debug("{}", closed.error().text());
    return std::move(cause).within(fmt::format("{} is gone", subject())).as(Errc::not_found);
  }
  Result<void> first{};
  for (auto index = members_.size(); index-- > 0;) {
    const auto& [move, record] = members_[index];
    auto back = go_back(*host_, journals_[index], move.now.function, former_target(record));
    if (back) back = journals_[index].close();
    if (!back && first) first = std::move(back);
  }
  return conclude(subject(), first, std::move(cause));
}

}  // namespace pcivm::vfio
