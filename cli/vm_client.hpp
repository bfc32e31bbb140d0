// SPDX-License-Identifier: GPL-2.0-or-later
// VMs as commands see them: which there are, how they are, and asking one that runs.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/http_client.hpp"
#include "cli/json.hpp"
#include "cli/vm_supervisor.hpp"

namespace pcivm::cli {

enum class VmState : std::uint8_t {
  stopped,   ///< defined, nothing of it runs
  starting,  ///< its functions are bound, or its guest does not run yet
  running,
  stopping,  ///< asked to end, or ended and its functions are given back
  silent,    ///< it runs and does not answer
  dead       ///< killed before it could give its functions back
};
[[nodiscard]] std::string_view to_string(VmState state);

struct VmView {
  std::string name{};
  bool defined{};
  VmState state{VmState::stopped};
  std::optional<pid_t> pid{};  ///< of the supervisor
  Json document{};             ///< GET /v1/vm; null when nobody answers
  [[nodiscard]] bool runs() const { return state != VmState::stopped && state != VmState::dead; }
};

/// Errc::invalid: no name; Errc::not_found with code "vm.not_found": neither defined nor there.
[[nodiscard]] Result<VmView> view_vm(const SysRoot& root, const std::string& name);
/// The same of one that runs; Errc::not_found with code "vm.not_running" when it does not.
[[nodiscard]] Result<VmView> running_vm(const SysRoot& root, const std::string& name);
/// All that are defined or there, by name.
[[nodiscard]] std::vector<VmView> all_vms(const SysRoot& root);
/// Who holds the VM's name.
[[nodiscard]] std::optional<pid_t> holder_of(const SysRoot& root, const std::string& name);

/// The document of a 2xx answer; other answers are the error that they tell.
[[nodiscard]] Result<Json> document_of(const HttpAnswer& answer);
[[nodiscard]] Result<Json> ask_vm(const SysRoot& root, const std::string& name, const HttpCall& call);

/// Waits for the end of a VM that runs. To be made before it is told to end.
class VmWait final {
 public:
  [[nodiscard]] static Result<VmWait> start(const SysRoot& root, const std::string& name);
  /// The document of GET /v1/vm/end, when the VM's name is free again. Errc::timeout; Errc::internal with code
  /// "vm.killed" when its supervisor was killed.
  [[nodiscard]] Result<Json> finish(std::optional<std::chrono::milliseconds> deadline) const;

 private:
  VmWait(const SysRoot& root, std::string name, Fd connection)
      : root_{root}, name_{std::move(name)}, connection_{std::move(connection)} {}
  const SysRoot& root_;
  std::string name_;
  Fd connection_;
};

/// As the error that a command ends with, whose exit code is that of the VM; nothing when it ended well.
[[nodiscard]] std::optional<Error> error_of_end(const Json& end);

}  // namespace pcivm::cli
