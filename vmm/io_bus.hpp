// SPDX-License-Identifier: GPL-2.0-or-later
// Address ranges of guest memory or of the I/O port space, and who answers there.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <shared_mutex>
#include <span>
#include <string>
#include <utility>

#include "base/result.hpp"

namespace pcivm::vmm {

/// A device's registers as the bus sees them. `offset` is relative to the start of the range, so that a device does not
/// know where it lives. Called on vCPU threads, several at once: the device locks. Any size from 1 to 8 and any
/// alignment may come; an access that makes no sense reads all-ones and writes nothing. Never fails, never aborts.
class IoHandler {
 public:
  virtual ~IoHandler() = default;
  virtual void read(std::uint64_t offset, std::span<std::byte> data) = 0;
  virtual void write(std::uint64_t offset, std::span<const std::byte> data) = 0;
};

/// Any thread. A handler lives as long as the bus, or until its ranges are removed and await_accesses() returned. An
/// access is routed by its first byte and handed on whole.
class IoBus final {
 public:
  /// Errc::invalid when empty, wrapping, or overlapping another range; `name` appears in that error.
  [[nodiscard]] Result<void> add(std::uint64_t base, std::uint64_t length, IoHandler& handler, std::string name);
  /// Removes the range that starts at `base`; returns false when there is none. An access in progress on another thread
  /// may still reach the handler afterwards. May be called from inside a handler.
  bool remove(std::uint64_t base);
  /// True once after a range went that may have been in the way of one that add() refused since the last time.
  [[nodiscard]] bool room_made() { return room_made_.load() && room_made_.exchange(false); }
  /// Returns when every access that was in progress has ended: a handler whose ranges were removed before may then go.
  /// Not from inside a handler; one thread at a time.
  void await_accesses();

  /// False = nobody is there; `data` is then all-ones.
  bool read(std::uint64_t address, std::span<std::byte> data) const;
  bool write(std::uint64_t address, std::span<const std::byte> data) const;

 private:
  struct Range {
    std::uint64_t length;
    IoHandler* handler;
    std::string name;
  };
  class Access;
  [[nodiscard]] std::pair<IoHandler*, std::uint64_t> find(std::uint64_t address) const;
  [[nodiscard]] const Range* in_the_way(std::uint64_t base, std::uint64_t length) const;

  mutable std::shared_mutex mutex_;
  std::map<std::uint64_t, Range> ranges_;  // by base; guarded by mutex_
  bool refused_{};                         // guarded by mutex_
  std::atomic<bool> room_made_{false};
  mutable std::atomic<unsigned> side_{0};  // where new accesses count themselves
  mutable std::array<std::atomic<unsigned>, 2> accesses_{};
};

/// Register values on the wire: little-endian, 1 to 8 bytes.
[[nodiscard]] std::uint64_t load_le(std::span<const std::byte> data);
void store_le(std::span<std::byte> data, std::uint64_t value);

}  // namespace pcivm::vmm
