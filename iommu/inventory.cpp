// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/inventory.hpp"

#include <algorithm>
#include <map>
#include <string_view>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "iommu/function_reader.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::string_view kDevices = "/sys/bus/pci/devices";

std::unexpected<Error> absent(Bdf address) {
  return fail(Error::make(Errc::not_found, fmt::format("no PCI function {}", address.to_string()))
                  .advise("pcivm device list")
                  .coded("device.not_found"));
}

/// All functions that `reader` finds. A host without PCI has no reader.
Result<std::vector<Function>> list_by(const SysRoot& root, FunctionReader& reader) {
  std::vector<Function> functions;
  for (const auto& name : TRY(root.list(kDevices))) {
    const auto address = Bdf::parse(name);
    if (!address) continue;
    if (auto function = reader.function(*address)) functions.push_back(std::move(*function));
  }
  std::ranges::sort(functions, {}, &Function::address);
  return functions;
}

/// VFs by PF. Routing IDs rise with the index (PCIe Base 6.0, 9.2.1.2), so they stand in that order.
std::map<Bdf, std::vector<Bdf>> vfs_of(const std::vector<Function>& functions) {
  std::map<Bdf, std::vector<Bdf>> vfs;
  for (const auto& function : functions) {
    if (function.physfn) vfs[*function.physfn].push_back(function.address);
  }
  return vfs;
}

}  // namespace

std::string Function::directory() const { return fmt::format("{}/{}", kDevices, address.to_string()); }

Result<std::vector<Function>> list(const SysRoot& root) {
  if (!root.exists(kDevices)) return {};
  auto reader = TRY(FunctionReader::open(root));
  return list_by(root, reader);
}

Result<Function> find(const SysRoot& root, Bdf address) {
  auto reader = FunctionReader::open(root);
  auto function = reader ? reader->function(address) : std::nullopt;
  if (!function) return absent(address);
  return std::move(*function);
}

std::vector<Function> find_all(const SysRoot& root, std::span<const Bdf> addresses) {
  std::vector<Function> functions;
  auto reader = FunctionReader::open(root);
  if (!reader) return functions;
  for (const auto address : addresses) {
    if (auto function = reader->function(address)) functions.push_back(std::move(*function));
  }
  return functions;
}

Result<std::vector<FunctionDetail>> list_details(const SysRoot& root) {
  if (!root.exists(kDevices)) return {};
  auto reader = TRY(FunctionReader::open(root));
  const auto functions = TRY(list_by(root, reader));
  const auto owned = Owned::read(root);
  const auto vfs = vfs_of(functions);
  std::vector<FunctionDetail> details;
  for (const auto& function : functions) {
    const auto found = vfs.find(function.physfn.value_or(function.address));
    details.push_back(reader.detail(function, found == vfs.end() ? std::vector<Bdf>{} : found->second, owned));
  }
  return details;
}

Result<FunctionDetail> read_function(const SysRoot& root, Bdf address) {
  auto reader = FunctionReader::open(root);
  const auto function = reader ? reader->function(address) : std::nullopt;
  if (!function) return absent(address);
  const auto vfs = virtual_functions(root, function->physfn.value_or(address)).value_or(std::vector<Bdf>{});
  return reader->detail(*function, vfs, Owned::read(root));
}

Result<std::vector<Bdf>> virtual_functions(const SysRoot& root, Bdf physical) {
  const auto directory = fmt::format("{}/{}", kDevices, physical.to_string());
  const auto names = root.list(directory);
  if (!names) return absent(physical);
  std::vector<std::pair<std::uint16_t, Bdf>> found;
  for (const std::string_view name : *names) {
    constexpr std::string_view kPrefix = "virtfn";
    if (!name.starts_with(kPrefix)) continue;
    const auto index = parse_decimal<std::uint16_t>(name.substr(kPrefix.size()));
    const auto address = Bdf::parse(root.link_name(fmt::format("{}/{}", directory, name)));
    if (index && address) found.emplace_back(*index, *address);
  }
  std::ranges::sort(found);  // "virtfn10" sorts before "virtfn2" as text
  std::vector<Bdf> addresses;
  for (const auto& [index, address] : found) addresses.push_back(address);
  return addresses;
}

}  // namespace pcivm::iommu
