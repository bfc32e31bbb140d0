// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/physical_function.hpp"

#include <cerrno>
#include <thread>

#include <fmt/format.h>

#include "base/log.hpp"
#include "base/parse.hpp"
#include "sriov/vf_access.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::sriov {

namespace {

constexpr int kAttempts{5};

Error not_physical(Bdf address, std::string_view why, std::string_view hint) {
  return Error::make(Errc::invalid, fmt::format("{} {}", address.to_string(), why))
      .coded("device.not_pf")
      .advise(std::string{hint});
}

std::string hint_for(int error) {
  switch (error) {
    case ENOENT: return "the PF's driver cannot make virtual functions, or none is bound";
    case ENOMEM:
      return "the platform has no room for their BARs: switch on SR-IOV and above-4G decoding in the firmware, or boot "
             "with pci=realloc";
    case ENOSPC: return "the PF has no resources left for so many: ask for fewer";
    case EBUSY: return "another program changed the number of VFs at the same time; see pcivm vf list";
    case EAGAIN: return "the PF's driver is busy with a reset; try again";
    case EOPNOTSUPP: return "the PF's driver does not offer this in its present mode; see dmesg";
    default: return "see dmesg for the driver's own words";
  }
}

Result<void> expect(const vfio::Host& host, const std::string& path, const std::string& wanted) {
  const auto found = TRY(vfio::read_within(host, path));
  if (found == wanted) return {};
  return fail(Errc::kernel, fmt::format("write '{}' to '{}' was accepted, but it reads '{}'", wanted, path, found));
}

// Representors of a switchdev PF hang on it too; their port names are pfNvfM (kernel, devlink-port.rst).
bool is_representor(const SysRoot& root, std::string_view name) {
  const auto port = root.read(fmt::format("/sys/class/net/{}/phys_port_name", name));
  return port && port->find("vf") != std::string::npos;
}

}  // namespace

std::string numvfs_file(Bdf physical) { return vfio::directory_of(physical) + "/sriov_numvfs"; }
std::string autoprobe_file(Bdf physical) { return vfio::directory_of(physical) + "/sriov_drivers_autoprobe"; }

Result<PhysicalFunction> read_physical(const vfio::Host& host, Bdf address) {
  const auto directory = vfio::directory_of(address);
  if (!host.root.exists(directory)) {
    return fail(Error::make(Errc::not_found, fmt::format("there is no PCI function {}", address.to_string()))
                    .coded("device.not_found")
                    .advise("pcivm device list"));
  }
  const auto parent = host.root.link_name(directory + "/physfn");
  if (!parent.empty()) {
    return fail(not_physical(address, "is itself a virtual function", fmt::format("its PF is {}", parent)));
  }
  if (!host.root.exists(numvfs_file(address))) {
    return fail(
        not_physical(address, "has no SR-IOV: it cannot make virtual functions", "pcivm vf list shows who can"));
  }
  PhysicalFunction pf{.address = address, .driver = host.root.link_name(directory + "/driver")};
  // sriov_numvfs first: it is the one whose reader waits for a writer.
  const auto num_vfs = TRY(vfio::read_within(host, numvfs_file(address)));
  pf.num_vfs = TRY(parse_decimal<unsigned>(num_vfs));
  const auto total_vfs = TRY(host.root.read(directory + "/sriov_totalvfs"));
  pf.total_vfs = TRY(parse_decimal<unsigned>(total_vfs));
  const auto autoprobe = host.root.read(autoprobe_file(address));
  pf.autoprobe = !autoprobe || *autoprobe != "0";
  return pf;
}

std::vector<Bdf> vfs_of(const SysRoot& root, Bdf physical) {
  std::vector<Bdf> vfs;
  for (unsigned index = 0;; ++index) {
    const auto vf = Bdf::parse(root.link_name(fmt::format("{}/virtfn{}", vfio::directory_of(physical), index)));
    if (!vf) return vfs;
    vfs.push_back(*vf);
  }
}

Result<void> set_autoprobe(const vfio::Host& host, Bdf physical, bool on) {
  const auto value = on ? "1" : "0";
  TRY(vfio::write_within(host, autoprobe_file(physical), value));
  return expect(host, autoprobe_file(physical), value);
}

Result<void> set_numvfs(const vfio::Host& host, Bdf physical, unsigned count) {
  const auto value = fmt::to_string(count);
  for (int attempt = 1;; ++attempt) {
    auto written = vfio::write_within(host, numvfs_file(physical), value, host.numvfs_deadline);
    if (written) break;
    const int error = written.error().sys_errno();
    // i40e answers EAGAIN while another operation of its own is pending.
    if (error == EAGAIN && attempt < kAttempts) {
      log::debug("{}: trying again", written.error().text());
      std::this_thread::sleep_for(std::chrono::milliseconds{20} * (1 << attempt));
      continue;
    }
    return fail(std::move(written).error().advise(hint_for(error)));
  }
  auto made = expect(host, numvfs_file(physical), value);
  if (made || count == 0) return made;
  return fail(
      std::move(made).error().advise("the driver made fewer than asked: see dmesg for its own words; some (bnxt_en) "
                                     "make none while the PF's interface "
                                     "is down: ip link set ... up"));
}

Result<Interface> interface_of(const SysRoot& root, Bdf physical) {
  const auto names = root.list(vfio::directory_of(physical) + "/net");
  if (names) {
    for (const auto& name : *names) {
      if (is_representor(root, name)) continue;
      const auto text = TRY(root.read(fmt::format("{}/net/{}/ifindex", vfio::directory_of(physical), name)));
      const auto index = TRY(parse_decimal<unsigned>(text));
      return Interface{.name = name, .index = static_cast<int>(index)};
    }
  }
  return fail(
      Error::make(Errc::kernel, fmt::format("{} has no network interface here", physical.to_string()))
          .coded("pf.no_interface")
          .advise("VF attributes are set through it: is its driver bound, and is it in this network namespace?"));
}

Result<std::vector<VirtualFunction>> list(const vfio::Host& host, Bdf physical, VfPort* port) {
  VfAccess access{host, port, physical};
  auto attributes = access.read();
  const auto missing = access.missing() ? access.missing()->text() : std::string{};
  std::vector<VirtualFunction> vfs;
  for (const auto address : vfs_of(host.root, physical)) {
    const auto now = TRY(vfio::situation(host, address));
    VirtualFunction vf{.address = address,
                       .physical = physical,
                       .index = static_cast<unsigned>(vfs.size()),
                       .driver = now.state.driver,
                       .driver_override = now.state.driver_override,
                       .iommu_group = {},
                       .attributes = {},
                       .missing = missing};
    const auto group = host.root.link_name(vfio::directory_of(address) + "/iommu_group");
    if (const auto number = parse_decimal<unsigned>(group)) vf.iommu_group = *number;
    if (vfs.size() < attributes.size()) vf.attributes = std::move(attributes[vfs.size()]);
    vfs.push_back(std::move(vf));
  }
  return vfs;
}

Result<std::vector<Bdf>> physical_functions(const SysRoot& root) {
  std::vector<Bdf> found;
  const auto names = root.list("/sys/bus/pci/devices");
  if (!names && names.error().kind() == Errc::not_found) return found;  // a host without PCI has none
  for (const auto& name : TRY(names)) {
    const auto address = Bdf::parse(name);
    if (address && root.exists(numvfs_file(*address))) found.push_back(*address);
  }
  return found;
}

}  // namespace pcivm::sriov
