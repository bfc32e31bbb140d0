// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding.hpp"

#include <fmt/format.h>

#include "vfio/binding_check.hpp"
#include "vfio/binding_due.hpp"
#include "vfio/binding_transaction.hpp"
#include "vfio/binding_verify.hpp"
#include "vfio/netdev_loss.hpp"

namespace pcivm::vfio {

namespace {

using Requests = std::span<const BindRequest>;

bool bound_as_asked(const Situation& now, const BindRequest& request) {
  return now.state == DriverState{.driver = request.driver, .driver_override = request.driver} &&
         now.settings == request.settings;
}

// Those that are not as asked, when every one of them passes every check.
Result<std::vector<Due>> due_binds(const Host& host, Requests requests, std::vector<Change>& changes) {
  std::vector<Due> dues;
  for (const auto& request : requests) {
    TRY(check_driver_name(request.driver));
    auto now = TRY(situation(host, request.function));
    now.settings = TRY(read_settings(host, request.function, request.settings));
    changes.push_back({.changed = false, .before = now.state, .after = now.state});
    if (bound_as_asked(now, request)) continue;
    Target target{.driver = request.driver, .driver_override = request.driver, .settings = request.settings};
    TRY(check_bindable(host, request.function, target, request.force));
    dues.push_back({.index = changes.size() - 1,
                    .move = {.now = std::move(now), .target = std::move(target)},
                    .known = record_of(host, request.function),
                    .netdev = netdev_state(host.root, request.function)});
  }
  return dues;
}

// "0000:02:00.0=vfio-pci 0000:02:01.0=vfio-pci": what repair must find done of all to call it done.
std::string members_text(std::span<const Due> dues) {
  std::string text;
  for (const auto& due : dues) {
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", due.move.now.function.to_string(), *due.move.target.driver);
  }
  return text;
}

Result<Transaction> begin(const Host& host, std::span<const Due> dues) {
  std::vector<Transaction::Member> members;
  for (const auto& due : dues) {
    auto record = TRY(opening_record(host, kIntentBind, due.move.now));
    record.set("driver", *due.move.target.driver);
    record.set("remembered", due.known ? "1" : "0");
    if (dues.size() > 1) record.set("members", members_text(dues));
    put_netdev(record, due.netdev);
    members.push_back({.move = due.move, .record = std::move(record)});
  }
  return Transaction::begin(host, std::move(members));
}

// A function that is on a VFIO driver already keeps the memory of who had it before that.
Result<void> remember(const Host& host, const BindRequest& request, const Due& due) {
  if (!request.remember) return {};
  const auto& before = due.move.now;
  Bound bound{.function = before.function,
              .identity = TRY(identity_of(host.root, before.function)),
              .former = before.state,
              .managed = request.managed.has_value(),
              .owner = request.managed.value_or(Owner{}),
              .former_settings = before.settings,
              .netdev = due.netdev,
              .on_release = request.on_release};
  if (due.known && due.known->identity == bound.identity && is_vfio_driver(before.state.driver)) {
    bound.former = due.known->former;
    bound.netdev = due.known->netdev;
    for (const auto& [file, value] : due.known->former_settings) bound.former_settings[file] = value;
  }
  return store_bound(host.root, bound);
}

void tell_losses(const Host& host, std::span<const Due> dues) {
  for (const auto& due : dues) {
    const auto& [now, target] = due.move;
    if (now.state.driver == *target.driver) continue;
    if (const auto loss = netdev_loss(host.root, now.function)) host.note(*loss);
  }
}

Result<void> carry_out(const Host& host, Transaction& transaction, Requests requests, std::span<const Due> dues) {
  TRY(transaction.carry_out());
  std::vector<Bdf> given;
  for (const auto& due : dues) {
    if (!is_vfio_driver(*due.move.target.driver)) continue;
    given.push_back(due.move.now.function);
    TRY(await_vfio_node(host, given.back()));
    TRY(check_answers(host, given.back()));
    TRY(check_power(host, given.back(), due.move.target.settings));
  }
  TRY(check_viable(host, given));
  // The memory comes before the end of the transaction: after a crash in between, the bind counts as done.
  TRY(transaction.mark("remember"));
  for (const auto& due : dues) TRY(remember(host, requests[due.index], due));
  return {};
}

}  // namespace

Result<std::vector<Change>> bind_all(const Host& host, const HostLock& /*lock*/, Requests requests) {
  std::vector<Change> changes;
  const auto dues = TRY(due_binds(host, requests, changes));
  if (dues.empty()) return changes;
  for (const auto& due : dues) TRY(ensure_driver(host.root, *due.move.target.driver));
  tell_losses(host, dues);
  auto transaction = TRY(begin(host, dues));
  if (auto done = carry_out(host, transaction, requests, dues); !done) {
    put_records_back(host, dues);
    auto error = transaction.undo(std::move(done).error());
    for (const auto& due : dues) {
      const auto& before = due.move.now;
      if (due.netdev) restore_netdev(host, before.function, before.state.driver, *due.netdev);
    }
    return fail(std::move(error).within(fmt::format("bind {} to {}", names_of(dues), *dues.front().move.target.driver)));
  }
  TRY(transaction.close());
  TRY(tell_after(host, dues, changes));
  return changes;
}

Result<Change> bind(const Host& host, const HostLock& lock, const BindRequest& request) {
  const auto changes = TRY(bind_all(host, lock, std::span{&request, 1}));
  return changes.front();
}

Result<std::vector<std::string>> preview(const Host& host, Requests requests) {
  std::vector<Change> changes;
  const auto dues = TRY(due_binds(host, requests, changes));
  tell_losses(host, dues);
  return described(dues);
}

}  // namespace pcivm::vfio
