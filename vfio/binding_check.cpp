// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding_check.hpp"

#include <fcntl.h>
#include <linux/pci_regs.h>

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "iommu/group.hpp"
#include "iommu/inventory.hpp"
#include "vfio/binding_plan.hpp"
#include "vfio/modules.hpp"
#include "vfio/quarantine.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::uint32_t kBridgeClass{0x06};
constexpr std::uint8_t kNoAnswer{0x7f};  // all ones without the multi-function bit

// vfio_pci_dev_in_denylist() of Linux 6.12: Intel QAT, DSA and IAX, whose register space lets a guest hang the host.
constexpr std::array<std::string_view, 8> kDenied{"0x19e2", "0x19e3", "0x37c8", "0x37c9",
                                                  "0x0435", "0x0443", "0x0b25", "0x0cfe"};

Error refusal(Bdf function, std::string_view why, std::string_view code) {
  return Error::make(Errc::refused, fmt::format("{} {}", function.to_string(), why)).coded(code);
}

Result<std::uint8_t> header_type(const SysRoot& root, Bdf function) {
  const auto file = TRY(root.open_file(directory_of(function) + "/config", O_RDONLY));
  std::array<std::byte, 1> value{};
  TRY_IN(pread_exact(file.ref(), PCI_HEADER_TYPE, value),
         fmt::format("configuration space of {}", function.to_string()));
  return static_cast<std::uint8_t>(std::to_integer<unsigned>(value[0]) & 0x7fU);
}

Result<void> check_denylist(const SysRoot& root, Bdf function) {
  const auto vendor = TRY(root.read(directory_of(function) + "/vendor"));
  const auto device = TRY(root.read(directory_of(function) + "/device"));
  if (vendor != "0x8086" || std::ranges::find(kDenied, device) == kDenied.end()) return {};
  const auto off = root.read("/sys/module/vfio_pci/parameters/disable_denylist");
  if (off && *off == "Y") return {};
  return fail(refusal(function, fmt::format("({}:{}) is on the kernel's denylist of vfio-pci", vendor, device),
                      "device.denylisted")
                  .advise("vfio-pci.disable_denylist=1 lifts it, at the risk that a guest hangs the host"));
}

Result<void> check_group(const SysRoot& root, Bdf function) {
  if (!root.link_name(directory_of(function) + "/iommu_group").empty()) return {};
  return fail(refusal(function, "has no IOMMU group: nothing would confine its DMA", "device.no_iommu")
                  .advise("switch on VT-d or AMD-Vi in the firmware and boot with intel_iommu=on (Intel); then "
                          "/sys/kernel/iommu_groups is not empty"));
}

}  // namespace

Result<void> check_endpoint(const SysRoot& root, Bdf function) {
  const auto text = TRY(root.read(directory_of(function) + "/class"));
  const auto code = TRY(parse_hex_prefixed<std::uint32_t>(text));
  const auto type = TRY(header_type(root, function));
  if (type == kNoAnswer) {
    return fail(Error::make(Errc::kernel, fmt::format("{} does not answer (header type 0x7f)", function.to_string()))
                    .coded(kSilentDevice)
                    .advise(fmt::format("pcivm device reset {}", function.to_string())));
  }
  if (type != PCI_HEADER_TYPE_NORMAL || code >> 16U == kBridgeClass) {
    return fail(
        refusal(function,
                fmt::format("is a bridge (class {}, header type {}); only endpoints can be given away", text, type),
                "device.bridge")
            .advise("name a device below it: pcivm device list"));
  }
  return {};
}

Result<void> check_no_vfs(const Host& host, Bdf function) {
  const auto numvfs = directory_of(function) + "/sriov_numvfs";
  if (!host.root.exists(numvfs)) return {};
  const auto count = TRY(read_within(host, numvfs));
  if (count == "0") return {};
  return fail(Error::make(Errc::busy, fmt::format("{} has {} virtual functions; it can be given away only without any",
                                                  function.to_string(), count))
                  .coded("pf.has_vfs")
                  .advise(fmt::format("pcivm vf destroy {}", function.to_string())));
}

Result<void> check_pf_is_the_hosts(const SysRoot& root, Bdf function, const std::optional<std::string>& driver) {
  if (driver && (driver->empty() || is_vfio_driver(*driver))) return {};
  const auto physical = root.link_name(directory_of(function) + "/physfn");
  if (physical.empty()) return {};
  const auto holder = root.link_name(fmt::format("/sys/bus/pci/devices/{}/driver", physical));
  if (!is_vfio_driver(holder)) return {};
  return fail(refusal(function,
                      fmt::format("is a VF of {}, which is given away itself (driver {}): whoever has that could attack "
                                  "the host through {}; wanted vfio-pci or none",
                                  physical, holder,
                                  driver ? fmt::format("driver '{}'", *driver) : "the VF's native driver"),
                      "pf.given_away")
                  .advise(fmt::format("--driver none; or pcivm vf destroy {} and pcivm device release {}", physical,
                                      physical)));
}

Result<void> check_driver_name(std::string_view driver) {
  const auto fits = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_'; };
  if (!driver.empty() && driver.size() < 64 && std::ranges::all_of(driver, fits)) return {};
  return fail(Error::make(Errc::invalid, fmt::format("'{}' is not the name of a driver", driver))
                  .advise("letters, digits, '-' and '_', as below /sys/bus/pci/drivers"));
}

Result<void> check_bindable(const Host& host, Bdf function, const Target& target,
                            const std::vector<std::string>& force) {
  const bool to_vfio = is_vfio_driver(target.driver.value_or(""));
  if (to_vfio) TRY(refuse_quarantined(host, function, force));
  TRY(check_endpoint(host.root, function));
  if (to_vfio) {
    TRY(check_denylist(host.root, function));
    TRY(check_group(host.root, function));
    const auto chosen = target.settings.find("reset_method");
    const auto first = chosen == target.settings.end() ? std::string{} : chosen->second;
    TRY(refuse_unproven_reset(host, function, first.substr(0, first.find(' ')), force));
  }
  TRY(check_pf_is_the_hosts(host.root, function, target.driver));
  TRY(check_no_vfs(host, function));
  return refuse_in_use(host, function, force);
}

Result<void> check_groups(const SysRoot& root, std::span<const Bdf> functions) {
  for (const auto function : functions) {
    const auto number = TRY(iommu::find(root, function)).iommu_group;
    if (!number) continue;
    const auto group = TRY(iommu::read_group(root, *number));
    std::string blockers;
    std::string bind;
    for (const auto& member : group.members) {
      if (member.role != iommu::Role::blocks) continue;
      if (std::ranges::find(functions, member.function.address) != functions.end()) continue;
      const auto address = member.function.address.to_string();
      blockers += fmt::format("{}{} ({})", blockers.empty() ? "" : ", ", address, member.function.driver);
      if (bind.empty()) bind = address;
    }
    if (blockers.empty()) continue;
    return fail(refusal(function,
                        fmt::format("shares IOMMU group {} with functions that the host uses: {}", *number, blockers),
                        "group.not_viable")
                    .advise(fmt::format("give all of them away (pcivm device bind {} ...), or use a slot that isolates "
                                        "its functions",
                                        bind)));
  }
  return {};
}

Result<void> ensure_driver(const SysRoot& root, std::string_view driver) {
  const auto directory = fmt::format("/sys/bus/pci/drivers/{}", driver);
  if (!root.exists(directory)) TRY(load_module(root, driver));
  if (!root.exists(directory)) {
    return fail(
        Error::make(Errc::kernel, fmt::format("the kernel has no PCI driver '{}', and no module brings it", driver))
            .coded("driver.missing")
            .advise("ls /sys/bus/pci/drivers shows what is there"));
  }
  // Only a soft dependency of vfio-pci: without it a container has no IOMMU back end, and opening fails much later. A
  // kernel with iommufd instead does not need it.
  if (is_vfio_driver(driver) && !root.exists("/sys/module/vfio_iommu_type1") && !root.exists("/dev/iommu")) {
    TRY(load_module(root, "vfio_iommu_type1"));
  }
  return {};
}

}  // namespace pcivm::vfio
