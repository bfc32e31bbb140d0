// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/bars.hpp"

#include <fcntl.h>
#include <linux/pci_regs.h>

#include <array>
#include <cstddef>

#include "base/fd.hpp"
#include "base/pci_config.hpp"
#include "iommu/function_reader.hpp"
#include "iommu/inventory.hpp"

namespace pcivm::iommu {

namespace {

constexpr unsigned kMostCapabilities = 48;  // that fit behind the header
constexpr std::uint8_t kFirstCapability = 0x40;
constexpr std::uint8_t kPointer = 0xfc;

template <std::size_t Length>
std::optional<std::array<std::byte, Length>> registers(FdRef config, unsigned offset) {
  std::array<std::byte, Length> bytes{};
  if (!pread_exact(config, offset, bytes)) return std::nullopt;
  return bytes;
}

// Bounded, as capabilities() is, which needs the whole image: sixty accesses to the device more.
std::optional<unsigned> find_msix(FdRef config) {
  const auto status = registers<2>(config, PCI_STATUS);
  if (!status || (config_u16(*status, 0) & PCI_STATUS_CAP_LIST) == 0) return std::nullopt;
  auto link = registers<1>(config, PCI_CAPABILITY_LIST);
  for (unsigned count = 0; link && count < kMostCapabilities; ++count) {
    const unsigned at = config_u8(*link, 0) & kPointer;
    if (at < kFirstCapability) return std::nullopt;
    const auto head = registers<2>(config, at);
    if (!head) return std::nullopt;
    if (config_u8(*head, 0) == PCI_CAP_ID_MSIX) return at;
    link = {(*head)[1]};
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<Bar>> read_bars(const SysRoot& root, Bdf address) {
  const auto function = TRY(find(root, address));
  auto reader = TRY(FunctionReader::open(root));
  return reader.bars(function);
}

std::optional<Msix> read_msix(const SysRoot& root, Bdf address) {
  const auto config = root.open_file(Function{.address = address}.directory() + "/config", O_RDONLY);
  if (!config) return std::nullopt;
  const auto at = find_msix(config->ref());
  if (!at) return std::nullopt;
  const auto bytes = registers<PCI_CAP_MSIX_SIZEOF>(config->ref(), *at);
  if (!bytes) return std::nullopt;
  const auto table = config_u32(*bytes, PCI_MSIX_TABLE);
  const auto pending = config_u32(*bytes, PCI_MSIX_PBA);
  return Msix{.entries = (config_u16(*bytes, PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1U,
              .place = {.table_bar = static_cast<std::uint8_t>(table & PCI_MSIX_TABLE_BIR),
                        .table_offset = table & PCI_MSIX_TABLE_OFFSET,
                        .pba_bar = static_cast<std::uint8_t>(pending & PCI_MSIX_PBA_BIR),
                        .pba_offset = pending & PCI_MSIX_PBA_OFFSET}};
}

}  // namespace pcivm::iommu
