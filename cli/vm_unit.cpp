// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_unit.hpp"

#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "cli/host_program.hpp"
#include "cli/vm_end.hpp"

namespace pcivm::cli {

namespace {

using std::chrono::milliseconds;

constexpr std::array kUnitFolders{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
                                  "/usr/lib/systemd/system", "/lib/systemd/system"};
constexpr milliseconds kQuestion{10'000};
/// What the unit's process said last. Asked for by its number: the journal does not know of which unit a message was
/// whose sender had ended when it was read.
std::string last_words(const std::string& unit) {
  const auto process = run_program({"systemctl", "show", "--property=ExecMainPID", "--value", unit}, kQuestion);
  if (!process) return {};
  (void)run_program({"journalctl", "--sync"}, kQuestion);
  const auto journal = run_program({"journalctl", "--boot", "--lines", "5", "--output", "cat", "--no-pager", "--quiet",
                                    "SYSLOG_IDENTIFIER=pcivm", fmt::format("_PID={}", process->text)},
                                   kQuestion);
  return journal ? journal->text : std::string{};
}

}  // namespace

bool units_run_vms(const SysRoot& root) {
  if (!root.live() || !root.exists("/run/systemd/system")) return false;
  return std::ranges::any_of(
      kUnitFolders, [&root](const char* folder) { return root.exists(fmt::format("{}/pcivm-vm@.service", folder)); });
}

Result<void> start_unit(const std::string& name, milliseconds deadline) {
  const auto unit = fmt::format("pcivm-vm@{}.service", name);
  const auto started = TRY(run_program({"systemctl", "start", unit}, deadline));
  if (started.code == 0) return {};
  const auto status = run_program({"systemctl", "show", "--property=ExecMainStatus", "--value", unit}, kQuestion);
  const auto code = status ? parse_decimal<unsigned>(status->text, 255).value_or(1) : 1U;
  const auto why = last_words(unit);
  return fail(Error::make(errc_of(static_cast<int>(code)),
                          fmt::format("{} did not start: {}", unit, why.empty() ? started.text : why))
                  .coded("vm.start_failed")
                  .advise(fmt::format("journalctl -u {}", unit)));
}

}  // namespace pcivm::cli
