// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/reset_policy.hpp"

#include <fcntl.h>
#include <linux/pci_regs.h>

#include <algorithm>
#include <array>
#include <sstream>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "base/pci_config.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::string_view kAny{"any"};
constexpr std::string_view kDevices{"/sys/bus/pci/devices"};
constexpr std::array<std::string_view, 5> kProven{"flr", "af_flr", "pm", "device_specific", "acpi"};

// Words used more than once in the table.
constexpr std::string_view kStaysDead{"does not come back after its second use until the host restarts"};
constexpr std::string_view kVendorReset{"the device list of the vendor-reset kernel module"};
constexpr std::string_view kHangs{"hangs or stops answering"};
constexpr std::string_view kKernelQuirk{"drivers/pci/quirks.c of Linux; kernels without the quirk offer it"};
constexpr std::string_view kSilent{"reads 0xff everywhere until the host restarts"};

constexpr std::array kKnownBad{
    KnownBadReset{0x10ec, 0x8168, kAny, "power-cycled the host when a VM with it ended",
                  "an issue of the Harvester project"},
    KnownBadReset{0x1002, 0x67df, kAny, kStaysDead, kVendorReset},
    KnownBadReset{0x1002, 0x67ef, kAny, kStaysDead, kVendorReset},
    KnownBadReset{0x1002, 0x67ff, kAny, kStaysDead, kVendorReset},
    KnownBadReset{0x1002, 0x699f, kAny, kStaysDead, kVendorReset},
    KnownBadReset{0x1002, 0x6863, kAny, kStaysDead, kVendorReset},
    KnownBadReset{0x1002, 0x687f, kAny, kStaysDead, kVendorReset},
    KnownBadReset{0x1002, 0x66af, kAny, kStaysDead, kVendorReset},
    KnownBadReset{0x1002, 0x7310, kAny, kStaysDead, kVendorReset},
    KnownBadReset{0x1002, 0x731f, kAny, kStaysDead, kVendorReset},
    KnownBadReset{0x1002, 0x7340, kAny, kStaysDead, kVendorReset},
    KnownBadReset{0x1002, 0x7341, kAny, kStaysDead, kVendorReset},
    KnownBadReset{0x1002, 0x74a1, kAny, kSilent, "an issue of AMD's MxGPU-Virtualization about the MI300X"},
    KnownBadReset{0x1022, 0x1487, "flr", kHangs, kKernelQuirk},
    KnownBadReset{0x1022, 0x148c, "flr", kHangs, kKernelQuirk},
    KnownBadReset{0x1022, 0x149c, "flr", kHangs, kKernelQuirk},
    KnownBadReset{0x1022, 0x7901, "flr", kHangs, kKernelQuirk},
    KnownBadReset{0x8086, 0x1502, "flr", kHangs, kKernelQuirk},
    KnownBadReset{0x8086, 0x1503, "flr", kHangs, kKernelQuirk},
    KnownBadReset{0x168c, 0x0030, "bus", kHangs, kKernelQuirk},
    KnownBadReset{0x168c, 0x0032, "bus", kHangs, kKernelQuirk},
    KnownBadReset{0x168c, 0x0033, "bus", kHangs, kKernelQuirk},
    KnownBadReset{0x168c, 0x0034, "bus", kHangs, kKernelQuirk},
    KnownBadReset{0x168c, 0x003c, "bus", kHangs, kKernelQuirk},
    KnownBadReset{0x168c, 0x003e, "bus", kHangs, kKernelQuirk},
};

std::string directory_of(Bdf function) { return fmt::format("{}/{}", kDevices, function.to_string()); }

Result<std::uint16_t> id_of(const SysRoot& root, Bdf function, std::string_view file) {
  const auto text = TRY(root.read(fmt::format("{}/{}", directory_of(function), file)));
  return parse_hex_prefixed<std::uint16_t>(text);
}

// The kernel does not offer pm for such a function; a captured tree or another kernel may.
bool has_no_soft_reset(const SysRoot& root, Bdf function) {
  std::array<std::byte, PCI_CFG_SPACE_SIZE> image{};
  const auto file = root.open_file(directory_of(function) + "/config", O_RDONLY);
  if (!file || !pread_exact(file->ref(), 0, image)) return false;
  const auto at = find_capability(image, PCI_CAP_ID_PM);
  return at != 0 && (config_u16(image, at + PCI_PM_CTRL) & PCI_PM_CTRL_NO_SOFT_RESET) != 0;
}

/// Empty = proven.
std::string reason_against(std::uint16_t vendor, std::uint16_t device, std::string_view method, bool no_soft_reset) {
  const auto bad = std::ranges::find_if(kKnownBad, [&](const KnownBadReset& row) {
    return row.vendor == vendor && row.device == device && (row.method == kAny || row.method == method);
  });
  if (bad != kKnownBad.end()) {
    return fmt::format("{:04x}:{:04x} is known for a bad reset: it {} (says {})", vendor, device, bad->what,
                       bad->source);
  }
  if (method.empty()) return "the kernel knows no way to reset this function alone";
  if (std::ranges::find(kProven, method) == kProven.end()) {
    return fmt::format(
        "its only way of reset is '{}', which resets the link: what the function itself keeps is unknown", method);
  }
  if (method == "pm" && no_soft_reset) {
    return "its power management says No_Soft_Reset: it keeps its state from D3hot to D0";
  }
  return {};
}

}  // namespace

std::span<const KnownBadReset> known_bad_resets() { return kKnownBad; }

Result<ResetPolicy> reset_policy(const SysRoot& root, Bdf function, const std::string& method) {
  ResetPolicy policy;
  if (!method.empty()) policy.methods.push_back(method);
  const auto vendor = TRY(id_of(root, function, "vendor"));
  const auto device = TRY(id_of(root, function, "device"));
  policy.reason = reason_against(vendor, device, method, method == "pm" && has_no_soft_reset(root, function));
  policy.proven = policy.reason.empty();
  return policy;
}

Result<ResetPolicy> reset_policy(const SysRoot& root, Bdf function) {
  std::istringstream words{root.read(directory_of(function) + "/reset_method").value_or("")};
  std::vector<std::string> methods;
  for (std::string method; words >> method;) methods.push_back(method);
  auto policy = TRY(reset_policy(root, function, methods.empty() ? std::string{} : methods.front()));
  policy.methods = std::move(methods);
  return policy;
}

ResetPolicy reset_policy(const FunctionDetail& function) {
  ResetPolicy policy{.methods = function.reset_methods};
  policy.reason = reason_against(function.vendor, function.device,
                                 policy.methods.empty() ? std::string_view{} : policy.methods.front(),
                                 function.no_soft_reset);
  policy.proven = policy.reason.empty();
  return policy;
}

std::vector<Bdf> bus_siblings(const SysRoot& root, Bdf function) {
  std::vector<Bdf> siblings;
  for (const auto& name : root.list(kDevices).value_or(std::vector<std::string>{})) {
    const auto other = Bdf::parse(name);
    if (!other || *other == function) continue;
    if (other->domain == function.domain && other->bus == function.bus) siblings.push_back(*other);
  }
  return siblings;
}

}  // namespace pcivm::iommu
