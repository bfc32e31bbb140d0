// SPDX-License-Identifier: GPL-2.0-or-later
// Everything that the commands say about VFs: the device's own facts, and the attributes its PF's driver enforces.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "cli/context.hpp"
#include "cli/device_facts.hpp"
#include "cli/render.hpp"
#include "sriov/pf_adapter.hpp"
#include "sriov/physical_function.hpp"
#include "sriov/vf_port.hpp"
#include "vfio/binding_host.hpp"

namespace pcivm::cli {

struct VfFacts {
  sriov::VirtualFunction vf;
  DeviceFacts device;
  std::string adapter{};     ///< "nvme", "xe"; empty = its PF has none
  sriov::Profile profile{};  ///< what that adapter tells of the VF
};

/// The VFs of one PF, or of all; sorted by PF and index. Unless a document is asked for, `device` has only what the
/// table shows: identity and users.
[[nodiscard]] Result<std::vector<VfFacts>> vf_facts(Context& context, std::optional<Bdf> physical);
/// The same in the course of a change, with what that has open. `port` may be null; `fresh`: they were just made.
[[nodiscard]] Result<std::vector<VfFacts>> vf_facts(Context& context, const vfio::Host& host, sriov::VfPort* port,
                                                    std::optional<Bdf> physical, bool fresh);

/// As a device (docs/schema), with `attributes`, null in there = the driver does not report it; `profile`, and the same
/// with types in `nvme` for a drive.
[[nodiscard]] Json to_json(const VfFacts& facts, const iommu::PciNames& names);
[[nodiscard]] Result<int> print_vfs(Context& context, const std::vector<VfFacts>& vfs);

/// A PF and a VF's index from "eth2/vf3" or the VF's own address. Errc::invalid when it is no VF.
struct VfName {
  Bdf address;
  Bdf physical;
  unsigned index{};
};
[[nodiscard]] Result<VfName> select_vf(Context& context, const std::string& text);

/// "100", "100 (qos 3)", "100 802.1ad"; empty = not reported or untagged.
[[nodiscard]] std::string vlan_text(const sriov::VfAttributes& attributes);
[[nodiscard]] std::string mac_text(const sriov::VfAttributes& attributes);
/// "on", "off", empty = not reported.
[[nodiscard]] std::string switch_text(const std::optional<bool>& value);
/// "controllerId=5 state=online vq=2"; empty = none.
[[nodiscard]] std::string profile_text(const VfFacts& facts);
/// "1000", "10-1000"; empty = no limit, or not reported.
[[nodiscard]] std::string rate_text(const sriov::VfAttributes& attributes);

}  // namespace pcivm::cli
