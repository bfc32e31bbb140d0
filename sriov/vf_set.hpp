// SPDX-License-Identifier: GPL-2.0-or-later
// Making, unmaking and changing the VFs of one PF, as transactions (see vfio/binding.hpp for what that means).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sriov/eswitch.hpp"
#include "sriov/pf_adapter.hpp"
#include "sriov/physical_function.hpp"
#include "sriov/vf_make.hpp"
#include "sriov/vf_port.hpp"
#include "sriov/vf_wish.hpp"
#include "vfio/binding.hpp"

namespace pcivm::sriov {

inline constexpr std::string_view kBindNone{};        ///< no driver
inline constexpr std::string_view kBindHost{"host"};  ///< the VF's native driver

/// `count` VFs that all get the same driver: kBindNone (where there are VFs, they keep theirs), kBindHost, or a
/// driver's name. `wishes`: by VF index, none or `count`.
[[nodiscard]] std::vector<VfTarget> targets_for(unsigned count, std::string_view bind = kBindNone,
                                                const std::vector<VfWish>& wishes = {});

struct CreateRequest {
  Bdf physical;
  std::vector<VfTarget> targets{};        ///< one a VF; attributes are set before the VF has a driver
  std::optional<bool> autoprobe_after{};  ///< sriov_drivers_autoprobe as it is left; not set: as it was
  std::vector<std::string> force{};
  Settings settings{};    ///< for the PF's adapter
  bool allow_recreate{};  ///< another number than there is: make all anew
  VfPort* port{};         ///< the way to attributes; null: none can be kept or set
  Eswitch eswitch{};      ///< set before or with the VFs; goes back when that fails, not on removal
  std::span<const AdapterKind> adapters{builtin_adapters()};
};
struct Created {
  bool changed{};
  std::vector<Bdf> vfs;
};
/// Makes VFs of a PF that has none, one a target, sets their attributes and gives them to a driver. That many there
/// already: only those with another driver are bound, and only attributes that differ are set. Errc::invalid for no or
/// too many VFs, busy while another number exists (see vf_recreate.hpp), kernel without a PF driver; later
/// Errc::rolled_back, stranded or timeout.
[[nodiscard]] Result<Created> create(const vfio::Host& host, const vfio::HostLock& lock, const CreateRequest& request);

struct DestroyRequest {
  Bdf physical;
  std::vector<std::string> force{};
  std::span<const AdapterKind> adapters{builtin_adapters()};
};
/// Removes all VFs; none is success without change (false). Errc::busy, naming every holder, when any is in use: the
/// kernel would wait for it for ever.
[[nodiscard]] Result<bool> destroy(const vfio::Host& host, const vfio::HostLock& lock, const DestroyRequest& request);

struct SetRequest {
  Bdf physical;
  unsigned index{};
  VfWish wish;
};
/// Changes attributes, one message each, and reads them back; the changes made. All or none. Errc::not_found for an
/// absent index.
[[nodiscard]] Result<std::vector<VfChange>> set(const vfio::Host& host, const vfio::HostLock& lock, VfPort& port,
                                                const SetRequest& request);
/// The same for several VFs of one PF, with one reading before and one after; all or none.
[[nodiscard]] Result<std::vector<VfSetting>> set_all(const vfio::Host& host, const vfio::HostLock& lock, VfPort& port,
                                                     std::span<const SetRequest> requests);

/// What the above would do, after the same checks; empty when there is nothing to do.
[[nodiscard]] Result<std::vector<std::string>> preview(const vfio::Host& host, const CreateRequest& request);
[[nodiscard]] Result<std::vector<std::string>> preview(const vfio::Host& host, const DestroyRequest& request);
[[nodiscard]] Result<std::vector<std::string>> preview(const vfio::Host& host, VfPort& port, const SetRequest& request);

/// Repairs every single transaction that a crash left behind, bindings first. An interrupted creation is undone, an
/// interrupted removal completed, an interrupted change of attributes undone. `port` may be null: then attributes stay
/// as they are, and their entry too.
[[nodiscard]] Result<std::vector<vfio::Repair>> recover_transactions(
    const vfio::Host& host, const vfio::HostLock& lock, VfPort* port,
    std::span<const AdapterKind> adapters = builtin_adapters());
/// The same, and then undoes an apply that did not end (host_apply.hpp).
[[nodiscard]] Result<std::vector<vfio::Repair>> recover(const vfio::Host& host, const vfio::HostLock& lock,
                                                        VfPort* port,
                                                        std::span<const AdapterKind> adapters = builtin_adapters());

}  // namespace pcivm::sriov
