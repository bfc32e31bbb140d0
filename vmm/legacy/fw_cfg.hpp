// SPDX-License-Identifier: GPL-2.0-or-later
// The firmware configuration device of QEMU (docs/specs/fw_cfg.rst): how firmware made for virtual machines learns of
// RAM, CPUs, ACPI tables and what to boot. Numbered items; those from 0x20 on are files with names in a directory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/io_bus.hpp"

namespace pcivm::vmm {

/// 12 ports at port::kFwCfg: selector (2), data (1), DMA address (8, big-endian). Items are read-only to the guest.
/// Filled before the first access; then any thread.
class FwCfg final : public IoHandler {
 public:
  using Bytes = std::vector<std::byte>;
  static constexpr std::uint16_t kLength = 12;

  /// Numbers of items that have no name.
  enum Key : std::uint16_t {
    kSignature = 0x00,
    kFeatures = 0x01,
    kCpuCount = 0x05,
    kMostCpus = 0x0f,
    kDirectory = 0x19,
    kFirstFile = 0x20,
  };
  static constexpr std::size_t kNameRoom = 56;  ///< of a file, with the final zero

  /// `memory` outlives the object: where DMA goes.
  explicit FwCfg(const GuestMemory& memory);

  void add(std::uint16_t key, Bytes bytes);
  /// Errc::internal when the name is taken or too long.
  [[nodiscard]] Result<void> add_file(std::string_view name, Bytes bytes);
  /// One whose contents are asked for each time that it is selected. Never of another size than `bytes`; `make` is
  /// called on a vCPU thread, without lock; what it returns of another size is ignored.
  [[nodiscard]] Result<void> add_file(std::string_view name, Bytes bytes, std::function<Bytes()> make);

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  void reset();

 private:
  struct Item {
    Bytes bytes;
    std::function<Bytes()> make;
  };
  void select(std::uint16_t key);
  void take(std::span<std::byte> room);
  void transfer(Gpa request);
  [[nodiscard]] bool carry_out(std::uint32_t control, std::uint32_t length, Gpa address);

  const GuestMemory& memory_;
  std::mutex mutex_;
  std::map<std::uint16_t, Item> items_;  // their bytes are guarded by mutex_, as are the rest
  std::vector<std::string> names_;       // of the files, by key from kFirstFile
  std::uint16_t key_{};
  std::uint64_t position_{};
  std::uint32_t address_high_{};  // of the next DMA request
};

}  // namespace pcivm::vmm
