// SPDX-License-Identifier: GPL-2.0-or-later
// The same work on many things by several threads.
#pragma once

#include <cstddef>
#include <functional>

#include "base/result.hpp"

namespace pcivm {

/// Calls `work` with each number below `count`, on the calling thread and, for `threads` above 1, on others beside it,
/// which have its system calls and its name. After a failure none is begun any more; that failure is returned.
[[nodiscard]] Result<void> in_parallel(std::size_t count, std::size_t threads,
                                       const std::function<Result<void>(std::size_t)>& work);

}  // namespace pcivm
