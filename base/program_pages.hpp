// SPDX-License-Identifier: GPL-2.0-or-later
// The pages of the program and its libraries, which a process that started much and then waits need not keep.
#pragma once

namespace pcivm {

/// Unmaps code and constants of the program and all libraries; what is used again comes back from the page cache. Any
/// thread, while others run. Cannot fail; where the kernel refuses, pages stay.
void drop_program_pages();

}  // namespace pcivm
