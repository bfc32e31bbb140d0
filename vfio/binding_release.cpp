// SPDX-License-Identifier: GPL-2.0-or-later
#include <optional>

#include <fmt/format.h>

#include "vfio/binding.hpp"
#include "vfio/binding_check.hpp"
#include "vfio/binding_due.hpp"
#include "vfio/binding_transaction.hpp"
#include "vfio/netdev_loss.hpp"
#include "vfio/release_hook.hpp"
#include "vfio/vf_token.hpp"

namespace pcivm::vfio {

namespace {

using Requests = std::span<const ReleaseRequest>;

Result<Move> way_back(const Host& host, const ReleaseRequest& request, const std::optional<Bound>& record) {
  Move move{.now = TRY(situation(host, request.function)), .target = {}};
  const auto& state = move.now.state;
  const auto identity = TRY(identity_of(host.root, request.function));
  const bool known = record && record->identity == identity;
  if (request.driver) {
    if (!request.driver->empty()) TRY(check_driver_name(*request.driver));
    move.target.driver = *request.driver;
  } else if (!is_vfio_driver(state.driver) && !state.driver.empty()) {
    move.target.driver = state.driver;  // only an override is in the way of the native driver's next probe
  } else if (known) {
    move.target = {.driver = record->former.driver, .driver_override = record->former.driver_override};
  }
  if (known) move.target.settings = record->former_settings;
  for (const auto& [file, value] : request.settings) move.target.settings[file] = value;
  move.now.settings = TRY(read_settings(host, request.function, move.target.settings));
  return move;
}

bool needed(const ReleaseRequest& request, const Move& move) {
  const auto& state = move.now.state;
  const bool offered = request.to_native && state.driver.empty() && !move.target.driver;
  return offered || is_vfio_driver(state.driver) || !state.driver_override.empty() ||
         move.now.settings != move.target.settings || (request.driver && *request.driver != state.driver);
}

Result<void> check_return(const Host& host, const ReleaseRequest& request, const Move& move) {
  const auto& wanted = move.target.driver;
  if (wanted && *wanted == move.now.state.driver) return {};
  // vfio-pci would remove the VFs that it made (vfio_pci_core_unregister_device).
  if (is_vfio_driver(move.now.state.driver)) TRY(check_no_vfs(host, request.function));
  TRY(check_pf_is_the_hosts(host.root, request.function, wanted));
  TRY(refuse_in_use(host, request.function, request.force));
  if (wanted && !wanted->empty()) {
    auto ready = ensure_driver(host.root, *wanted);
    if (!ready) return fail(std::move(ready).error().advise("--driver none leaves the function without a driver"));
  }
  return {};
}

// Those that were given away, when every one of them may go back.
Result<std::vector<Due>> due_releases(const Host& host, Requests requests, std::vector<Change>& changes) {
  std::vector<Due> dues;
  for (const auto& request : requests) {
    auto known = record_of(host, request.function);
    auto move = TRY(way_back(host, request, known));
    changes.push_back({.changed = false, .before = move.now.state, .after = move.now.state});
    if (!needed(request, move)) continue;
    TRY(refuse_before_hook(host, request.function, request.force));
    TRY(check_return(host, request, move));
    dues.push_back({.index = changes.size() - 1, .move = std::move(move), .known = std::move(known)});
  }
  return dues;
}

Result<Transaction> begin(const Host& host, std::span<const Due> dues) {
  std::vector<Transaction::Member> members;
  for (const auto& due : dues) {
    auto record = TRY(opening_record(host, kIntentRelease, due.move.now));
    if (due.move.target.driver) record.set("driver", *due.move.target.driver);
    record.set("override", due.move.target.driver_override);
    // What another driver makes is another interface.
    if (due.known && due.move.target.driver == due.known->former.driver) put_netdev(record, due.known->netdev);
    members.push_back({.move = due.move, .record = std::move(record)});
  }
  return Transaction::begin(host, std::move(members));
}

Result<void> carry_out(const Host& host, Transaction& transaction, std::span<const Due> dues) {
  TRY(transaction.carry_out());
  TRY(transaction.mark("forget"));
  for (const auto& due : dues) {
    TRY(forget_bound(host.root, due.move.now.function));
    TRY(forget_vf_token(host.root, due.move.now.function));
  }
  return {};
}

// Before the entries go: a crash until then leaves it to the repair.
void restore_netdevs(const Host& host, std::span<const Due> dues) {
  for (const auto& [index, move, known, netdev] : dues) {
    if (known && known->netdev) restore_netdev(host, move.now.function, known->former.driver, *known->netdev);
  }
}

}  // namespace

Result<std::vector<Change>> release_all(const Host& host, const HostLock& /*lock*/, Requests requests) {
  std::vector<Change> changes;
  const auto dues = TRY(due_releases(host, requests, changes));
  if (!dues.empty()) {
    auto transaction = TRY(begin(host, dues));
    if (auto done = carry_out(host, transaction, dues); !done) {
      put_records_back(host, dues);
      return fail(transaction.undo(std::move(done).error()).within(fmt::format("release {}", names_of(dues))));
    }
    restore_netdevs(host, dues);
    TRY(transaction.close());
    TRY(tell_after(host, dues, changes));
  }
  for (const auto& request : requests) TRY(forget_bound(host.root, request.function));
  return changes;
}

Result<Change> release(const Host& host, const HostLock& lock, const ReleaseRequest& request) {
  const auto changes = TRY(release_all(host, lock, std::span{&request, 1}));
  return changes.front();
}

Result<std::vector<std::string>> preview(const Host& host, Requests requests) {
  std::vector<Change> changes;
  const auto dues = TRY(due_releases(host, requests, changes));
  return described(dues);
}

}  // namespace pcivm::vfio
