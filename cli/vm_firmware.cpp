// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_firmware.hpp"

#include <fcntl.h>

#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/replace_file.hpp"
#include "base/shared_file.hpp"
#include "vmm/platform.hpp"

namespace pcivm::cli {

namespace {

// Where Debian's packages have them.
struct Known {
  std::string_view name;
  std::string_view image;
  std::string_view variables;  ///< what a new VM starts with
  std::string_view package;
};
constexpr std::array kKnown{
    Known{"uefi", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd", "ovmf"},
    Known{"bios", "/usr/share/seabios/bios-256k.bin", "", "seabios"},
};

const Known* find_known(std::string_view name) {
  for (const auto& known : kKnown) {
    if (known.name == name) return &known;
  }
  return nullptr;
}

Error missing(Error error, const Known& known) {
  if (error.kind() != Errc::not_found) return error;
  return std::move(error)
      .coded("firmware.not_found")
      .advise(fmt::format("apt install {}, or name the file of a firmware", known.package));
}

// Two VMs that write the variables of one firmware destroy them.
Result<void> lock(FdRef file, const std::string& path) {
  auto held = lock_open_file(file, true);
  if (held) return held;
  return fail(std::move(held)
                  .error()
                  .as(Errc::busy)
                  .within(fmt::format("'{}' is in use", path))
                  .coded("firmware.variables_in_use")
                  .advise("another VM has these variables: see pcivm vm list"));
}

Result<void> make_variables(const SysRoot& root, const Known& known, const std::string& path) {
  auto file = open_regular(root.host_path(std::string{known.variables}), O_RDONLY);
  if (!file) return fail(missing(std::move(file).error(), known));
  const auto content = TRY(read_to_end(file->ref(), vmm::platform::kFirmwareMost));
  return replace_file(root, path, content, 0600, 0700);
}

/// The file with the variables, made when it is the VM's own and absent; empty when the firmware keeps none.
Result<std::string> variables_path(const SysRoot& root, const VmRequest& request) {
  if (!request.firmware_vars.empty()) return request.firmware_vars;
  const auto* known = find_known(request.firmware);
  if (known == nullptr || known->variables.empty()) return std::string{};
  const auto own = vm_variables_file(request.name);
  if (!root.exists(own)) TRY(make_variables(root, *known, own));
  return root.host_path(own);
}

Result<void> check_size(const VmRequest& request, const vmm::FirmwareConfig& config) {
  const auto length = TRY(file_size(config.image.ref()));
  const auto variables = config.variables ? TRY(file_size(config.variables.ref())) : 0;
  return vmm::check_firmware_size(fmt::format("firmware '{}'", request.firmware), length, variables);
}

}  // namespace

std::string vm_variables_file(const std::string& name) {
  return fmt::format("/var/lib/pcivm/vm/{}/variables.fd", name);
}

Result<void> check_boot_options(const VmRequest& request) {
  const auto refuse = [](std::string_view option, std::string_view why) {
    return fail(Error::make(Errc::invalid, fmt::format("{} found, {}", option, why)));
  };
  if (request.firmware.empty()) {
    if (!request.firmware_vars.empty()) return refuse("--firmware-vars", "--firmware wanted too");
    if (!request.firmware_log.empty()) return refuse("--firmware-log", "--firmware wanted too");
    if (request.kernel.empty()) return fail(Errc::invalid, "nothing to boot: --kernel or --firmware wanted");
    return {};
  }
  constexpr std::string_view kOwnKernel{"but --firmware boots what is on the disk"};
  if (!request.kernel.empty()) return refuse("--kernel", kOwnKernel);
  if (!request.initrd.empty()) return refuse("--initrd", kOwnKernel);
  if (!request.cmdline.empty()) return refuse("--cmdline", kOwnKernel);
  // Firmware chooses the places of BARs, and would put them over the file.
  if (!request.pmems.empty()) return refuse("--pmem", "but --firmware knows of no memory beside RAM");
  return {};
}

Result<vmm::FirmwareConfig> open_firmware(const SysRoot& root, const VmRequest& request) {
  const auto* known = find_known(request.firmware);
  const auto path = known != nullptr ? root.host_path(std::string{known->image}) : request.firmware;
  vmm::FirmwareConfig config;
  auto image = open_regular(path, O_RDONLY);
  if (!image && known != nullptr) return fail(missing(std::move(image).error(), *known));
  config.image = TRY(std::move(image));
  TRY(check_size(request, config));
  if (!request.firmware_log.empty()) {
    config.log = TRY(open_path(request.firmware_log, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY, 0600));
  }
  return config;
}

Result<void> open_variables(const SysRoot& root, const VmRequest& request, vmm::FirmwareConfig& config) {
  const auto path = TRY(variables_path(root, request));
  if (path.empty()) return {};
  config.variables = TRY_IN(open_regular(path, O_RDWR), "--firmware-vars");
  TRY_IN(lock(config.variables.ref(), path), "--firmware-vars");
  return check_size(request, config);
}

}  // namespace pcivm::cli
