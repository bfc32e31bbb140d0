// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding_verify.hpp"

#include <fcntl.h>
#include <linux/pci_regs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "base/child.hpp"
#include "iommu/group.hpp"
#include "iommu/inventory.hpp"
#include "vfio/binding_check.hpp"
#include "vfio/opened.hpp"

namespace pcivm::vfio {

namespace {

constexpr int kSilent{255};  // of the child that reads; no errno is that large

// Not the vendor, which reads as 0xffff in every VF (PCI Express 6.0, 9.3.4.1.1).
int read_class(FdRef config) {
  std::array<std::byte, 4> code{};
  const auto read = pread_exact(config, PCI_CLASS_REVISION, code);
  if (!read) return read.error().sys_errno() != 0 ? read.error().sys_errno() : EIO;
  return std::ranges::all_of(code, [](std::byte b) { return b == std::byte{0xff}; }) ? kSilent : 0;
}

}  // namespace

Result<void> await_vfio_node(const Host& host, Bdf function) {
  using std::chrono::steady_clock;
  const auto group = host.root.link_name(directory_of(function) + "/iommu_group");
  const auto node = fmt::format("/dev/vfio/{}", group);
  const auto end = steady_clock::now() + std::min(host.deadline, std::chrono::milliseconds{2'000});
  for (;;) {
    if (host.root.exists(node) || host.root.exists(directory_of(function) + "/vfio-dev")) return {};
    if (steady_clock::now() >= end) break;
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  return fail(
      Error::make(Errc::kernel, fmt::format("{} is bound, but '{}' does not appear", function.to_string(), node))
          .coded("vfio.no_node")
          .advise("is /dev a devtmpfs, and is the vfio module loaded?"));
}

Result<void> check_answers(const Host& host, Bdf function) {
  const auto what = fmt::format("configuration space of {}", function.to_string());
  const auto config = TRY(host.root.open_file(directory_of(function) + "/config", O_RDONLY));
  const int outcome = TRY_IN(run_child([&] { return read_class(config.ref()); }, host.deadline), what);
  if (outcome == 0) return {};
  if (outcome != kSilent) return fail_errno(outcome, fmt::format("read the {}", what));
  const auto power = host.root.read(directory_of(function) + "/power_state").value_or("unknown");
  return fail(Error::make(Errc::kernel, fmt::format("{} does not answer: its configuration space reads 0xff "
                                                    "everywhere, power state {}",
                                                    function.to_string(), power))
                  .coded(kSilentDevice)
                  .advise(fmt::format("pcivm device reset {}; a device that does not come back from D3cold may with "
                                      "pcivm device bind --d3cold off",
                                      function.to_string())));
}

Result<void> check_power(const Host& host, Bdf function, const Settings& settings) {
  const auto wanted = settings.find("power/control");
  if (wanted == settings.end() || wanted->second != "on") return {};
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{2};
  for (;;) {
    // "unknown" is a function without power management, which has no other state.
    const auto state = host.root.read(directory_of(function) + "/power_state").value_or("unknown");
    if (state == "D0" || state == "unknown") return {};
    if (std::chrono::steady_clock::now() >= end) {
      return fail(Errc::kernel, fmt::format("{} is in {}, wanted D0", function.to_string(), state));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
}

Result<void> check_viable(const Host& host, std::span<const Bdf> functions) {
  if (host.ioctls == nullptr) return {};
  std::set<std::uint32_t> groups;
  for (const auto function : functions) {
    const auto group = TRY(iommu::find(host.root, function)).iommu_group;
    if (group) groups.insert(*group);
  }
  for (const auto number : groups) {
    // Not yet given away as a whole: that is the caller's wish, and no surprise.
    const auto group = TRY(iommu::read_group(host.root, number));
    if (!group.viable() || !host.root.exists(fmt::format("/dev/vfio/{}", number))) continue;
    auto viable = check_group_viable(host.root, *host.ioctls, number);
    if (!viable && viable.error().kind() != Errc::busy) {
      return fail(std::move(viable).error().within(fmt::format("IOMMU group {}", number)));
    }
  }
  return {};
}

}  // namespace pcivm::vfio
