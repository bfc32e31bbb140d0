// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_client.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "cli/exit_code.hpp"
#include "cli/json_reader.hpp"
#include "cli/vm_api.hpp"
#include "cli/vm_definition.hpp"
#include "cli/vm_end.hpp"
#include "cli/vm_runner.hpp"

namespace pcivm::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kFolder{"/run/pcivm/vm"};
constexpr std::chrono::seconds kLook{2};
constexpr std::chrono::seconds kLastSteps{10};  // from the end that was told to the name that is free
constexpr std::chrono::milliseconds kPause{20};
constexpr unsigned kMostDepth{8};

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

/// The object that docs/schema/error.json has below "error".
Error error_from(const Json& object) {
  const auto exit = object.find("exit");
  const int code = exit != object.end() && exit->is_number_integer() ? exit->get<int>() : kExitInternal;
  auto error = Error::make(errc_of(code), text_at(object, "message"));
  if (const auto given = text_at(object, "code"); !given.empty()) error = std::move(error).coded(given);
  if (const auto hint = text_at(object, "hint"); !hint.empty()) error = std::move(error).advise(hint);
  return error;
}

void look(const SysRoot& root, VmView& view) {
  view.pid = holder_of(root, view.name);
  if (!view.pid) {
    const bool left = root.exists(fmt::format("{}/{}", kFolder, view.name));
    view.state = left ? VmState::dead : VmState::stopped;
    return;
  }
  auto document = ask_vm(root, view.name, {.target = "/v1/vm", .deadline = kLook});
  if (document) {
    const auto state = text_at(*document, "state");
    view.state = state == "running" ? VmState::running : state == "stopping" ? VmState::stopping : VmState::starting;
    view.document = std::move(*document);
    return;
  }
  // Its socket comes after its functions are bound, and is closed before the name is free.
  const auto why = document.error().sys_errno();
  view.state = why == ENOENT ? VmState::starting : why == ECONNREFUSED ? VmState::stopping : VmState::silent;
}

}  // namespace

std::string_view to_string(VmState state) {
  switch (state) {
    case VmState::stopped: return "stopped";
    case VmState::starting: return "starting";
    case VmState::running: return "running";
    case VmState::stopping: return "stopping";
    case VmState::silent: return "silent";
    case VmState::dead: return "dead";
  }
  return "unknown";
}

// Trying the lock would keep a VM from starting that takes it at that moment.
std::optional<pid_t> holder_of(const SysRoot& root, const std::string& name) {
  struct stat file{};
  if (::stat(root.host_path(fmt::format("{}/{}/lock", kFolder, name)).c_str(), &file) != 0) {
    // Only root may look: that somebody is there is all that others see.
    return errno == EACCES ? std::optional<pid_t>{0} : std::nullopt;
  }
  const auto wanted = fmt::format(" {:02x}:{:02x}:{} ", major(file.st_dev), minor(file.st_dev), file.st_ino);
  const auto locks = root.read("/proc/locks");
  if (!locks) return std::nullopt;
  // "12: FLOCK  ADVISORY  WRITE 4711 00:19:1234 0 EOF"; with "->" whoever waits.
  const auto at = locks->find(wanted);
  if (at == std::string::npos) return std::nullopt;
  const auto before = std::string_view{*locks}.substr(0, at);
  return static_cast<pid_t>(parse_decimal<unsigned>(before.substr(before.rfind(' ') + 1)).value_or(0));
}

Result<VmView> view_vm(const SysRoot& root, const std::string& name) {
  TRY(check_vm_name(name));
  VmView view{.name = name, .defined = is_defined(root, name)};
  look(root, view);
  if (view.defined || view.state != VmState::stopped) return view;
  return fail(Error::make(Errc::not_found, fmt::format("there is no VM '{}'", name))
                  .coded("vm.not_found")
                  .advise("pcivm vm list"));
}

Result<VmView> running_vm(const SysRoot& root, const std::string& name) {
  auto view = TRY(view_vm(root, name));
  if (view.runs()) return view;
  return fail(Error::make(Errc::not_found, fmt::format("VM '{}' does not run", name))
                  .coded("vm.not_running")
                  .advise(view.defined ? fmt::format("pcivm vm start {}", name) : "pcivm vm list"));
}

std::vector<VmView> all_vms(const SysRoot& root) {
  std::set<std::string> names;
  for (auto& name : defined_vms(root)) names.insert(std::move(name));
  for (auto& name : root.list(kFolder).value_or(std::vector<std::string>{})) {
    if (check_vm_name(name)) names.insert(std::move(name));
  }
  std::vector<VmView> views;
  for (const auto& name : names) {
    auto view = view_vm(root, name);
    if (view) views.push_back(std::move(*view));
  }
  return views;
}

Result<Json> document_of(const HttpAnswer& answer) {
  auto document = TRY_IN(parse_json(answer.body, kMostDepth), std::string{"answer of the VM"});
  if (answer.status / 100 == 2) return document;
  const auto error = document.find("error");
  if (error != document.end() && error->is_object()) return fail(error_from(*error));
  return fail(Errc::internal, fmt::format("the VM answers with status {}", answer.status));
}

Result<Json> ask_vm(const SysRoot& root, const std::string& name, const HttpCall& call) {
  const auto answer = TRY_IN(ask(vm_socket(root, name), call), fmt::format("VM '{}'", name));
  return document_of(answer);
}

Result<VmWait> VmWait::start(const SysRoot& root, const std::string& name) {
  auto connection = send(vm_socket(root, name), {.target = "/v1/vm/end"});
  if (!connection) return fail(std::move(connection).error().within(fmt::format("VM '{}'", name)));
  return VmWait{root, name, std::move(*connection)};
}

Result<Json> VmWait::finish(std::optional<std::chrono::milliseconds> deadline) const {
  const auto answer = receive(connection_, deadline);
  if (!answer && answer.error().kind() == Errc::timeout) {
    return fail(Error::make(Errc::timeout, fmt::format("VM '{}' still runs", name_)).coded("vm.running"));
  }
  if (!answer) {
    return fail(Error::make(Errc::internal, fmt::format("the supervisor of VM '{}' was killed", name_))
                    .coded("vm.killed")
                    .advise("pcivm device list shows what is still bound; pcivm device release gives it back"));
  }
  for (const auto end = Clock::now() + kLastSteps; holder_of(root_, name_) && Clock::now() < end;) {
    std::this_thread::sleep_for(kPause);
  }
  return document_of(*answer);
}

std::optional<Error> error_of_end(const Json& end) {
  const auto error = end.find("error");
  if (error == end.end() || !error->is_object()) return std::nullopt;
  return error_from(*error);
}

}  // namespace pcivm::cli
