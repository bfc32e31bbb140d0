// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/mapping.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include <fmt/format.h>

namespace pcivm {

Result<Mapping> Mapping::place(int fd, std::uint64_t offset, std::uint64_t length, int protection, int flags,
                               std::uint64_t alignment) {
  const auto what = [&] { return fmt::format("mmap {} bytes at offset {:#x}", length, offset); };
  if (length == 0 || length > SIZE_MAX - alignment) return fail_errno(EINVAL, what());
  void* wanted = nullptr;
  void* reservation = nullptr;
  const std::uint64_t reserved = length + alignment;
  if (alignment > kPageSize) {
    // Reserve address space with slack, then place the real mapping over the aligned part of it.
    reservation = ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reservation == MAP_FAILED) return fail_errno(errno, what());
    const auto base = reinterpret_cast<std::uintptr_t>(reservation);
    const auto start = align_up(base, alignment) + (offset & (alignment - 1));
    // align_up plus the remainder may leave the reservation by up to one alignment: step back then.
    wanted = reinterpret_cast<void*>(start + length > base + reserved ? start - alignment : start);
    flags |= MAP_FIXED;
  }
  void* address = ::mmap(wanted, length, protection, flags, fd, static_cast<off_t>(offset));
  if (address == MAP_FAILED) {
    const int error = errno;
    if (reservation != nullptr) ::munmap(reservation, reserved);
    return fail_errno(error, what());
  }
  if (reservation != nullptr) {
    auto* const low = static_cast<std::byte*>(reservation);
    auto* const begin = static_cast<std::byte*>(address);
    if (begin != low) ::munmap(low, static_cast<std::size_t>(begin - low));
    auto* const high = begin + align_up(length, kPageSize);
    auto* const end = low + reserved;
    if (high < end) ::munmap(high, static_cast<std::size_t>(end - high));
  }
  return Mapping{static_cast<std::byte*>(address), length};
}

Result<Mapping> Mapping::shared(FdRef fd, std::uint64_t offset, std::uint64_t length, Access access,
                                std::uint64_t alignment) {
  const int protection = access == Access::read ? PROT_READ : PROT_READ | PROT_WRITE;
  return place(fd.number(), offset, length, protection, MAP_SHARED, alignment);
}

Result<Mapping> Mapping::copy_on_write(FdRef fd, std::uint64_t length, std::uint64_t alignment) {
  return place(fd.number(), 0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, alignment);
}

Result<Mapping> Mapping::anonymous(std::uint64_t length, std::uint64_t alignment) {
  return place(-1, 0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, alignment);
}

Mapping::Mapping(Mapping&& other) noexcept
    : address_{std::exchange(other.address_, nullptr)}, length_{std::exchange(other.length_, 0)} {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    if (address_ != nullptr) ::munmap(address_, length_);
    address_ = std::exchange(other.address_, nullptr);
    length_ = std::exchange(other.length_, 0);
  }
  return *this;
}

Mapping::~Mapping() {
  if (address_ != nullptr) ::munmap(address_, length_);
}

Hva Mapping::hva() const { return Hva{reinterpret_cast<std::uintptr_t>(address_)}; }

Result<void> Mapping::advise(std::uint64_t offset, std::uint64_t length, int advice) const {
  if (!fits(offset, length, length_)) return fail(Errc::internal, "madvise outside the mapping");
  if (::madvise(address_ + offset, length, advice) != 0) return fail_errno(errno, fmt::format("madvise {}", advice));
  return {};
}

}  // namespace pcivm
