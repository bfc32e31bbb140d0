// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding_host.hpp"

#include <fcntl.h>

#include <algorithm>

#include <fmt/format.h>

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

Result<std::string> read_within(const Host& host, std::string_view path) {
  // Errors that need no blocking read, such as a missing file, are told without a child.
  TRY(host.root.open_file(path, O_PATH));
  return host.calls.read(host.root, path, host.deadline);
}

Result<void> write_within(const Host& host, std::string_view path, std::string_view value) {
  return write_within(host, path, value, host.deadline);
}

Result<void> write_within(const Host& host, std::string_view path, std::string_view value,
                          std::chrono::milliseconds deadline) {
  return host.calls.write(host.root, path, value, deadline);
}

}  // namespace pcivm::vfio
