// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/managed.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/scope_exit.hpp"
#include "iommu/in_use_each.hpp"
#include "vfio/binding_check.hpp"
#include "vfio/quarantine.hpp"
#include "vfio/release_hook.hpp"
#include "vfio/vf_token.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::chrono::seconds kRemovalTime{2};

Result<void> refuse_foreign(const Host& host, Bdf function, const Owner& self) {
  const auto bound = load_bound(host.root, function);
  if (!bound || !bound->managed || bound->owner == self || !bound->owner.alive(host.root)) return {};
  return fail(Error::make(Errc::busy, fmt::format("{} belongs to the virtual machine of process {}",
                                                  function.to_string(), bound->owner.pid))
                  .coded("device.owned")
                  .advise("stop that virtual machine first"));
}

// On a VFIO driver already: by the operator (stays), or for a VM whose supervisor was killed (inherited).
Result<ManagedBinding> adopt(const Host& host, Bdf function, const std::string& identity, const Owner& self,
                             const AcquireRequest& request) {
  TRY(refuse_quarantined(host, function, request.force));
  TRY(refuse_before_hook(host, function, request.force));
  TRY(refuse_in_use(host, function, request.force));
  auto bound = load_bound(host.root, function);
  const bool known = bound && bound->identity == identity;
  const bool inherited = known && bound->managed;
  if (!request.on_release.empty() && !known) {
    return fail(
        Error::make(
            Errc::refused,
            fmt::format(
                "{} was given to its VFIO driver by another program, so --on-release has no record to be kept in",
                function.to_string()))
            .coded("device.unmanaged")
            .advise("let who bound it release it; pcivm then binds it for the VM"));
  }
  if (inherited) bound->owner = self;
  if (inherited || !request.on_release.empty()) {
    bound->on_release = request.on_release;
    TRY(store_bound(host.root, *bound));
  }
  return ManagedBinding{.function = function,
                        .identity = identity,
                        .must_return = inherited,
                        .former = inherited ? bound->former : DriverState{}};
}

bool gone(const Host& host, const ManagedBinding& binding) {
  const auto identity = identity_of(host.root, binding.function);
  return !identity || *identity != binding.identity;
}

// Who wanted to remove it waited for the VM and goes on now.
bool goes_away(const Host& host, const ManagedBinding& binding) {
  const auto end = std::chrono::steady_clock::now() + kRemovalTime;
  while (!gone(host, binding)) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
  }
  return true;
}

Result<void> forget_gone(const Host& host, const ManagedBinding& binding) {
  host.note(fmt::format("{} is no longer there; nothing to return", binding.function.to_string()));
  TRY(forget_bound(host.root, binding.function));
  return forget_vf_token(host.root, binding.function);
}

Result<void> return_one(const Host& host, const HostLock& lock, const ManagedBinding& binding) {
  if (gone(host, binding)) return forget_gone(host, binding);
  if (!binding.must_return) return {};
  auto done = release(host, lock, {.function = binding.function});
  if (done) return {};
  const bool vanishes = done.error().sys_errno() == ENODEV || done.error().kind() == Errc::not_found;
  if (vanishes && goes_away(host, binding)) return forget_gone(host, binding);
  return fail(std::move(done).error());
}

Result<void> return_all(const Host& host, const HostLock& lock, std::span<const ManagedBinding> bindings) {
  Result<void> first{};
  for (const auto& binding : bindings) {
    auto done = return_one(host, lock, binding);
    if (done) continue;
    host.note(fmt::format("{} is not returned: {}", binding.function.to_string(), done.error().text()));
    if (first) first = std::move(done);
  }
  return first;
}

// They would be opened at the same time, but the VF opens only after the PF.
Result<void> refuse_vf_beside_pf(const SysRoot& root, std::span<const Bdf> functions) {
  for (const auto function : functions) {
    const auto physical = root.link_name(directory_of(function) + "/physfn");
    const auto same = [&](Bdf other) { return other.to_string() == physical; };
    if (physical.empty() || std::ranges::none_of(functions, same)) continue;
    return fail(Errc::invalid,
                fmt::format("{} is a VF of {}: one VM cannot have both", function.to_string(), physical));
  }
  return {};
}

Result<void> acquire_all(const Host& host, const HostLock& lock, const AcquireRequest& request,
                         std::vector<ManagedBinding>& bindings) {
  const auto self = TRY(Owner::of(host.root, request.owner != 0 ? request.owner : ::getpid()));
  for (const auto function : request.functions) TRY(situation(host, function));
  TRY(refuse_vf_beside_pf(host.root, request.functions));
  TRY(check_groups(host.root, request.functions));
  std::vector<BindRequest> wanted;
  for (const auto function : request.functions) {
    const auto now = TRY(situation(host, function));
    TRY(refuse_foreign(host, function, self));
    if (is_vfio_driver(now.state.driver)) {
      const auto identity = TRY(identity_of(host.root, function));
      bindings.push_back(TRY(adopt(host, function, identity, self, request)));
    } else {
      wanted.push_back({.function = function,
                        .driver = request.driver,
                        .force = request.force,
                        .managed = self,
                        .on_release = request.on_release});
    }
  }
  const auto changes = TRY(bind_all(host, lock, wanted));
  for (std::size_t index = 0; index < wanted.size(); ++index) {
    bindings.push_back({.function = wanted[index].function,
                        .identity = TRY(identity_of(host.root, wanted[index].function)),
                        .must_return = true,
                        .former = changes[index].before});
  }
  for (const auto function : request.functions) {
    if (const auto physical = token_owner(host.root, function)) TRY(ensure_vf_token(host.root, *physical));
  }
  return {};
}

}  // namespace

Result<std::vector<ManagedBinding>> acquire(const Host& host, const AcquireRequest& request) {
  const auto lock = TRY(HostLock::take(host.root, host.lock_wait, host.note));
  // No child before the lock, and none beside the VM.
  host.calls.renew();
  const ScopeExit end{[&host] { host.calls.renew(); }};
  for (const auto& repair : TRY(recover_bindings(host, lock))) {
    host.note(fmt::format("unfinished change of {}: {}", repair.function.to_string(), repair.state));
  }
  std::vector<ManagedBinding> bindings;
  if (auto done = acquire_all(host, lock, request, bindings); !done) {
    const auto returned = return_all(host, lock, bindings);
    if (!returned) return fail(std::move(done).error().within(returned.error().text()).as(Errc::stranded));
    return fail(std::move(done).error());
  }
  return bindings;
}

UsersOf users_at_once(std::vector<Bdf> functions) {
  using Users = std::vector<std::vector<iommu::InUse>>;
  return [functions = std::move(functions), users = Users{}](
             const SysRoot& root, Bdf function) mutable -> Result<std::vector<iommu::InUse>> {
    const auto index = static_cast<std::size_t>(std::ranges::find(functions, function) - functions.begin());
    if (index == functions.size()) return iommu::users_of(root, function);
    if (users.empty()) users = TRY(iommu::users_of_each(root, functions));
    return users.at(index);
  };
}

Result<ManagedBinding> binding_for(const SysRoot& root, Bdf function, int owner) {
  const auto self = TRY(Owner::of(root, owner));
  ManagedBinding binding{.function = function, .identity = TRY(identity_of(root, function)), .former = {}};
  const auto bound = load_bound(root, function);
  binding.must_return = bound && bound->managed && bound->owner == self && bound->identity == binding.identity;
  if (binding.must_return) binding.former = bound->former;
  return binding;
}

Result<void> give_back(const Host& host, std::span<const ManagedBinding> bindings) {
  // Before the lock, which others wait for.
  Result<void> hooks{};
  std::vector<ManagedBinding> free;
  for (const auto& binding : bindings) {
    auto done = gone(host, binding) ? Result<void>{} : run_release_hook(host, binding.function);
    if (done)
      free.push_back(binding);
    else if (hooks)
      hooks = std::move(done);
  }
  const auto lock = TRY(HostLock::take(host.root, host.lock_wait, host.note));
  // No child before the lock, and none beside the VM.
  host.calls.renew();
  const ScopeExit end{[&host] { host.calls.renew(); }};
  TRY(return_all(host, lock, free));
  return hooks;
}

}  // namespace pcivm::vfio
