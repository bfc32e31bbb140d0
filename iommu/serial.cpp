// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/serial.hpp"

#include <fcntl.h>
#include <linux/pci_regs.h>

#include <fmt/format.h>

#include "base/pci_config.hpp"
#include "iommu/function.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::size_t kConfigSpace = 4096;
constexpr std::size_t kLower = 4;  // of the capability
constexpr std::size_t kUpper = 8;

}  // namespace

std::optional<std::uint64_t> device_serial_number(std::span<const std::byte> config) {
  const auto offset = find_extended_capability(config, PCI_EXT_CAP_ID_DSN);
  if (offset == 0 || offset + kUpper + 4 > config.size()) return std::nullopt;
  const auto number = std::uint64_t{config_u32(config, offset + kUpper)} << 32U | config_u32(config, offset + kLower);
  if (number == 0 || number == ~std::uint64_t{0}) return std::nullopt;
  return number;
}

std::string serial_text(std::uint64_t number) {
  std::string text;
  for (unsigned shift = 64; shift != 0; shift -= 8) {
    text += fmt::format("{}{:02x}", text.empty() ? "" : "-", number >> (shift - 8) & 0xffU);
  }
  return text;
}

std::vector<std::byte> read_config(const SysRoot& root, Bdf address) {
  std::vector<std::byte> image(kConfigSpace);
  const auto file = root.open_file(Function{.address = address}.directory() + "/config", O_RDONLY);
  // One read: the kernel gives all that there is at once.
  image.resize(file ? read_some(file->ref(), image).value_or(0) : 0);
  return image;
}

std::vector<std::string> serials_of(const SysRoot& root, Bdf address, VpdReader& reader,
                                    std::chrono::milliseconds deadline) {
  std::vector<std::string> serials;
  if (const auto vpd = reader.read(root, address, deadline); vpd && *vpd && !(*vpd)->serial.empty()) {
    serials.push_back((*vpd)->serial);
  }
  if (const auto number = device_serial_number(read_config(root, address))) serials.push_back(serial_text(*number));
  return serials;
}

}  // namespace pcivm::iommu
