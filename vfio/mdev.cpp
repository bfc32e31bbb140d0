// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/mdev.hpp"

#include <algorithm>
#include <cctype>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "vfio/device.hpp"
#include "vfio/device_bars.hpp"
#include "vfio/dma_space.hpp"
#include "vfio/opened.hpp"
#include "vfio/vf_token.hpp"

namespace pcivm::vfio {

namespace {

// No host has such a domain. Devices that processes serve are on its bus 0.
constexpr std::uint32_t kDomain = 0xffffffff;
constexpr std::uint8_t kBus = 1;

}  // namespace

std::string mdev_directory(std::string_view uuid) { return fmt::format("{}/{}", kMdevs, uuid); }

// The kernel writes UUIDs in lower case.
Result<std::string> find_mdev(const SysRoot& root, std::string_view text) {
  std::string uuid{text};
  if (text.starts_with(kMdevs) && text.substr(kMdevs.size()).starts_with('/')) uuid = text.substr(kMdevs.size() + 1);
  if (uuid.ends_with('/')) uuid.pop_back();
  if (!is_uuid(uuid)) {
    return fail(Error::make(Errc::invalid, fmt::format("'{}' found, a UUID or {}/UUID wanted", text, kMdevs))
                    .advise(fmt::format("mdevctl list, or ls {}", kMdevs)));
  }
  std::ranges::transform(uuid, uuid.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (root.exists(mdev_directory(uuid))) return uuid;
  return fail(Error::make(Errc::not_found, fmt::format("the host has no mediated device {}", uuid))
                  .coded("mdev.not_found")
                  .advise(fmt::format("mdevctl list, or ls {}; pcivm makes none: mdevctl start, or its UUID written to "
                                      "the file create of a type in /sys/class/mdev_bus",
                                      kMdevs)));
}

Result<std::uint32_t> mdev_group(const SysRoot& root, std::string_view uuid) {
  const auto link = root.link(mdev_directory(uuid) + "/iommu_group").value_or("");
  const auto number = parse_decimal<std::uint32_t>(link.substr(link.rfind('/') + 1));
  if (number) return *number;
  return fail(Error::make(Errc::not_found, "no VFIO driver has it: it is in no IOMMU group")
                  .advise(fmt::format("ls -l {}/driver; the kernel's log says why its driver did not take it",
                                      mdev_directory(uuid))));
}

Bdf mdev_address(unsigned index) {
  return {.domain = kDomain, .bus = kBus, .device = static_cast<std::uint8_t>(index)};
}

Result<Mdev> read_mdev(const SysRoot& root, IoctlPort& port, const std::string& uuid, std::optional<IommuBackend> wish,
                       const std::function<Result<void>(FdRef)>& tell_kvm) {
  Mdev mdev{.uuid = uuid};
  auto opened = TRY(open_devices(root, port, {}, wish, {&mdev, 1}));
  const auto space = TRY(make_dma_space(port, std::move(opened)));
  for (const auto file : space->files()) TRY_IN(tell_kvm(file), uuid);
  // Whether it can be reset is asked when the VM opens it.
  const auto device = TRY(space->open(mdev_address(0), UnprovenReset::allow));
  mdev.bars = TRY_IN(bars_of(*device), uuid);
  return mdev;
}

}  // namespace pcivm::vfio
