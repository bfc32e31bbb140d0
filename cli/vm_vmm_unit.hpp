// SPDX-License-Identifier: GPL-2.0-or-later
// The VMM as a unit of its own, pcivm-vmm@NAME.service: a process that systemd starts when the supervisor connects to
// the socket of pcivm-vmm@NAME.socket, and that is given the whole VM there (docs/adr/0008-vmm-unit.md).
//
//   VMM          its version; the kernel adds which process says so
//   supervisor   how many bytes and descriptors come, then packets of them
//   VMM          nothing but a name of that it has them all, or an error; then it confines itself and runs
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/archive.hpp"
#include "base/result.hpp"
#include "cli/vm_supervisor.hpp"
#include "cli/vm_vmm.hpp"

namespace pcivm::cli {

[[nodiscard]] std::string vmm_unit(std::string_view vm);
/// The unit's user is vmm-NAME, and users have names of 31 bytes at most (systemd.exec(5), DynamicUser=).
inline constexpr std::size_t kLongestUnitName = 27;
/// Errc::invalid: a VM whose name is longer, which no unit runs.
[[nodiscard]] Result<void> check_unit_name(const std::string& vm);

/// The other way to start a VMM beside fork_vmm(): waits until the unit has it. Errc::not_found: nobody listens at
/// `socket`; refused: it is of another version; timeout; internal: the unit ended meanwhile. All name the unit.
[[nodiscard]] Result<VmmProcess> hand_to_unit(const std::string& socket, VmmParts parts, VmmEnds ends);

/// `pcivm __vmm`, as the unit runs it. Returns only when it has been given no VM, with the error.
[[nodiscard]] Error be_unit();

namespace detail {
/// What the VMM says first.
[[nodiscard]] std::string_view version();
/// The two ends of that, on connected packet sockets. `receive`: whole or an error.
[[nodiscard]] Result<void> send_parcel(FdRef socket, Parcel parcel);
[[nodiscard]] Result<Parcel> receive_parcel(FdRef socket);
}  // namespace detail

}  // namespace pcivm::cli
