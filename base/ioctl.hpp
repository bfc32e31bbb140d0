// SPDX-License-Identifier: GPL-2.0-or-later
// ioctl requests as values, and the one virtual through which all of them pass: the test seam to the kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm {

/// Carries out one ioctl(2). Thread-safe. Returns the kernel's result (>= 0) or -errno; EINTR is returned, not
/// retried, because KVM_RUN needs to see it. Tests replace it by a table of lambdas that hand out real descriptors.
class IoctlPort {
 public:
  virtual ~IoctlPort() = default;
  [[nodiscard]] virtual int call(FdRef fd, unsigned long request, void* argument) = 0;
};

/// The kernel itself.
[[nodiscard]] IoctlPort& system_ioctl();

/// A request with a structure argument: `inline constexpr Ioctl<vfio_region_info> get_region_info{"...", N};`
/// The error text starts with `name`.
template <class Argument>
struct Ioctl {
  std::string_view name;
  unsigned long number;
  Result<int> operator()(IoctlPort& port, FdRef fd, Argument& argument) const {
    const int outcome = port.call(fd, number, &argument);
    if (outcome < 0) return fail_errno(-outcome, std::string{name});
    return outcome;
  }
};

/// A kernel structure that ends in a flexible array (vfio_irq_set, kvm_irq_routing, region info with its capabilities):
/// a zeroed header followed by `tail` bytes.
template <class Header>
class FlexibleArgument final {
 public:
  explicit FlexibleArgument(std::size_t tail)
      : size_{sizeof(Header) + tail}, words_((size_ + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t)) {}
  [[nodiscard]] Header& header() { return *static_cast<Header*>(static_cast<void*>(words_.data())); }
  /// Header and tail: what argsz counts.
  [[nodiscard]] std::span<std::byte> bytes() { return std::as_writable_bytes(std::span{words_}).first(size_); }
  [[nodiscard]] std::span<std::byte> tail() { return bytes().subspan(sizeof(Header)); }

 private:
  std::size_t size_;
  std::vector<std::uint64_t> words_;  // 64-bit words, for the alignment that kernel structures need
};

/// A request whose argument is a plain number (KVM_CREATE_VM, KVM_CHECK_EXTENSION), or nothing (0).
struct IoctlValue {
  std::string_view name;
  unsigned long number;
  Result<int> operator()(IoctlPort& port, FdRef fd, unsigned long value = 0) const;
};

}  // namespace pcivm
