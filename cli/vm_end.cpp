// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_end.hpp"

#include "base/error_bytes.hpp"
#include "cli/exit_code.hpp"

namespace pcivm::cli {

// One letter, then how it ended, or the error.
std::string encode(const Result<vmm::VmEnd>& end) {
  if (end) return {'E', static_cast<char>(*end)};
  return "F" + bytes_of(end.error());
}

std::optional<Result<vmm::VmEnd>> decode(std::string_view report) {
  if (report.size() < 2) return std::nullopt;
  if (report[0] == 'E') return static_cast<vmm::VmEnd>(report[1]);
  return Result<vmm::VmEnd>{std::unexpected(error_of(report.substr(1)))};
}

std::string_view to_string(vmm::VmEnd end) {
  switch (end) {
    case vmm::VmEnd::power_off: return "powerOff";
    case vmm::VmEnd::reboot: return "reboot";
    case vmm::VmEnd::killed: return "killed";
  }
  return "unknown";
}

Errc errc_of(int code) {
  for (const auto kind : {Errc::invalid, Errc::not_found, Errc::busy, Errc::refused, Errc::denied, Errc::kernel,
                          Errc::timeout, Errc::rolled_back, Errc::stranded}) {
    if (exit_code(kind) == code) return kind;
  }
  return Errc::internal;
}

}  // namespace pcivm::cli
