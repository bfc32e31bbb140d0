// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/host_change.hpp"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <string_view>

#include <fmt/format.h>

#include "cli/message_ids.hpp"
#include "cli/render.hpp"
#include "sriov/vf_netlink.hpp"
#include "sriov/vf_set.hpp"

namespace pcivm::cli {

vfio::Host host_of(Context& context) {
  vfio::Host host{.root = context.root()};
  if (context.root().live()) host.ioctls = &system_ioctl();
  if (context.options.timeout) {
    host.deadline = *context.options.timeout;
    host.numvfs_deadline = *context.options.timeout;
    host.lock_wait = *context.options.timeout;
  }
  host.note = [&context](std::string_view text) { context.note(text); };
  return host;
}

std::unique_ptr<sriov::VfPort> vf_port(Context& context) {
  if (!context.root().live()) return nullptr;
  auto port = sriov::NetlinkVfPort::open();
  if (!port) {
    context.note(fmt::format("VF attributes cannot be read: {}", port.error().text()));
    return nullptr;
  }
  return std::move(*port);
}

Result<vfio::HostLock> begin_change(Context& context, const vfio::Host& host) {
  if (host.root.live() && ::geteuid() != 0) {
    return fail(Error::make(Errc::denied, "changing the host needs root's privileges").advise("sudo pcivm ..."));
  }
  auto lock = TRY(vfio::HostLock::take(host.root, host.lock_wait, host.note));
  host.calls.renew();
  const auto port = vf_port(context);
  for (const auto& repair : TRY(sriov::recover(host, lock, port.get()))) {
    context.note(fmt::format("unfinished change of {}: {}", repair.function.to_string(), repair.state),
                 {.message_id = kRepaired});
  }
  return lock;
}

Result<void> confirm(const Context& context, const std::string& question) {
  if (context.options.yes) return {};
  if (::isatty(STDIN_FILENO) != 1) {
    return fail(Error::make(Errc::invalid, fmt::format("{} there is no terminal to ask on", question))
                    .coded("not_confirmed")
                    .advise("--yes"));
  }
  fmt::print(context.err, "{} [y/N] ", question);
  std::fflush(context.err);
  std::array<char, 16> answer{};
  const auto* line = std::fgets(answer.data(), static_cast<int>(answer.size()), stdin);
  if (line != nullptr && (answer[0] == 'y' || answer[0] == 'Y')) return {};
  return fail(Error::make(Errc::refused, "not confirmed; nothing was changed").coded("not_confirmed"));
}

Result<int> print_steps(Context& context, const std::vector<std::string>& steps) {
  Listing listing{.kind = "StepList", .columns = {{.title = "STEP"}}, .empty_note = "nothing to do"};
  for (const auto& step : steps) {
    listing.rows.push_back({{step}});
    listing.items.push_back({{"step", step}});
  }
  return print(context, listing);
}

std::string driver_text(const std::string& driver) { return driver.empty() ? "no driver" : driver; }

}  // namespace pcivm::cli
