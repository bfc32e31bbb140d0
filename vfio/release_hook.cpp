// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/release_hook.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include <fmt/format.h>

#include "base/child.hpp"
#include "iommu/quarantine.hpp"
#include "vfio/force.hpp"
#include "vfio/journal.hpp"
#include "vfio/journal_record.hpp"
#include "vfio/quarantine.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::chrono::hours kHookTime{1};
constexpr int kNotExecuted = 126;
constexpr std::string_view kQuarantine{"what was to run before its next user failed: "};

int execute(std::string program, std::string address) {
  (void)::dup2(STDERR_FILENO, STDOUT_FILENO);  // standard output is the command's own
  std::array<char*, 3> arguments{program.data(), address.data(), nullptr};
  ::execv(program.c_str(), arguments.data());
  return kNotExecuted;
}

// A record of another device that was at that address before does not count.
std::optional<Bound> pending(const SysRoot& root, Bdf function) {
  auto bound = load_bound(root, function);
  if (!bound || bound->on_release.empty()) return std::nullopt;
  const auto identity = identity_of(root, function);
  if (identity && *identity != bound->identity) return std::nullopt;
  return std::move(*bound);
}

}  // namespace

Result<void> check_release_hook(const SysRoot& root, const std::string& program) {
  if (!program.starts_with('/')) {
    return fail(Errc::invalid, fmt::format("--on-release: '{}' is not an absolute path", program));
  }
  if (::access(root.host_path(program).c_str(), X_OK) != 0) {
    return fail(Error::from_errno(errno, fmt::format("--on-release: '{}' cannot be executed", program)));
  }
  return {};
}

Result<void> run_release_hook(const Host& host, Bdf function) {
  auto bound = pending(host.root, function);
  if (!bound) return {};
  TRY(refuse_in_use(host, function, {}));
  const auto& program = bound->on_release;
  host.note(fmt::format("{}: running '{}'", function.to_string(), program));
  const auto done = run_child([&] { return execute(host.root.host_path(program), function.to_string()); }, kHookTime);
  if (done && *done == 0) {
    const auto found = iommu::quarantine_of(host.root, function);
    if (found && found->reason.starts_with(kQuarantine)) TRY(lift_quarantine(host.root, function));
    bound->on_release.clear();
    return store_bound(host.root, *bound);
  }
  const auto reason =
      done ? fmt::format("'{}' ended with {}", program, *done) : fmt::format("'{}': {}", program, done.error().text());
  TRY(quarantine(host.root, function, fmt::format("{}{}", kQuarantine, reason)));
  return fail(
      Error::make(Errc::refused, fmt::format("{} stays where it is, in quarantine: {}", function.to_string(), reason))
          .coded("device.on_release")
          .advise(fmt::format("pcivm device release {} runs it again; --force={} leaves it out", function.to_string(),
                              kForceOnRelease)));
}

Result<void> refuse_before_hook(const Host& host, Bdf function, const std::vector<std::string>& force) {
  const auto bound = pending(host.root, function);
  if (!bound || forced(force, kForceOnRelease)) return {};
  return fail(Error::make(Errc::refused, fmt::format("{}: '{}' must run before anybody else has it",
                                                     function.to_string(), bound->on_release))
                  .coded("device.on_release")
                  .advise(fmt::format("pcivm device release {} runs it; --force={} leaves it out", function.to_string(),
                                      kForceOnRelease)));
}

}  // namespace pcivm::vfio
