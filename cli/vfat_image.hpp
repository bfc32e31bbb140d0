// SPDX-License-Identifier: GPL-2.0-or-later
// A small file system to read: FAT12 with long names (Microsoft, "FAT32 File System Specification" 1.03, which covers
// FAT12), its files in the root and in one piece each.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace pcivm::cli {

/// Name and content, in the order of the directory. Names: up to 26 of a-z, 0-9, '-', '_' and '.'.
using VfatFiles = std::vector<std::pair<std::string, std::string>>;

/// Pure. `label`: up to 11 characters of A-Z and 0-9. Errc::invalid: a name that is none, or more than fits into FAT12
/// (16 MiB in all, 16 files).
[[nodiscard]] Result<std::vector<std::byte>> make_vfat(std::string_view label, const VfatFiles& files);

}  // namespace pcivm::cli
