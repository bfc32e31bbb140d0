// SPDX-License-Identifier: GPL-2.0-or-later
// How many CPUs there are and how they hang together: sockets of cores of threads.
#pragma once

#include <bit>
#include <cstdint>

namespace pcivm::vmm {

struct CpuTopology {
  unsigned sockets{1};
  unsigned cores{1};    ///< of a socket
  unsigned threads{1};  ///< of a core

  [[nodiscard]] constexpr unsigned count() const { return sockets * cores * threads; }
  [[nodiscard]] constexpr unsigned per_socket() const { return cores * threads; }
  /// Bits of an APIC id that number the threads of a core, and the CPUs of a socket.
  [[nodiscard]] constexpr unsigned thread_bits() const { return bits(threads); }
  [[nodiscard]] constexpr unsigned socket_bits() const { return bits(threads) + bits(cores); }
  /// Of CPU `index`: threads count first. Where cores or threads are no power of two, ids have gaps.
  [[nodiscard]] constexpr std::uint32_t apic_id(unsigned index) const {
    const auto thread = index % threads;
    const auto core = index / threads % cores;
    const auto socket = index / per_socket();
    return socket << socket_bits() | core << thread_bits() | thread;
  }
  bool operator==(const CpuTopology&) const = default;

 private:
  static constexpr unsigned bits(unsigned count) { return static_cast<unsigned>(std::bit_width(count - 1)); }
};

}  // namespace pcivm::vmm
