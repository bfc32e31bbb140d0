// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_end.hpp"

#include <algorithm>
#include <utility>

#include "cli/exit_code.hpp"

namespace pcivm::cli {

// One letter, then how it ended, or for an error its kind, text, hint and code.
std::string encode(const Result<vmm::VmEnd>& end) {
  if (end) return {'E', static_cast<char>(*end)};
  const auto& error = end.error();
  std::string text{'F', static_cast<char>(error.kind())};
  text += error.text();
  text += '\0';
  text += error.hint();
  text += '\0';
  text += error.code();
  return text;
}

std::optional<Result<vmm::VmEnd>> decode(std::string_view report) {
  if (report.size() < 2) return std::nullopt;
  if (report[0] == 'E') return static_cast<vmm::VmEnd>(report[1]);
  const auto kind = static_cast<Errc>(report[1]);
  report.remove_prefix(2);
  const auto hint_at = std::min(report.find('\0'), report.size());
  const auto code_at = std::min(report.find('\0', hint_at + 1), report.size());
  auto error = Error::make(kind, std::string{report.substr(0, hint_at)});
  if (hint_at + 1 < code_at)
    error = std::move(error).advise(std::string{report.substr(hint_at + 1, code_at - hint_at - 1)});
  if (code_at + 1 < report.size()) error = std::move(error).coded(report.substr(code_at + 1));
  return Result<vmm::VmEnd>{std::unexpected(std::move(error))};
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
