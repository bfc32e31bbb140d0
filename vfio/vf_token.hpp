// SPDX-License-Identifier: GPL-2.0-or-later
// The secret of a PF on vfio-pci and of those who may open its VFs (drivers/vfio/pci/vfio_pci_core.c,
// vfio_pci_validate_vf_token): whoever drives a PF can do anything to its VFs, so the two must know of each other.
//   /run/pcivm/vf-token/BDF  the text of a UUID, mode 0600; a name opens with it: "0000:01:10.0 vf_token=UUID"
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::vfio {

/// The PF with whose token `function` is opened: itself when it is a PF on a VFIO driver, the PF of a VF when that is.
/// None for all others: the kernel answers a token that does not apply with EINVAL.
[[nodiscard]] std::optional<Bdf> token_owner(const SysRoot& root, Bdf function);

[[nodiscard]] std::string vf_token_file(Bdf physical);
[[nodiscard]] bool has_vf_token(const SysRoot& root, Bdf physical);

/// Makes a random one when there is none. Needs the host lock.
[[nodiscard]] Result<void> ensure_vf_token(const SysRoot& root, Bdf physical);
/// Errc::not_found when there is none; Errc::invalid when the file holds no UUID. Its text is in no message.
[[nodiscard]] Result<std::string> load_vf_token(const SysRoot& root, Bdf physical);
/// None is success.
[[nodiscard]] Result<void> forget_vf_token(const SysRoot& root, Bdf physical);

/// True for 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
[[nodiscard]] bool is_uuid(std::string_view text);

}  // namespace pcivm::vfio
