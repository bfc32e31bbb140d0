// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/program_pages.hpp"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cstdint>
#include <span>

namespace pcivm {

namespace {

// Segments that nothing was ever written to: a written one (data, and what the dynamic linker relocated) would come
// back as the file has it.
int drop_segments(dl_phdr_info* object, std::size_t /*size*/, void* /*unused*/) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (const auto& segment : std::span{object->dlpi_phdr, object->dlpi_phnum}) {
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const auto start = (object->dlpi_addr + segment.p_vaddr) & ~(page - 1);
    const auto end = (object->dlpi_addr + segment.p_vaddr + segment.p_filesz + page - 1) & ~(page - 1);
    (void)::madvise(std::bit_cast<void*>(start), end - start, MADV_DONTNEED);
  }
  return 0;
}

}  // namespace

void drop_program_pages() { (void)::dl_iterate_phdr(&drop_segments, nullptr); }

}  // namespace pcivm
