// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_msix.hpp"

#include <fcntl.h>
#include <linux/pci_regs.h>

#include <cerrno>
#include <span>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "base/pci_config.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::sriov {

namespace {

std::string_view hint_for(int error) {
  switch (error) {
    case EOPNOTSUPP: return "the PF's driver does not offer this";
    case EBUSY: return "a driver took the VF meanwhile: only a VF without driver can be changed";
    case EINVAL: return "the driver wants more than that, or another number";
    case EOVERFLOW: return "one VF may not have so many";
    case ENOSPC: return "the pool is used up: give another VF fewer first";
    case ENOENT: return "the PF's driver does not know the VF yet; try again";
    default: return "see dmesg for the driver's own words";
  }
}

}  // namespace

std::uint32_t msix_pool(const SysRoot& root, Bdf physical) {
  const auto text = root.read(vfio::directory_of(physical) + "/sriov_vf_total_msix");
  if (!text) return 0;
  return parse_decimal<std::uint32_t>(*text).value_or(0);
}

std::optional<std::uint32_t> msix_count(const SysRoot& root, Bdf vf) {
  constexpr std::size_t kWithoutExtended{256};
  const auto file = root.open_file(vfio::directory_of(vf) + "/config", O_RDONLY);
  if (!file) return std::nullopt;
  const auto image = read_to_end(file->ref(), kWithoutExtended);
  if (!image) return std::nullopt;
  const auto bytes = std::as_bytes(std::span{*image});
  const auto at = find_capability(bytes, PCI_CAP_ID_MSIX);
  if (at == 0) return std::nullopt;
  return (config_u16(bytes, at + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1U;
}

Result<void> check_msix_count(const SysRoot& root, Bdf physical, Bdf vf, std::uint32_t count) {
  const auto pool = msix_pool(root, physical);
  if (pool == 0) {
    return fail(Error::make(Errc::kernel, fmt::format("{} does not share out interrupt vectors among its VFs "
                                                      "(sriov_vf_total_msix is 0 or absent)",
                                                      physical.to_string()))
                    .coded("vf.no_msix_pool")
                    .advise("its driver must offer that, as mlx5_core and ice do"));
  }
  if (count > pool) {
    return fail(Error::make(Errc::invalid, fmt::format("{} interrupt vectors are wanted, {} has {} for all its VFs",
                                                       count, physical.to_string(), pool)));
  }
  const auto driver = root.link_name(vfio::directory_of(vf) + "/driver");
  if (driver.empty()) return {};
  return fail(Error::make(Errc::busy, fmt::format("{} is bound to {}: its number of interrupt vectors can be changed "
                                                  "only while no driver has it",
                                                  vf.to_string(), driver))
                  .coded("vf.bound")
                  .advise(fmt::format("pcivm device release {} --driver none; or give --msix to pcivm vf create",
                                      vf.to_string())));
}

Result<void> set_msix_count(const vfio::Host& host, Bdf physical, Bdf vf, std::uint32_t count) {
  TRY(check_msix_count(host.root, physical, vf, count));
  const auto file = vfio::directory_of(vf) + "/sriov_vf_msix_count";
  auto written = vfio::write_within(host, file, fmt::to_string(count));
  if (written) return {};
  const int error = written.error().sys_errno();
  return fail(std::move(written).error().advise(std::string{hint_for(error)}));
}

}  // namespace pcivm::sriov
