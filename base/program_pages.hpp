// SPDX-License-Identifier: GPL-2.0-or-later
// What a process that started much and then waits need not keep in memory.
#pragma once

namespace pcivm {

/// Unmaps code and constants of the program and all libraries, of which what is used again comes back from the page
/// cache, and gives free heap back. Any thread, while others run. Cannot fail; where the kernel refuses, pages stay.
void drop_program_pages();

}  // namespace pcivm
