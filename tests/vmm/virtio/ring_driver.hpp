// SPDX-License-Identifier: GPL-2.0-or-later
// The driver's side of both kinds of queue, in guest memory of two pieces with a hole between them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "vmm/guest_memory.hpp"
#include "vmm/virtio/features.hpp"
#include "vmm/virtio/ring.hpp"

namespace pcivm::test {

struct Buffer {
  std::uint64_t address{};
  std::uint32_t length{};
  bool writable{};
};

/// RAM of 2 MiB at 0 and of 2 MiB at 16 MiB.
inline vmm::GuestMemory ring_memory() {
  const std::array ranges{vmm::GuestMemory::Range{.gpa = Gpa{0}, .length = 2 * kMiB},
                          vmm::GuestMemory::Range{.gpa = Gpa{16 * kMiB}, .length = 2 * kMiB}};
  return vmm::GuestMemory::create(ranges).value();
}
inline constexpr std::uint64_t kRamEnd = 2 * kMiB;  // of the first piece

/// A well-behaved driver, of which a test may then falsify anything.
class RingDriver {
 public:
  static constexpr std::uint64_t kDescriptors = 0x10000;
  static constexpr std::uint64_t kDriver = 0x20000;
  static constexpr std::uint64_t kDevice = 0x30000;
  static constexpr std::uint64_t kTable = 0x40000;  // indirect

  /// `base` is added to the addresses of its rings.
  RingDriver(const vmm::GuestMemory& memory, std::uint16_t size, std::uint64_t base = 0)
      : memory_{memory}, size_{size}, base_{base} {}
  virtual ~RingDriver() = default;
  [[nodiscard]] vmm::VirtioQueueSetup setup() const {
    return {.size = size_,
            .descriptors = Gpa{base_ + kDescriptors},
            .driver = Gpa{base_ + kDriver},
            .device = Gpa{base_ + kDevice}};
  }
  /// Makes one chain available. `indirect`: in a table of its own.
  virtual void offer(const std::vector<Buffer>& buffers, bool indirect = false) = 0;
  struct Used {
    std::uint32_t id;
    std::uint32_t length;
    bool operator==(const Used&) const = default;
  };
  /// What the device gave back since the last call.
  virtual std::vector<Used> collect() = 0;
  /// Wants to hear of the next chain given back (event index) or of none.
  virtual void want_interrupt_at_next() = 0;
  [[nodiscard]] virtual bool device_wants_signal() const = 0;

  template <class T>
  void poke(std::uint64_t address, T value) const {
    (void)memory_.write(Gpa{address}, value);
  }
  template <class T>
  [[nodiscard]] T peek(std::uint64_t address) const {
    return memory_.read<T>(Gpa{address}).value();
  }
  void poke_descriptor(std::uint64_t at, std::uint64_t address, std::uint32_t length, std::uint16_t third,
                       std::uint16_t fourth) const {
    poke(at, address);
    poke(at + 8, length);
    poke(at + 12, third);
    poke(at + 14, fourth);
  }

 protected:
  const vmm::GuestMemory& memory_;
  std::uint16_t size_;
  std::uint64_t base_;
};

class SplitDriver final : public RingDriver {
 public:
  using RingDriver::RingDriver;
  void offer(const std::vector<Buffer>& buffers, bool indirect) override {
    const auto head = next_descriptor_;
    if (indirect) {
      const auto table = base_ + kTable + 0x1000ULL * head;
      for (std::size_t index = 0; index < buffers.size(); ++index) write(table, index, buffers, index + 1);
      poke_descriptor(base_ + kDescriptors + 16ULL * head, table, static_cast<std::uint32_t>(16 * buffers.size()), 4,
                      0);
      next_descriptor_ = after(head);
    } else {
      for (std::size_t index = 0; index < buffers.size(); ++index) {
        const auto at = next_descriptor_;
        next_descriptor_ = after(at);
        write(base_ + kDescriptors + 16ULL * at - 16 * index, index, buffers, next_descriptor_);
      }
    }
    publish(head);
  }
  /// The available ring's next entry is `head`.
  void publish(std::uint16_t head) {
    poke<std::uint16_t>(base_ + kDriver + 4 + 2ULL * (index_ % size_), head);
    poke<std::uint16_t>(base_ + kDriver + 2, ++index_);
  }
  std::vector<Used> collect() override {
    std::vector<Used> used;
    for (const auto end = peek<std::uint16_t>(base_ + kDevice + 2); seen_ != end; ++seen_) {
      const auto at = base_ + kDevice + 4 + 8ULL * (seen_ % size_);
      used.push_back({peek<std::uint32_t>(at), peek<std::uint32_t>(at + 4)});
    }
    return used;
  }
  void want_interrupt_at_next() override { poke<std::uint16_t>(base_ + kDriver + 4 + 2ULL * size_, seen_); }
  [[nodiscard]] bool device_wants_signal() const override {
    return peek<std::uint16_t>(base_ + kDevice + 4 + 8ULL * size_) == index_;
  }

 private:
  [[nodiscard]] std::uint16_t after(std::uint16_t at) const { return static_cast<std::uint16_t>((at + 1) % size_); }
  void write(std::uint64_t table, std::size_t index, const std::vector<Buffer>& buffers, std::size_t next) const {
    const auto& buffer = buffers[index];
    const bool last = index + 1 == buffers.size();
    poke_descriptor(table + 16 * index, buffer.address, buffer.length,
                    static_cast<std::uint16_t>((last ? 0 : 1) | (buffer.writable ? 2 : 0)),
                    static_cast<std::uint16_t>(last ? 0 : next));
  }
  std::uint16_t next_descriptor_{};
  std::uint16_t index_{};
  std::uint16_t seen_{};
};

class PackedDriver final : public RingDriver {
 public:
  using RingDriver::RingDriver;
  void offer(const std::vector<Buffer>& buffers, bool indirect) override {
    const auto id = next_id_++;
    if (indirect) {
      const auto table = kTable + 0x1000ULL * (id % size_);
      for (std::size_t index = 0; index < buffers.size(); ++index) {
        const auto& buffer = buffers[index];
        poke_descriptor(table + 16 * index, buffer.address, buffer.length, 0, buffer.writable ? 2 : 0);
      }
      lengths_[id] = 1;
      put(table, static_cast<std::uint32_t>(16 * buffers.size()), id, 4);
      return;
    }
    lengths_[id] = static_cast<std::uint16_t>(buffers.size());
    // The first descriptor's flags come last.
    const auto first = place_;
    const auto first_wrap = wrap_;
    for (std::size_t index = 0; index < buffers.size(); ++index) {
      const bool last = index + 1 == buffers.size();
      put(buffers[index].address, buffers[index].length, id,
          static_cast<std::uint16_t>((last ? 0 : 1) | (buffers[index].writable ? 2 : 0)), index != 0);
    }
    const auto flags = static_cast<std::uint16_t>((buffers.size() > 1 ? 1 : 0) | (buffers.front().writable ? 2 : 0));
    poke<std::uint16_t>(kDescriptors + 16ULL * first + 14, available(flags, first_wrap));
  }
  std::vector<Used> collect() override {
    std::vector<Used> used;
    for (;;) {
      const auto at = kDescriptors + 16ULL * seen_;
      const auto flags = peek<std::uint16_t>(at + 14);
      if (((flags & 0x80) != 0) != seen_wrap_ || ((flags & 0x8000) != 0) != seen_wrap_) return used;
      const auto id = peek<std::uint16_t>(at + 12);
      used.push_back({id, peek<std::uint32_t>(at + 8)});
      seen_ = static_cast<std::uint16_t>(seen_ + lengths_[id]);
      if (seen_ >= size_) {
        seen_ = static_cast<std::uint16_t>(seen_ - size_);
        seen_wrap_ = !seen_wrap_;
      }
    }
  }
  void want_interrupt_at_next() override {
    poke<std::uint16_t>(kDriver, static_cast<std::uint16_t>(seen_ | (seen_wrap_ ? 0x8000 : 0)));
    poke<std::uint16_t>(kDriver + 2, 2);
  }
  [[nodiscard]] bool device_wants_signal() const override {
    return peek<std::uint16_t>(kDevice) == (place_ | (wrap_ ? 0x8000 : 0)) && peek<std::uint16_t>(kDevice + 2) == 2;
  }

 private:
  static std::uint16_t available(std::uint16_t flags, bool wrap) {
    return static_cast<std::uint16_t>(flags | (wrap ? 0x80 : 0x8000));
  }
  void put(std::uint64_t address, std::uint32_t length, std::uint16_t id, std::uint16_t flags, bool show = true) {
    const auto at = kDescriptors + 16ULL * place_;
    poke(at, address);
    poke(at + 8, length);
    poke(at + 12, id);
    if (show) poke<std::uint16_t>(at + 14, available(flags, wrap_));
    if (++place_ == size_) {
      place_ = 0;
      wrap_ = !wrap_;
    }
  }
  std::array<std::uint16_t, 65536> lengths_{};  // descriptors of each chain, by ID
  std::uint16_t next_id_{};
  std::uint16_t place_{};
  bool wrap_{true};
  std::uint16_t seen_{};
  bool seen_wrap_{true};
};

}  // namespace pcivm::test
