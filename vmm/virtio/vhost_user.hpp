// SPDX-License-Identifier: GPL-2.0-or-later
// Queues that another process works on (vhost-user, QEMU's docs/interop/vhost-user.rst): our side of its socket.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/ring.hpp"

namespace pcivm::vmm {

/// Connects to a daemon that listens there. Errc::not_found: nobody does.
[[nodiscard]] Result<Fd> connect_vhost_user(const std::string& path);

/// Any thread. The daemon may end, hang or say anything at any time: a call then fails, within its patience, and so do
/// all that follow, at once.
class VhostUser final {
 public:
  static constexpr std::chrono::milliseconds kPatience{5000};

  /// Agrees on the protocol. `memory` is shareable and outlives the object.
  [[nodiscard]] static Result<std::unique_ptr<VhostUser>> adopt(Fd socket, const GuestMemory& memory,
                                                                std::chrono::milliseconds patience = kPatience);
  VhostUser(const VhostUser&) = delete;
  VhostUser& operator=(const VhostUser&) = delete;

  /// What the daemon can do, as virtio feature bits.
  [[nodiscard]] std::uint64_t features() const { return features_; }
  /// Takes `features` and shows RAM. Before the first queue runs.
  [[nodiscard]] Result<void> configure(std::uint64_t features);
  /// Split queues only.
  [[nodiscard]] Result<void> start_queue(unsigned index, const VirtioQueueSetup& setup, FdRef doorbell,
                                         FdRef interrupt);
  /// The daemon says that it is done with it.
  [[nodiscard]] Result<void> stop_queue(unsigned index);

  /// Readable when something is wrong, and for the moment of an answer.
  [[nodiscard]] FdRef socket() const { return socket_.ref(); }
  /// Why it is lost; none while it is not. Does not wait.
  [[nodiscard]] std::optional<Error> loss();

 private:
  VhostUser(Fd socket, const GuestMemory& memory) : socket_{std::move(socket)}, memory_{memory} {}
  [[nodiscard]] Result<void> negotiate();
  [[nodiscard]] Result<void> share_memory();
  [[nodiscard]] Result<void> set(std::uint32_t request, std::span<const std::byte> payload,
                                 std::span<const int> files = {});
  [[nodiscard]] Result<void> get(std::uint32_t request, std::span<const std::byte> payload,
                                 std::span<std::byte> answer);
  [[nodiscard]] Result<std::uint64_t> get_number(std::uint32_t request);
  [[nodiscard]] Result<void> send(std::uint32_t request, std::uint32_t flags, std::span<const std::byte> payload,
                                  std::span<const int> files);
  [[nodiscard]] Result<void> receive(std::uint32_t request, std::span<std::byte> answer);
  [[nodiscard]] Result<void> read_all(std::span<std::byte> bytes);
  [[nodiscard]] std::unexpected<Error> lost(Error why);

  Fd socket_;
  const GuestMemory& memory_;
  std::uint64_t features_{};
  bool acknowledged_{};        // each request is answered
  std::mutex mutex_;           // one request at a time
  std::optional<Error> loss_;  // guarded by mutex_
};

}  // namespace pcivm::vmm
