// SPDX-License-Identifier: GPL-2.0-or-later
// The flash chip that keeps a firmware's variables: an 8-bit chip with Intel's command set, as QEMU has it below the
// firmware and as OVMF probes for it. Its contents are a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/io_bus.hpp"

namespace pcivm::vmm {

/// In array mode the chip reads as memory, which the machine lets KVM do: only writes arrive here. Any command leaves
/// that mode, and reads show the status until the guest gives the command for array mode.
///
/// What was programmed or erased is in the file, and on its disk, when the guest is back in array mode: firmware that
/// writes its variables fault-tolerantly on real flash does so here, through a power cut of the host. Any thread.
class Flash final : public IoHandler {
 public:
  static constexpr std::uint64_t kBlock = 4096;  ///< what one erase command covers
  static constexpr std::uint8_t kReady = 0x80;   ///< status
  static constexpr std::uint8_t kEraseFailed = 0x20;
  static constexpr std::uint8_t kProgramFailed = 0x10;

  struct Wiring {
    std::span<std::byte> contents;         ///< as in the file; outlives the object
    Fd file;                               ///< of that size, open for writing
    std::function<void(bool)> array_mode;  ///< on and off, with the chip locked
    std::function<void(Error)> report;     ///< the file refused; carry on
  };
  explicit Flash(Wiring wiring) : wiring_{std::move(wiring)} {}

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  /// Back to array mode, without telling: for a reset, when KVM knows no memory of the chip.
  void reset();

 private:
  enum class Mode : std::uint8_t { array, status, program, erase };
  void command(std::uint8_t value);
  void program(std::uint64_t offset, std::byte value);
  void erase(std::uint64_t offset);
  void enter(Mode mode);
  void save();

  Wiring wiring_;
  std::mutex mutex_;
  Mode mode_{Mode::array};  // guarded by mutex_, as are the rest
  std::uint8_t status_{kReady};
  std::uint64_t changed_begin_{};  // not yet in the file; empty when not below changed_end_
  std::uint64_t changed_end_{};
};

}  // namespace pcivm::vmm
