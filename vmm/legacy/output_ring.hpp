// SPDX-License-Identifier: GPL-2.0-or-later
// A bounded byte queue from vCPU threads to a descriptor that may be slow: the guest never waits for it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm::vmm {

/// Created, drained, flushed and destroyed on the loop thread; push() on any. Writes only what the descriptor takes
/// without waiting: non-blocking descriptors as long as they accept, others at most one page whenever epoll calls them
/// writable, regular files at once. An error other than EAGAIN (the reader went away) drops everything from then on.
/// The process must ignore SIGPIPE.
class OutputRing final {
 public:
  /// `out` is borrowed and outlives the object.
  [[nodiscard]] static Result<std::unique_ptr<OutputRing>> create(EventLoop& loop, FdRef out, std::size_t capacity);

  /// Takes what fits, drops the newest rest and counts it.
  void push(std::span<const std::byte> data);
  [[nodiscard]] std::uint64_t dropped() const;
  /// Writes what is left, waiting for the descriptor up to `limit`; false when something stayed behind.
  bool flush(std::chrono::milliseconds limit);

 private:
  enum class Drained : std::uint8_t { empty, would_block, broken };
  OutputRing(EventLoop& loop, FdRef out, Fd wake, std::size_t capacity)
      : loop_{loop}, out_{out.number()}, wake_{std::move(wake)}, ring_(capacity) {}
  void on_wake();
  void on_writable();
  Drained write_chunk();
  [[nodiscard]] std::vector<std::byte> front() const;

  EventLoop& loop_;
  int out_;
  Fd wake_;
  mutable std::mutex mutex_;
  std::vector<std::byte> ring_;  // guarded by mutex_, as are the next four
  std::size_t start_{};
  std::size_t used_{};
  std::uint64_t dropped_{};
  bool broken_{};
  bool waiting_{};       // writable_ is registered; loop thread only
  bool regular_file_{};  // epoll refuses it, and it never makes anyone wait for a reader; loop thread only
  Watch writable_;       // only while something waits for the descriptor; loop thread only
  Watch woken_;          // after wake_: must go first
};

}  // namespace pcivm::vmm
