// SPDX-License-Identifier: GPL-2.0-or-later
// What a VM is, kept in a file: /etc/pcivm/vm/NAME.yaml. Its keys are the options of `vm run` (docs/vm.md), so that
// nothing has to be said twice.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/command.hpp"
#include "cli/config_problem.hpp"
#include "cli/json.hpp"
#include "cli/vm_request.hpp"

namespace pcivm::cli {

inline constexpr std::string_view kVmFolder{"/etc/pcivm/vm"};

/// Options that were given, by their long names without dashes, with their values as typed; a flag has none.
using VmOptions = std::vector<std::pair<std::string, std::vector<std::string>>>;

/// The options that describe a VM, on `command`: in cmd_vm_run.cpp.
void add_vm_options(CLI::App& command, VmRequest& request);
/// Those of them that were given to `command`, in the order of the help.
[[nodiscard]] VmOptions given_options(const CLI::App& command);
/// `more` in place of what `options` says of the same.
[[nodiscard]] VmOptions merged(VmOptions options, const VmOptions& more);
/// Read as the command line would be. Errc::invalid as there.
[[nodiscard]] Result<VmRequest> request_of(const std::string& name, const VmOptions& options);

/// 1 to 63 of a-z, 0-9 and -.
[[nodiscard]] Result<void> check_vm_name(const std::string& name);

/// "cpus: 2" for --cpus 2, "onReboot", lists for options that may be repeated, `true` for flags.
[[nodiscard]] std::string write_definition(const VmOptions& options);
/// The same as JSON.
[[nodiscard]] Json definition_document(const VmOptions& options);
/// Not to be used when there are problems, which are added to `problems`. Pure.
[[nodiscard]] VmOptions read_definition(const std::string& file, std::string_view text, ConfigProblems& problems);

/// Errc::not_found with code "vm.undefined"; Errc::refused for a file that others than root can change; Errc::invalid.
[[nodiscard]] Result<VmOptions> load_definition(const SysRoot& root, const std::string& name);
[[nodiscard]] bool is_defined(const SysRoot& root, const std::string& name);
[[nodiscard]] Result<void> save_definition(const SysRoot& root, const std::string& name, const VmOptions& options);
[[nodiscard]] Result<void> remove_definition(const SysRoot& root, const std::string& name);
/// Names, sorted.
[[nodiscard]] std::vector<std::string> defined_vms(const SysRoot& root);

}  // namespace pcivm::cli
