// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/config_facts.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <array>
#include <bit>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "base/pci_config.hpp"
#include "iommu/serial.hpp"

namespace pcivm::iommu {

namespace {

using Image = std::span<const std::byte>;

// Flags in sysfs `resource`: include/linux/ioport.h.
constexpr std::uint64_t kResourceIo = 0x100;
constexpr std::uint64_t kResourceMemory = 0x200;
constexpr std::uint64_t kResourcePrefetch = 0x2000;
constexpr std::uint64_t kResourceMemory64 = 0x100000;

// Lines of `resource`: six BARs, the ROM, six BARs of VFs (include/linux/pci.h, PCI_IOV_RESOURCES).
constexpr std::size_t kOwnBars = 7;
constexpr std::size_t kVfBars = 6;

constexpr std::uint16_t kVfRebar = 0x24;  // PCI_EXT_CAP_ID_VF_REBAR, newer than the headers of some systems

/// Cuts the first piece up to `mark` off `text`.
std::string_view cut(std::string_view& text, char mark) {
  const auto end = std::min(text.find(mark), text.size());
  const auto piece = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return piece;
}

/// "0x00000000fe800000 0x00000000fe81ffff 0x0000000000040200"
std::optional<Bar> parse_bar(std::size_t index, std::string_view line) {
  const auto start = parse_hex_prefixed<std::uint64_t>(cut(line, ' '));
  const auto end = parse_hex_prefixed<std::uint64_t>(cut(line, ' '));
  const auto flags = parse_hex_prefixed<std::uint64_t>(line);
  if (!start || !end || !flags || *end <= *start || (*flags & (kResourceIo | kResourceMemory)) == 0)
    return std::nullopt;
  return Bar{.index = static_cast<std::uint8_t>(index),
             .address = *start,
             .size = *end - *start + 1,
             .io = (*flags & kResourceIo) != 0,
             .wide = (*flags & kResourceMemory64) != 0,
             .prefetchable = (*flags & kResourcePrefetch) != 0};
}

std::string speed_text(unsigned code) {
  // Supported Link Speeds (PCIe Base 6.0, 7.5.3.18); written as drivers/pci/probe.c, pci_speed_string.
  constexpr std::array<std::string_view, 7> kSpeeds{"", "2.5", "5.0", "8.0", "16.0", "32.0", "64.0"};
  return code == 0 || code >= kSpeeds.size() ? std::string{} : fmt::format("{} GT/s PCIe", kSpeeds[code]);
}

std::string_view type_text(unsigned type) {
  switch (type) {
    case PCI_EXP_TYPE_ENDPOINT: return "endpoint";
    case PCI_EXP_TYPE_LEG_END: return "legacy endpoint";
    case PCI_EXP_TYPE_ROOT_PORT: return "root port";
    case PCI_EXP_TYPE_UPSTREAM: return "upstream port";
    case PCI_EXP_TYPE_DOWNSTREAM: return "downstream port";
    case PCI_EXP_TYPE_PCI_BRIDGE: return "bridge to conventional PCI";
    case PCI_EXP_TYPE_PCIE_BRIDGE: return "bridge from conventional PCI";
    case PCI_EXP_TYPE_RC_END: return "integrated endpoint";
    case PCI_EXP_TYPE_RC_EC: return "event collector";
    default: return "";
  }
}

void apply_express(Image image, FunctionDetail& function) {
  const std::size_t express = find_capability(image, PCI_CAP_ID_EXP);
  if (express == 0) return;
  const auto flags = config_u16(image, express + PCI_EXP_FLAGS);
  const unsigned type = (flags & PCI_EXP_FLAGS_TYPE) >> 4U;
  function.pcie_type = type_text(type);
  if (type == PCI_EXP_TYPE_RC_END || type == PCI_EXP_TYPE_RC_EC) return;  // what follows is no link
  const auto able = config_u32(image, express + PCI_EXP_LNKCAP);
  const auto now = config_u16(image, express + PCI_EXP_LNKSTA);
  // Version 2 of the capability has all speeds one by one; older ones the highest (drivers/pci/pci.c,
  // pcie_get_speed_cap).
  const auto all = (flags & PCI_EXP_FLAGS_VERS) >= 2 ? config_u32(image, express + PCI_EXP_LNKCAP2) >> 1U & 0x7fU : 0U;
  const auto highest = all != 0 ? static_cast<unsigned>(std::bit_width(all)) : able & PCI_EXP_LNKCAP_SLS;
  Link link{.speed = speed_text(now & PCI_EXP_LNKSTA_CLS),
            .width = (now & PCI_EXP_LNKSTA_NLW) >> PCI_EXP_LNKSTA_NLW_SHIFT,
            .max_speed = speed_text(highest),
            .max_width = (able & PCI_EXP_LNKCAP_MLW) >> 4U};
  if (!link.speed.empty()) function.link = std::move(link);  // a VF has the registers, and nothing in them
}

void apply_interrupts(Image image, FunctionDetail& function) {
  function.msi_vectors = 0;
  function.msix_vectors = 0;
  if (const std::size_t msi = find_capability(image, PCI_CAP_ID_MSI)) {
    function.msi_vectors = 1U << ((config_u16(image, msi + PCI_MSI_FLAGS) & PCI_MSI_FLAGS_QMASK) >> 1U);
  }
  if (const std::size_t msix = find_capability(image, PCI_CAP_ID_MSIX)) {
    function.msix_vectors = (config_u16(image, msix + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1U;
    const auto table = config_u32(image, msix + PCI_MSIX_TABLE);
    const auto pending = config_u32(image, msix + PCI_MSIX_PBA);
    function.msix = MsixPlace{.table_bar = static_cast<std::uint8_t>(table & PCI_MSIX_TABLE_BIR),
                              .table_offset = table & PCI_MSIX_TABLE_OFFSET,
                              .pba_bar = static_cast<std::uint8_t>(pending & PCI_MSIX_PBA_BIR),
                              .pba_offset = pending & PCI_MSIX_PBA_OFFSET};
  }
}

/// Bit n of the mask = 2^(20+n) bytes.
std::vector<std::uint64_t> sizes_of(std::uint64_t mask) {
  constexpr unsigned kSmallest = 20;
  std::vector<std::uint64_t> sizes;
  for (unsigned bit = 0; bit + kSmallest < 64; ++bit) {
    if ((mask >> bit & 1U) != 0) sizes.push_back(std::uint64_t{1} << (bit + kSmallest));
  }
  return sizes;
}

/// Resizable BAR and VF Resizable BAR (PCIe Base 6.0, 7.8.6, 7.8.7): pairs of registers, and in the first how many.
void apply_sizes(Image image, std::uint16_t capability, std::vector<Bar>& bars) {
  const std::size_t start = find_extended_capability(image, capability);
  if (start == 0) return;
  const auto count = std::min<std::size_t>(config_u32(image, start + PCI_REBAR_CTRL) >> 5U & 7U, kVfBars);
  for (std::size_t pair = 0; pair < count; ++pair) {
    const auto able = config_u32(image, start + PCI_REBAR_CAP + pair * 8);
    const auto control = config_u32(image, start + PCI_REBAR_CTRL + pair * 8);
    const auto bar = std::ranges::find(bars, static_cast<std::uint8_t>(control & PCI_REBAR_CTRL_BAR_IDX), &Bar::index);
    // 28 sizes stand in one register, the others in the upper half of the next.
    if (bar != bars.end()) bar->sizes = sizes_of(able >> 4U | std::uint64_t{control >> 16U} << 28U);
  }
}

void apply_sriov(Image image, FunctionDetail& function) {
  const std::size_t start = find_extended_capability(image, PCI_EXT_CAP_ID_SRIOV);
  if (start == 0 || !function.sriov) return;
  auto& sriov = *function.sriov;
  sriov.hardware_vfs = config_u16(image, start + PCI_SRIOV_TOTAL_VF);
  sriov.offset = config_u16(image, start + PCI_SRIOV_VF_OFFSET);
  sriov.stride = config_u16(image, start + PCI_SRIOV_VF_STRIDE);
  sriov.vf_device = config_u16(image, start + PCI_SRIOV_VF_DID);
  // The host keeps room for all of them in one piece (drivers/pci/iov.c, sriov_init).
  for (auto& bar : sriov.vf_bars) bar.size /= std::max<std::uint16_t>(*sriov.hardware_vfs, 1);
  apply_sizes(image, kVfRebar, sriov.vf_bars);
}

}  // namespace

bool Link::below_capability() const {
  if (width && max_width && *width < *max_width) return true;
  // "16.0 GT/s PCIe" after "8.0 GT/s PCIe": the longer number is the higher one.
  const auto dot = speed.find('.');
  const auto max_dot = max_speed.find('.');
  return max_dot != std::string::npos && (dot < max_dot || (dot == max_dot && speed < max_speed));
}

void apply_resources(std::string_view text, FunctionDetail& function) {
  for (std::size_t index = 0; index < kOwnBars + kVfBars && !text.empty(); ++index) {
    const bool own = index < kOwnBars;
    const auto bar = parse_bar(own ? index : index - kOwnBars, cut(text, '\n'));
    if (bar && own) function.bars.push_back(*bar);
    if (bar && !own && function.sriov) function.sriov->vf_bars.push_back(*bar);
  }
}

void apply_config(Image image, FunctionDetail& function) {
  if (image.size() < PCI_STD_HEADER_SIZEOF) return;
  function.revision = config_u8(image, PCI_REVISION_ID);
  function.is_bridge = (config_u8(image, PCI_HEADER_TYPE) & 0x7fU) != PCI_HEADER_TYPE_NORMAL;
  if (image.size() <= PCI_STD_HEADER_SIZEOF) {
    if (function.sriov) function.sriov->vf_bars.clear();  // their sizes are known together only
    return;
  }
  apply_interrupts(image, function);
  apply_express(image, function);
  apply_sizes(image, PCI_EXT_CAP_ID_REBAR, function.bars);
  apply_sriov(image, function);
  if (const auto serial = device_serial_number(image)) function.serial = serial_text(*serial);
  const std::size_t power = find_capability(image, PCI_CAP_ID_PM);
  function.no_soft_reset = power != 0 && (config_u16(image, power + PCI_PM_CTRL) & PCI_PM_CTRL_NO_SOFT_RESET) != 0;
}

}  // namespace pcivm::iommu
