// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding_host.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "base/child.hpp"

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
  const auto file = TRY(host.root.open_file(path, O_RDONLY));
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  const auto reader = Fd::adopt(ends[0]);
  auto writer = Fd::adopt(ends[1]);
  // A sysfs attribute has at most a page, which a pipe holds without a reader.
  const auto outcome = TRY_IN(run_child(
                                  [&] {
                                    const auto text = read_to_end(file.ref(), 4096);
                                    if (!text) return text.error().sys_errno() != 0 ? text.error().sys_errno() : EIO;
                                    const auto sent = write_all(writer.ref(), *text);
                                    return sent ? 0 : EIO;
                                  },
                                  host.deadline),
                              fmt::format("read '{}'", path));
  writer.close();
  if (outcome != 0) return fail_errno(outcome, fmt::format("read '{}'", path));
  auto text = TRY(read_to_end(reader.ref()));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace pcivm::vfio
