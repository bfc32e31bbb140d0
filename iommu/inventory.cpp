// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/inventory.hpp"

#include <fcntl.h>
#include <linux/pci_regs.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "base/pci_config.hpp"
#include "iommu/class_devices.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::string_view kDevices = "/sys/bus/pci/devices";
constexpr std::size_t kConfigSpace = 4096;

// Flags in sysfs `resource`: include/linux/ioport.h.
constexpr std::uint64_t kResourceIo = 0x100;
constexpr std::uint64_t kResourceMemory = 0x200;
constexpr std::uint64_t kResourcePrefetch = 0x2000;
constexpr std::uint64_t kResourceMemory64 = 0x100000;

std::unexpected<Error> absent(Bdf address) {
  return fail(Error::make(Errc::not_found, fmt::format("no PCI function {}", address.to_string()))
                  .advise("pcivm device list")
                  .coded("device.not_found"));
}

/// Value of `key=` among the lines of a uevent file; empty when absent.
std::string_view value_of(std::string_view uevent, std::string_view key) {
  for (std::size_t start = 0; start < uevent.size();) {
    const auto end = std::min(uevent.find('\n', start), uevent.size());
    const auto line = uevent.substr(start, end - start);
    if (line.starts_with(key) && line.substr(key.size()).starts_with('=')) return line.substr(key.size() + 1);
    start = end + 1;
  }
  return {};
}

/// "8086:10C9"
void parse_ids(std::string_view text, std::uint16_t& vendor, std::uint16_t& device) {
  const auto colon = std::min(text.find(':'), text.size());
  vendor = parse_hex<std::uint16_t>(text.substr(0, colon)).value_or(0);
  device = parse_hex<std::uint16_t>(text.substr(std::min(colon + 1, text.size()))).value_or(0);
}

/// The header type is not in sysfs' text files; bridges are told by their class (PCI Code and ID Assignment, 1.7).
bool is_bridge_class(std::uint32_t class_code) {
  const auto kind = class_code >> 8U;
  constexpr std::uint32_t kPciBridge = 0x0604;
  constexpr std::uint32_t kCardBusBridge = 0x0607;
  constexpr std::uint32_t kSemiTransparentBridge = 0x0609;
  return kind == kPciBridge || kind == kCardBusBridge || kind == kSemiTransparentBridge;
}

Function parse_function(const SysRoot& root, Bdf address, std::string_view uevent) {
  Function function;
  function.address = address;
  parse_ids(value_of(uevent, "PCI_ID"), function.vendor, function.device);
  parse_ids(value_of(uevent, "PCI_SUBSYS_ID"), function.subsystem_vendor, function.subsystem_device);
  function.class_code = parse_hex<std::uint32_t>(value_of(uevent, "PCI_CLASS")).value_or(0);
  function.is_bridge = is_bridge_class(function.class_code);
  function.driver = value_of(uevent, "DRIVER");
  const auto directory = function.directory();
  if (const auto group = parse_decimal<std::uint32_t>(root.link_name(directory + "/iommu_group"))) {
    function.iommu_group = *group;
  }
  if (const auto physical = Bdf::parse(root.link_name(directory + "/physfn"))) function.physfn = *physical;
  return function;
}

/// Content of a file, empty when it is absent or unreadable.
std::string text_of(const SysRoot& root, const std::string& path) { return root.read(path).value_or(""); }

template <class T>
std::optional<T> number_of(const SysRoot& root, const std::string& path) {
  const auto number = parse_decimal<T>(text_of(root, path));
  return number ? std::optional<T>{*number} : std::nullopt;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream{text};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::optional<Bar> parse_bar(std::uint8_t index, const std::string& line) {
  const auto words = words_of(line);
  if (words.size() != 3) return std::nullopt;
  const auto start = parse_hex_prefixed<std::uint64_t>(words[0]);
  const auto end = parse_hex_prefixed<std::uint64_t>(words[1]);
  const auto flags = parse_hex_prefixed<std::uint64_t>(words[2]);
  if (!start || !end || !flags || *end <= *start || (*flags & (kResourceIo | kResourceMemory)) == 0)
    return std::nullopt;
  return Bar{.index = index,
             .address = *start,
             .size = *end - *start + 1,
             .io = (*flags & kResourceIo) != 0,
             .wide = (*flags & kResourceMemory64) != 0,
             .prefetchable = (*flags & kResourcePrefetch) != 0};
}

/// The first seven lines of `resource`: six BARs and the ROM. A VF's own BARs stand there too.
std::vector<Bar> read_bars(const SysRoot& root, const std::string& directory) {
  constexpr std::uint8_t kBars = 7;
  std::istringstream lines{text_of(root, directory + "/resource")};
  std::vector<Bar> bars;
  std::string line;
  for (std::uint8_t index = 0; index < kBars && std::getline(lines, line); ++index) {
    if (const auto bar = parse_bar(index, line)) bars.push_back(*bar);
  }
  return bars;
}

/// Configuration space as far as this user may read it: 64 bytes without CAP_SYS_ADMIN.
std::vector<std::byte> read_config(const SysRoot& root, const std::string& directory) {
  std::vector<std::byte> image(kConfigSpace);
  std::size_t filled = 0;
  if (const auto fd = root.open_file(directory + "/config", O_RDONLY)) {
    while (filled < image.size()) {
      const auto count = read_some(fd->ref(), std::span{image}.subspan(filled));
      if (!count || *count == 0) break;
      filled += *count;
    }
  }
  image.resize(filled);
  return image;
}

void read_config_facts(const SysRoot& root, FunctionDetail& function) {
  const auto image = read_config(root, function.directory());
  if (image.size() < PCI_STD_HEADER_SIZEOF) return;
  function.is_bridge = (config_u8(image, PCI_HEADER_TYPE) & 0x7fU) != PCI_HEADER_TYPE_NORMAL;
  if (image.size() <= PCI_STD_HEADER_SIZEOF) return;  // no capability can be seen, which is not the same as none
  function.msi_vectors = 0;
  function.msix_vectors = 0;
  if (const auto msi = find_capability(image, PCI_CAP_ID_MSI)) {
    const auto control = config_u16(image, msi + PCI_MSI_FLAGS);
    function.msi_vectors = 1U << ((control & PCI_MSI_FLAGS_QMASK) >> 1U);
  }
  if (const auto msix = find_capability(image, PCI_CAP_ID_MSIX)) {
    const auto control = config_u16(image, msix + PCI_MSIX_FLAGS);
    function.msix_vectors = (control & PCI_MSIX_FLAGS_QSIZE) + 1U;
  }
}

void read_sriov(const SysRoot& root, FunctionDetail& function) {
  const auto directory = function.directory();
  if (const auto total = number_of<std::uint16_t>(root, directory + "/sriov_totalvfs")) {
    // The numbers of VFs are read through the links: reading sriov_numvfs takes the device lock, which a writer may
    // hold for as long as it likes (drivers/pci/iov.c, sriov_numvfs_show).
    const auto virtuals = virtual_functions(root, function.address);
    function.sriov = Sriov{.total_vfs = *total,
                           .num_vfs = static_cast<std::uint16_t>(virtuals ? virtuals->size() : 0),
                           .autoprobe = text_of(root, directory + "/sriov_drivers_autoprobe") != "0"};
  }
  if (!function.is_vf()) return;
  const auto siblings = virtual_functions(root, *function.physfn);
  if (!siblings) return;
  const auto self = std::ranges::find(*siblings, function.address);
  if (self != siblings->end()) function.vf_index = static_cast<std::uint16_t>(self - siblings->begin());
}

/// Interfaces, disks and graphics nodes of all functions.
struct Owned {
  std::map<Bdf, std::vector<std::string>> netdevs;
  std::map<Bdf, std::vector<std::string>> disks;
  std::map<Bdf, std::vector<std::string>> drm_nodes;

  static Owned read(const SysRoot& root) {
    return {class_devices(root, DeviceClass::net), class_devices(root, DeviceClass::block),
            class_devices(root, DeviceClass::drm)};
  }
};

std::vector<std::string> names_of(const std::map<Bdf, std::vector<std::string>>& names, Bdf address) {
  const auto found = names.find(address);
  return found == names.end() ? std::vector<std::string>{} : found->second;
}

void read_link(const SysRoot& root, FunctionDetail& function) {
  const auto directory = function.directory();
  const auto speed = text_of(root, directory + "/current_link_speed");
  if (speed.empty() || speed.starts_with("Unknown")) return;  // of a VF, or not PCI Express
  function.link_speed = speed;
  function.link_width = number_of<unsigned>(root, directory + "/current_link_width");
}

FunctionDetail read_details(const SysRoot& root, const Function& identity, const Owned& owned) {
  FunctionDetail function;
  static_cast<Function&>(function) = identity;
  const auto directory = function.directory();
  function.revision = parse_hex_prefixed<std::uint8_t>(text_of(root, directory + "/revision")).value_or(0);
  const auto override_name = text_of(root, directory + "/driver_override");
  if (override_name != "(null)") function.driver_override = override_name;
  function.numa_node = number_of<unsigned>(root, directory + "/numa_node");  // "-1" is no number, and none
  function.reset_methods = words_of(text_of(root, directory + "/reset_method"));
  function.bars = read_bars(root, directory);
  const auto power = text_of(root, directory + "/power_state");
  if (power != "unknown") function.power_state = power;
  function.boot_vga = text_of(root, directory + "/boot_vga") == "1";
  read_link(root, function);
  read_sriov(root, function);
  read_config_facts(root, function);
  function.netdevs = names_of(owned.netdevs, function.address);
  function.block_devices = names_of(owned.disks, function.address);
  function.drm_nodes = names_of(owned.drm_nodes, function.address);
  return function;
}

}  // namespace

std::string Function::directory() const { return fmt::format("{}/{}", kDevices, address.to_string()); }

Result<std::vector<Function>> list(const SysRoot& root) {
  std::vector<Function> functions;
  if (!root.exists(kDevices)) return functions;
  for (const auto& name : TRY(root.list(kDevices))) {
    const auto address = Bdf::parse(name);
    if (!address) continue;
    const auto uevent = root.read(fmt::format("{}/{}/uevent", kDevices, name));
    if (uevent) functions.push_back(parse_function(root, *address, *uevent));
  }
  std::ranges::sort(functions, {}, &Function::address);
  return functions;
}

Result<Function> find(const SysRoot& root, Bdf address) {
  const auto uevent = root.read(fmt::format("{}/{}/uevent", kDevices, address.to_string()));
  if (!uevent) return absent(address);
  return parse_function(root, address, *uevent);
}

Result<std::vector<FunctionDetail>> list_details(const SysRoot& root) {
  const auto owned = Owned::read(root);
  std::vector<FunctionDetail> details;
  for (const auto& function : TRY(list(root))) details.push_back(read_details(root, function, owned));
  return details;
}

Result<FunctionDetail> read_function(const SysRoot& root, Bdf address) {
  return read_details(root, TRY(find(root, address)), Owned::read(root));
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
