// SPDX-License-Identifier: GPL-2.0-or-later
// Files that are there whole or not at all.
#pragma once

#include <sys/types.h>

#include <string_view>

#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm {

/// Replaces `path` (absolute, inside the root) by write, fsync, rename and fsync of its directory, which is made with
/// mode `directory_mode` when missing: after a crash at any point the old or the new content is there, never a mixture.
/// A temporary file that a crash left behind is ".NAME.new" beside it.
[[nodiscard]] Result<void> replace_file(const SysRoot& root, std::string_view path, std::string_view content,
                                        mode_t mode, mode_t directory_mode);

/// Removes such files of a directory; one that is not there has none. Nobody may be replacing a file in it.
[[nodiscard]] Result<void> remove_unfinished(const SysRoot& root, std::string_view directory);

/// Gives the file another name in the same directory, in place of what has that. Needs no room on the disk.
[[nodiscard]] Result<void> rename_file(const SysRoot& root, std::string_view from, std::string_view to);

/// Removes the file, and syncs its directory; none there is success.
[[nodiscard]] Result<void> remove_file(const SysRoot& root, std::string_view path);

}  // namespace pcivm
