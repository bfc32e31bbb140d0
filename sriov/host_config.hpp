// SPDX-License-Identifier: GPL-2.0-or-later
// What /etc/pcivm/host.yaml and host.d say the host shall be (docs/config.md). Pure data, read by cli/config_reader.
// A value that is not set is unmanaged: it stays as it is. A value that is set is enforced.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "base/parse.hpp"
#include "sriov/eswitch.hpp"
#include "sriov/pf_adapter.hpp"
#include "sriov/vf_wish.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::sriov {

/// Where something stands in a file; line and column from 1, 0 = not from a file.
struct Place {
  std::string file{};
  unsigned line{};
  unsigned column{};
  bool operator==(const Place&) const = default;
};
/// "/etc/pcivm/host.yaml:12:7"
[[nodiscard]] std::string to_string(const Place& place);

struct PciId {
  std::uint16_t vendor{};
  std::uint16_t device{};
  bool operator==(const PciId&) const = default;
};

/// All that are set must fit, and exactly one function may fit. An address alone is allowed but names a place, not a
/// card: `expect` then guards against another card in that place.
struct DeviceMatch {
  std::optional<MacAddress> permanent_mac{};
  std::optional<Guid> permanent_guid{};
  std::optional<std::string> serial{};       ///< of the VPD ("SN") or the Device Serial Number capability
  std::optional<std::string> nvme_serial{};  ///< as the controller reports it, without trailing blanks
  std::optional<std::string> nvme_nqn{};
  std::optional<std::string> slot{};  ///< physical slot as /sys/bus/pci/slots names it
  std::optional<std::string> path{};  ///< as udev's ID_PATH: "pci-0000:01:00.0"
  std::optional<Bdf> address{};
  std::optional<unsigned> function{};  ///< of a card whose functions share what else is named: 0 to 7
  bool operator==(const DeviceMatch&) const = default;
};
/// As in a file: "permanentMac 52:54:00:aa:00:01, function 1"; empty for an empty one.
[[nodiscard]] std::string to_string(const DeviceMatch& match);

/// A mismatch refuses the whole device.
struct DeviceExpect {
  std::optional<PciId> id{};
  std::optional<PciId> subsystem{};
  std::optional<std::string> driver{};    ///< of the function as the host uses it: "igb"
  std::optional<std::string> firmware{};  ///< exact, or ">=1.2"
  bool operator==(const DeviceExpect&) const = default;
};

/// One entry of `vfs`: VFs first..last alike. Ranges of one device do not overlap.
struct VfEntry {
  Place place{};
  unsigned first{};
  unsigned last{};
  std::optional<std::string> bind{};  ///< "host", "none", or a driver's name
  std::optional<std::string> mac{};   ///< may hold %02x for the VF's index (mac_template)
  VfWish wish{};                      ///< all attributes but the MAC
  std::optional<std::string> name{};  ///< interface of a VF that the host uses; one VF, bind host
  std::optional<std::string> pool{};  ///< pool that these VFs belong to
  /// Of a way back (as_config), never from a file: in place of `bind`, the driver and its override to the letter.
  std::optional<vfio::DriverState> former{};
  bool operator==(const VfEntry&) const = default;
};

struct SriovEntry {
  Place place{};
  std::optional<unsigned> num_vfs{};
  std::optional<bool> autoprobe{};  ///< sriov_drivers_autoprobe as it is left
  Eswitch eswitch{};
  std::optional<unsigned> mtu{};        ///< of the PF's interface
  std::optional<bool> up{};             ///< is the PF's interface up
  VfWish vf_defaults{};                 ///< of every VF that no entry says otherwise of; no MAC
  std::optional<std::string> vf_bind{};  ///< the same for `bind`
  std::vector<VfEntry> vfs{};           ///< sorted by index
  Settings settings{};                  ///< of the PF's adapter, as `vf create --set` (NVMe drives, GPUs)
  bool without_settings{};  ///< of a way back, never from a file: no settings is meant, not unmanaged
  bool operator==(const SriovEntry&) const = default;
};

/// What a function was, to the letter.
struct FormerDriver {
  vfio::DriverState state{};
  std::optional<std::string> native{};  ///< who had it before pcivm bound it, "" = nobody; not set = not bound by pcivm
  bool operator==(const FormerDriver&) const = default;
};

/// A function that is given away whole.
struct PassthroughEntry {
  Place place{};
  std::string bind{"vfio-pci"};  ///< a driver, "host" or "none"
  bool whole_group{};            ///< all functions of its IOMMU group
  bool early{};                  ///< bound in the initramfs, before its native driver is loaded
  std::vector<std::string> reset_methods{};  ///< in this order; empty = unmanaged
  std::optional<bool> d3cold{};
  std::optional<std::string> power{};  ///< "on" or "auto"
  std::optional<std::string> pool{};
  /// Of a way back (as_config), never from a file: in place of `bind`.
  std::optional<FormerDriver> former{};
  bool operator==(const PassthroughEntry&) const = default;
};

struct DeviceEntry {
  std::string name;  ///< [a-z0-9][a-z0-9-]{0,62}
  Place place{};
  DeviceMatch match{};
  DeviceExpect expect{};
  bool externally_managed{};  ///< somebody else makes its VFs; only VFs that exist are set up
  std::optional<SriovEntry> sriov{};
  std::optional<PassthroughEntry> passthrough{};  ///< never both in a file; a way back may describe both
  bool operator==(const DeviceEntry&) const = default;
};

/// For comparing what is said, wherever it stands.
[[nodiscard]] DeviceEntry without_places(DeviceEntry device);

struct HostConfig {
  std::vector<std::string> files{};  ///< in the order in which they were merged
  bool allow_recreate{};             ///< a change of numVfs may make all VFs anew when none is used
  std::vector<DeviceEntry> devices{};  ///< sorted by name
  std::map<std::string, Place> pools{};
  bool operator==(const HostConfig&) const = default;
};
/// The same, and without the names of its files.
[[nodiscard]] HostConfig without_places(HostConfig config);

}  // namespace pcivm::sriov
