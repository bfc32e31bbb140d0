// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding_host.hpp"

#include <fcntl.h>

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "vfio/blocker.hpp"

namespace pcivm::vfio {

Result<void> refuse_in_use(const Host& host, Bdf function, const std::vector<std::string>& force) {
  std::string holders;
  std::string kind;
  for (const auto& use : TRY(host.users_of(host.root, function))) {
    if (std::ranges::find(force, use.kind) != force.end()) continue;
    holders += fmt::format("{}{} ({})", holders.empty() ? "" : "; ", use.detail, use.kind);
    if (kind.empty()) kind = use.kind;
  }
  if (holders.empty()) return {};
  return fail(Error::make(Errc::busy, fmt::format("{} is in use: {}", function.to_string(), holders))
                  .coded("device.in_use")
                  .advise(fmt::format("end that use first; --force={} overrides exactly this check", kind)));
}

namespace {

// "/sys/bus/pci/devices/0000:01:10.0/driver_override" -> the function
std::optional<Bdf> function_in(std::string_view path) {
  constexpr std::string_view kDevices{"/sys/bus/pci/devices/"};
  if (!path.starts_with(kDevices)) return std::nullopt;
  path.remove_prefix(kDevices.size());
  const auto function = Bdf::parse(path.substr(0, path.find('/')));
  return function ? std::optional{*function} : std::nullopt;
}

Error explained(const Host& host, std::string_view path, Error error) {
  const auto function = function_in(path);
  if (error.kind() != Errc::timeout || !function) return error;
  const auto blockers = blockers_of(host.root, *function);
  return std::move(error)
      .within(
          fmt::format("{} is blocked in the kernel{}{}", function->to_string(), blockers.empty() ? "" : ": ", blockers))
      .coded("device.blocked")
      .advise("end the process that has it open, then: pcivm reconcile");
}

}  // namespace

Result<std::string> read_within(const Host& host, std::string_view path) {
  // Errors that need no blocking read, such as a missing file, are told without a child.
  TRY(host.root.open_file(path, O_PATH));
  auto text = host.calls.read(host.root, path, std::min(host.deadline, host.read_deadline));
  if (!text) return fail(explained(host, path, std::move(text).error()));
  return text;
}

Result<void> write_within(const Host& host, std::string_view path, std::string_view value) {
  return write_within(host, path, value, host.deadline);
}

Result<void> write_within(const Host& host, std::string_view path, std::string_view value,
                          std::chrono::milliseconds deadline) {
  return host.calls.write(host.root, path, value, deadline);
}

}  // namespace pcivm::vfio
