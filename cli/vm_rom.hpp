// SPDX-License-Identifier: GPL-2.0-or-later
// --rom: the option ROMs that a guest finds in its assigned functions.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::cli {

struct RomWish {
  Bdf function;
  std::vector<std::byte> image;  ///< empty: the device's own
};

/// Each of `texts` is DEVICE=device or DEVICE=FILE. Errc::invalid: not of that form, not one of `functions`, one twice,
/// or a file that is no option ROM; not_found: no such device or file.
[[nodiscard]] Result<std::vector<RomWish>> read_roms(const SysRoot& root, std::span<const std::string> texts,
                                                     std::span<const Bdf> functions);

}  // namespace pcivm::cli
