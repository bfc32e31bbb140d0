// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_start.hpp"

#include <fmt/format.h>

#include "cli/vm_api.hpp"
#include "cli/vm_client.hpp"
#include "cli/vm_definition.hpp"
#include "cli/vm_runner.hpp"
#include "cli/vm_unit.hpp"
#include "cli/vm_vmm_unit.hpp"

namespace pcivm::cli {

namespace {

constexpr std::chrono::seconds kStart{300};  // as the unit's TimeoutStartSec
constexpr std::chrono::seconds kPatience{60};
constexpr std::chrono::seconds kForce{30};  // 10 s for the VMM, then its functions are given back

}  // namespace

Result<void> start_vm(Context& context, const std::string& name) {
  const auto options = TRY(load_definition(context.root(), name));
  const auto view = TRY(view_vm(context.root(), name));
  if (view.state == VmState::running) {
    context.note(fmt::format("{} runs already", name));
    return {};
  }
  if (view.runs()) {
    return fail(Error::make(Errc::busy, fmt::format("VM '{}' is {}", name, to_string(view.state))).coded("vm.running"));
  }
  context.doing(fmt::format("starting {}", name));
  if (units_run_vms(context.root()) && check_unit_name(name)) {
    TRY(start_unit(name, context.options.timeout.value_or(kStart)));
  } else {
    const auto request = TRY(request_of(name, options));
    TRY(run_vm_detached(context, request));
  }
  context.note(fmt::format("{} runs", name));
  return {};
}

Result<Json> stop_vm(Context& context, const std::string& name, Stop how) {
  const auto view = TRY(view_vm(context.root(), name));
  if (!view.runs()) {
    context.note(fmt::format("{} does not run", name));
    return Json(nullptr);
  }
  const auto wait = TRY(VmWait::start(context.root(), name));
  const auto body = fmt::format("{{\"how\": \"{}\"}}", to_string(how));
  TRY(ask_vm(context.root(), name, {.method = "POST", .target = "/v1/vm/stop", .body = body}));
  context.doing(fmt::format("waiting for {} to end", name));
  const std::chrono::seconds patience = context.options.timeout.value_or(how == Stop::request ? kPatience : kForce);
  auto end = wait.finish(patience);
  if (end || end.error().kind() != Errc::timeout) return end;
  return fail(Error::make(Errc::timeout, fmt::format("VM '{}' did not end within {} s", name, patience.count()))
                  .coded("vm.running")
                  .advise(how == Stop::request ? fmt::format("pcivm vm stop {} --force", name)
                                               : fmt::format("pcivm vm stop {} --kill", name)));
}

}  // namespace pcivm::cli
